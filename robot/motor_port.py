"""The one way to the wheels: a core (driver, clock, deadline) and its in-process form.

The core knows nothing of bodies and policies. It applies a duty to each wheel until a stamp has
passed, then zero. On a robot a process of its own hosts the same core (`robot.motord`); so nothing here
needs more than the standard library.
"""

from __future__ import annotations

import math
import os
import threading
from typing import Protocol

from robot.clock import VirtualClock
from robot.errors import RobotError
from robot.motor_report import Cause, Flag, Report, Switch
from robot.types import STOP, Clock, Wheels


class MotorsLost(RobotError):
    """The motors' process does not answer. It stops the wheels by itself; driving may go on once it answers again."""


class LinkLost(MotorsLost):
    """Nothing young enough comes from a body at the other end of a network. Its wheels are at zero by themselves."""


class MotorDriver(Protocol):
    """What turns duties into voltage: an H-bridge on pins, or a simulated motor."""

    def write(self, wheels: Wheels) -> None:
        """Apply the duties, each within -1..1."""

    def zero(self) -> None:
        """Both wheels off, by the shortest way. A failure is raised after every pin was tried: it is tried again."""

    def close(self) -> None:
        """Give back the pins; the wheels are at zero before."""


class MotorPort(Protocol):
    """What a body drives through, in this process or in another."""

    def apply(self, wheels: Wheels, valid_until: float) -> Wheels:
        """Apply until `valid_until` (the clock's seconds); returns what was applied.

        Raises:
            ValueError: not finite, or beyond -1..1; the wheels are at zero.
            MotorsLost: nobody knows what is applied; see there.
        """

    def report(self) -> Report:
        """What is applied, why, and how old it is. Never blocks, never raises."""

    def stop(self) -> None:
        """Zero, now. Idempotent, never raises."""

    def close(self) -> None:
        """Stop and give back the motors. Idempotent."""


class MotorCore:
    """Duties with a deadline, over any driver. Thread-safe, and safe to stop from a signal handler.

    A command counts until its `valid_until`, and never longer than `hold_s` from its arrival, so that
    a sender with a wrong clock cannot hold the wheels turning. Someone has to call `tick` at or after
    `deadline`: the host of the core (a thread, a virtual clock's ticks, a daemon's event loop).
    """

    def __init__(self, driver: MotorDriver, clock: Clock, hold_s: float) -> None:
        if not 0 < hold_s <= 10:
            raise ValueError(f"hold_s is {hold_s!r}; it must be greater than 0 and at most 10 s")
        self._driver = driver
        self._clock = clock
        self._hold_s = hold_s
        # Re-entrant: a signal handler may call stop() while its own thread is inside apply().
        self._lock = threading.RLock()
        self._deadline = -math.inf
        self._applied = STOP
        self._at_zero = False  # zero was asked for and the driver obeyed
        self._stops = 0
        self._closed = False
        self._cause = Cause.START
        self._arrived = -math.inf
        self.started = clock.now()
        self.commands = self.expiries = self.refusals = 0
        self.stop(Cause.START)

    @property
    def applied(self) -> Wheels:
        """The duties on the wheels now."""
        return self._applied

    @property
    def deadline(self) -> float:
        """When the wheels go to zero by themselves (the clock's seconds); +inf while they are at zero."""
        return math.inf if self._at_zero else self._deadline

    @property
    def cause(self) -> Cause:
        """Why the wheels have these duties."""
        return self._cause

    def report(
        self, switch: Switch = Switch.ABSENT, flags: Flag = Flag.DRIVEN | Flag.YOURS, digest: int = 0, driver: int = 0
    ) -> Report:
        """What is applied and why; the host adds what it knows beside."""
        now = self._clock.now()
        return Report(
            now, self._applied, self._cause, now - self._arrived, self.deadline, switch, flags, os.getpid(),
            self.started, self.commands, self.expiries, self.refusals, digest, driver,
        )  # fmt: skip

    def apply(self, wheels: Wheels, valid_until: float) -> Wheels:
        """Apply the duties, each within -1..1, until `valid_until`; expired means zero.

        Returns:
            What was applied.

        Raises:
            ValueError: a duty or the stamp is missing, malformed, not finite or beyond the limits; the wheels are at
                zero.
            RobotError: the port is closed.
        """
        with self._lock:
            if self._closed:
                raise RobotError("the motor port is closed; open the robot again to drive")
            try:
                left, right, until = checked(wheels, valid_until)
            except BadCommandError as bad:
                self.refuse(bad.cause)
                raise
            now = self._clock.now()
            self._arrived = now
            self.commands += 1
            deadline = min(until, now + self._hold_s)
            if deadline <= now:
                self.expiries += 1
                self.stop(Cause.EXPIRED)
                return STOP
            wanted = Wheels(left, right)
            stops = self._stops
            self._at_zero, self._deadline = False, deadline
            try:
                self._driver.write(wanted)
            except BaseException:
                self.stop(Cause.PIN_FAILED)
                raise
            if stops != self._stops:  # a signal handler stopped us in the midst of the write: its zero wins
                self.stop(self._cause)
                return STOP
            self._applied, self._cause = wanted, Cause.COMMANDED
            return wanted

    def refuse(self, cause: Cause) -> None:
        """Zero, since what came is no command; counted. Never raises."""
        self.refusals += 1
        self.stop(cause)

    def tick(self, now: float | None = None) -> None:
        """Go to zero where the deadline has passed; a zero that the driver refused is tried again. Never raises."""
        with self._lock:
            if self._at_zero or self._closed:
                return
            if not (self._clock.now() if now is None else now) < self._deadline:
                if self._deadline > -math.inf:  # else a zero that failed is tried again
                    self.expiries += 1
                    self._cause = Cause.EXPIRED
                self.stop(self._cause)

    def stop(self, cause: Cause = Cause.STOPPED) -> None:
        """Zero, now, because of `cause`. Idempotent, never raises."""
        with self._lock:
            self._stops += 1
            self._deadline = -math.inf
            self._applied = STOP
            if self._closed:
                return
            self._cause = cause
            try:
                self._driver.zero()
                self._at_zero = True
            except Exception:  # the wheels may still turn: tick() tries again
                self._at_zero = False
                self._cause = Cause.PIN_FAILED

    def close(self) -> None:
        """Stop and give back the motors. Idempotent."""
        with self._lock:
            if self._closed:
                return
            self.stop()
            self._closed = True
            self._driver.close()


