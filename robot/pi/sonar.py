"""HC-SR04: a 10 us trigger, an echo pulse as long as the sound was under way (datasheet, ELECFREAKS).

gpiozero's DistanceSensor repeats its last value when the echo is missing and clips at its maximum, so
it is not used: here a missing echo is None.
"""

from __future__ import annotations

import threading
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from robot.config import Range
from robot.pi import gpio
from robot.pi.pace import Pace

if TYPE_CHECKING:
    from gpiozero.pins import Factory

SPEED_OF_SOUND_MPS = 343.2
"""In dry air of 20 degrees Celsius."""

_SILENCE_S = 0.04  # the module ends its pulse after 38 ms when nothing comes back
_TIMING_M = 0.0005  # a few microseconds at either edge
_EDGE_S = 0.01  # from the trigger to the pulse, and for the interrupt to reach us


class HcSr04:
    """One ultrasonic sensor on two pins. `read` takes up to 75 ms: call it from a sampler."""

    def __init__(self, config: Range, factory: Factory, pace: Pace) -> None:
        self._config = config
        self._factory = factory
        self._pace = pace
        self._fallen = threading.Event()
        self._rise: float | None = None
        self._fall: float | None = None
        self._patience = max(_SILENCE_S, 2 * config.max_m / SPEED_OF_SOUND_MPS) + _EDGE_S
        self._trigger: Any = gpio.take(factory, config.trigger_pin, "range.trigger_pin")
        self._echo: Any = gpio.take(factory, config.echo_pin, "range.echo_pin")
        with gpio.telling(f"the sonar on GPIO {config.trigger_pin} and {config.echo_pin}"):
            self._trigger.output_with_state(False)
            self._echo.input_with_pull("down")
            self._echo.edges = "both"
            self._echo.bounce = None
            self._echo.when_changed = self._edge

    def read(self) -> float | None:
        """Metres to what sent the echo, None where none came or it lies outside of min_m..max_m."""
        if self._echo.state:  # the pulse before has not ended: this trigger would be ignored
            return None
        self._fallen.clear()
        self._rise = self._fall = None
        self._trigger.state = True
        self._pace.sleep(10e-6)
        self._trigger.state = False
        if not self._pace.wait(self._fallen, self._patience):
            return None
        rise, fall = self._rise, self._fall
        if rise is None or fall is None:
            return None
        distance = self._factory.ticks_diff(fall, rise) * SPEED_OF_SOUND_MPS / 2 + self._config.offset_m
        near, far = self._config.min_m, self._config.max_m
        if not near - _TIMING_M <= distance <= far + _TIMING_M:
            return None
        return min(far, max(near, distance))

    def close(self) -> None:
        """Give back the pins. Never raises."""
        for pin in (self._echo, self._trigger):
            with suppress(Exception):  # nothing on these pins moves
                pin.when_changed = None
                pin.close()

    def _edge(self, ticks: float, state: int) -> None:
        if state:
            self._rise = ticks
        else:
            self._fall = ticks
            self._fallen.set()
