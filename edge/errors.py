"""The errors of the mind, each shown to people as one sentence with exit code 2."""


class EdgeError(Exception):
    """What was asked cannot be done. One sentence: the bad value, what was expected, what to do."""


class ModelError(EdgeError):
    """A model file is missing, damaged, of another kind or shape, or from a newer version."""


class UsageError(EdgeError):
    """An argument of the command line has no meaning here."""
