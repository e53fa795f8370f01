"""Takes a slow sensor's samples at its own rate and keeps the newest, so that `sense()` never waits.

A sample that fails is a failed sample, with the time of the attempt: the value before is never repeated.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Callable
from typing import Generic, TypeVar

from robot.clock import VirtualClock
from robot.types import Clock

T = TypeVar("T")


class Sampler(Generic[T]):
    """Calls `take(stamp)` at `rate_hz`; where that raises, `fail(stamp)` is the sample.

    On a virtual clock it samples inside the clock's ticks, on any other in a thread of its own. A reading
    that hangs leaves the newest sample to age, and its stamp tells.
    """

    def __init__(
        self, name: str, take: Callable[[float], T], fail: Callable[[float], T], rate_hz: float, clock: Clock
    ) -> None:
        self._take, self._fail = take, fail
        self._rate_hz = rate_hz
        self._clock = clock
        self._start = clock.now()
        self._count = 1
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None
        self.newest: T = fail(self._start)
        if isinstance(clock, VirtualClock):
            self._sample()
            clock.subscribe(self._tick)
        else:
            self._thread = threading.Thread(target=self._run, name=name, daemon=True)
            self._thread.start()

    def close(self) -> None:
        """End sampling. Idempotent."""
        self._stop.set()
        if isinstance(self._clock, VirtualClock):
            self._clock.unsubscribe(self._tick)
        elif self._thread is not None and self._thread is not threading.current_thread():
            self._thread.join(timeout=1.0)

    def _sample(self) -> None:
        stamp = self._clock.now()
        try:
            self.newest = self._take(stamp)
        except Exception:
            self.newest = self._fail(stamp)

    def _tick(self, now: float) -> None:
        passed = (now - self._start) * self._rate_hz
        if passed < self._count - 1e-6:
            return
        self._count = math.floor(passed + 1e-6) + 1
        self._sample()

    def _run(self) -> None:
        while not self._stop.is_set():
            self._sample()
            # Multiples of the period from the start; periods that a slow reading took up are left out.
            passed = (self._clock.now() - self._start) * self._rate_hz
            self._count = max(self._count, math.floor(passed) + 1)
            self._stop.wait(self._start + self._count / self._rate_hz - self._clock.now())
            self._count += 1
