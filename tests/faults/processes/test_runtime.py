"""The runtime at fault, as a real process: the motors' own process, real as well, tells by its pins how the wheels are.

Bounds: one period of the loop for what goes wrong inside the runtime, 200 ms for its death or hang, as
docs/safety.md promises. What this machine itself is late in waking a process, measured meanwhile, is allowed on top.
Each fault is also done to a pair of processes whose protection is gone, the loop's stop and the motors' deadline, and
there the same check has to find the wheels turning.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from robot.types import STOP
from tests.faults.processes.couple import STUBS, Couple
from tests.faults.processes.ward import HOLD_S, PERIOD_S, ROOT, NotDriving, WheelsTurn, again, ward

HOUR = 3600

NO_STOP = "SEEN['Loop'].body.stop = lambda: None"
"""Takes away from a runtime what stops the wheels."""


def raises(owner: str, name: str, error: str = "RuntimeError") -> Callable[[Couple], None]:
    """A stage raises for a quarter of a second: zero within a period, and still zero as long as it goes on."""

    def check(couple: Couple) -> None:
        runtime = couple.runtime
        runtime.do(STUBS)
        if not couple.protected:
            runtime.do(NO_STOP)
        try:
            runtime.do(f"STAMPS.clear(); raise_in({owner}, {name!r}, 0.25, {error})")
            couple.ward.until(lambda: runtime.do("value = len(STAMPS)"), runtime)
            stamp = runtime.do("value = STAMPS[0]")
            if name == "tick":  # a recording that fails is let go: one halt, and the drive goes on without it
                couple.ward.zero_within(stamp, PERIOD_S, halt=True)
            else:
                couple.ward.zero_within(stamp, PERIOD_S, 0.2)
        finally:
            runtime.do("SEEN['Loop'].body.__dict__.pop('stop', None)")
        couple.ward.until(couple.ward.turning, runtime)

    return check


def out_of_memory(couple: Couple) -> None:
    """No memory left for a while: the stage that asks for some raises, and the robot stands until there is again."""
    runtime = couple.runtime
    if not couple.protected:
        runtime.do(NO_STOP)
    try:
        runtime.do(
            """
whole = loop.policy.act
def hungry(observation):
    try:
        return bytearray(32 << 20) and whole(observation)
    except MemoryError:
        STAMPS.append(time.monotonic())
        raise
