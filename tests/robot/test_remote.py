"""The processor in the loop: a simulated body over TCP, and every way in which the way there can fail."""

from __future__ import annotations

import socket
import threading
import time
from contextlib import contextmanager, suppress

import numpy as np
import pytest

from edge.guard import MOVING, Guard, Reason
from edge.loop import Loop
from edge.policies import make
from edge.summary import Ended
from robot.clock import WallClock
from robot.config import load
from robot.errors import RobotError
from robot.motor_port import LinkLost
from robot.open import open_body
from robot.remote import wire
from robot.remote.body import RemoteBody, parse
from robot.remote.server import Server, exactly
from robot.remote.wire import Channel, Kind, WireError, pack_senses, unpack_senses
from robot.sim.camera import Camera
from robot.sim.rooms import make_room
from robot.types import STOP, Reading, Senses, Twist, Wheels

TOKEN = b"0123456789abcdef"
CONFIG = load()
SMALL = CONFIG.model_copy(update={"camera": CONFIG.camera.model_copy(update={"width_px": 64, "height_px": 48})})
PATIENCE_S = 20.0
ROOM = make_room("light", "easy", 7)


class Host:
    """A served simulation in this process, whose wheels can be looked at."""

    def __init__(self, opening_s=0.0):
        self.said, self.bodies, self.ended = [], [], []

        def opening():
            time.sleep(opening_s)
            self.bodies.append(open_body(SMALL, "sim", WallClock(), ROOM, seed=1))
            return self.bodies[-1]

        self.server = Server(
            SMALL, opening, socket.AF_INET, ("127.0.0.1", 0), TOKEN, self.said.append, self.ended.append
        )
        self.address = f"tcp://127.0.0.1:{self.server.port}"
        self.thread = threading.Thread(target=self.server.run)
        self.thread.start()

    def close(self):
        self.server.close()
        self.thread.join()

    @property
    def wheels(self):
        return self.bodies[-1].motors().applied


@pytest.fixture
def host():
    host = Host()
    yield host
    host.close()


def wait(true, what):
    until = time.monotonic() + PATIENCE_S
    while True:
        with suppress(LinkLost):  # a machine that is too busy to answer for a moment is no fault
            if true():
                return
        assert time.monotonic() < until, what
        time.sleep(0.005)


def push(body):
    """Drive once; a machine that is too busy to answer for a moment is no fault."""
    with suppress(LinkLost):
        body.drive(Wheels(0.4, 0.3))


def drive(body, seconds=0.3):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        push(body)
        time.sleep(0.02)


def test_it_senses_and_drives_as_the_body_does(host):
    with RemoteBody(host.address, TOKEN) as body:
        assert body.config == SMALL
        drive(body)
        wait(lambda: (push(body), host.wheels)[1] == Wheels(0.4, 0.3), "it does not drive")
        found = []
        wait(lambda: (found.append(body.sense()), found[-1].light_left.value is not None)[1], "no senses")
        senses = found[-1]
        age = senses.stamp - senses.range.stamp
        assert 0 <= age < 1.0 and senses.frame is None and senses.emergency_stop.value == 0.0
        body.stop()
        wait(lambda: host.wheels == STOP, "stop does not stop")
        link = body.link()
        assert link["round_trips"] > 5 and 0 < link["p50_ms"] <= link["p99_ms"] and "there and back" in body.note
    wait(lambda: host.ended == host.bodies, "the run's end is not noticed")
    with pytest.raises(RobotError, match="closed"):
        body.sense()


def test_frames_come_when_they_are_wanted(host):
    with RemoteBody(host.address, TOKEN).watching(True) as body:
        found = []
        wait(lambda: (found.append(body.sense().frame), found[-1] is not None)[1], "no frame")
        frame = found[-1]
        assert frame.image.shape == (48, 64, 3) and frame.stamp <= time.monotonic()
        truth = host.bodies[-1].sense().frame.image
        assert np.abs(frame.image.astype(int) - truth).mean() < 12  # the same picture, RGB, but for JPEG's loss


@pytest.mark.parametrize("how", ["silent", "closed", "held up"])
def test_the_wheels_are_at_zero_when_the_link_is_gone(host, how):
    body = RemoteBody(host.address, TOKEN)
    drive(body)
    wait(lambda: (push(body), host.wheels)[1] != STOP, "it does not drive")
    gone = time.monotonic()
    if how == "silent":
        body._lock.acquire()  # nothing more is sent: a half-open link
    elif how == "closed":
        body._socket.shutdown(socket.SHUT_RDWR)
    else:
        body._send(Kind.DRIVE, wire.DRIVE.pack(0.4, 0.3, body._heard_stamp - 1.0))  # it comes of old senses
    wait(lambda: host.wheels == STOP, "the wheels turn on")
    took = time.monotonic() - gone
    assert took < CONFIG.drive.command_timeout_s + 0.6  # and this machine's own delays
    if how == "silent":
        body._lock.release()
    body.close()


