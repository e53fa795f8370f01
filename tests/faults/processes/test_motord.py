"""The motors' process at fault: real, driven by a real runtime, with the test in systemd's place.

What its mock pins can show ends with the process: while it lives, each change of a pin has its stamp in the trace. A
process killed by SIGKILL leaves a Raspberry Pi's pins as they were, until `strict_gpiod`, the pull-downs and
ExecStopPost bring them low; mock pins show of that only that the last level was not zero (the test says so), and that
the next process begins at zero. The rest needs the kernel's own lines, in a proof of its own.
"""

from __future__ import annotations

import re
import signal
import time
from collections.abc import Callable

import pytest

from robot.motor_report import Cause, Flag
from robot.motord.client import ask
from robot.motord.protocol import Kind
from robot.motord.trace import read
from robot.types import STOP
from tests.faults.processes.couple import Couple
from tests.faults.processes.ward import HOLD_S, NotDriving, Patient, WheelsTurn, again

AT_ONCE_S = 0.02

NAMES = """
server = SEEN["Server"]
core, bridge, latch = server._core, server._core._driver, server._latch
import robot.motord.protocol as protocol
"""

NO_ZERO = """
core.stop = lambda *cause: None
core.tick = lambda *now: None
core.obeys = core.apply
core.apply = lambda wheels, until: core.obeys(wheels, until) if any((wheels.left, wheels.right)) else None
bridge.zero = bridge.close = lambda: None
"""
"""Takes away whatever brings the pins low, the zeros of a runtime whose reports come late on a busy machine too."""


def harmed(couple: Couple) -> Patient:
    """The motord of a robot that drives, its parts by their names."""
    couple.runtime  # noqa: B018 (starts both, and drives)
    motord = couple.motord
    motord.do(NAMES)
    if not couple.protected:
        motord.do(NO_ZERO)
        couple.ward.until(couple.ward.turning, motord)
    return motord


def replaced(couple: Couple, old: Patient) -> None:
    """The next process begins at zero, and the same runtime drives on by itself."""
    runtime = couple.runtime_at_rest
    old.wait()
    died = time.monotonic()
    assert couple.motord is not old
    couple.ward.until(lambda: couple.ward.turning() and couple.ward.moments()[-1].stamp > died, runtime)
    moments = couple.ward.moments()
    since = [moment for moment in moments if moment.stamp > died]
    if moments[-len(since) - 1].wheels != STOP:  # pins were left high: all are brought low before anything else
        zero = next(moment for moment in since if moment.wheels == STOP)
        assert zero.stamp - since[0].stamp < 0.02 + couple.ward.punctual.late_s(died, zero.stamp)
    assert couple.runtime is runtime


def told(motord: Patient) -> float:
    """When it was done harm, as its last words say."""
    return float(re.findall(r"harm at (\d+\.\d+)", motord.text)[-1])


def raises(owner: str, name: str, error: str = "RuntimeError") -> Callable[[Couple], None]:
    """An exception that nobody expects: pins low and pulled down, exit code 1, and systemd starts the next."""

    def check(couple: Couple) -> None:
        motord = harmed(couple)
        motord.begin(f"STAMPS.clear(); raise_in({owner}, {name!r}, 9.0, {error})")
        began = time.monotonic()
        motord.wait()
        # The stage may have to wait for its turn (the watchdog is fed each half second): the stamp is in the log.
        fault = told(motord)
        assert fault >= began - 0.1
        couple.ward.zero_within(fault, AT_ONCE_S)
        assert motord.process.returncode == 1 and pulled_down(couple)
        replaced(couple, motord)

    return check


def pin_fails(couple: Couple) -> None:
    """A pin that cannot be written: zero at once, and driving again when it can."""
    motord = harmed(couple)
    motord.do("STAMPS.clear(); raise_in(bridge, 'write', 0.3)")
    couple.ward.until(lambda: motord.do("value = len(STAMPS)"), motord)
    couple.ward.zero_within(motord.do("value = STAMPS[0]"), AT_ONCE_S, 0.2)
    couple.ward.until(couple.ward.turning, motord)


def signalled(number: signal.Signals) -> Callable[[Couple], None]:
    def check(couple: Couple) -> None:
        motord = harmed(couple)
        couple.ward.zero_within(motord.send(number), AT_ONCE_S)
        assert motord.wait() == 0 and pulled_down(couple)
        replaced(couple, motord)

    return check