STAMPS.clear()
swap(loop.policy, "act", hungry, 1.0)
"""
        )
        runtime.do("value = run_out_of_memory(0.3)")
        stamps = runtime.do("value = STAMPS")
        assert len(stamps) > 5, "memory has not run out"
        couple.ward.zero_within(stamps[0], PERIOD_S, 0.2)
    finally:
        runtime.do("SEEN['Loop'].body.__dict__.pop('stop', None)")
    couple.ward.until(couple.ward.turning, runtime)


def suspended(couple: Couple) -> None:
    runtime = couple.runtime
    fault = runtime.send(signal.SIGSTOP)
    try:
        couple.ward.zero_within(fault, HOLD_S, 0.5)
    finally:
        runtime.send(signal.SIGCONT)
    couple.ward.until(couple.ward.turning, runtime)


def gil_held(couple: Couple) -> None:
    runtime = couple.runtime
    began = time.monotonic()
    runtime.begin("value = hold_the_gil(2.0)")
    try:
        couple.ward.zero_within(began, HOLD_S, 1.9)
    finally:
        assert runtime.end() - began < 0.5
    couple.ward.until(couple.ward.turning, runtime)


def busy_machine(couple: Couple) -> None:
    """Four processes that do nothing but compute; and the runtime hangs among them."""
    couple.runtime  # noqa: B018 (starts it)
    hogs = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(4)]
    try:
        time.sleep(0.2)
        suspended(couple)
    finally:
        for hog in hogs:
            hog.kill()
            hog.wait()


def wall_clock_stepped(couple: Couple) -> None:
    """An hour either way: nobody notices, and the deadline is kept as before."""
    runtime, motord = couple.runtime, couple.motord
    if not couple.protected:  # a runtime that lives by the wall clock
        runtime.do("import time; from robot.clock import WallClock; WallClock.now = lambda self: time.time()")
        runtime.do("WallClock.sleep_until = lambda self, t: time.sleep(max(0.0, t - time.time()))")
    for offset in (HOUR, -HOUR, 0):
        wanted = runtime.do("value = loop._ticks") + 10
        stepped = couple.wall.step(offset, runtime, motord)
        try:
            couple.ward.until(lambda: runtime.do("value = loop._ticks") > wanted, runtime, couple.patience())  # noqa: B023
        except NotDriving:
            couple.wall.step(0)
            runtime.close()
            raise
        stops = [moment for moment in couple.ward.moments() if moment.stamp >= stepped and moment.wheels == STOP]
        late = couple.ward.punctual.late_s(stepped, time.monotonic())
        assert not stops or late > 0.02, f"the step stopped the robot: {stops}"
    fault = runtime.send(signal.SIGSTOP)
    try:
        couple.wall.step(-HOUR, motord)
        couple.ward.zero_within(fault, HOLD_S, 0.5)
    finally:
        couple.wall.step(0, motord)
        runtime.send(signal.SIGCONT)
    couple.ward.until(couple.ward.turning, runtime)


PASSING = {
    "exception in sense": raises("loop.body", "sense"),
    "exception in perception": raises("loop.perception", "newest"),
    "exception in policy": raises("loop.policy", "act"),
    "exception in guard": raises("loop.guard", "check"),
    "exception in actuation": raises("loop.body", "drive"),
    "exception in recording": raises("loop.recorder", "tick"),
    "memory error": raises("loop.policy", "act", "MemoryError"),
    "out of memory": out_of_memory,
    "SIGSTOP": suspended,
    "GIL held in C for 2 s": gil_held,
    "CPU taken by 4 busy processes": busy_machine,
    "wall clock stepped by an hour": wall_clock_stepped,
}  # fmt: skip


@pytest.mark.parametrize("fault", PASSING)
def test_a_fault_that_passes_stops_the_wheels_in_time_and_the_robot_goes_on(protected: Couple, fault: str) -> None:
    before = protected.runtime
    again(lambda: PASSING[fault](protected))
    assert protected.runtime is before


@pytest.mark.parametrize("fault", PASSING)
def test_without_its_protection_each_of_them_is_found_out(bare: Couple, fault: str) -> None:
    with pytest.raises((WheelsTurn, NotDriving)):
        again(lambda: PASSING[fault](bare))


@pytest.mark.parametrize(
    ("number", "bound_s", "code"),
    [
        (signal.SIGTERM, PERIOD_S, 143), (signal.SIGINT, PERIOD_S, 130), (signal.SIGHUP, PERIOD_S, 143),
        (signal.SIGKILL, HOLD_S, -9),  # the out-of-memory killer's too
    ],
)  # fmt: skip
def test_a_signal_that_ends_the_runtime_stops_the_wheels(
    protected: Couple, number: signal.Signals, bound_s: float, code: int
) -> None:
    runtime = protected.runtime
    time.sleep(0.1)
    protected.ward.zero_within(runtime.send(number), bound_s, 0.4)
    assert runtime.wait() == code
    if number != signal.SIGKILL:
        told = json.loads(runtime.output.read_text())
        assert told["ended"] == ("interrupted" if number == signal.SIGINT else "terminated")
    assert "Traceback" not in runtime.text


def test_the_summary_at_the_end_tells_what_happened(protected: Couple) -> None:
    runtime = protected.runtime
    runtime.do("raise_in(loop.policy, 'act', 0.1)")
    protected.ward.until(lambda: not protected.ward.turning())
    protected.ward.until(protected.ward.turning)
    fault = runtime.send(signal.SIGTERM)
    protected.ward.zero_within(fault, PERIOD_S)
    assert runtime.wait() == 143
    told = json.loads(runtime.output.read_text())["incidents"][-1]
    assert told["reason"] == "fault" and "policy spin: RuntimeError at patient.py" in told["message"]
    assert told["stopped_s"] > 0.05
    assert "harm was done to act" in runtime.text and "something failed: policy spin" in runtime.text
    assert "terminated after" in runtime.text


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGKILL])
def test_without_a_handler_and_without_a_deadline_the_wheels_go_on_after_a_signal(
    bare: Couple, number: signal.Signals
) -> None:
    runtime = bare.runtime
    if number != signal.SIGKILL:
        runtime.do(f"ctypes.CDLL(None).signal({int(number)}, ctypes.c_void_p(1))")  # SIG_IGN
    with pytest.raises(WheelsTurn):
        bare.ward.zero_within(runtime.send(number), PERIOD_S if number != signal.SIGKILL else HOLD_S)


DISK = {
    # What the kernel says to a write there: no space left; and to one into a file opened for reading only.
    "full disk": ("become('/dev/full', loop.recorder._disk._number, os.O_WRONLY)", "No space left on device"),
    "read-only disk": ("become('/dev/null', loop.recorder._disk._number, os.O_RDONLY)", "Bad file descriptor"),
}


@pytest.mark.parametrize("fault", DISK)
def test_a_disk_that_takes_no_more_ends_the_recording_and_a_closed_log_nothing_at_all(
    tmp_path: Path, fault: str
) -> None:
    harm, words = DISK[fault]
    with ward(tmp_path) as cleared:
        cleared.motord()
        runtime = cleared.runtime("--record", str(tmp_path / "run.mcap"))
        runtime.close_log()
        runtime.do(f"loop = SEEN['Loop']; {harm}")
        cleared.until(lambda: runtime.do("value = loop.recorder is None or loop.recorder.error"), runtime)
        ended, ticks = time.monotonic(), runtime.do("value = loop._ticks")
        cleared.until(lambda: runtime.do("value = loop._ticks") > ticks + 25, runtime)
        assert cleared.turning()
        assert len([moment for moment in cleared.moments() if moment.stamp > ended]) <= 8, "it halts again and again"
        cleared.zero_within(runtime.send(signal.SIGTERM), PERIOD_S)
        assert runtime.wait() == 143
        told = json.loads(runtime.output.read_text())  # though nobody took the log
        assert told["ended"] == "terminated"
        assert words in told["recording"]["error"]


def test_a_recorder_that_raises_ends_the_drive_where_the_loop_does_not_let_it_go(tmp_path: Path) -> None:
    with ward(tmp_path) as cleared:
        cleared.motord()
        runtime = cleared.runtime()
        runtime.do(STUBS)
        runtime.do(
            """
