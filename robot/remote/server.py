"""Serves one simulated body to one runtime at a time, on the wall clock.

The wheels are the body's own business: a command counts for `drive.command_timeout_s` from the senses behind it, so
they are at zero soon after the link is gone, however it went; and at once when the connection closes.
"""

from __future__ import annotations

import contextlib
import hmac
import os
import select
import socket
import threading
from collections.abc import Callable
from typing import Any

from robot.clock import WallClock
from robot.config import RobotConfig
from robot.errors import RobotError
from robot.remote import wire
from robot.remote.wire import Channel, Kind, WireError
from robot.types import STOP, Senses, Wheels

PERIOD_S = 0.02
SILENT_S = 1.0
"""A client that says nothing for so long is gone: its connection may be half open."""
HANDSHAKE_S = 3.0
_WAITING = 8  # who may be shaking hands at a time
_BACKLOG = 4 << 20  # bytes not yet taken by the client


class Server:
    """Listens, shakes hands, and serves.

    Args:
        config: the robot, which the client is told. opening: makes a body for each new run.
        family, place: where to listen. token: what the client must have too.
        say: a line for people. ended: called with the body of a run that has ended.

    Raises:
        RobotError: it cannot listen there.
    """

    def __init__(
        self,
        config: RobotConfig,
        opening: Callable[[], Any],
        family: socket.AddressFamily,
        place: tuple[str, int],
        token: bytes,
        say: Callable[[str], None] = print,
        ended: Callable[[Any], None] = lambda body: None,
    ) -> None:
        self._config, self._opening, self._token, self._say, self._ended = config, opening, token, say, ended
        self._driving = threading.Lock()
        self._waiting = threading.Semaphore(_WAITING)
        self._closing = False
        self._run, self._body = b"", None
        self._now = WallClock().now
        self._listener = socket.socket(family, socket.SOCK_STREAM)
        try:
            self._listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            self._listener.bind(place)
            self._listener.listen(8)
        except OSError as error:
            self._listener.close()
            where = f"{place[0]}:{place[1]}"
            raise RobotError(f"cannot listen on {where} ({error.strerror}); give another --listen") from None

    @property
    def port(self) -> int:
        """Where it listens."""
        return int(self._listener.getsockname()[1])

    def run(self) -> None:
        """Accept until closed."""
        while not self._closing:
            with contextlib.suppress(OSError):
                if not select.select([self._listener], [], [], 0.2)[0]:
                    continue
                connection, address = self._listener.accept()
                if not self._waiting.acquire(blocking=False):
                    connection.close()
                    continue
                threading.Thread(target=self._meet, args=(connection, address[0]), daemon=True).start()

    def stop(self) -> None:
        """Wheels to zero, now. Never raises."""
        if self._body is not None:
            self._body.stop()

    def close(self) -> None:
        """Stop, and end everything. Idempotent."""
        self._closing = True
        self.stop()
        self._listener.close()
        with self._driving:
            self._leave_body()

    def _meet(self, connection: socket.socket, who: str) -> None:
        try:
            with connection:
                try:
                    channel, run = self._shake_hands(connection)
                finally:
                    self._waiting.release()
                if not self._driving.acquire(blocking=False):
                    connection.sendall(_refusal("this simulation has a driver already; end that run first"))
                    return
                try:
                    self._serve(connection, channel, run, who)
                finally:
                    self.stop()
                    self._driving.release()
        except WireError as error:
            self._say(f"{who}: {error}")
        except OSError as error:
            self._say(f"{who}: connection lost ({error.strerror or error}); the wheels are at zero")

    def _shake_hands(self, connection: socket.socket) -> tuple[Channel, bytes]:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        connection.settimeout(HANDSHAKE_S)
        own = os.urandom(wire.NONCE)
        connection.sendall(wire.HELLO.pack(wire.MAGIC, wire.VERSION, own))
        magic, version, theirs, run, shown = wire.CLAIM.unpack(exactly(connection, wire.CLAIM.size))
        if magic != wire.MAGIC:
            raise WireError("what came is no edgebot; turned away")
        if version != wire.VERSION:
            sentence = f"it speaks version {wire.VERSION}, this runtime {version}; install the same edgebot on both"
            connection.sendall(_refusal(sentence))
            raise WireError(f"speaks version {version}, expected {wire.VERSION}; turned away")
        if not hmac.compare_digest(shown, wire.proof(self._token, b"client", own, theirs)):
            connection.sendall(_refusal("it has another token; copy its file here, or name it with --token"))
            raise WireError("has another token; turned away")
        if self._driving.locked():
            connection.sendall(_refusal("this simulation has a driver already; end that run first"))
            raise WireError("a second driver was turned away")
        connection.sendall(bytes([wire.ACCEPTED]) + wire.proof(self._token, b"server", theirs, own))
        return Channel(wire.proof(self._token, b"key", own, theirs), b"server", b"client"), run

    def _serve(self, connection: socket.socket, channel: Channel, run: bytes, who: str) -> None:
        connection.sendall(channel.pack(Kind.CONFIG, self._config.model_dump_json().encode()))  # first: a world is slow
        if run != self._run:  # the same run comes back after a broken link, and finds its world as it was
            self._leave_body()
            self._run, self._body = run, self._opening()
        body: Any = self._body
        self._say(f"{who} drives")
        talk = _Talk(connection, channel, body, self._now)
        try:
            left = talk.until_gone(lambda: self._closing)
        finally:
            body.stop()
        if left:
            self._leave_body()
        self._say(f"{who} {'has ended its run' if left else f'is gone ({talk.why})'}; the wheels are at zero")

    def _leave_body(self) -> None:
        body, self._body, self._run = self._body, None, b""
        if body is not None:
            body.stop()
            self._ended(body)
            body.close()


