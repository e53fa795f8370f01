"""The errors of the workshop, each shown to people as one sentence with exit code 2."""

from edge.errors import EdgeError


class ConvertError(EdgeError):
    """A model cannot be converted, or its conversion was not good enough. One sentence."""
