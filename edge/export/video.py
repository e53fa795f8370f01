"""What the camera saw, as a film: boxes on the frames that they were found on, and below what the robot did."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from edge.commands.run_report import status
from edge.errors import UsageError
from edge.export.formats import Options, film_writer
from edge.export.frames import Beat, beats, no_frames, rate, results, same_size
from edge.messages import nanoseconds
from edge.perception.draw import FONT, draw
from edge.recordings.reader import Recording
from edge.types import Detections

Image = NDArray[np.uint8]
LEAST_WIDTH = 640  # narrower frames are enlarged, or the line below would not be readable
LINE_PX = 26


def export(runs: Sequence[Recording], place: Path, options: Options, advance: Callable[[float], None]) -> str:
    """See `edge.export.formats.Writer`."""
    recording = runs[0]
    fps = rate(recording, options.fps, camera=True)
    found = results(recording)
    count = film_writer()(place, _frames(recording, fps, found, options, advance), fps)
    if not count:
        raise no_frames(recording, "frame")
    if not place.is_file():
        raise UsageError(f"video {place.suffix} could not be written; give another -o, such as run.avi")
    return f"{count} frames at {fps:g} frames/s, {count / fps:.1f} s"


def _frames(
    recording: Recording, fps: float, found: dict[int, Detections], options: Options, advance: Callable[[float], None]
) -> Iterator[Image]:
    size: tuple[int, int] | None = None
    start: float | None = None
    for beat in beats(recording, fps, camera=True, advance=advance):
        assert beat.picture is not None
        image = same_size(beat.picture.decode().image, size)
        size = image.shape[0], image.shape[1]
        start = beat.moment.tick.now if start is None else start
        result = found.get(nanoseconds(beat.picture.stamp))
        items = () if result is None else result.items
        shown = tuple(item for item in items if options.score is None or item.score > options.score)
        yield _captioned(draw(image, shown), beat, start)


def _captioned(image: Image, beat: Beat, start: float) -> Image:
    scale = max(1, -(-LEAST_WIDTH // image.shape[1]))
    if scale > 1:
        image = np.asarray(cv2.resize(image, None, fx=scale, fy=scale, interpolation=cv2.INTER_LINEAR), np.uint8)
    band = np.zeros((LINE_PX, image.shape[1], 3), np.uint8)
    line = " ".join(status(beat.moment.tick, start).split())
    size = 0.42 * image.shape[1] / LEAST_WIDTH
    cv2.putText(band, line, (8, LINE_PX - 9), FONT, min(size, 0.6), (255, 255, 255), 1, cv2.LINE_AA)
    return np.vstack([image, band])
