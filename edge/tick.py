"""One iteration of the loop as others see it, and those others as the loop sees them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from edge.reasons import Reason
from edge.types import Detections
from robot.types import STOP, Command, Senses, Wheels


@dataclass(frozen=True, slots=True)
class Tick:
    """One iteration, as recorders and displays see it; times are the clock's seconds."""

    index: int
    due: float
    now: float  # when it began
    acted: float  # when its command was at the wheels
    senses: Senses
    detections: Detections | None
    wanted: Command
    command: Command  # what the guard made of it
    applied: Wheels
    reason: Reason
    message: str  # more on the reason, where there is more to say
    overruns: int  # so far
    asked: bool = True  # whether the policy was called
    before: Wheels = STOP  # what was on the wheels when it was


class Link(Protocol):
    """Whoever drives from elsewhere, as the loop sees it; `edge.link` has one."""

    @property
    def heard_at(self) -> float | None:
        """When the newest message was taken, by the body's clock; None before the first."""


class Recorder(Protocol):
    """What the loop hands its iterations to. Neither call may block; both raise `EdgeError` once it has failed.

    One that has failed is called no more: its robot halts for an iteration, then drives on without it.
    """

    def tick(self, tick: Tick) -> None: ...

    def log(self, stamp: float, level: str, message: str) -> None: ...
