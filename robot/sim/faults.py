"""What can go wrong with a simulated body, and when: declared as data, injected by `SimBody`.

=============  ===================================================================  ===========================
kind           senses                                                               motors
=============  ===================================================================  ===========================
dropout        a sample fails (`None`), each with `probability`                     a command is lost, likewise
stuck          samples go on, with the last value from before                       the last duty from before stays
value          samples are `value` (0, 1, inf, ...); frames that bright, of 255     -
alternate      every other sample is `value`; where that is nan it fails            -
nan            samples are not numbers (not the camera)                             -
disconnect     no samples at all; the last one grows old                            as dead
delay          samples come `value` seconds late, with their true stamps            commands act so much later
size           frames have half the height and width (the camera)                   -
swapped        left is right and right is left (light)                              the same
dead           -                                                                    no torque
weak           -                                                                    `value` (0..1) of the duty
reversed       -                                                                    wired the wrong way round
=============  ===================================================================  ===========================

Parts that the example robot does not have (encoders, tilt, battery, supply) are there as soon as a fault names them.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import StrEnum
from typing import TypeVar

from robot.errors import RobotError


class Part(StrEnum):
    """What can be at fault. LIGHT and MOTORS stand for both sides."""

    LIGHT = "light"
    LIGHT_LEFT = "light_left"
    LIGHT_RIGHT = "light_right"
    RANGE = "range"
    CAMERA = "camera"
    BUMPERS = "bumpers"
    EMERGENCY_STOP = "emergency_stop"
    ENCODERS = "encoders"
    TILT = "tilt"
    BATTERY = "battery"
    UNDER_VOLTAGE = "under_voltage"
    MOTORS = "motors"
    MOTOR_LEFT = "motor_left"
    MOTOR_RIGHT = "motor_right"

    @property
    def is_motor(self) -> bool:
        return self in (Part.MOTORS, Part.MOTOR_LEFT, Part.MOTOR_RIGHT)


class Kind(StrEnum):
    """How it fails; the module's table says what that means."""

    DROPOUT = "dropout"
    STUCK = "stuck"
    VALUE = "value"
    ALTERNATE = "alternate"
    NAN = "nan"
    DISCONNECT = "disconnect"
    DELAY = "delay"
    SIZE = "size"
    SWAPPED = "swapped"
    DEAD = "dead"
    WEAK = "weak"
    REVERSED = "reversed"


E = TypeVar("E", bound=StrEnum)
_MOTOR_ONLY = (Kind.DEAD, Kind.WEAK, Kind.REVERSED)
_SENSE_ONLY = (Kind.VALUE, Kind.ALTERNATE, Kind.NAN)


@dataclass(frozen=True)
class Fault:
    """One fault, from `start_s` until before `end_s`, in seconds after the body was opened.

    Args:
        part, kind: members or their names, as in `Fault("range", "dropout", 2.0, 5.0)`.
        value: seconds for "delay", share of the duty for "weak", the sample for "value" and "alternate".
        probability: of each sample or command, for "dropout".

    Raises:
        RobotError: an unknown part or kind, one that does not fit the other, or a number out of its bounds.
    """

    part: Part
    kind: Kind
    start_s: float = 0.0
    end_s: float = math.inf
    value: float = 0.0
    probability: float = 1.0

    def __post_init__(self) -> None:
        # Frozen: the plain strings that people write become members here.
        object.__setattr__(self, "part", _member(Part, self.part))
        object.__setattr__(self, "kind", _member(Kind, self.kind))
        if self.kind in _MOTOR_ONLY and not self.part.is_motor:
            raise RobotError(f"a {self.kind} fault is one of motors, not of {self.part}; see robot.sim.faults")
        if self.kind in _SENSE_ONLY and self.part.is_motor:
            raise RobotError(f"{self.part} gives no numbers that could be NaN or wrong; choose another kind of fault")
        if self.part is Part.CAMERA and self.kind in (Kind.NAN, Kind.ALTERNATE):
            raise RobotError("camera gives no numbers that could be NaN or alternate; choose another kind of fault")
        if self.part is Part.CAMERA and self.kind is Kind.VALUE and not 0 <= self.value <= 255:
            raise RobotError(f"a frame as bright as {self.value} cannot be; give value within 0..255")
        if self.kind is Kind.SIZE and self.part is not Part.CAMERA:
            raise RobotError(f"a fault of size is one of the camera, not of {self.part}; see robot.sim.faults")
        if self.kind is Kind.SWAPPED and self.part not in (Part.LIGHT, Part.MOTORS):
            raise RobotError(f"{self.part} has no two sides that could be swapped; choose light or motors")
        if not 0 <= self.start_s <= self.end_s:
            raise RobotError(
                f"a fault from {self.start_s} s until {self.end_s} s cannot be; it must start at 0 or later, then end"
            )
        if not 0 <= self.probability <= 1:
            raise RobotError(f"a fault's probability is {self.probability}; it must be within 0..1")
        if self.kind is Kind.DELAY and not 0 < self.value <= 60:
            raise RobotError(f"a delay of {self.value} s cannot be injected; give value above 0 and at most 60")
        if self.kind is Kind.WEAK and not 0 <= self.value <= 1:
            raise RobotError(f"a weak motor gives {self.value} of its duty; give value within 0..1")

    def holds(self, part: Part, seconds: float) -> bool:
        """Whether the fault is on `part` now, `seconds` after opening."""
        both = {Part.LIGHT: "light", Part.MOTORS: "motor"}.get(self.part)
        mine = part is self.part or (both is not None and part.startswith(both))
        return mine and self.start_s <= seconds < self.end_s


def _member(kind: type[E], name: str) -> E:
    try:
        return kind(name)
    except ValueError:
        raise RobotError(f"there is no fault {kind.__name__.lower()} {name!r}; choose of {', '.join(kind)}") from None
