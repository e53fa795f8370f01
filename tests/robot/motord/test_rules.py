"""The real process on mock pins: the emergency stop, who may drive, and what the process is made of."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time

import pytest

from robot.errors import RobotError
from robot.motor_report import Cause, Flag, Switch
from robot.motord import protocol
from robot.motord.client import MotordPort, ask
from robot.motord.protocol import Kind
from robot.types import STOP, Wheels
from tests.robot.motord.harness import (
    FORWARD,
    HOLD_S,
    ROOT,
    SLACK_S,
    drive,
    raw,
    say,
    wait,
    zero_after,
)

# The emergency stop.


def test_the_emergency_stop_needs_switch_and_acknowledgement(start, delay):
    motord = start()
    port = motord.port()
    drive(port)
    before = time.monotonic()
    motord.pressed.touch()
    wait(lambda: motord.wheels == STOP, "the emergency stop")
    assert zero_after(motord, before) - before <= 0.01 + SLACK_S + 2 * delay.worst_s
    assert port.apply(FORWARD, time.monotonic() + HOLD_S) == STOP  # not while it is pressed
    report = motord.status()
    assert (report.switch, report.cause, report.stopped) == (Switch.PRESSED, Cause.EMERGENCY_STOP, True)
    with pytest.raises(RobotError, match="still pressed"):
        ask(motord.socket, Kind.ACKNOWLEDGE)
    motord.pressed.unlink()
    wait(lambda: motord.status().switch is Switch.RELEASED, "released")
    assert port.apply(FORWARD, time.monotonic() + HOLD_S) == STOP  # not released alone
    assert (motord.status().cause, motord.status().stopped) == (Cause.LATCHED, True)
    assert not ask(motord.socket, Kind.ACKNOWLEDGE).stopped
    assert port.apply(FORWARD, time.monotonic() + HOLD_S) == FORWARD


@pytest.mark.parametrize("end", [signal.SIGKILL, signal.SIGTERM])
def test_the_latch_outlives_the_process(start, end):
    motord = start("--state", "kept/here")
    motord.pressed.touch()
    wait(lambda: motord.status().stopped, "the emergency stop")
    motord.kill(end)
    motord.pressed.unlink()
    motord.start()
    assert (motord.status().switch, motord.status().cause) == (Switch.RELEASED, Cause.LATCHED)
    assert motord.port().apply(FORWARD, time.monotonic() + HOLD_S) == STOP
    ask(motord.socket, Kind.ACKNOWLEDGE)
    motord.kill(end)
    motord.start()
    assert motord.port().apply(FORWARD, time.monotonic() + HOLD_S) == FORWARD


def test_anyone_may_stop_for_good_while_another_drives(start):
    motord = start()
    port = motord.port()
    drive(port)
    assert ask(motord.socket, Kind.HALT).stopped
    assert motord.wheels == STOP
    assert port.apply(FORWARD, time.monotonic() + HOLD_S) == STOP
    ask(motord.socket, Kind.ACKNOWLEDGE)
    assert port.apply(FORWARD, time.monotonic() + HOLD_S) == FORWARD


# Who may drive.


def test_a_second_driver_is_refused_with_a_sentence(start):
    motord = start()
    port = motord.port()
    drive(port, 0.0)
    with pytest.raises(RobotError, match=f"a driver already, process {os.getpid()}; end it first"):
        MotordPort(motord.socket)
    with raw(motord) as sock:  # nor does a command without asking
        kind, _ = protocol.head(say(sock, protocol.command(1, -1.0, -1.0, time.monotonic() + HOLD_S)))
        assert kind is Kind.REFUSED and motord.wheels != Wheels(-1.0, -1.0)
    assert port.apply(FORWARD, time.monotonic() + HOLD_S) == FORWARD
    port.close()
    wait(lambda: motord.wheels == STOP, "zero")
    assert motord.port().apply(FORWARD, time.monotonic() + HOLD_S) == FORWARD


def test_one_who_only_looks_moves_nothing(start):
    motord = start()
    drive(motord.port(), 0.0)
    with raw(motord) as sock:
        say(sock, protocol.request(Kind.STOP, 1))  # the driver's alone
        assert motord.wheels == FORWARD
        kind, _ = protocol.head(say(sock, b"junk"))
        assert kind is Kind.REFUSED and motord.wheels == FORWARD


def test_the_sockets_file_is_the_only_door(start):
    motord = start()
    assert motord.socket.stat().st_mode & 0o777 == 0o660
    assert start("--socket-mode", "600").socket.stat().st_mode & 0o777 == 0o600


def test_a_second_process_for_the_same_socket_is_refused(start):
    motord = start()
    drive(motord.port(), 0.0)
    second = subprocess.run(motord.command, cwd=motord.folder, env=motord.environment, capture_output=True, text=True)
    assert second.returncode == 2 and "another edgebot-motord runs" in second.stderr
    assert second.stderr.count("\n") == 1
    assert motord.status().flags & Flag.DRIVEN and motord.socket.exists()


# What it is made of.


def test_it_stays_below_30_mb_and_needs_no_numpy(start):
    motord = start()
    port = motord.port()
    for _ in range(200):
        port.apply(Wheels(0.5, -0.5), time.monotonic() + HOLD_S)
    with open(f"/proc/{motord.process.pid}/status") as file:
        status = dict(line.split(":", 1) for line in file)
    assert int(status["VmHWM"].split()[0]) < 30_000, "resident kB at most"
    assert int(status["Threads"]) == 1
    with open(f"/proc/{motord.process.pid}/maps") as file:
        libraries = file.read()
    assert "numpy" not in libraries and "pydantic" not in libraries


def test_its_modules_are_the_standard_library_gpiozero_and_few_of_ours(tmp_path, config):
    code = (
        "import sys, robot.motord.main as main, robot.motord.server as server\n"
        "def step(self): raise KeyboardInterrupt\n"
        "server.Server.step = step\n"
        "import os; leave = os._exit\n"
        "def show(code): print(*sorted({name.split('.')[0] for name in sys.modules})); sys.stdout.flush(); leave(0)\n"
        "main.os._exit = show\n"
        "main.main()\n"
    )
    (tmp_path / "m.json").write_text(config.text())
    command = [sys.executable, "-c", code, "--config", "m.json", "--pins", "mock", "--socket", "m.sock"]
    ran = subprocess.run(
        command, cwd=tmp_path, env=os.environ | {"PYTHONPATH": str(ROOT)}, capture_output=True, text=True
    )
    names = set(ran.stdout.split())
    assert "gpiozero" in names, ran.stderr
    ours = {"robot", "gpiozero", "colorzero", "lgpio", "__main__"}
    known = sys.stdlib_module_names | ours | {n for n in names if n.startswith(("_", "sitecustomize", "distutils"))}
    assert names <= known, sorted(names - known)
