"""The real process on mock pins: what stops the wheels, and when, by the stamps of its own pins."""

from __future__ import annotations

import math
import signal
import subprocess
import sys
import time

import pytest

from robot.errors import RobotError
from robot.motor_report import Cause
from robot.motord import protocol
from robot.motord.protocol import Kind
from robot.types import STOP, Wheels
from tests.robot.motord.harness import (
    FORWARD,
    HOLD_S,
    PATIENCE_S,
    ROOT,
    SLACK_S,
    drive,
    newest,
    raw,
    say,
    wait,
    zero_after,
)


def test_the_wheels_are_at_zero_from_the_start_and_turn_as_told(start):
    motord = start()
    assert all(change.level in (0.0, None) for change in motord.changes())
    report = motord.status()
    assert (report.applied, report.cause, report.age_s) == (STOP, Cause.START, math.inf)
    port = motord.port()
    drive(port)
    assert motord.wheels == FORWARD
    drive(port, 0.0, Wheels(-0.5, 1.0))
    assert motord.wheels == Wheels(-0.5, 1.0)
    port.stop()
    wait(lambda: motord.wheels == STOP, "stop")
    assert motord.status().cause is Cause.STOPPED


def test_zero_when_the_time_is_up(start, delay):
    motord = start()
    port = motord.port()
    until = drive(port)
    wait(lambda: motord.wheels == STOP, "expiry")
    at = zero_after(motord, until - HOLD_S)
    assert until - 0.001 <= at <= until + SLACK_S + delay.worst_s  # not before, and not later
    report = motord.status()
    assert (report.applied, report.cause, report.expiries) == (STOP, Cause.EXPIRED, 1)
    assert report.age_s >= HOLD_S
    assert port.apply(FORWARD, time.monotonic() + HOLD_S) == FORWARD  # and on again


def test_no_command_is_held_longer_than_the_hold_time(start, delay):
    motord = start()
    port = motord.port()
    before = time.monotonic()
    port.apply(FORWARD, before + 3600)
    wait(lambda: motord.wheels == STOP, "expiry")
    assert zero_after(motord, before + 0.1) <= before + HOLD_S + SLACK_S + 2 * delay.worst_s


def test_a_command_that_is_late_is_not_obeyed(start):
    motord = start()
    port = motord.port()
    assert port.apply(FORWARD, time.monotonic() - 0.001) == STOP
    assert motord.wheels == STOP and motord.status().cause is Cause.EXPIRED


@pytest.mark.parametrize(
    "left, right, until, cause",
    [
        (math.nan, 0.5, 0.2, Cause.NOT_FINITE),
        (0.5, -math.inf, 0.2, Cause.NOT_FINITE),
        (0.5, 0.5, math.nan, Cause.NOT_FINITE),
        (0.5, 0.5, math.inf, Cause.NOT_FINITE),
        (1.0001, 0.5, 0.2, Cause.OUT_OF_LIMITS),
        (0.5, -1e300, 0.2, Cause.OUT_OF_LIMITS),
    ],
)
def test_zero_on_numbers_that_are_no_duties(start, left, right, until, cause):
    motord = start()
    with raw(motord) as sock:
        say(sock, protocol.command(1, 0.5, 0.5, time.monotonic() + HOLD_S))
        assert motord.wheels == Wheels(0.5, 0.5)
        answer = say(sock, protocol.command(2, left, right, time.monotonic() + until))
        report = protocol.read_report(answer)
        assert (report.applied, report.cause, report.refusals) == (STOP, cause, 1)
        assert motord.wheels == STOP


@pytest.mark.parametrize("junk", [b"x", b"EB\x01\x02", protocol.request(Kind.COMMAND, 1), b"EB\x07" + bytes(40)])
def test_zero_on_what_cannot_be_read(start, junk):
    motord = start()
    with raw(motord) as sock:
        say(sock, protocol.command(1, 0.5, 0.5, time.monotonic() + HOLD_S))
        kind, _ = protocol.head(say(sock, junk))
        assert kind is Kind.REFUSED and motord.wheels == STOP
        assert motord.status().cause is Cause.MALFORMED


def test_only_the_newest_of_many_commands_counts(start):
    """Commands that pile up while the process is stopped are not carried out one after another."""
    motord = start()
    with raw(motord) as sock:
        say(sock, protocol.command(1, 0.1, 0.1, time.monotonic() + HOLD_S))
        motord.process.send_signal(signal.SIGSTOP)
        for number in range(2, 60):
            sock.send(protocol.command(number, number / 100, 0.0, time.monotonic() + HOLD_S))
        motord.process.send_signal(signal.SIGCONT)
        wait(lambda: newest(sock) == 59, "the newest is answered")
    lefts = {moment.wheels.left for moment in motord.duties()}
    assert lefts <= {0.0, 0.1, 0.59}


