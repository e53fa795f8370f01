"""How a driver spends the microseconds inside one reading: really, or not at all in simulated time."""

from __future__ import annotations

import threading
import time
from typing import Protocol


class Pace(Protocol):
    """Short waits inside a driver, far below the clock's tick."""

    def sleep(self, seconds: float) -> None: ...

    def wait(self, event: threading.Event, seconds: float) -> bool:
        """Wait until `event` is set, at most `seconds`; True where it is set."""


class WallPace:
    """Waits for real."""

    def sleep(self, seconds: float) -> None:
        time.sleep(seconds)

    def wait(self, event: threading.Event, seconds: float) -> bool:
        return event.wait(seconds)


class VirtualPace:
    """Never waits: on virtual pins the edges of a reading arrive, with their times, before the call returns."""

    def sleep(self, seconds: float) -> None:
        pass

    def wait(self, event: threading.Event, seconds: float) -> bool:
        return event.is_set()
