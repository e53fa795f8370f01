"""Recorded frames on a regular beat, as videos and data sets want them, and the detections that belong to them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edge.errors import UsageError
from edge.messages import nanoseconds
from edge.recordings.decode import Picture
from edge.recordings.reader import Moment, Recording
from edge.types import Detections

SLACK_S = 1e-6  # sums of periods are not exact


@dataclass(frozen=True, slots=True)
class Beat:
    """One beat: the newest iteration and the newest frame at its time."""

    time: float  # seconds since the first beat
    moment: Moment
    picture: Picture | None


def beats(
    recording: Recording,
    fps: float,
    *,
    camera: bool,
    pictures: bool = True,
    advance: Callable[[int], None] | None = None,
) -> Iterator[Beat]:
    """The run at `fps` beats a second; what is older than a beat is held, what comes between beats is passed over.

    Args:
        recording: the run.
        fps: beats a second.
        camera: begin with the first frame instead of the first iteration.
        pictures: whether the frames themselves are wanted; False is quicker and gives the same beats.
        advance: told how many more bytes have been read.
    """
    start: float | None = None
    count = 0
    held: Moment | None = None
    picture: Picture | None = None
    for moment in recording.moments(advance=advance):
        now = moment.tick.now
        while start is not None and held is not None and start + count / fps < now - SLACK_S:
            yield Beat(count / fps, held, picture)
            count += 1
        if moment.picture is not None:
            picture = moment.picture
        held = moment
        if start is None and (picture is not None or not camera):
            start = now
    if start is not None and held is not None and start + count / fps <= held.tick.now + SLACK_S:
        yield Beat(count / fps, held, picture)


def rate(recording: Recording, fps: float | None, camera: bool) -> float:
    """Beats a second: as asked, else the camera's, else the loop's."""
    if fps is not None:
        return fps
    if camera and recording.config.camera is not None:
        return float(round(recording.config.camera.fps)) or 1.0
    return float(round(float(recording.metadata.get("rate_hz", "50"))))


def results(recording: Recording) -> dict[int, Detections]:
    """All detections by the stamp (ns) of their frame; they are recorded later than it."""
    moments = recording.moments(pictures=False)
    return {nanoseconds(moment.found.stamp): moment.found for moment in moments if moment.found is not None}


def same_size(image: NDArray[np.uint8], size: tuple[int, int] | None) -> NDArray[np.uint8]:
    """The image, resized to `size` (height, width) where it has another."""
    if size is None or image.shape[:2] == size:
        return image
    import cv2

    return np.asarray(cv2.resize(image, (size[1], size[0])), np.uint8)


def no_frames(recording: Recording, what: str) -> UsageError:
    """What to say where a format needs frames and the run has none."""
    return UsageError(
        f"{recording.path} holds no {what}; record a run with `edgebot run --policy person --record FILE`, or with "
        "--camera"
    )
