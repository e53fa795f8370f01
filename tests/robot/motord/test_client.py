"""The runtime's side: what it says of a process that is late, hung, gone, or not the one that it should be."""

from __future__ import annotations

import math
import os
import signal
import socket
import subprocess
import sys
import threading
import time

import pytest

from robot.errors import RobotError
from robot.motor_port import MotorsLost
from robot.motor_report import Cause
from robot.motord import protocol
from robot.motord.client import REPLY_S, SILENCE_S, MotordPort, ask
from robot.types import STOP, Wheels
from tests.robot.motord.harness import PATIENCE_S, wait

FORWARD = Wheels(0.5, 0.25)
HOLD_S = 0.2


def test_a_hung_process_is_told_and_never_waited_for(start, delay):
    motord = start()
    port = motord.port()
    port.apply(FORWARD, time.monotonic() + HOLD_S)
    motord.process.send_signal(signal.SIGSTOP)
    began, longest, lost_after = time.monotonic(), 0.0, None
    while time.monotonic() < began + 0.6:
        before = time.monotonic()
        try:
            port.apply(FORWARD, before + HOLD_S)
        except MotorsLost as error:
            assert "has not answered for" in str(error) or "does not answer" in str(error)
            lost_after = lost_after or time.monotonic() - began
        port.report()
        longest = max(longest, time.monotonic() - before)
        time.sleep(0.02)
    assert lost_after is not None and lost_after >= SILENCE_S
    assert longest <= 2 * REPLY_S + SILENCE_S / 10 + 2 * delay.worst_s  # far less than the loop's deadline
    assert port.late > 0 and port.losses == 1 and port.fault

    def drives():
        try:
            return port.apply(FORWARD, time.monotonic() + HOLD_S) == FORWARD
        except MotorsLost:
            return False

    motord.process.send_signal(signal.SIGCONT)
    wait(drives, "driving again")
    assert motord.wheels == FORWARD and not port.fault
    # All that was sent while it hung had expired or belonged to a socket that was closed: the wheels went to zero.
    assert [moment.wheels for moment in motord.duties() if moment.stamp > began][0] != FORWARD


def test_one_late_answer_is_no_fault(start):
    motord = start()
    port = motord.port()
    assert port.apply(FORWARD, time.monotonic() + HOLD_S) == FORWARD
    motord.process.send_signal(signal.SIGSTOP)
    assert port.apply(Wheels(0.1, 0.1), time.monotonic() + HOLD_S) == FORWARD  # what is known to be applied
    motord.process.send_signal(signal.SIGCONT)
    wait(lambda: port.apply(FORWARD, time.monotonic() + HOLD_S) == FORWARD, "an answer")
    assert (port.losses, port.fault) == (0, "") and port.late >= 1


def test_the_report_is_asked_for_where_nobody_drives(start):
    motord = start()
    port = motord.port()
    first = port.report().stamp
    wait(lambda: port.report().stamp > first, "a newer report")
    motord.pressed.touch()
    wait(lambda: port.report().stopped, "the emergency stop")
    assert time.monotonic() - port.report().stamp < 5


def test_no_command_stops_and_raises(start):
    motord = start()
    port = motord.port()
    for bad in (Wheels(math.nan, 0.0), Wheels(1.5, 0.0), None, Wheels("x", 0.0)):
        port.apply(FORWARD, time.monotonic() + HOLD_S)
        with pytest.raises(ValueError, match="stopped"):
            port.apply(bad, time.monotonic() + HOLD_S)
        wait(lambda: motord.wheels == STOP, "zero")
        assert motord.status().cause is Cause.STOPPED


def test_a_stop_in_the_midst_of_a_command_wins(start, monkeypatch):
    motord = start()
    port = motord.port()
    send = port._send
    monkeypatch.setattr(port, "_send", lambda data: (port.stop(), send(data)))  # as a signal handler would
    assert port.apply(FORWARD, time.monotonic() + HOLD_S) == STOP
    wait(lambda: motord.status().cause is Cause.STOPPED and motord.wheels == STOP, "zero")


