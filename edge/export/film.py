"""Frames to a video file with OpenCV alone: for a robot, where no better writer is installed."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edge.commands.save import CODECS, Film
from edge.errors import UsageError


def write(path: Path, frames: Iterable[NDArray[np.uint8]], fps: float) -> int:
    """Write frames (height, width, 3) uint8 RGB; returns how many there were. Raises `UsageError`."""
    if path.suffix.lower() not in CODECS:
        raise UsageError(f"video {path} has the ending {path.suffix!r}, expected one of {', '.join(CODECS)}")
    film = Film(path, fps)
    try:
        for frame in frames:
            film.write(frame, "", film.written)
    finally:
        film.close()
    return film.written