class InProcessPort:
    """The core in this process, with a watchdog: a loop that hangs loses the wheels at the deadline.

    On a virtual clock the watchdog is a subscriber to its ticks; on any other it is a thread that
    sleeps until the deadline. (A thread cannot run while another holds the GIL in foreign code, nor
    when the whole process is stopped: for that the motors need a process of their own.)
    """

    def __init__(self, driver: MotorDriver, clock: Clock, hold_s: float) -> None:
        self.core = MotorCore(driver, clock, hold_s)
        self._clock = clock
        self._wake = threading.Condition()
        self._closing = False
        self._dozing = False  # the watchdog waits for a notification, not for a time
        self._thread: threading.Thread | None = None
        if isinstance(clock, VirtualClock):
            clock.subscribe(self.core.tick)
        else:
            self._thread = threading.Thread(target=self._watch, name="motor watchdog", daemon=True)
            self._thread.start()

    @property
    def applied(self) -> Wheels:
        """The duties on the wheels now."""
        return self.core.applied

    def apply(self, wheels: Wheels, valid_until: float) -> Wheels:
        """See `MotorCore.apply`."""
        applied = self.core.apply(wheels, valid_until)
        if self._dozing:  # else it wakes at an earlier deadline, or is about to read the new one
            with self._wake:
                self._wake.notify()
        return applied

    def report(self) -> Report:
        """See `MotorCore.report`."""
        return self.core.report()

    def stop(self) -> None:
        """See `MotorCore.stop`."""
        self.core.stop()

    def close(self) -> None:
        """Stop, end the watchdog, give back the motors. Idempotent."""
        self.core.stop()
        if isinstance(self._clock, VirtualClock):
            self._clock.unsubscribe(self.core.tick)
        if self._thread is not None and self._thread is not threading.current_thread():
            with self._wake:
                self._closing = True
                self._wake.notify()
            self._thread.join(timeout=1.0)
        self.core.close()

    def _watch(self) -> None:
        while True:
            with self._wake:
                self._dozing = True  # before the deadline is read: apply() writes the deadline, then reads this
                rest = self.core.deadline - self._clock.now()
                self._dozing = rest == math.inf
                if not self._closing and rest > 0:
                    self._wake.wait(None if self._dozing else rest)
                self._dozing = False
                if self._closing:
                    return
            if self.core.deadline <= self._clock.now():
                self.core.tick()
                if self.core.deadline != math.inf:  # the driver refused to go to zero; do not spin
                    with self._wake:
                        self._wake.wait(0.01)


class BadCommandError(ValueError):
    """What was sent is no command that wheels could follow."""

    def __init__(self, cause: Cause, sentence: str) -> None:
        super().__init__(sentence)
        self.cause = cause


def checked(wheels: Wheels, valid_until: float) -> tuple[float, float, float]:
    """Left, right and the stamp, where all are finite and the duties within -1..1.

    Raises:
        BadCommandError: they are not. Whoever calls this stops the wheels then.
    """
    try:
        left, right, until = _finite(wheels.left), _finite(wheels.right), _finite(valid_until)
    except (AttributeError, TypeError, ValueError):
        raise BadCommandError(
            Cause.NOT_FINITE,
            f"{wheels!r} valid until {valid_until!r} is no command (two finite duties and a finite time); "
            "the wheels are stopped",
        ) from None
    if not (-1.0 <= left <= 1.0 and -1.0 <= right <= 1.0):
        sentence = f"{wheels!r} is beyond the limits, expected duties from -1 to 1; the wheels are stopped"
        raise BadCommandError(Cause.OUT_OF_LIMITS, sentence)
    return left, right, until


def _finite(number: float) -> float:
    if not math.isfinite(number):  # TypeError for what is no number at all
        raise ValueError
    return float(number)
