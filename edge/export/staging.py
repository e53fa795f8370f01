"""An export appears whole or not at all: it is written beside its place and renamed."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from edge.errors import UsageError


@contextmanager
def staged(place: Path, mark: str = "", overwrite: bool = False) -> Iterator[Path]:
    """A path to write to, which becomes `place` when the block ends well and vanishes when it does not.

    Args:
        place: the file or folder that shall be there in the end.
        mark: for a folder, a file that every such export has: a folder without it is somebody else's, and never
            replaced. Empty where a file is exported.
        overwrite: whether an earlier export may be replaced.

    Raises:
        UsageError: the place is taken, or cannot be written.
    """
    _check(place, mark, overwrite)
    # The ending stays: by it, a video's writer knows its container.
    part = place.with_name(f".{place.stem}.part-{os.getpid()}{place.suffix}")
    try:
        part.parent.mkdir(parents=True, exist_ok=True)
        if mark:
            part.mkdir()
        yield part
        _sync(part)
        _publish(part, place)
    except OSError as error:
        raise UsageError(
            f"{place} cannot be written ({error.strerror or error}); make room there, or give another -o"
        ) from None
    finally:
        _remove(part)


def _check(place: Path, mark: str, overwrite: bool) -> None:
    if not place.exists():
        return
    if place.is_dir() != bool(mark):
        kind, wanted = ("folder", "file") if place.is_dir() else ("file", "folder")
        raise UsageError(f"{place} is a {kind}, and this export is a {wanted}; give another -o")
    empty = place.is_dir() and not any(place.iterdir())
    if not overwrite and not empty:
        raise UsageError(f"{place} exists already; give another -o, or add --overwrite to replace it")
    if mark and not empty and not (place / mark).is_file():
        raise UsageError(f"{place} holds something else than such an export (no {mark}); give another -o")


def _publish(part: Path, place: Path) -> None:
    if not place.is_dir():
        os.replace(part, place)
        return
    old = part.with_name(f"{part.name}.old")
    os.rename(place, old)
    try:
        os.rename(part, place)
    except OSError:
        os.rename(old, place)
        raise
    _remove(old)


def _sync(part: Path) -> None:
    """Force what was written to the disk, so that the new name never stands for less."""
    for path in [part] if part.is_file() else sorted(part.rglob("*")):
        if path.is_file():
            with path.open("rb") as file:
                os.fsync(file.fileno())


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path, ignore_errors=True)
    with suppress(OSError):
        path.unlink(missing_ok=True)