def test_close_may_be_repeated_and_ends_driving(start):
    motord = start()
    port = motord.port()
    port.apply(FORWARD, time.monotonic() + HOLD_S)
    for _ in range(2):
        port.close()
    port.stop()
    wait(lambda: motord.wheels == STOP, "zero")
    with pytest.raises(RobotError, match="closed"):
        port.apply(FORWARD, time.monotonic() + HOLD_S)


def test_many_threads(start):
    motord = start()
    port = motord.port()
    faults = []

    def work(duty):
        try:
            for _ in range(100):
                port.apply(Wheels(duty, duty), time.monotonic() + HOLD_S)
                port.report()
                port.stop()
        except Exception as error:
            faults.append(error)

    threads = [threading.Thread(target=work, args=(k / 10,)) for k in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not faults
    wait(lambda: motord.wheels == STOP, "zero")


@pytest.mark.parametrize("call", [MotordPort, ask])
def test_no_process_is_told(tmp_path, call):
    path = tmp_path / "nobody.sock"
    with pytest.raises(RobotError, match="does not run .*systemctl start edgebot-motord"):
        call(path)
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as dead:
        dead.bind(str(path))
    with pytest.raises(RobotError, match="does not run"):
        call(path)
    (tmp_path / "file").touch()
    with pytest.raises(RobotError, match="does not run|cannot be reached"):
        call(tmp_path / "file")


def test_no_permission_is_told(tmp_path, monkeypatch):
    def refuse(self, path):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    with pytest.raises(RobotError, match=r"usermod -aG \S+ \$USER"):
        MotordPort(tmp_path / "m.sock")


def test_one_that_never_answers_is_told(tmp_path, monkeypatch):
    monkeypatch.setattr("robot.motord.client._CONNECT_S", 0.1)
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as silent:
        silent.bind(str(tmp_path / "m.sock"))
        silent.listen(1)
        with pytest.raises(RobotError, match="does not answer"):
            MotordPort(tmp_path / "m.sock")
        with pytest.raises(RobotError, match="does not answer"):
            ask(tmp_path / "m.sock", patience_s=0.1)


def test_another_robots_configuration_is_refused(start):
    motord = start()
    with pytest.raises(RobotError, match="another robot's pins or limits.*edgebot motors config"):
        MotordPort(motord.socket, motord.config.digest + 1)
    assert motord.port().fault == ""


def test_another_version_is_told(tmp_path):
    path = tmp_path / "m.sock"
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as old:
        old.bind(str(path))
        old.listen(1)

        def answer():
            other, _ = old.accept()
            data = other.recv(999)
            other.send(b"EB\x09" + data[3:])
            time.sleep(0.2)
            other.close()

        thread = threading.Thread(target=answer)
        thread.start()
        with pytest.raises(RobotError, match="version 9 of the motors' protocol"):
            MotordPort(path)
        thread.join()


def test_the_driver_is_named(start):
    motord = start()
    assert motord.status().driver == 0
    motord.port()
    assert motord.status().driver == os.getpid()


def test_a_driver_whose_socket_a_child_inherited_is_replaced(start):
    """A process that forks and dies leaves its socket open in the child: that is no driver."""
    motord = start()
    code = (
        "import os, sys, time\n"
        "from robot.motord.client import MotordPort\n"
        "port = MotordPort(sys.argv[1])\n"
        "child = os.fork()\n"
        "if child == 0: time.sleep(20)\n"
        "else: print(child, flush=True)\n"
        "os._exit(0)\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code, str(motord.socket)], env=motord.environment, stdout=subprocess.PIPE, text=True
    ) as runtime:
        child = int(runtime.stdout.readline())
        assert runtime.wait(PATIENCE_S) == 0
        try:
            assert motord.port().apply(FORWARD, time.monotonic() + HOLD_S) == FORWARD
        finally:
            os.kill(child, signal.SIGKILL)


def test_answers_to_no_question_are_harmless(start):
    motord = start()
    port = motord.port()
    for _ in range(50):
        port._socket.send(protocol.request(protocol.Kind.ASK, 2**63))
    assert port.apply(FORWARD, time.monotonic() + HOLD_S) == FORWARD
