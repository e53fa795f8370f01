"""Jumpers between mock pins: the motors' process is real and writes down its pins, and wires here play them back.

What comes out of a pin that pulses is played as its edges, each with its time, so that the meters measure what they
would measure on a Pi. The kernel's part is played too: pins of a process that has died are released.
"""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Collection
from pathlib import Path
from typing import TYPE_CHECKING

from edge.hil.electrical import Electrical
from edge.hil.jumpers import Jumpers
from robot.clock import WallClock
from robot.motord.child import ChildPort
from robot.motord.config import of_robot
from robot.motord.trace import read
from robot.pi.body import PiBody

if TYPE_CHECKING:
    from robot.pi.virtual import VirtualFactory, VirtualPin

_STEP_S = 0.002
_WATCHDOG_S = 1.0  # the unit's WatchdogSec


class _Wire:
    """From one motor pin to its meter."""

    def __init__(self, factory: VirtualFactory, pin: VirtualPin, pwm_hz: float) -> None:
        self._factory, self._pin, self._period = factory, pin, 1.0 / pwm_hz
        self.level: float | None = 0.0  # held low by the firmware; None: released
        self._start = self._played = 0.0

    def change(self, stamp: float, level: float | None) -> None:
        self.play(stamp)
        self.level, self._start, self._played = level, stamp, stamp
        self._put(stamp, (level or 0.0) > 0)

    def play(self, until: float) -> None:
        """Deliver the pulses up to this time."""
        level = self.level
        if level is None or level in (0.0, 1.0):
            self._played = until
            return
        while self._played < until:
            cycle = self._start + int((self._played - self._start) / self._period + 1e-9) * self._period
            high = self._played - cycle < level * self._period - 1e-9
            edge = max(cycle + (level * self._period if high else self._period), self._played + 1e-6)
            if edge > until:
                return
            self._put(edge, not high)
            self._played = edge

    def refresh(self) -> None:
        """The other end has changed its pull; a driven wire is stronger."""
        if self.level is not None and self._pin.function == "input":
            self._put(WallClock().now(), self.level >= 0.5)

    def _put(self, stamp: float, high: bool) -> None:
        with self._factory.at(stamp):
            if high:
                self._pin.drive_high()
            else:
                self._pin.drive_low()


class _Wires:
    """All motor wires, played by a thread."""

    def __init__(
        self, plan: Jumpers, factory: VirtualFactory, trace: Path, off: Collection[int], watchdog: bool
    ) -> None:
        pins = plan.config.pins()
        self._wires = {
            pins[f"drive.{key}"]: _Wire(factory, factory.pin(meter), plan.config.drive.pwm_hz)
            for key, meter in plan.meters.items()
            if pins[f"drive.{key}"] not in off
        }
        self._meters = {plan.meters[key]: pins[f"drive.{key}"] for key in plan.meters}
        self._trace, self._pid, self._seen = trace, 0, 0
        self._watchdog, self._moved_at = watchdog, 0.0
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._run, name="jumpers", daemon=True)
        factory.witness = self._pulled
        self._thread.start()

    def owner(self, pid: int) -> None:
        """Who drives the motor pins now."""
        self._pid = pid

    def close(self) -> None:
        self._done.set()
        self._thread.join()

    def _pulled(self, pin: VirtualPin) -> None:
        source = self._meters.get(int(pin.info.name.removeprefix("GPIO")), -1)
        if source in self._wires:
            self._wires[source].refresh()

    def _run(self) -> None:
        clock = WallClock()
        while not self._done.wait(_STEP_S):
            now = clock.now()
            changes = read(self._trace) if self._trace.exists() else []
            for change in changes[self._seen :]:
                if change.pin in self._wires:
                    self._wires[change.pin].change(change.stamp, change.level)
            self._seen = len(changes)
            state = _state(self._pid) if self._pid else ""
            if state != "T":
                self._moved_at = now
            elif self._watchdog and now - self._moved_at > _WATCHDOG_S:
                os.kill(self._pid, signal.SIGKILL)
            dead = state in ("Z", "X")
            if dead:  # the kernel releases its pins, once
                self._pid = 0
            for wire in self._wires.values():
                if dead and wire.level is not None:
                    wire.change(now, None)
                # What was done in the last moment may not be written down yet.
                wire.play(now - 2 * _STEP_S)


def mock(
    plan: Jumpers,
    folder: Path,
    off: Collection[int] = (),
    slack_s: float = 0.0,
    high: int | None = None,
    watchdog: bool | None = None,
) -> Electrical:
    """A bench on mock pins.

    Args:
        folder: for the trace. off: motor, trigger, echo or switch pins whose jumper is not there.
        slack_s: as of `Electrical`. high: a motor pin that the firmware does not hold low.
        watchdog: whether a service manager that kills a silent motors' process works; None: there is none.

    Returns:
        An `Electrical` with real processes.
    """
    from robot.pi.virtual import VirtualFactory

    config, clock = plan.config, WallClock()
    trace, pressed = folder / "pins.txt", folder / "pressed"
    instruments, robots = VirtualFactory(clock), VirtualFactory(clock)
    arguments = ("--pins", "mock", "--trace", str(trace), "--mock-switch", str(pressed), "--state", str(folder))
    wires = _Wires(plan, instruments, trace, off, bool(watchdog))
    if high is not None:
        wires._wires[high].level = None

    def follow(source: VirtualPin, target: VirtualPin) -> None:
        def put(state: float) -> None:
            if target.function == "input":
                (target.drive_high if state else target.drive_low)()

        source.on_output = put

    if config.range.trigger_pin not in off:
        follow(robots.pin(config.range.trigger_pin), instruments.pin(plan.trigger))
    if plan.echo not in off:
        follow(instruments.pin(plan.echo), robots.pin(config.range.echo_pin))
    if plan.switch is not None and plan.switch not in off:
        instruments.pin(plan.switch).on_output = lambda state: (
            pressed.touch() if state else pressed.unlink(missing_ok=True)
        )

    def opening() -> PiBody:
        return PiBody(
            config, clock, camera=False, factory=robots, motors=lambda: ChildPort(of_robot(config), arguments)
        )

    class Mock(Electrical):
        def close(self) -> None:
            super().close()
            wires.close()

    return Mock(
        plan, instruments, opening, arguments=arguments, watched=watchdog is not None, slack_s=slack_s,
        told=wires.owner,
    )  # fmt: skip


def _state(pid: int) -> str:
    """The kernel's letter for a process: "T" stopped, "Z" or "X" dead."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (OSError, IndexError):
        return "X"
