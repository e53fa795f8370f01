"""The motor port: deadline, refusal of what is no command, and the watchdog in both kinds of time."""

from __future__ import annotations

import math
import subprocess
import sys
import threading
import time

import pytest

from robot.clock import VirtualClock, WallClock
from robot.errors import RobotError
from robot.motor_port import InProcessPort, MotorCore
from robot.motor_report import Cause
from robot.types import STOP, Wheels


class Driver:
    """Remembers what it was told."""

    def __init__(self) -> None:
        self.duties = Wheels(9.0, 9.0)
        self.writes = 0
        self.closed = 0
        self.failures = 0  # of zero, still to come
        self.on_write = None

    def write(self, wheels: Wheels) -> None:
        self.writes += 1
        if self.on_write:
            self.on_write()
        self.duties = wheels

    def zero(self) -> None:
        if self.failures > 0:
            self.failures -= 1
            raise OSError("the pin does not answer")
        self.duties = STOP

    def close(self) -> None:
        self.closed += 1


class HandClock:
    def __init__(self) -> None:
        self.t = 100.0

    def now(self) -> float:
        return self.t

    def sleep_until(self, t: float) -> None:
        self.t = max(self.t, t)


@pytest.fixture
def rig():
    driver, clock = Driver(), HandClock()
    return driver, clock, MotorCore(driver, clock, hold_s=0.2)


def test_starts_at_zero(rig):
    driver, _, core = rig
    assert driver.duties == STOP and core.applied == STOP and core.deadline == math.inf


def test_applies_until_the_deadline_and_not_longer(rig):
    driver, clock, core = rig
    assert core.apply(Wheels(0.5, -0.25), clock.t + 0.1) == Wheels(0.5, -0.25)
    clock.t += 0.099
    core.tick()
    assert driver.duties == Wheels(0.5, -0.25)
    clock.t += 0.002
    core.tick()
    assert driver.duties == STOP and core.applied == STOP


def test_a_far_deadline_is_cut_to_the_hold_time(rig):
    driver, clock, core = rig
    core.apply(Wheels(0.5, 0.5), clock.t + 3600)
    assert core.deadline == pytest.approx(clock.t + 0.2)
    clock.t += 0.21
    core.tick()
    assert driver.duties == STOP


def test_expired_is_zero(rig):
    driver, clock, core = rig
    core.apply(Wheels(0.5, 0.5), clock.t + 0.1)
    assert core.apply(Wheels(0.9, 0.9), clock.t) == STOP
    assert driver.duties == STOP and driver.writes == 1


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf, None, "0.5", [0.5]])
def test_what_is_no_number_stops_then_raises(rig, bad):
    driver, clock, core = rig
    for wheels, until in (
        (Wheels(bad, 0.5), clock.t + 0.1),
        (Wheels(0.5, bad), clock.t + 0.1),
        (Wheels(0.5, 0.5), bad),
    ):
        core.apply(Wheels(0.3, 0.3), clock.t + 0.1)
        with pytest.raises(ValueError, match="stopped"):
            core.apply(wheels, until)
        assert driver.duties == STOP and core.applied == STOP


@pytest.mark.parametrize("bad", [None, (0.5, 0.5), object()])
def test_what_is_no_command_stops_then_raises(rig, bad):
    driver, clock, core = rig
    core.apply(Wheels(0.3, 0.3), clock.t + 0.1)
    with pytest.raises(ValueError, match="no command"):
        core.apply(bad, clock.t + 0.1)
    assert driver.duties == STOP


@pytest.mark.parametrize("bad", [Wheels(7.0, 0.0), Wheels(0.2, -1.0001), Wheels(-1e300, 1e300)])
def test_beyond_the_limits_is_zero_and_not_clipped(rig, bad):
    driver, clock, core = rig
    assert core.apply(Wheels(1.0, -1.0), clock.t + 0.1) == driver.duties == Wheels(1.0, -1.0)
    with pytest.raises(ValueError, match="beyond the limits"):
        core.apply(bad, clock.t + 0.1)
    assert driver.duties == STOP and core.cause is Cause.OUT_OF_LIMITS and core.refusals == 1


def test_the_report_says_what_why_and_how_old(rig):
    driver, clock, core = rig
    assert (core.report().cause, core.report().age_s) == (Cause.START, math.inf)
    core.apply(Wheels(0.5, 0.25), clock.t + 0.1)
    clock.t += 0.05
    found = core.report()
    assert (found.applied, found.cause, found.stamp) == (Wheels(0.5, 0.25), Cause.COMMANDED, clock.t)
    assert found.age_s == pytest.approx(0.05) and found.deadline == pytest.approx(clock.t + 0.05)
    clock.t += 0.06
    core.tick()
    found = core.report()
    assert (found.applied, found.cause, found.expiries, found.deadline) == (STOP, Cause.EXPIRED, 1, math.inf)
    assert found.age_s == pytest.approx(0.11)
    core.stop()
    assert core.report().cause is Cause.STOPPED
    with pytest.raises(ValueError):
        core.apply(Wheels(math.nan, 0.0), clock.t + 0.1)
    assert core.report().cause is Cause.NOT_FINITE
    driver.failures = 1
    core.stop()
    assert core.report().cause is Cause.PIN_FAILED


