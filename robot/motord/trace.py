"""What mock pins did, and when: a file that outlives the process, so that others can see the wheels.

One line for each change, written at once: the monotonic time in seconds, the BCM number, and the level (0 to 1, a
part where the pin pulses) or `in` with its pull:

    5126.031877 12 0.5000
    5126.232004 12 0.0000
    5126.260112 12 in down
"""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from robot.clock import WallClock
from robot.errors import RobotError
from robot.types import STOP, Wheels

if TYPE_CHECKING:
    from robot.motord.config import MotordConfig, MotorPins


class Change(NamedTuple):
    """One pin's new state; `level` is None where it has become an input with this `pull`."""

    stamp: float
    pin: int
    level: float | None
    pull: str = ""


class Moment(NamedTuple):
    """The duties that the bridge makes of the pins from `stamp` on."""

    stamp: float
    wheels: Wheels


class Trace:
    """Appends each change of a virtual factory's pins to a file. Raises `RobotError` where it cannot be opened."""

    def __init__(self, path: Path) -> None:
        self._clock = WallClock()
        self._last: dict[str, str] = {}
        try:
            self._handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o644)
        except OSError as error:
            why = error.strerror
            raise RobotError(f"the trace {str(path)!r} cannot be written ({why}); give another --trace") from None

    def witness(self, pin: Any) -> None:
        """A virtual pin has changed; never raises."""
        what = f"{pin.state:.4f}" if pin.function == "output" else f"in {pin.pull}"
        number = pin.info.name.removeprefix("GPIO")
        if self._last.get(number) == what:
            return
        self._last[number] = what
        with suppress(OSError):  # the wheels are more important than their story
            os.write(self._handle, f"{self._clock.now():.6f} {number} {what}\n".encode())


def read(path: str | Path) -> list[Change]:
    """Every change so far, in order. A line that is still being written is left out."""
    changes = []
    for line in Path(path).read_text(encoding="ascii").splitlines(keepends=True):
        if line.endswith("\n"):
            stamp, pin, what, *pull = line.split()
            changes.append(Change(float(stamp), int(pin), None if what == "in" else float(what), *pull))
    return changes


def duties(path: str | Path, config: MotordConfig) -> list[Moment]:
    """The duties of the wheels over time, as an H-bridge makes them of the pins; the first is zero.

    Both direction pins alike are zero (coasting or braking), and so is any pin that is an input.
    """
    levels: dict[int, float | None] = {}
    moments = [Moment(0.0, STOP)]
    for change in read(path):
        levels[change.pin] = change.level
        wheels = Wheels(_duty(levels, config.left), _duty(levels, config.right))
        if wheels != moments[-1].wheels:
            moments.append(Moment(change.stamp, wheels))
    return moments


def _duty(levels: dict[int, float | None], motor: MotorPins) -> float:
    ahead, back = levels.get(motor.forward_pin), levels.get(motor.backward_pin)
    enabled = 1.0 if motor.enable_pin is None else levels.get(motor.enable_pin)
    if ahead is None or back is None or enabled is None:
        return 0.0
    return (ahead - back) * enabled
