"""The wall clock, and the virtual clock that a simulation moves on."""

from __future__ import annotations

import time
from collections.abc import Callable


class WallClock:
    """The machine's monotonic clock."""

    def now(self) -> float:
        return time.monotonic()

    def sleep_until(self, t: float) -> None:
        rest = t - time.monotonic()
        if rest > 0:
            time.sleep(rest)


class VirtualClock:
    """Time that passes only inside `sleep_until`, in ticks of `tick_s`.

    Whatever lives in simulated time (the world, samplers, a motor deadline) subscribes and is called
    at each tick, in the order of subscription, with the time reached. Times are whole multiples of
    `tick_s`, counted in integers so that an hour of ticks does not drift.
    """

    def __init__(self, tick_s: float = 0.01) -> None:
        if not tick_s > 0:
            raise ValueError(f"tick_s is {tick_s!r}; it must be greater than 0")
        self.tick_s = tick_s
        self._ticks = 0
        self._subscribers: list[Callable[[float], None]] = []

    def now(self) -> float:
        return self._ticks * self.tick_s

    def sleep_until(self, t: float) -> None:
        # Half a tick of slack: 3 * 0.1 is a little more than 0.3 and must not cost a whole tick.
        target = round(t / self.tick_s)
        while self._ticks < target:
            self._ticks += 1
            now = self.now()
            for call in self._subscribers:
                call(now)

    def subscribe(self, call: Callable[[float], None]) -> None:
        """Have `call(now)` called at each tick from the next one on."""
        self._subscribers.append(call)

    def unsubscribe(self, call: Callable[[float], None]) -> None:
        """Undo `subscribe`; unknown calls are passed over."""
        if call in self._subscribers:
            self._subscribers.remove(call)