def pulled_down(couple: Couple) -> bool:
    """Whether every motor pin has become an input with its pull-down."""
    last = {change.pin: change for change in read(couple.ward.trace)}
    return all(
        last[pin].level is None and last[pin].pull == "down"
        for pin in couple.ward.pins.motor_pins.values()
        if pin in last
    )


def out_of_memory(couple: Couple) -> None:
    """Memory runs out, wherever in its work that strikes: an end like any other exception's, pins low first."""
    motord = harmed(couple)
    motord.do(
        """
whole = server._serve
def hungry(peer):
    return bytes(32 << 20) and whole(peer)  # which touches no page: it must not be late before memory has run out
server._serve = hungry
"""
    )
    motord.begin("value = run_out_of_memory(0.5)")
    motord.wait()
    assert motord.process.returncode == 1 and "MemoryError" in motord.text
    if couple.ward.turning():
        raise WheelsTurn("it has ended, and its pins are high")
    assert pulled_down(couple)
    replaced(couple, motord)


def hung(couple: Couple) -> None:
    """Suspended for good: no sign of life for a second, SIGKILL, and the next process begins at zero."""
    motord = harmed(couple)
    killed_by(couple, motord, motord.send(signal.SIGSTOP))


def gil_held(couple: Couple) -> None:
    motord = harmed(couple)
    motord.begin("value = hold_the_gil(20.0)")
    killed_by(couple, motord, time.monotonic())


def killed_by(couple: Couple, motord: Patient, fault: float) -> None:
    try:
        couple.ward.until(lambda: motord.process.poll() is not None, seconds=60.0 if couple.protected else 2.0)
    except NotDriving:
        motord.close()
        raise WheelsTurn("the watchdog has not come") from None
    assert couple.ward.turning()  # the mock pins keep what the process that is gone has left: see the module's words
    killed = couple.manager.killed_at
    assert killed is not None and killed - fault <= 1.1 + 3 * couple.ward.punctual.late_s(fault, killed)
    replaced(couple, motord)


def gil_held_for_less_than_the_watchdog_allows(couple: Couple) -> None:
    """When it can move again the command has expired: zero is the first thing that it does, and then it drives on."""
    motord = harmed(couple)
    began = motord.do("value = hold_the_gil(0.6)")
    couple.ward.zero_within(began, 0.6 + AT_ONCE_S, halt=True)
    couple.ward.until(couple.ward.turning, motord)


def suspended_for_less_than_the_watchdog_allows(couple: Couple) -> None:
    """What was sent meanwhile waits in its socket, and is not carried out: zero comes first."""
    motord = harmed(couple)
    began = motord.send(signal.SIGSTOP)
    time.sleep(0.5)
    again = motord.send(signal.SIGCONT)
    couple.ward.zero_within(began, again - began + AT_ONCE_S, halt=True)
    couple.ward.until(couple.ward.turning, motord)


def disk(harm: str) -> Callable[[Couple], None]:
    """The emergency stop is pressed while its latch cannot be stored: it stops and holds all the same."""

    def check(couple: Couple) -> None:
        motord = harmed(couple)
        path = couple.ward.socket
        if not couple.protected:
            motord.do("server._look = lambda now: setattr(server, '_look_at', now + 1e9)")
        motord.do(f"{harm}")
        motord.do("become('/dev/full', 2, os.O_WRONLY)")
        fault = time.monotonic()
        couple.pressed.touch()
        try:
            couple.ward.zero_within(fault, AT_ONCE_S, 0.2)
        finally:
            couple.pressed.unlink()
        time.sleep(0.1)
        assert not couple.ward.turning(), "released, but not acknowledged"
        found = ask(path, Kind.ASK)
        assert found.cause is Cause.LATCHED and Flag.UNSTORED in found.flags
        with pytest.raises(Exception, match="cannot be written; make room"):
            ask(path, Kind.ACKNOWLEDGE)
        assert not couple.ward.turning()
        motord.do("become(str(latch.path), latch._handle, os.O_RDWR)")  # there is room again
        ask(path, Kind.ACKNOWLEDGE)
        couple.ward.until(couple.ward.turning, motord)
        assert motord.process.poll() is None

    return check


