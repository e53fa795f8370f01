"""gpiozero's mock pins in virtual time: the one file that uses gpiozero's private names.

The stock mocks live in real time, with a thread for each echo and each capacitor. Here an edge is
delivered at once, inside the call that causes it, stamped with the virtual moment at which it would
come: a reading takes microseconds and is exact. The names below are those of gpiozero 2.0.1, to which
the package is pinned:

    MockPin._state, _function, _last_change, _when_changed   a pin's state
    MockPin._change_state, _get_state, _set_state            each change; read and write
    MockPin._set_function, _set_pull                         input, output; pulls
    MockPin._enable_event_detect                             somebody begins to listen
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from gpiozero.pins.mock import MockFactory, MockPWMPin

from robot.types import Clock


class VirtualPin(MockPWMPin):  # type: ignore[misc]
    """A mock pin, with PWM, whose outside can be wired to functions.

    Set by whoever plays the outside: `on_output(state)` hears what the program writes, `level()` tells an
    input's level, `charge_s()` makes the pin that of a capacitor which a resistor charges in so long (None: it
    never does).
    """

    def __init__(self, factory: VirtualFactory, info: Any) -> None:
        self.on_output: Callable[[float], None] | None = None
        self.level: Callable[[], bool] | None = None
        self.charge_s: Callable[[], float | None] | None = None
        super().__init__(factory, info)
        self._state: float

    def pulse(self, begin_s: float, width_s: float) -> None:
        """Go high `begin_s` from now, and low again `width_s` later; both edges are delivered before this returns."""
        begin = self.factory.ticks() + begin_s
        with self.factory.at(begin):
            self.drive_high()
        with self.factory.at(begin + width_s):
            self.drive_low()

    def _change_state(self, value: float) -> bool:
        # The mock's own keeps a history with real times, which would grow for as long as a robot drives.
        if self._state == value:
            return False
        self._state = value
        self._last_change = self.factory.ticks()
        return True

    def _get_state(self) -> float:
        if self.level is not None and self._function == "input":
            return self.level()
        return self._state

    def _set_state(self, value: float) -> None:
        super()._set_state(value)
        if self.on_output is not None:
            self.on_output(self._state)
        self.factory.witness(self)

    def _set_function(self, value: str) -> None:
        super()._set_function(value)
        self.factory.witness(self)

    def _set_pull(self, value: str) -> None:
        super()._set_pull(value)
        self.factory.witness(self)

    def _enable_event_detect(self) -> None:
        super()._enable_event_detect()
        if self.charge_s is None or self._function != "input" or self._state:
            return
        seconds = self.charge_s()
        if seconds is None:
            return
        with self.factory.at(self.factory.ticks() + seconds):
            self.drive_high()


def _nobody(pin: VirtualPin) -> None:
    """Where nobody looks."""


class VirtualFactory(MockFactory):  # type: ignore[misc]
    """Virtual pins on a clock.

    `spi_answer(words) -> words` plays the chip on SPI0; `witness(pin)` is told of each thing that a program does to a
    pin.
    """

    def __init__(self, clock: Clock) -> None:
        super().__init__(pin_class=VirtualPin)
        self._clock = clock
        self._moments = threading.local()  # on the wall clock, edges of different wires come in different threads
        self.spi_answer: Callable[[list[int]], list[int]] | None = None
        self.witness: Callable[[VirtualPin], None] = _nobody

    def ticks(self) -> float:
        """The clock's seconds, or the moment of the edge that is being delivered."""
        moment: float | None = getattr(self._moments, "now", None)
        return self._clock.now() if moment is None else moment

    @contextmanager
    def at(self, moment: float) -> Iterator[None]:
        """What is delivered inside happens at `moment`."""
        self._moments.now = moment
        try:
            yield
        finally:
            self._moments.now = None

    def spi(self, **spi_args: Any) -> VirtualSpi:
        """The one chip on the bus, whatever the arguments."""
        return VirtualSpi(self)


class VirtualSpi:
    """An SPI bus with a function at its other end."""

    bits_per_word = 8

    def __init__(self, factory: VirtualFactory) -> None:
        self._factory = factory

    def transfer(self, data: list[int]) -> list[int]:
        if self._factory.spi_answer is None:
            raise OSError("nothing is connected to the bus")
        return self._factory.spi_answer(list(data))

    def close(self) -> None:
        """Nothing to give back."""
