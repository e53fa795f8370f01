"""The runtime tells its service manager that it lives, as often as the watchdog and deploy need it."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from edge import service


class Manager:
    """Counts what it is told."""

    watched = True

    def __init__(self, watchdog_s: float | None) -> None:
        self.watchdog_s, self.told = watchdog_s, 0

    def alive(self) -> None:
        self.told += 1

    def __getattr__(self, name: str) -> Any:
        return lambda *words: None


@pytest.mark.parametrize(("watchdog_s", "at_least"), [(None, 20), (2.5, 10), (30.0, 10), (0.2, 100)])
def test_each_second_at_least_it_tells_that_it_lives(
    monkeypatch: pytest.MonkeyPatch, watchdog_s: float | None, at_least: int
) -> None:
    time = [0.0]
    monkeypatch.setattr(service, "WallClock", lambda: SimpleNamespace(now=lambda: time[0]))
    manager = Manager(watchdog_s)  # half of what the unit's WatchdogSec says, as the notifier has it
    with service.service(None, manager) as heartbeat:  # type: ignore[arg-type]
        assert heartbeat is not None
        for _ in range(500):  # 10 s at 50 Hz
            heartbeat(SimpleNamespace(reason="ok", message=""))  # type: ignore[arg-type]
            time[0] += 0.02
    assert 0.8 * at_least <= manager.told <= at_least + 1  # a pause ends with an iteration
