"""Learning with tables: a value for each state, or for each state and action (Sutton and Barto 2018, part I)."""
