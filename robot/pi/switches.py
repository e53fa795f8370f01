"""Switches to ground with the Pi's pull-ups: the emergency stop's observer and the bumpers."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Any

from robot.pi import gpio
from robot.types import Reading

if TYPE_CHECKING:
    from gpiozero.pins import Factory


class Switch:
    """One switch between a pin and ground; reading it takes microseconds, so nothing samples it ahead.

    `normally_closed`: pressing opens it, and so does a broken wire. Otherwise pressing closes it.
    """

    def __init__(self, factory: Factory, number: int, name: str, normally_closed: bool) -> None:
        self._normally_closed = normally_closed
        self._pin: Any = gpio.take(factory, number, name)
        with gpio.telling(f"GPIO {number} ({name})"):
            self._pin.input_with_pull("up")

    def read(self, stamp: float) -> Reading:
        """1.0 pressed, 0.0 not, None where the pin cannot be read."""
        try:
            open_ = bool(self._pin.state)
        except Exception:
            return Reading(None, stamp)
        return Reading(1.0 if open_ == self._normally_closed else 0.0, stamp)

    def close(self) -> None:
        """Give back the pin. Never raises."""
        with suppress(Exception):  # nothing on this pin moves
            self._pin.close()