def test_stale_commands_after_a_stall_are_not_replayed(start):
    motord = start()
    with raw(motord) as sock:
        motord.process.send_signal(signal.SIGSTOP)
        for number in range(1, 40):
            sock.send(protocol.command(number, 0.5, 0.5, time.monotonic() + HOLD_S))
        time.sleep(HOLD_S + 0.05)
        motord.process.send_signal(signal.SIGCONT)
        wait(lambda: newest(sock) == 39, "an answer")
    assert all(moment.wheels == STOP for moment in motord.duties())


def test_a_flood_starves_neither_the_deadline_nor_the_emergency_stop(start):
    motord = start()
    with raw(motord) as sock:
        sock.setblocking(False)
        pressed_at, end = None, time.monotonic() + 0.5
        while time.monotonic() < end:  # never reads an answer
            try:
                sock.send(protocol.command(1, 0.5, 0.5, time.monotonic() + HOLD_S))
            except BlockingIOError:
                time.sleep(0.0005)
            if pressed_at is None and time.monotonic() > end - 0.25 and motord.wheels.left:
                motord.pressed.touch()
                pressed_at = time.monotonic()
        assert pressed_at is not None
        wait(lambda: motord.wheels == STOP, "the emergency stop")
        assert motord.status().cause is Cause.EMERGENCY_STOP


CLIENT = """
import sys, time
sys.path.insert(0, {root!r})
from robot.motord.client import MotordPort
from robot.types import Wheels
port = MotordPort({path!r})
print("drives", flush=True)
while True:
    port.apply(Wheels(0.5, 0.25), time.monotonic() + 0.2)
    time.sleep(0.02)
"""


@pytest.mark.parametrize(
    "number, cause, bound_s", [(signal.SIGKILL, Cause.GONE, 0.0), (signal.SIGSTOP, Cause.EXPIRED, HOLD_S)]
)
def test_zero_when_the_runtime_dies_or_hangs(start, delay, number, cause, bound_s):
    motord = start()
    code = CLIENT.format(root=str(ROOT), path=str(motord.socket))
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) as client:
        try:
            client.stdout.readline()
            wait(lambda: motord.wheels == FORWARD, "driving")
            before = time.monotonic()
            client.send_signal(number)
            wait(lambda: motord.wheels == STOP, "zero")
            assert zero_after(motord, before) - before <= bound_s + SLACK_S + 2 * delay.worst_s
            assert motord.status().cause is cause
        finally:
            client.kill()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGQUIT])
def test_a_signal_ends_it_with_the_pins_low_and_pulled_down(start, number):
    motord = start()
    port = motord.port()
    drive(port)
    before = time.monotonic()
    assert motord.kill(number) == 0
    last = [change for change in motord.changes() if change.stamp >= before]
    for pin, change in motord.last_pins().items():
        assert (change.level, change.pull) == (None, "down"), pin
        levels = [c.level for c in last if c.pin == pin and c.level is not None]
        assert all(level == 0.0 for level in levels), pin  # low first, then an input
    assert not motord.socket.exists()
    with pytest.raises(RobotError, match="gone|does not run"):
        port.apply(FORWARD, time.monotonic() + HOLD_S)


def test_an_exception_ends_it_with_the_pins_low(start, tmp_path):
    code = (
        "import robot.motord.server as server, robot.motord.main as main, time\n"
        "step, begin = server.Server.step, time.monotonic()\n"
        "def broken(self):\n"
        "    step(self)\n"
        "    if self._core.commands >= 3: raise MemoryError('no more')\n"
        "server.Server.step = broken\n"
        "main.main()\n"
    )
    motord = start()
    motord.kill()
    motord.trace_file.unlink()
    motord.command[1:3] = ["-c", code]
    motord.start()
    port = motord.port()
    with pytest.raises(RobotError):
        for _ in range(10):
            port.apply(FORWARD, time.monotonic() + HOLD_S)
            time.sleep(0.01)
    assert motord.process.wait(PATIENCE_S) == 1
    assert "MemoryError: no more" in motord.process.stderr.read()
    assert all((change.level, change.pull) == (None, "down") for change in motord.last_pins().values())


def test_after_sigkill_a_restart_begins_at_zero_and_the_runtime_goes_on(start):
    motord = start()
    port = motord.port()
    drive(port)
    motord.kill()
    before = len(motord.changes())
    with pytest.raises(RobotError, match="gone|does not"):
        port.apply(FORWARD, time.monotonic() + HOLD_S)
    motord.start()
    again = motord.changes()[before:]
    assert again and all(change.level in (0.0, None) for change in again)

    def drives():
        try:
            return port.apply(FORWARD, time.monotonic() + HOLD_S) == FORWARD
        except RobotError:
            return False

    wait(drives, "driving again")
    assert port.losses == 1 and port.fault == "" and motord.wheels == FORWARD
