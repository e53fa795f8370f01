"""What deploy runs on the robot, by its own python3 and with the standard library alone."""
