"""The server's loop by itself: what feeds the watchdog, what it survives, and what it never waits for."""

from __future__ import annotations

import os
import signal
import socket
import time

import pytest

from robot.clock import WallClock
from robot.motor_port import MotorCore
from robot.motor_report import Cause, Flag, Switch
from robot.motord import protocol
from robot.motord.latch import Latch
from robot.motord.protocol import Kind
from robot.motord.server import Server
from robot.notify import Notifier
from robot.types import STOP, Wheels
from tests.robot.motord.harness import PATIENCE_S, wait


class Driver:
    def __init__(self):
        self.duties, self.broken = Wheels(9.0, 9.0), 0

    def write(self, wheels):
        self.duties = wheels

    def zero(self):
        if self.broken:
            self.broken -= 1
            raise OSError("the pin does not answer")
        self.duties = STOP

    def close(self):
        pass


class Bench:
    """A server that goes round when it is told to."""

    def __init__(self, folder, **environment):
        self.path, self.driver, self.switch, self.said = folder / "m.sock", Driver(), Switch.RELEASED, []
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        listener.bind(str(self.path))
        listener.listen(32)
        self.clock, self.latch = WallClock(), Latch(folder / "latch")
        self.core = MotorCore(self.driver, self.clock, 0.2)
        notifier = Notifier(environment)
        self.server = Server(
            self.core, listener, lambda: self.switch, self.latch, self.clock, notifier, say=self.said.append
        )
        self.open = [listener]

    def connect(self):
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        sock.connect(str(self.path))
        sock.setblocking(False)
        self.open.append(sock)
        return sock

    def turn(self, times=3):
        for _ in range(times):
            self.server.step()

    def say(self, sock, data):
        """Send, let the server work, and read the answer."""
        sock.send(data)
        self.turn()
        return sock.recv(4096)


@pytest.fixture
def bench(tmp_path):
    made = Bench(tmp_path)
    yield made
    for sock in made.open:
        sock.close()


def command(bench, sock):
    return bench.say(sock, protocol.command(1, 0.5, 0.25, time.monotonic() + 0.2))


