"""How punctual a loop can be here: one that only sleeps until its deadlines, for some seconds."""

from __future__ import annotations

from collections.abc import Iterator

from edge.doctor.rows import Examined, Row, failure, ok, warning
from edge.timing import Latency
from robot.clock import WallClock
from robot.realtime import realtime

RATE_HZ = 50.0
WARN_S = 0.002  # p99; the runtime adds its own
BUSY = "ps aux --sort=-%cpu | head"


def jitter(examined: Examined) -> Iterator[Row]:
    """Lateness of 50 deadlines a second."""
    with realtime():
        lateness, late = measure(examined.jitter_s)
    stage, period = lateness.stage(), 1 / RATE_HZ
    words = (
        f"{examined.jitter_s:g} s at {RATE_HZ:g} Hz: p50 {1e3 * stage.p50_s:.2f}, p99 {1e3 * stage.p99_s:.2f}, "
        f"max {1e3 * stage.max_s:.2f} ms late"
    )
    if stage.p99_s > period:
        yield failure("loop jitter", f"{words}: the machine is too busy to drive", BUSY)
    elif late or stage.p99_s > WARN_S:
        yield warning("loop jitter", f"{words}; {late} a whole period late", BUSY)
    else:
        yield ok("loop jitter", words)


def measure(seconds: float) -> tuple[Latency, int]:
    """Lateness of each deadline, and how many were a whole period late."""
    clock, lateness, late = WallClock(), Latency(), 0
    start, period = clock.now(), 1 / RATE_HZ
    for step in range(max(1, round(seconds * RATE_HZ))):
        due = start + step * period
        clock.sleep_until(due)
        behind = clock.now() - due
        lateness.add(behind)
        late += behind > period
    return lateness, late
