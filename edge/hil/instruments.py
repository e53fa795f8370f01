"""What measures and plays at the ends of the jumpers: a meter on each motor pin, an echo, an emergency stop."""

from __future__ import annotations

from collections import deque
from contextlib import suppress
from typing import TYPE_CHECKING, Any, NamedTuple

from robot.clock import WallClock
from robot.pi import gpio
from robot.pi.sonar import SPEED_OF_SOUND_MPS

if TYPE_CHECKING:
    from gpiozero.pins import Factory

ECHO_DELAY_S = 0.00045
"""From the trigger's end to the echo's begin: eight periods of 40 kHz and an HC-SR04's own time."""


class Meter:
    """Listens to one pin: each edge with the time at which the kernel saw it (CLOCK_MONOTONIC seconds)."""

    def __init__(self, factory: Factory, number: int, name: str) -> None:
        self.number = number
        self.edges: deque[tuple[float, bool]] = deque(maxlen=100_000)
        self._pin: Any = gpio.take(factory, number, name)
        with gpio.telling(f"GPIO {number} ({name})"):
            self._pin.input_with_pull("down")
            self._pin.edges = "both"
            self._pin.bounce = None
            self.edges.append((WallClock().now(), bool(self._pin.state)))
            self._pin.when_changed = self._edge

    def against_pull_up(self) -> bool:
        """The level while this end pulls up with some 50 kOhm: low only where the other end holds it low."""
        self._pin.when_changed = None
        try:
            self._pin.pull = "up"
            WallClock().sleep_until(WallClock().now() + 0.005)
            return bool(self._pin.state)
        finally:
            self._pin.pull = "down"
            self._pin.when_changed = self._edge

    @property
    def level(self) -> bool:
        """The level now."""
        return bool(self._pin.state)

    def share(self, begin: float, end: float) -> float:
        """The share of this time in which the pin was high."""
        edges, high, at, total = list(self.edges), False, begin, 0.0
        for stamp, state in edges:
            if stamp <= begin:
                high = state
            elif stamp < end:
                total += (stamp - at) * high
                high, at = state, stamp
        return (total + (end - at) * high) / (end - begin)

    def rises(self, begin: float, end: float) -> int:
        """How often it went high in this time."""
        return sum(1 for stamp, state in list(self.edges) if state and begin < stamp <= end)

    def close(self) -> None:
        """Give back the pin. Never raises."""
        with suppress(Exception):  # it only listens
            self._pin.when_changed = None
            self._pin.close()

    def _edge(self, ticks: float, state: int) -> None:
        if state in (0, 1):
            self.edges.append((ticks, bool(state)))


class Pulse(NamedTuple):
    """An echo that was played: when it ended, and how long it was by the clock of the player."""

    ended: float
    seconds: float
    asked_m: float

    @property
    def metres(self) -> float:
        """What a sonar must make of it."""
        return self.seconds * SPEED_OF_SOUND_MPS / 2


class EchoPlayer:
    """Answers each trigger with an echo from `distance_m`; None: with nothing."""

    def __init__(self, factory: Factory, trigger: int, echo: int) -> None:
        self.distance_m: float | None = 2.0
        self.triggers = 0
        self.pulses: deque[Pulse] = deque(maxlen=10_000)
        self._now = WallClock().now
        self._in: Any = gpio.take(factory, trigger, "the loopback's trigger")
        self._out: Any = gpio.take(factory, echo, "the loopback's echo")
        with gpio.telling(f"GPIO {trigger} and {echo} of the loopback"):
            self._out.output_with_state(False)
            self._in.input_with_pull("down")
            self._in.edges = "both"
            self._in.bounce = None
            self._in.when_changed = self._edge

    def close(self) -> None:
        """Give back the pins. Never raises."""
        for pin in (self._in, self._out):
            with suppress(Exception):  # nothing on these pins moves
                pin.when_changed = None
                pin.close()

    def _edge(self, ticks: float, state: int) -> None:
        if state:
            return
        self.triggers += 1
        metres = self.distance_m
        if metres is None:
            return
        self._until(self._now() + ECHO_DELAY_S)
        width = 2 * metres / SPEED_OF_SOUND_MPS
        before = self._now()
        self._out.state = True
        begin = 0.5 * (before + self._now())
        self._until(begin + width)
        before = self._now()
        self._out.state = False
        end = 0.5 * (before + self._now())
        self.pulses.append(Pulse(end, end - begin, metres))

    def _until(self, moment: float) -> None:
        while self._now() < moment:  # a sleep would be 60 us too long
            pass


class SwitchPlayer:
    """Plays the emergency stop's switch: low is closed, high is open, which means pressed."""

    def __init__(self, factory: Factory, number: int) -> None:
        self._pin: Any = gpio.take(factory, number, "the loopback's emergency stop")
        with gpio.telling(f"GPIO {number} of the loopback"):
            self._pin.output_with_state(False)

    def press(self, pressed: bool = True) -> None:
        """Open (True) or close the switch."""
        self._pin.state = pressed

    def close(self) -> None:
        """Give back the pin. Never raises."""
        with suppress(Exception):  # nothing on this pin moves
            self._pin.close()
