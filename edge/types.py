"""What perception tells and what policies see."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple, Protocol

from robot.types import Command, Senses, Wheels


class Detection(NamedTuple):
    """One thing seen; a tuple, since a crowd of them is made for every frame.

    `box` is x, y, width, height in pixels of the original image, from its top left corner. `bearing`
    (rad, left positive, in the robot's frame) and `height` (apparent angular height, rad) are there where
    the camera's geometry is known. `track` is the thing's identity over several frames, a number from 1, where
    somebody keeps track (`edge.perception.tracker`).
    """

    label: str
    score: float
    box: tuple[float, float, float, float]
    bearing: float | None = None
    height: float | None = None
    track: int | None = None


@dataclass(frozen=True, slots=True)
class Detections:
    """All that was seen on one frame; `stamp` is when that frame was exposed."""

    items: tuple[Detection, ...]
    stamp: float


@dataclass(frozen=True, slots=True)
class Observation:
    """What a policy may use: `detections` is the newest result, None before the first or when too old."""

    now: float
    senses: Senses
    detections: Detections | None
    applied: Wheels  # what the wheels were last given


class Policy(Protocol):
    """From observation to wanted command. The guard stands between it and the wheels."""

    name: str
    needs_camera: bool

    def act(self, observation: Observation) -> Command: ...

    def reset(self) -> None:
        """Forget the past: a new run begins."""
