"""The examination of a machine that is to drive a robot: one table, each failure with the command that mends it."""
