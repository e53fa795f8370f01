"""The errors of the body, each shown to people as one sentence."""


class RobotError(Exception):
    """The body cannot do what was asked: bad configuration, missing hardware.

    The message is one sentence: the bad value, what was expected, what to do.
    """


class ConfigError(RobotError):
    """`robot.toml` does not describe a robot."""