def test_a_write_that_fails_ends_at_zero(rig):
    driver, clock, core = rig

    def fail():
        driver.duties = Wheels(0.5, 0.0)  # one wheel written, then the fault
        raise OSError("gone")

    driver.on_write = fail
    with pytest.raises(OSError):
        core.apply(Wheels(0.5, 0.5), clock.t + 0.1)
    assert driver.duties == STOP


def test_a_zero_that_fails_is_tried_again(rig):
    driver, clock, core = rig
    core.apply(Wheels(0.5, 0.5), clock.t + 0.1)
    driver.failures = 2
    core.stop()  # never raises
    assert driver.duties == Wheels(0.5, 0.5)
    core.tick()
    core.tick()
    assert driver.duties == STOP and core.deadline == math.inf


def test_a_stop_in_the_midst_of_a_write_wins(rig):
    driver, clock, core = rig
    driver.on_write = core.stop  # as a signal handler in the same thread would
    assert core.apply(Wheels(0.5, 0.5), clock.t + 0.1) == STOP
    assert driver.duties == STOP


def test_stop_and_close_may_be_repeated(rig):
    driver, clock, core = rig
    core.apply(Wheels(0.5, 0.5), clock.t + 0.1)
    for _ in range(3):
        core.stop()
    for _ in range(3):
        core.close()
    core.stop()
    core.tick()
    assert driver.duties == STOP and driver.closed == 1
    with pytest.raises(RobotError, match="closed"):
        core.apply(Wheels(0.5, 0.5), clock.t + 0.1)
    assert driver.duties == STOP


def test_many_threads(rig):
    driver, clock, core = rig
    faults = []

    def work(duty: float) -> None:
        try:
            for _ in range(500):
                core.apply(Wheels(duty, duty), clock.t + 0.1)
                core.tick()
                core.stop()
        except Exception as error:
            faults.append(error)

    threads = [threading.Thread(target=work, args=(k / 10,)) for k in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not faults and driver.duties == STOP


def test_virtual_time_watchdog():
    driver, clock = Driver(), VirtualClock(0.01)
    port = InProcessPort(driver, clock, 0.2)
    port.apply(Wheels(0.5, 0.5), clock.now() + 0.2)
    clock.sleep_until(0.19)
    assert driver.duties == Wheels(0.5, 0.5)
    clock.sleep_until(0.2)
    assert driver.duties == STOP
    port.close()
    clock.sleep_until(1.0)  # nothing is called any more
    assert driver.closed == 1


def test_wall_clock_watchdog_stops_a_hung_loop():
    driver, clock = Driver(), WallClock()
    port = InProcessPort(driver, clock, 0.1)
    stopped: list[float] = []
    zero = driver.zero

    def record() -> None:
        zero()
        stopped.append(time.monotonic())

    driver.zero = record
    try:
        for _ in range(3):  # from rest, and again after the watchdog acted
            begin = time.monotonic()
            stopped.clear()
            port.apply(Wheels(0.5, 0.5), clock.now() + 0.1)
            time.sleep(0.3)  # the hang
            assert driver.duties == STOP
            assert 0.09 < stopped[0] - begin < 0.2
    finally:
        port.close()
    assert threading.active_count() == 1 or "motor watchdog" not in {t.name for t in threading.enumerate()}


def test_wall_clock_watchdog_insists_where_the_driver_refuses():
    driver, clock = Driver(), WallClock()
    port = InProcessPort(driver, clock, 0.05)
    try:
        port.apply(Wheels(0.5, 0.5), clock.now() + 0.05)
        driver.failures = 5
        end = time.monotonic() + 5
        while driver.duties != STOP and time.monotonic() < end:
            time.sleep(0.005)
        assert driver.duties == STOP and driver.failures == 0
    finally:
        port.close()


def test_wall_clock_watchdog_leaves_a_living_loop_alone():
    driver, clock = Driver(), WallClock()
    port = InProcessPort(driver, clock, 0.2)
    try:
        end = time.monotonic() + 0.6
        while time.monotonic() < end:
            port.apply(Wheels(0.5, 0.5), clock.now() + 0.2)
            assert driver.duties == Wheels(0.5, 0.5)
            time.sleep(0.01)
    finally:
        port.close()
    assert driver.duties == STOP


def test_the_core_needs_the_standard_library_only():
    code = (
        "import sys, robot.motor_port; print([m for m in ('numpy', 'pydantic', 'cv2', 'gpiozero') if m in sys.modules])"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert out.strip() == "[]"