def harmed(error):
    raise error
loop._lose_recording = harmed
full = open("/dev/full", "wb", buffering=0)
loop.recorder.tick = lambda tick: full.write(b"x")
"""
        )
        with pytest.raises(NotDriving):
            cleared.until(lambda: False, runtime)
        assert runtime.wait() == 1
        assert "No space left on device" in runtime.text


def test_where_a_recording_cannot_begin_the_runtime_refuses_and_no_wheel_turns(tmp_path: Path) -> None:
    with ward(tmp_path) as cleared:
        cleared.motord()
        for place in ("/proc/edgebot/run.mcap", "/dev/full"):  # a file system that takes no files; a disk that is full
            runtime = cleared.runtime("--record", place, driving=False)
            assert runtime.wait() == 2
            assert "cannot be written" in runtime.text and "Traceback" not in runtime.text
        assert len(cleared.moments()) == 1


def test_with_its_log_closed_from_the_start_it_drives_and_its_code_is_the_runs(tmp_path: Path) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    done = subprocess.run(
        [sys.executable, "-m", "edge.cli", "run", "--sim", "--policy", "light", "--duration", "0.2", "--json"],
        cwd=ROOT, stdout=subprocess.PIPE, stderr=writing, timeout=60,
    )  # fmt: skip
    os.close(writing)
    assert done.returncode == 0
    assert json.loads(done.stdout)["ticks"] == 10
