"""Bodies whose motors have a process of their own: a Pi's on virtual sensor pins, and a simulated one."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time

import pytest

from robot.clock import VirtualClock, WallClock
from robot.config import load
from robot.errors import RobotError
from robot.motor_port import MotorsLost
from robot.motor_report import Cause
from robot.motord.child import Child, ChildPort
from robot.open import open_body, open_motors
from robot.pi.body import PiBody
from robot.pi.virtual import VirtualFactory
from robot.sim.rooms import make_room
from robot.types import STOP, Twist, Wheels
from tests.robot.motord.harness import PATIENCE_S, ROOT, wait

FORWARD = Wheels(0.5, 0.25)


@pytest.fixture
def state(tmp_path, monkeypatch):
    """Where a child keeps its latch."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.delenv("EDGEBOT_MOTORD", raising=False)
    return tmp_path / "state" / "edgebot"


def pi_body(motord):
    return PiBody(
        load(), WallClock(), camera=False, factory=VirtualFactory(WallClock()),
        motors=lambda: open_motors(load(), motord.socket),
    )  # fmt: skip


@pytest.fixture(params=["pi", "sim"])
def body(request, start):
    """(body, motord)"""
    motord = start()
    if request.param == "pi":
        opened = pi_body(motord)
    else:
        room = make_room("light", "easy", 1)
        opened = open_body(load(), "sim", WallClock(), room, camera=False, motord=motord.socket)
    with opened:
        yield opened, motord


def test_drive_reaches_the_process(body):
    opened, motord = body
    assert opened.drive(FORWARD) == FORWARD == motord.wheels == opened.motors().applied
    applied = opened.drive(Twist(0.2, 0.0))
    assert applied.left > 0 and motord.wheels.left == pytest.approx(applied.left, abs=1e-4)
    opened.stop()
    wait(lambda: motord.wheels == STOP, "zero")
    opened.drive(FORWARD)
    opened.close()
    wait(lambda: motord.wheels == STOP, "zero")
    opened.stop()


def test_a_command_whose_senses_are_old_has_expired(body):
    opened, motord = body
    assert opened.drive(FORWARD, time.monotonic() - 1.0) == STOP
    assert motord.wheels == STOP


def test_the_emergency_stop_comes_from_the_process_with_its_stamp(body):
    opened, motord = body

    def stop():
        return opened.sense().emergency_stop

    wait(lambda: stop().value == 0.0, "released")
    assert time.monotonic() - stop().stamp < 5
    motord.pressed.touch()
    wait(lambda: stop().value == 1.0, "pressed")
    assert opened.drive(FORWARD) == STOP
    motord.pressed.unlink()
    wait(lambda: opened.motors().cause is Cause.LATCHED, "latched")
    assert stop().value == 1.0
    motord.process.send_signal(signal.SIGSTOP)  # what it last said grows old, and is not repeated as new
    first = stop().stamp
    time.sleep(0.1)
    assert stop().stamp == first
    motord.process.send_signal(signal.SIGCONT)


def test_a_dead_process_is_told_and_found_again(body):
    opened, motord = body
    opened.drive(FORWARD)
    motord.kill()
    with pytest.raises(MotorsLost):
        opened.drive(FORWARD)
    if hasattr(opened, "world"):
        assert opened._port.applied == STOP  # the simulated wheels do not go on without it
    motord.start()

    def again():
        opened.sense()  # looks for it too: a loop that stands does not drive
        try:
            return opened.drive(FORWARD) == FORWARD
        except MotorsLost:
            return False

    wait(again, "driving again")


def test_one_that_only_senses_finds_it_again_too(start):
    motord = start()
    with pi_body(motord) as body:
        motord.kill()
        wait(lambda: (body.sense(), body._port.fault)[1], "lost")
        before = body.sense().emergency_stop.stamp
        motord.start()
        wait(lambda: body.sense().emergency_stop.stamp > before, "found again")