class _Talk:
    """One connection that has been let in."""

    def __init__(self, connection: socket.socket, channel: Channel, body: Any, now: Callable[[], float]) -> None:
        connection.setblocking(False)
        self.why = ""
        self._connection, self._channel, self._body, self._now = connection, channel, body, now
        self._out = bytearray()
        self._camera = False
        self._frame_at = -1.0
        self._heard, self._heard_at = 0, now()
        self._applied = STOP

    def put(self, kind: Kind, contents: bytes) -> None:
        """Queue a message."""
        self._out += self._channel.pack(kind, contents)

    def until_gone(self, closing: Callable[[], bool]) -> bool:
        """Serve; True where the client has said that its run is over."""
        due = self._now()
        while not closing():
            now = self._now()
            if now >= due:
                due = max(due + PERIOD_S, now)
                self._tell(self._body.sense(self._camera))
            if now - self._heard_at > SILENT_S:
                self.why = f"silent for {SILENT_S:g} s"
                return False
            if len(self._out) > _BACKLOG:
                self.why = "it takes nothing"
                return False
            writing = [self._connection] if self._out else []
            ready, free, _ = select.select([self._connection], writing, [], max(0.0, due - self._now()))
            if free:
                del self._out[: self._connection.send(self._out)]
            if ready:
                data = self._connection.recv(65536)
                if not data:
                    self.why = "it has closed"
                    return False
                for kind, sequence, contents in self._channel.feed(data):
                    if kind is Kind.LEAVE:
                        return True
                    self._take(kind, sequence, contents)
        self.why = "the simulation ends"
        return False

    def _take(self, kind: Kind, sequence: int, contents: bytes) -> None:
        self._heard, self._heard_at = sequence, self._now()
        if kind is Kind.DRIVE and len(contents) == wire.DRIVE.size:
            left, right, since = wire.DRIVE.unpack(contents)
            try:
                # From the future it cannot be: a since that is later would let the command live longer.
                self._applied = self._body.drive(Wheels(left, right), min(since, self._now()))
            except ValueError:  # not finite: the body has stopped
                self._applied = STOP
        elif kind is Kind.CAMERA:
            self._camera = contents == b"\1"
        elif kind is Kind.STOP:
            self._body.stop()
            self._applied = STOP
        else:
            self._body.stop()
            raise WireError(f"a message {kind.name} of {len(contents)} bytes is none of a runtime's; turned away")

    def _tell(self, senses: Senses) -> None:
        since = self._now() - self._heard_at
        self.put(Kind.SENSES, wire.pack_senses(senses, self._heard, since, self._applied.left, self._applied.right))
        frame = senses.frame
        if frame is not None and frame.stamp > self._frame_at:
            import cv2

            self._frame_at = frame.stamp
            done, data = cv2.imencode(".jpg", frame.image[:, :, ::-1], [cv2.IMWRITE_JPEG_QUALITY, 92])
            if done:
                self.put(Kind.FRAME, wire.FRAME.pack(frame.stamp) + data.tobytes())


def exactly(connection: socket.socket, size: int) -> bytes:
    """So many bytes of a blocking socket. Raises `WireError` where they do not come."""
    data = b""
    while len(data) < size:
        try:
            more = connection.recv(size - len(data))
        except TimeoutError:
            raise WireError("the other side says nothing; is it edgebot?") from None
        if not more:
            raise WireError("the other side has closed the connection")
        data += more
    return data


def _refusal(sentence: str) -> bytes:
    text = sentence.encode()
    return bytes([wire.REFUSED]) + len(text).to_bytes(2, "big") + text
