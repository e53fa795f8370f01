"""The one way to the wheels: a core (pins, clock, deadline) and its in-process form.

The core knows nothing of bodies and policies. It applies a duty to each wheel until a stamp has
passed, then zero. On a robot a process of its own will host the same core.
"""

from __future__ import annotations

from typing import Protocol

from robot.types import Wheels


class MotorDriver(Protocol):
    """What turns duties into voltage: an H-bridge on pins, or a simulated motor."""

    def write(self, wheels: Wheels) -> None:
        """Apply the duties, each within -1..1."""

    def zero(self) -> None:
        """Both wheels off, by the shortest way. Never raises."""

    def close(self) -> None:
        """Give back the pins; the wheels are at zero before."""


class MotorPort(Protocol):
    """What a body drives through, in this process or in another."""

    def apply(self, wheels: Wheels, valid_until: float) -> Wheels:
        """Apply until `valid_until` (the clock's seconds); returns what was applied. Not finite: zero, then ValueError."""

    def stop(self) -> None:
        """Zero, now. Idempotent, never raises."""

    def close(self) -> None:
        """Stop and give back the motors. Idempotent."""
