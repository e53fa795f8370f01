"""The loop's side of perception: frames in, newest detections out, never an old one unnoticed.

On a virtual clock the detector is called at once and its result held back until capture plus the camera's
configured latency; on the wall clock the same detector works in a process of its own (`process.py`).
"""

from __future__ import annotations

from functools import partial
from math import isfinite
from os import PathLike
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from edge.errors import EdgeError, UsageError
from edge.timing import Latency
from edge.types import Detection, Detections
from robot.clock import VirtualClock, WallClock
from robot.config import RobotConfig
from robot.types import Clock, Frame

STAGES = ("preprocess", "inference", "decode")
EPSILON_S = 1e-9  # sums of ticks are not exact


class PerceptionError(EdgeError):
    """Perception has failed for good; the robot is stopped."""


class FindsThings(Protocol):
    """What perception needs of a detector; `edge.perception.detector.Detector` is one."""

    def detect(self, image: NDArray[np.uint8]) -> tuple[Detection, ...]: ...


class Perception(Protocol):
    """What the loop needs of perception. Nothing here blocks."""

    latencies: dict[str, Latency]
    restarts: int
    trouble: str  # why nothing is looked at just now; empty where all is well

    def offer(self, frame: Frame | None) -> None:
        """Take note of the newest frame; one that was offered before, or None, is passed over."""

    def newest(self, now: float) -> Detections | None:
        """The newest result, None before the first and where it is older than `camera.stale_s`.

        Raises:
            PerceptionError: it has given up, and does so for good.
        """

    def close(self) -> None:
        """End it. Idempotent."""


class SyncPerception:
    """Perception in simulated time: as late as on the robot, and one frame at a time as there.

    Args:
        detector: finds things on a frame.
        latency_s: from the exposure of a frame to its detections; frames that come meanwhile are passed over.
        stale_s: older results are not told.
    """

    def __init__(self, detector: FindsThings, latency_s: float, stale_s: float) -> None:
        self.detector, self.latency_s, self.stale_s = detector, latency_s, stale_s
        self.latencies = {name: Latency() for name in STAGES}
        self.restarts = 0
        self.trouble = ""
        self._watch = WallClock().now
        self._pending: Detections | None = None
        self._newest: Detections | None = None
        self._last = float("-inf")

    def offer(self, frame: Frame | None) -> None:
        """See `Perception.offer`; runs the detector."""
        if frame is None or frame.stamp <= self._last:
            return
        self._release(frame.stamp)
        if self._pending is not None:
            return  # at work on an earlier frame
        self._last = frame.stamp
        began = self._watch()
        try:
            found = checked(self.detector.detect(frame.image))
        except Exception as error:
            # What it said before does not hold any more: nothing drives by it until it works again.
            self._newest, self.trouble = None, f"the detector failed: {type(error).__name__}: {error}"
            raise
        self.trouble = ""
        for name, seconds in stage_times(self.detector, self._watch() - began).items():
            self.latencies[name].add(seconds)
        self._pending = Detections(tuple(found), frame.stamp)

    def newest(self, now: float) -> Detections | None:
        """See `Perception.newest`."""
        self._release(now)
        return fresh(self._newest, now, self.stale_s)

    def close(self) -> None:
        """Nothing to give back."""

    def _release(self, now: float) -> None:
        if self._pending is not None and self._pending.stamp + self.latency_s <= now + EPSILON_S:
            self._newest, self._pending = self._pending, None


def checked(items: tuple[Detection, ...]) -> tuple[Detection, ...]:
    """The detections, every number of which is finite. Raises `ValueError` where a network gave up counting."""
    for item in items:
        numbers = (item.score, *item.box, item.bearing, item.height)
        if not all(number is None or isfinite(number) for number in numbers):
            raise ValueError(f"the detector says {item}, which is not finite")
    return items


def stage_times(detector: FindsThings, whole_s: float) -> dict[str, float]:
    """What each stage of the detector's last call took; one that does not tell is all inference."""
    times: dict[str, float] = getattr(detector, "times", {})
    return times or {"inference": whole_s}


def fresh(result: Detections | None, now: float, stale_s: float) -> Detections | None:
    """The result, or None where there is none or it is older than `stale_s`."""
    if result is None or now - result.stamp > stale_s:
        return None
    return result


def make_detector(model: str | PathLike[str] | None, score: float, config: RobotConfig) -> FindsThings:
    """The product's detector with the geometry of the robot's camera; runs in either process."""
    from edge.perception.detector import Detector
    from edge.perception.geometry import CameraGeometry

    geometry = None if config.camera is None else CameraGeometry(config.camera)
    return Detector(model, score=score, geometry=geometry)


def make_perception(
    config: RobotConfig, clock: Clock, model: str | PathLike[str] | None = None, score: float = 0.4
) -> Perception:
    """Perception for this robot on this clock; on the wall clock its process is up and ready on return.

    Raises:
        UsageError: the robot has no camera.
        EdgeError: the model cannot be used, or the process does not start.
    """
    camera = config.camera
    if camera is None:
        raise UsageError(
            f"robot {config.name!r} has no [camera], which this policy needs; add one to robot.toml, "
            "or choose `--policy light` or `--policy range`"
        )
    if isinstance(clock, VirtualClock):
        return SyncPerception(make_detector(model, score, config), camera.latency_s, camera.stale_s)
    from edge.perception.process import ProcessPerception

    make_detector(model, score, config)  # a model that cannot be used is told from here, at once and in its own words
    return ProcessPerception(
        partial(make_detector, model, score, config), (camera.height_px, camera.width_px), camera.stale_s, clock
    )
