"""Frames to a video file that any player opens: H.264 in MP4, by the ffmpeg that imageio-ffmpeg brings."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edge.errors import UsageError

SUFFIXES = (".mp4", ".mkv", ".webm", ".avi", ".mov")


def check_path(path: Path) -> None:
    """Raises `UsageError` where no video can be written to `path`."""
    if path.suffix.lower() not in SUFFIXES:
        raise UsageError(
            f"video {path} has the ending {path.suffix!r}, expected one of {', '.join(SUFFIXES)}; name a .mp4"
        )
    if not path.parent.is_dir() or not os.access(path.parent, os.W_OK):
        raise UsageError(f"video {path} cannot be written, {path.parent} is no folder to write to; make it first")


def write_video(
    path: Path, frames: Iterable[NDArray[np.uint8]], fps: float, *, options: Sequence[str] = ()
) -> int:
    """Write frames (height, width, 3) uint8 RGB, all of the first one's size; returns how many there were.

    `options` are ffmpeg's for what it writes, as ("-g", "2") for a key frame at each second one.

    The file is written beside its place and renamed. Raises `UsageError` where ffmpeg fails.
    """
    import imageio_ffmpeg

    check_path(path)
    temporary = path.with_name(f".{path.stem}.part{path.suffix}")
    writer, count = None, 0
    try:
        for frame in frames:
            # Most players want even sides.
            height, width = frame.shape[0] // 2 * 2, frame.shape[1] // 2 * 2
            if writer is None:
                size = (width, height)
                writer = imageio_ffmpeg.write_frames(
                    str(temporary), size, fps=fps, macro_block_size=2, ffmpeg_log_level="error",
                    output_params=list(options),
                )  # fmt: skip
                writer.send(None)
            writer.send(np.ascontiguousarray(frame[: size[1], : size[0]]))
            count += 1
        if writer is not None:
            writer.close()
            os.replace(temporary, path)
    except OSError as error:
        raise UsageError(f"video {path} could not be written ({error}); try a .mp4 on a disk with space") from None
    finally:
        temporary.unlink(missing_ok=True)
    return count