def test_nothing_but_the_loop_feeds_the_watchdog(tmp_path):
    """One that hangs sends no more: the service manager kills it then."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(tmp_path / "n.sock"))
        manager.setblocking(False)
        bench = Bench(tmp_path, NOTIFY_SOCKET=str(tmp_path / "n.sock"), WATCHDOG_USEC="40000")

        def heard():
            found = []
            while True:
                try:
                    found.append(manager.recv(999))
                except BlockingIOError:
                    return found

        end = time.monotonic() + 0.3
        while time.monotonic() < end:
            bench.server.step()
        assert heard().count(b"WATCHDOG=1") >= 5
        time.sleep(0.2)  # a loop that does not go round
        assert heard() == []
        bench.server.step()
        assert b"WATCHDOG=1" in heard()


def test_the_real_process_tells_the_manager(start, tmp_path):
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(tmp_path / "n.sock"))
        manager.settimeout(PATIENCE_S)
        motord = start(NOTIFY_SOCKET=str(tmp_path / "n.sock"), WATCHDOG_USEC="100000")
        assert manager.recv(999).startswith(b"READY=1\nSTATUS=wheels at zero")
        wait(lambda: manager.recv(999) == b"WATCHDOG=1", "the watchdog is fed")
        motord.process.send_signal(signal.SIGSTOP)
        time.sleep(0.05)
        manager.setblocking(False)
        while True:  # what it had said before
            try:
                manager.recv(999)
            except BlockingIOError:
                break
        time.sleep(0.3)
        with pytest.raises(BlockingIOError):
            manager.recv(999)
        motord.process.send_signal(signal.SIGCONT)
        manager.settimeout(PATIENCE_S)
        assert manager.recv(999) == b"WATCHDOG=1"
        motord.process.send_signal(signal.SIGTERM)
        wait(lambda: manager.recv(999) == b"STOPPING=1", "its end is told")


def test_one_who_never_reads_holds_nobody_up(bench):
    sock = bench.connect()
    for k in range(3000):
        with_answer = protocol.command(k, 0.5, 0.5, time.monotonic() + 0.2)
        sock.send(with_answer)
        bench.turn(1)
    assert bench.driver.duties == Wheels(0.5, 0.5)
    sock.send(protocol.request(Kind.STOP, 9))
    bench.turn()
    assert bench.driver.duties == STOP


def test_a_half_open_driver_is_stopped_by_the_clock_and_by_its_end(bench):
    sock = bench.connect()
    command(bench, sock)
    sock.shutdown(socket.SHUT_WR)  # sends nothing more, though its socket is there
    bench.turn()
    assert bench.driver.duties == STOP and bench.server.report().cause is Cause.GONE
    assert Flag.DRIVEN not in bench.server.report().flags


def test_a_zero_that_a_pin_refuses_is_tried_again(bench):
    sock = bench.connect()
    command(bench, sock)
    bench.driver.broken = 3
    sock.send(protocol.request(Kind.STOP, 2))
    bench.turn()
    bench.turn(10)
    assert bench.driver.duties == STOP


def test_a_switch_that_cannot_be_read_counts_as_pressed(bench):
    sock = bench.connect()
    command(bench, sock)
    bench.switch = Switch.FAILED
    time.sleep(0.02)
    bench.turn()
    assert bench.driver.duties == STOP and bench.latch.latched
    kind, _ = protocol.head(bench.say(sock, protocol.request(Kind.ACKNOWLEDGE, 3)))
    assert kind is Kind.REFUSED and bench.latch.latched


def test_a_full_disk_at_the_press_holds_and_is_told(bench, monkeypatch):
    sock = bench.connect()
    command(bench, sock)

    def full(handle, data, offset):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "pwrite", full)
    bench.switch = Switch.PRESSED
    time.sleep(0.02)
    bench.turn()
    assert bench.driver.duties == STOP
    bench.switch = Switch.RELEASED
    time.sleep(0.02)
    report = protocol.read_report(command(bench, sock))
    assert report.stopped and report.applied == STOP and Flag.UNSTORED in report.flags
    answer = bench.say(sock, protocol.request(Kind.ACKNOWLEDGE, 4))
    assert "cannot be written" in protocol.read_refused(answer)


def test_too_many_connections_are_refused_and_the_driver_stays(bench):
    sock = bench.connect()
    command(bench, sock)
    others = [bench.connect() for _ in range(30)]
    bench.turn(40)
    refused = []
    for other in others:
        try:
            refused.append(protocol.read_refused(other.recv(4096)))
        except BlockingIOError:
            continue
    assert len(refused) == 15 and "end one of them" in refused[0]
    assert protocol.read_report(command(bench, sock)).applied == Wheels(0.5, 0.25)


def test_the_newest_of_a_batch_counts_good_or_bad(bench):
    sock = bench.connect()
    ahead = time.monotonic() + 0.2
    for data in (protocol.command(1, 0.5, 0.5, ahead), protocol.command(2, float("nan"), 0.0, ahead)):
        sock.send(data)
    bench.turn()
    assert bench.driver.duties == STOP
    good = protocol.command(4, 0.25, 0.25, time.monotonic() + 0.2)
    for data in (b"junk", protocol.command(3, 9.0, 0.0, ahead), good):
        sock.send(data)
    bench.turn()
    assert bench.driver.duties == Wheels(0.25, 0.25)


def test_commands_before_the_end_of_the_socket_are_not_obeyed(bench):
    sock = bench.connect()
    command(bench, sock)
    sock.send(protocol.command(2, 1.0, 1.0, time.monotonic() + 0.2))
    sock.close()
    bench.turn()
    assert bench.driver.duties == STOP


def test_a_halt_counts_though_its_sender_leaves_at_once(bench):
    command(bench, bench.connect())
    passer_by = bench.connect()
    passer_by.send(protocol.request(Kind.HALT, 1))
    passer_by.close()
    bench.turn()
    assert bench.driver.duties == STOP and bench.latch.latched
