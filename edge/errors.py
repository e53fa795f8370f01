"""The errors of the mind, each shown to people as one sentence with exit code 2, and any error in one line."""

from __future__ import annotations

from robot.errors import RobotError


class EdgeError(Exception):
    """What was asked cannot be done. One sentence: the bad value, what was expected, what to do."""


class ModelError(EdgeError):
    """A model file is missing, damaged, of another kind or shape, or from a newer version."""


class UsageError(EdgeError):
    """An argument of the command line has no meaning here."""


class DownloadError(EdgeError):
    """A file cannot be fetched, or what came is not what it must be."""


def sentence(error: BaseException) -> str:
    """An exception in one line: what it says, and for one that is not the product's own, its type and place."""
    text = " ".join(str(error).split())
    if is_own(error):
        return text
    import traceback  # where it is needed: this module comes with every command
    from pathlib import Path

    frames = traceback.extract_tb(error.__traceback__)
    where = f" at {Path(frames[-1].filename).name}:{frames[-1].lineno}" if frames else ""
    return f"{type(error).__name__}{where}{': ' if text else ''}{text}"


def is_own(error: BaseException) -> bool:
    """Whether it is one that the product raises itself, in words for people."""
    return isinstance(error, (EdgeError, RobotError))
