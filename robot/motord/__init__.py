"""The motors' own process: it owns the motor pins and the emergency stop's input, and nothing else."""