def test_the_simulated_wheels_turn_as_the_pins_say(start):
    motord = start()
    room = make_room("light", "easy", 1)
    with open_body(load(), "sim", WallClock(), room, camera=False, motord=motord.socket) as body:
        x, y, _ = body.world.pose[:, 0]
        end = time.monotonic() + 0.5
        while time.monotonic() < end:
            body.drive(Wheels(0.6, 0.6))
            body.sense()
            time.sleep(0.02)
        moved = ((body.world.pose[:2, 0] - (x, y)) ** 2).sum() ** 0.5
        assert moved > 0.05
        motord.pressed.touch()
        wait(lambda: body.drive(Wheels(0.6, 0.6)) == STOP, "the emergency stop")
        assert body._port.applied == STOP


@pytest.mark.parametrize(
    "backend, clock, sentence", [("sim", VirtualClock(), "wall clock"), ("pins", VirtualClock(), "no motord")]
)
def test_what_does_not_fit_is_told(start, backend, clock, sentence):
    with pytest.raises(RobotError, match=sentence):
        open_body(load(), backend, clock, make_room("light", "easy", 1), motord=start().socket)


# A process of one's own.


def alive(pid):
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    with open(f"/proc/{pid}/stat") as file:
        return file.read().rsplit(")", 1)[1].split()[0] != "Z"


def test_where_none_runs_one_is_started_and_ends_with_us(state, config, tmp_path):
    port = ChildPort(config, ("--pins", "mock", "--trace", str(tmp_path / "pins.txt")))
    pid = port.child.pid
    assert port.apply(FORWARD, time.monotonic() + 0.2) == FORWARD
    assert (state / "emergency-stop").read_bytes() == b"released\n"
    port.close()
    port.close()
    assert not alive(pid) and not port.child.socket.parent.exists()
    assert (tmp_path / "pins.txt").read_text().splitlines()[-1].endswith("in down")


def test_it_is_started_again_when_it_dies(state, config):
    port = ChildPort(config, ("--pins", "mock"))
    try:
        first = port.child.pid
        os.kill(first, signal.SIGKILL)

        def again():
            try:
                return port.apply(FORWARD, time.monotonic() + 0.2) == FORWARD
            except MotorsLost:
                time.sleep(0.02)
                return False

        wait(again, "driving again")
        assert port.child.pid != first
    finally:
        port.close()


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT])
def test_it_ends_with_the_runtime_however_that_ends(state, config, tmp_path, number):
    code = (
        "import sys, time\n"
        "from robot.motord.child import ChildPort\n"
        "from robot.motord.config import parse\n"
        "from robot.types import Wheels\n"
        "port = ChildPort(parse(open('m.json').read()), ('--pins', 'mock', '--trace', sys.argv[1]))\n"
        "print(port.child.pid, flush=True)\n"
        "while True: port.apply(Wheels(0.5, 0.5), time.monotonic() + 0.2); time.sleep(0.02)\n"
    )
    (tmp_path / "m.json").write_text(config.text())
    pins = tmp_path / "pins.txt"
    with subprocess.Popen(
        [sys.executable, "-c", code, str(pins)], cwd=tmp_path, env=os.environ | {"PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
    ) as runtime:  # fmt: skip
        try:
            pid = int(runtime.stdout.readline())
            wait(lambda: " 0.5000\n" in pins.read_text(), "driving")
            runtime.send_signal(number)
            runtime.wait(PATIENCE_S)
        finally:
            runtime.kill()
    wait(lambda: not alive(pid), "its end")
    assert pins.read_text().splitlines()[-1].endswith("in down")


def test_one_that_does_not_start_is_told_by_its_own_sentence(state, config, tmp_path):
    with pytest.raises(RobotError, match="no Raspberry Pi|gpiozero"):
        Child(config, ("--root", str(tmp_path)))
    with pytest.raises(RobotError, match="'wood' is unknown"):
        Child(config, ("--pins", "wood"))


def test_the_environment_names_a_running_one(start, monkeypatch):
    motord = start()
    monkeypatch.setenv("EDGEBOT_MOTORD", str(motord.socket))
    port = open_motors(load())
    assert port.apply(FORWARD, time.monotonic() + 0.2) == FORWARD == motord.wheels
    port.close()
