"""Recordings as LeRobot data sets."""
