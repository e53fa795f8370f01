"""A folder of recordings: a new file by size and age, and never more than so many bytes in all, the oldest going first.

Files are named by a number that only grows, then the date. A Pi has no clock of its own: after a cold start its date
may lie in the past, and "the oldest" by date would be the newest.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from edge.errors import UsageError

NAME = re.compile(r"(\d{6,})-\d{8}-\d{6}\.mcap")
LEAST_BYTES = 1_000_000


@dataclass(frozen=True)
class Rotation:
    """When a recording goes on in a new file, and what the folder may hold.

    Args:
        max_bytes: of one file; None: no limit, or a quarter of `keep_bytes` where that is set.
        max_s: age of one file in seconds; None: no limit.
        keep_bytes: of all recordings in the folder together; the oldest files are removed. None: no limit.

    Raises:
        UsageError: a limit that cannot be kept.
    """

    max_bytes: int | None = None
    max_s: float | None = None
    keep_bytes: int | None = None

    def __post_init__(self) -> None:
        if self.max_bytes is None and self.keep_bytes is not None:
            object.__setattr__(self, "max_bytes", max(LEAST_BYTES, self.keep_bytes // 4))
        for name, limit in (("--rotate-mb", self.max_bytes), ("--keep-mb", self.keep_bytes)):
            if limit is not None and limit < LEAST_BYTES:
                raise UsageError(f"{name} is {limit / 1e6:g} MB, less than a second of frames takes; give 1 or more")
        if self.keep_bytes is not None and self.max_bytes is not None and 2 * self.max_bytes > self.keep_bytes:
            raise UsageError(
                f"--keep-mb {self.keep_bytes / 1e6:g} leaves no room for two files of --rotate-mb "
                f"{self.max_bytes / 1e6:g}; make the one larger or the other smaller"
            )
        if self.max_s is not None and not self.max_s >= 1.0:
            raise UsageError(f"--rotate-s is {self.max_s:g}; a file lasts a second or more")

    def is_over(self, size: int, next_piece: int, age_s: float) -> bool:
        """Whether a file of `size` bytes and `age_s` seconds is to end before another piece comes."""
        if self.max_bytes is not None and size + next_piece > self.max_bytes:
            return True
        return self.max_s is not None and age_s >= self.max_s


def parts(folder: Path) -> list[tuple[int, Path]]:
    """The recordings of a folder by their number, oldest first; other files are none of ours.

    Raises:
        OSError: the folder cannot be read.
    """
    found = [(NAME.fullmatch(path.name), path) for path in folder.iterdir()]
    return sorted((int(match[1]), path) for match, path in found if match and path.is_file())


def next_path(folder: Path) -> Path:
    """A name that no recording in `folder` has, with a number above all of theirs."""
    highest = max((number for number, _ in parts(folder)), default=0)
    return folder / f"{highest + 1:06d}-{datetime.now():%Y%m%d-%H%M%S}.mcap"


def total(folder: Path, current: Path) -> int:
    """Bytes of all recordings in `folder` but the current one.

    Raises:
        OSError: the folder cannot be read.
    """
    return sum(path.stat().st_size for _, path in parts(folder) if path != current)


def make_room(folder: Path, keep_bytes: int, current: Path, current_bytes: int) -> list[Path]:
    """Remove the oldest recordings until all together hold no more than `keep_bytes`; never the current one.

    Returns:
        What was removed.

    Raises:
        OSError: a file cannot be removed.
    """
    others = [(path, path.stat().st_size) for _, path in parts(folder) if path != current]
    total = current_bytes + sum(size for _, size in others)
    removed = []
    for path, size in others:
        if total <= keep_bytes:
            break
        path.unlink()
        removed.append(path)
        total -= size
    return removed
