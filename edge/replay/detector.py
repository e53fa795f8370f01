"""A detector once more on recorded frames, and how its boxes differ from the recorded ones.

On frames recorded as PNG the same detector finds the same, bit for bit; JPEG has changed the pixels that it saw, so
there the boxes differ a little, and the diff tells how much.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from edge.messages import nanoseconds
from edge.perception.nms import iou
from edge.perception.runner import FindsThings
from edge.recordings.decode import Picture
from edge.recordings.reader import Recording
from edge.types import Detection
from robot.clock import WallClock

SAME_IOU = 0.5
"""Two boxes of one label that overlap by this much are taken for the same thing."""

SHOWN = 8
"""How many of the frames that differ most are kept, to be shown."""

Found = tuple[Detection, ...]


@dataclass(frozen=True, slots=True)
class Pair:
    """One thing that was found then and now."""

    recorded: Detection
    replayed: Detection
    iou: float


@dataclass(frozen=True, slots=True)
class FrameDiff:
    """One frame."""

    stamp: float
    recorded: Found
    replayed: Found
    pairs: tuple[Pair, ...]

    @property
    def equal(self) -> bool:
        """Whether the detections are the same bits, in the same order."""
        return self.recorded == self.replayed

    @property
    def lost(self) -> int:
        """How many recorded things are not found again."""
        return len(self.recorded) - len(self.pairs)

    @property
    def new(self) -> int:
        """How many things are found now that were not then."""
        return len(self.replayed) - len(self.pairs)

    @property
    def disagreement(self) -> float:
        """How much the frame deserves to be looked at: things without a partner, then how far the others are apart."""
        return 10.0 * (self.lost + self.new) + sum(
            1.0 - pair.iou + abs(pair.recorded.score - pair.replayed.score) for pair in self.pairs
        )


@dataclass
class DetectorDiff:
    """What a replay showed."""

    detector: str
    frames: list[FrameDiff] = field(default_factory=list)
    unseen: int = 0  # frames that nobody looked at in the run: there is nothing to compare with
    formats: set[str] = field(default_factory=set)
    cost_s: float = 0.0
    worst: list[tuple[FrameDiff, Picture]] = field(default_factory=list)  # the frames that differ most, by time

    @property
    def pairs(self) -> list[Pair]:
        """All things that were found then and now."""
        return [pair for frame in self.frames for pair in frame.pairs]

    @property
    def exact(self) -> bool:
        """Whether all detections are the same bits."""
        return bool(self.frames) and all(frame.equal for frame in self.frames)

    def as_dict(self) -> dict[str, Any]:
        """As plain data for JSON."""
        pairs = self.pairs
        scores = [abs(pair.recorded.score - pair.replayed.score) for pair in pairs]
        return {
            "detector": self.detector,
            "frames": len(self.frames),
            "equal": sum(frame.equal for frame in self.frames),
            "exact": self.exact,
            "formats": sorted(self.formats),
            "frames_without_record": self.unseen,
            "boxes_recorded": sum(len(frame.recorded) for frame in self.frames),
            "boxes_replayed": sum(len(frame.replayed) for frame in self.frames),
            "boxes_in_both": len(pairs),
            "boxes_lost": sum(frame.lost for frame in self.frames),
            "boxes_new": sum(frame.new for frame in self.frames),
            "mean_iou": sum(pair.iou for pair in pairs) / len(pairs) if pairs else None,
            "max_abs_score": max(scores, default=None),
        }


def replay(
    recording: Recording,
    detector: FindsThings,
    name: str,
    *,
    most: int | None = None,
    advance: Callable[[int], None] | None = None,
) -> DetectorDiff:
    """Run `detector` on each recorded frame that has a recorded result.

    Args:
        recording: the run.
        detector: with the score and the camera's geometry of the run, where equal results are expected.
        name: of the detector, for people.
        most: keep so many detections a frame, as perception's process does; None keeps all.
        advance: told how many more bytes have been read.
    """
    diff = DetectorDiff(name)
    watch = WallClock().now
    looked_at = {nanoseconds(moment.found.stamp) for moment in recording.moments(pictures=False) if moment.found}
    waiting: dict[int, tuple[Found, Picture]] = {}
    for moment in recording.moments(advance=advance):
        picture, found = moment.picture, moment.found
        if picture is not None and nanoseconds(picture.stamp) not in looked_at:
            diff.unseen += 1
        elif picture is not None:
            diff.formats.add(picture.format)
            image = picture.decode().image
            began = watch()
            again = tuple(detector.detect(image))[:most]
            diff.cost_s += watch() - began
            waiting[nanoseconds(picture.stamp)] = again, picture
        ready = None if found is None else waiting.pop(nanoseconds(found.stamp), None)
        if found is not None and ready is not None:
            again, looked = ready
            frame = FrameDiff(found.stamp, found.items, again, match(found.items, again))
            diff.frames.append(frame)
            if not frame.equal:  # a picture of all of them would fill the memory
                diff.worst = sorted([*diff.worst, (frame, looked)], key=lambda one: -one[0].disagreement)[:SHOWN]
    diff.worst.sort(key=lambda one: one[0].stamp)
    return diff


def match(recorded: Found, replayed: Found) -> tuple[Pair, ...]:
    """Which things of one frame are the same: greedily by overlap, within each label."""
    if not recorded or not replayed:
        return ()
    one = np.array([item.box for item in recorded], np.float64)
    other = np.array([item.box for item in replayed], np.float64)
    overlap = iou(one[:, None], other[None])
    labels = np.array([[mine.label == theirs.label for theirs in replayed] for mine in recorded])
    overlap = np.where(labels, overlap, 0.0)
    pairs = []
    while overlap.max() >= SAME_IOU:
        i, j = np.unravel_index(int(overlap.argmax()), overlap.shape)
        pairs.append(Pair(recorded[i], replayed[j], float(overlap[i, j])))
        overlap[i, :] = 0.0
        overlap[:, j] = 0.0
    return tuple(pairs)
