"""The runtime as a service: tells systemd that it drives, that it lives, and why the robot stands.

Only the loop's own thread, after a complete iteration, feeds the watchdog; where nobody started us as a service
nothing is done at all.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import TYPE_CHECKING

from robot.clock import WallClock
from robot.notify import Notifier
from robot.realtime import Granted, realtime
from robot.types import Clock

if TYPE_CHECKING:
    from edge.tick import Tick

OnTick = Callable[["Tick"], None]


@contextmanager
def service(on_tick: OnTick | None, notifier: Notifier | None = None) -> Iterator[OnTick | None]:
    """Wrap what takes each iteration, so that the first says READY and the others feed the watchdog.

    Yields:
        What to give to `Loop.run`; `on_tick` itself where no service manager listens.
    """
    notifier = Notifier() if notifier is None else notifier
    if not notifier.watched:
        yield on_tick
        return
    now = WallClock().now
    # Each second at least, whatever a drop-in allows the watchdog: deploy counts these on a release that is on trial.
    pause_s = 0.5 if notifier.watchdog_s is None else min(1.0, notifier.watchdog_s / 2)
    ready, told = False, float("-inf")

    def heartbeat(tick: Tick) -> None:
        nonlocal ready, told
        if not ready:
            ready = True
            notifier.ready()
        if now() - told >= pause_s:
            told = now()
            notifier.alive()
            notifier.status(f"{tick.reason}{': ' if tick.message else ''}{tick.message}")
        if on_tick is not None:
            on_tick(tick)

    try:
        yield heartbeat
    finally:
        notifier.stopping()
        notifier.close()


def punctual(clock: Clock) -> AbstractContextManager[Granted]:
    """Inside, the loop's thread has what the kernel grants it; a virtual clock waits for nobody and asks nothing."""
    return realtime() if isinstance(clock, WallClock) else nullcontext(Granted())