def test_it_comes_back_to_the_same_world(host):
    with RemoteBody(host.address, TOKEN) as body:
        drive(body)
        body._socket.shutdown(socket.SHUT_RDWR)
        wait(lambda: body.losses >= 1, "the loss is not noticed")

        def drives():
            try:
                body.drive(Wheels(0.4, 0.3))
            except LinkLost as error:
                assert "\n" not in str(error)
                return False
            return host.wheels != STOP

        wait(drives, "the link does not come back")
        assert len(host.bodies) == 1 and "lost" in body.note


def hold(host):
    """Let the served body, and so the server, say nothing more; returns what lets it go on."""
    host.bodies[-1]._lock.acquire()
    return host.bodies[-1]._lock.release


@pytest.mark.parametrize("how", ["silent", "gone"])
def test_a_lost_link_is_called_so_and_ends_the_run(host, how):
    body, let_go = RemoteBody(host.address, TOKEN), []

    def lose(tick):
        if tick.index == 10:
            let_go.append(hold(host) if how == "silent" else host.close)
            if how == "gone":
                let_go.pop()()

    loop = Loop(body, make("straight", body.config), Guard(body.config), body.clock)
    summary = loop.run(1.4, on_tick=lose)
    for each in let_go:
        each()
    body.close()
    assert summary.ended is Ended.FAULT and "wheels there are at zero; that was still so" in summary.message
    assert summary.reasons[Reason.LOST_LINK] > 30 and Reason.EMERGENCY_STOP not in summary.reasons


def test_a_link_that_comes_back_fails_no_run(host):
    body, let_go, reasons = RemoteBody(host.address, TOKEN), [], []

    def blink(tick):
        reasons.append(tick.reason)
        if tick.index == 10:
            let_go.append(hold(host))
        elif let_go and reasons.count(Reason.LOST_LINK) == 5:
            let_go.pop()()

    loop = Loop(body, make("straight", body.config), Guard(body.config), body.clock)
    summary = loop.run(PATIENCE_S, lambda: Reason.LOST_LINK in reasons and reasons[-1] in MOVING, blink)
    body.close()
    assert summary.ended is Ended.GOAL and "fault" not in summary.reasons


def test_nothing_is_rendered_that_nobody_wants(host, monkeypatch):
    rendered, render = [], Camera.render
    monkeypatch.setattr(Camera, "render", lambda *given: (rendered.append(1), render(*given))[1])
    with RemoteBody(host.address, TOKEN) as body:
        drive(body)
        assert host.bodies[-1].seconds > 2 / SMALL.camera.fps and not rendered
        body.watching(True)
        wait(lambda: rendered, "no frame")


def test_a_world_that_opens_slowly_is_waited_for(monkeypatch):
    monkeypatch.setattr("robot.remote.body.CONNECT_S", 0.4)
    monkeypatch.setattr("robot.remote.body._SILENT_S", 0.4)
    host = Host(opening_s=1.2)
    with RemoteBody(host.address, TOKEN) as body:
        assert body.losses == 0 and body.sense().range is not None
    host.close()


def test_a_server_that_hangs_is_told_from_one_that_has_a_driver(host, monkeypatch):
    monkeypatch.setattr("robot.remote.body.CONNECT_S", 0.4)
    monkeypatch.setattr(Server, "_serve", lambda *given: time.sleep(0.8))
    with pytest.raises(RobotError, match="says nothing for 0.4 s"):
        RemoteBody(host.address, TOKEN)


def test_a_new_run_gets_a_new_world(host):
    for _ in range(2):
        RemoteBody(host.address, TOKEN).close()
        wait(lambda: not host.server._driving.locked(), "it stays")
    assert len(host.bodies) == 2


def test_bad_commands_stop(host):
    with RemoteBody(host.address, TOKEN) as body:
        drive(body)
        with pytest.raises(ValueError, match="stopped"):
            body.drive(Twist(float("nan"), 0.0))
        wait(lambda: host.wheels == STOP, "the wheels turn on")


def test_a_second_driver_is_told(host):
    with RemoteBody(host.address, TOKEN), pytest.raises(RobotError, match="has a driver already"):
        RemoteBody(host.address, TOKEN)


def test_another_token_is_told_on_both_sides(host):
    with pytest.raises(RobotError, match="another token"):
        RemoteBody(host.address, b"another token 123")
    wait(lambda: any("another token" in line for line in host.said), "it does not say so")
    assert not host.bodies


def raw(host):
    sock = socket.create_connection(("127.0.0.1", host.server.port))
    sock.settimeout(PATIENCE_S)
    _, _, nonce = wire.HELLO.unpack(exactly(sock, wire.HELLO.size))
    return sock, nonce