def log_closed(couple: Couple) -> None:
    """Nobody reads its log any more: it drives on, and keeps its deadline."""
    motord = harmed(couple)
    motord.close_log()
    if not couple.protected:  # a log that is written as one writes a log
        motord.do("server._say = lambda text: print(text, file=sys.stderr, flush=True)")
    motord.do("whole = server._look; server._look = lambda now: server._say('a line of the log') or whole(now)")
    time.sleep(0.1)
    runtime = couple.runtime_at_rest
    fault = runtime.send(signal.SIGSTOP)
    try:
        couple.ward.zero_within(fault, HOLD_S, 0.3)
    finally:
        runtime.send(signal.SIGCONT)
    couple.ward.until(couple.ward.turning, motord, couple.patience())


def wall_clock(couple: Couple) -> None:
    """An hour either way: the wheels turn on."""
    motord = harmed(couple)
    if not couple.protected:  # deadlines by the wall clock, all else as it should be
        motord.do("core.apply, core.stop, core._hold_s = core.real_apply, core.real_stop, 0.2")
        motord.do("del bridge.zero, bridge.close")
        motord.do("import time, types; core._clock = types.SimpleNamespace(now=lambda: time.time())")
    for offset in (3600, -3600, 0):
        stepped = couple.wall.step(offset, motord)
        time.sleep(0.15)
        stops = [moment for moment in couple.ward.moments() if moment.stamp >= stepped and moment.wheels == STOP]
        if stops and couple.ward.punctual.late_s(stepped, time.monotonic()) < 0.02:
            raise NotDriving(f"the step stopped the robot: {stops}")
        if not couple.ward.turning():
            raise NotDriving("it stands")


FAULTS = {
    "exception looking at the switch": raises("server", "_look"),
    "exception serving a socket": raises("server", "_serve"),
    "exception reading a message": raises("protocol", "head"),
    "exception obeying": raises("server", "_command"),
    "exception reporting": raises("server", "_report"),
    "exception feeding the watchdog": raises("server", "_feed"),
    "exception at the deadline": raises("core", "tick"),
    "a pin that fails": pin_fails,
    "SIGTERM": signalled(signal.SIGTERM),
    "SIGINT": signalled(signal.SIGINT),
    "SIGHUP": signalled(signal.SIGHUP),
    "out of memory": out_of_memory,
    "SIGSTOP": hung,
    "SIGSTOP for 0.5 s": suspended_for_less_than_the_watchdog_allows,
    "GIL held in C": gil_held,
    "GIL held in C for 0.6 s": gil_held_for_less_than_the_watchdog_allows,
    "full disk": disk("become('/dev/full', latch._handle, os.O_RDWR)"),
    "read-only disk": disk("become('/dev/null', latch._handle, os.O_RDONLY)"),
    "wall clock stepped by an hour": wall_clock,
    "log pipe closed": log_closed,
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_of_the_motors_process_stops_the_wheels_and_the_robot_goes_on(protected: Couple, fault: str) -> None:
    again(lambda: FAULTS[fault](protected))


@pytest.mark.parametrize("fault", FAULTS)
def test_without_its_protection_each_of_them_is_found_out(bare: Couple, fault: str) -> None:
    with pytest.raises((WheelsTurn, NotDriving)):
        again(lambda: FAULTS[fault](bare))
    bare.motord.close()  # what was taken away stays so: the next begins anew


def test_a_motors_process_that_is_killed_is_told_by_the_runtime_and_the_next_begins_at_zero(protected: Couple) -> None:
    runtime = protected.runtime
    motord = protected.motord
    motord.send(signal.SIGKILL)
    motord.wait()
    assert protected.ward.turning()  # as a Pi's pins would, without strict_gpiod and pull-downs
    protected.ward.until(lambda: "edgebot-motord" in runtime.text.rsplit("stopped", 1)[-1], runtime)
    assert runtime.do("value = loop._applied == __import__('robot.types').types.STOP")
    replaced(protected, motord)
    runtime.send(signal.SIGTERM)
    runtime.wait()
    assert "edgebot-motord" in runtime.output.read_text()


def test_where_it_cannot_keep_its_state_it_refuses_to_start(protected: Couple) -> None:
    motord = Patient(
        "motord", "--config", str(protected.ward.folder / "motord.json"), "--pins", "mock", "--state", "/proc/edgebot",
        "--socket", str(protected.ward.short / "other.sock"), folder=protected.ward.folder,
    )  # fmt: skip
    assert motord.wait() == 2
    assert "--state" in motord.text and "Traceback" not in motord.text
