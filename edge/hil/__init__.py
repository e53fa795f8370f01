"""Hardware in the loop: one set of cases for a robot's parts: on the robot, from a laptop, by pytest, simulated."""