def test_another_version_is_told(host):
    sock, _ = raw(host)
    sock.sendall(wire.CLAIM.pack(wire.MAGIC, wire.VERSION + 1, bytes(16), bytes(8), bytes(32)))
    assert exactly(sock, 1)[0] == wire.REFUSED
    assert b"install the same edgebot" in exactly(sock, int.from_bytes(exactly(sock, 2), "big"))


@pytest.mark.parametrize("garbage", [b"GET / HTTP/1.1\r\n\r\n" + bytes(100), b"", bytes(60)])
def test_garbage_is_turned_away_and_the_next_one_is_served(host, garbage):
    sock, _ = raw(host)
    sock.sendall(garbage)
    with suppress(OSError):  # it may have been quicker
        sock.shutdown(socket.SHUT_WR)
    wait(lambda: host.said, "nothing is said")
    with RemoteBody(host.address, TOKEN) as body:
        drive(body, 0.1)


@pytest.mark.parametrize("what", ["altered", "replayed", "no message", "huge"])
def test_garbage_after_the_handshake_ends_it_with_the_wheels_at_zero(host, what):
    with RemoteBody(host.address, TOKEN) as body:
        drive(body)
        with body._lock:
            data = body._channel.pack(Kind.DRIVE, wire.DRIVE.pack(0.9, 0.9, 1e9))
            body._socket.sendall(
                {
                    "altered": data[:20] + b"\x7f" + data[21:], "replayed": data + data, "no message": bytes(200),
                    "huge": wire.HEAD.pack(1 << 31, 4, 1) + bytes(64),
                }[what]
            )  # fmt: skip
        wait(lambda: any("sealed" in line or "none of edgebot" in line for line in host.said), "it is not noticed")
        wait(lambda: host.wheels == STOP or host.wheels == Wheels(0.4, 0.3), "the wheels have what nobody sealed")


@contextmanager
def impostor(answer):
    listener = socket.create_server(("127.0.0.1", 0))

    def serve():
        connection, _ = listener.accept()
        with connection:
            connection.sendall(answer)
            time.sleep(0.3)

    thread = threading.Thread(target=serve)
    thread.start()
    yield f"tcp://127.0.0.1:{listener.getsockname()[1]}"
    thread.join()
    listener.close()


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        (b"SSH-2.0-OpenSSH_9.2 and more of it", "no `edgebot sim --serve`"),
        (wire.HELLO.pack(b"EBS", 9, bytes(16)), "version 9"),
        (wire.HELLO.pack(b"EBS", 1, bytes(16)) + b"\1" + bytes(32), "does not know our token"),
        (b"", "closed|nothing"),
    ],
)
def test_what_is_no_simulation_is_one_sentence(answer, why):
    with impostor(answer) as address, pytest.raises(RobotError, match=why) as caught:
        RemoteBody(address, TOKEN)
    assert "\n" not in str(caught.value)


def test_nobody_there():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        with pytest.raises(RobotError, match="edgebot sim --serve"):
            RemoteBody(f"tcp://127.0.0.1:{taken.getsockname()[1]}", TOKEN)


def test_addresses():
    assert parse("tcp://laptop") == ("laptop", wire.PORT) and parse("tcp://[::1]:99") == ("::1", 99)
    for bad in ("laptop:7246", "http://laptop", "tcp://", "tcp://laptop:x", "tcp://laptop/more"):
        with pytest.raises(RobotError, match="tcp://laptop:7246"):
            parse(bad)


def test_senses_survive_the_wire():
    nan = float("nan")
    senses = Senses(5.0, Reading(0.5, 4.0), Reading(None, 4.5), Reading(nan, 4.9), bump_left=Reading(1.0, 5.0))
    found, stamp, heard, since, applied = unpack_senses(pack_senses(senses, 7, 0.25, 0.1, -0.2))
    assert (stamp, heard, since, applied) == (5.0, 7, 0.25, (0.1, -0.2))
    assert found["light_left"] == Reading(0.5, 4.0) and found["light_right"] == Reading(None, 4.5)
    assert np.isnan(found["range"].value) and found["bump_left"].value == 1.0 and found["tilt"] is None
    with pytest.raises(WireError, match="same one"):
        unpack_senses(bytes(10))


def test_messages_in_pieces():
    a, b = Channel(b"k", b"client", b"server"), Channel(b"k", b"server", b"client")
    data = a.pack(Kind.STOP) + a.pack(Kind.CAMERA, b"\1")
    found = [message for byte in data for message in b.feed(bytes([byte]))]
    assert found == [(Kind.STOP, 1, b""), (Kind.CAMERA, 2, b"\1")]
    with pytest.raises(WireError):
        a.feed(a.pack(Kind.STOP))  # sent back to its sender
