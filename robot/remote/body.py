"""The body at the other end of a network: senses come, commands go, and nobody waits for either."""

from __future__ import annotations

import os
import socket
import threading
from collections import deque
from contextlib import suppress
from math import inf
from typing import Any, Self
from urllib.parse import urlsplit

from robot.clock import WallClock
from robot.config import RobotConfig
from robot.errors import RobotError
from robot.kinematics import duties
from robot.motor_port import LinkLost
from robot.remote import wire
from robot.remote.server import exactly
from robot.remote.wire import Channel, Kind, WireError
from robot.types import Clock, Command, Frame, Reading, Senses, Wheels

CONNECT_S = 5.0
OPENING_S = 30.0
"""How long a slow machine may take to open its world, between letting us in and the first senses."""
LOST_S = 0.3
"""Without a word from the simulation for so long, its wheels have stopped by themselves."""
_SILENT_S = 1.0  # and for so long: the connection may be half open, so another is tried
_AGAIN_S = 0.25
_PING_S = 0.2
_WINDOW = 128  # of the newest round trips, the shortest sets the clocks


def parse(address: str) -> tuple[str, int]:
    """Host and port of `tcp://host[:port]`. Raises `RobotError`."""
    try:
        parts = urlsplit(address)
        host, port = parts.hostname, parts.port or wire.PORT
    except ValueError:
        host, port = None, 0
    if host is None or parts.scheme != "tcp" or parts.path not in ("", "/"):
        raise RobotError(f"{address!r} is no address of a body; write it like tcp://laptop:{wire.PORT}")
    return host, port


class RemoteBody:
    """A `Body` served by `edgebot sim --serve`. Finds it again by itself when the link comes back.

    Args:
        address: `tcp://host[:port]`. token: the simulation's.

    Attributes:
        config: the robot that is simulated there.

    Raises:
        RobotError: nobody answers, another version, another token, or it has a driver already.
    """

    def __init__(self, address: str, token: bytes) -> None:
        self.clock: Clock = WallClock()
        self.address = address
        self.losses = 0
        self.trips: deque[float] = deque(maxlen=20_000)  # seconds there and back
        self._place, self._token, self._run = parse(address), token, os.urandom(8)
        self._camera = self._closed = False
        self._lock = threading.RLock()  # re-entrant: a signal handler stops in the midst of a command
        self._socket: socket.socket | None = None
        self._channel: Channel | None = None
        self._sent: dict[int, float] = {}
        self._recent: deque[tuple[float, float]] = deque(maxlen=_WINDOW)  # (round trip, local minus server clock)
        self._offset: float | None = None
        self._heard_stamp, self._heard_at, self._ping_at, self._silent_at = 0.0, -inf, -inf, inf
        self._readings: dict[str, Reading | None] = {}
        self._frame: Frame | None = None
        self._fault = self._last = ""
        self.applied = Wheels(0.0, 0.0)
        self._first = threading.Event()
        self.config = self._connect()
        # Before the switch is too old for the guard, who would call a lost link an emergency stop.
        self._lost_s = min(LOST_S, 0.8 * self.config.guard.sense_stale_s)
        self._thread = threading.Thread(target=self._listen, name="remote body", daemon=True)
        self._thread.start()
        if not self._first.wait(OPENING_S):
            self.close()
            raise RobotError(f"the simulation at {address} sends no senses; start it again")

    def watching(self, camera: bool) -> RemoteBody:
        """This body, with frames or without."""
        self._camera = camera
        self._send(Kind.CAMERA, b"\1" if camera else b"\0")
        return self

    def sense(self) -> Senses:
        """The newest of every sense, with the stamps of this machine's clock. Never blocks.

        Raises:
            LinkLost: the link is gone, or so slow that what comes is too old; the wheels there are at zero.
            RobotError: the body is closed.
        """
        if self._closed:
            raise RobotError("the robot is closed; open it again to sense")
        now = self.clock.now()
        self._check_link(now)
        readings, frame = self._readings, self._frame
        return Senses(stamp=now, frame=frame if self._camera else None, **readings)  # type: ignore[arg-type]

    def drive(self, command: Command, since: float | None = None) -> Wheels:
        """Send the duties; returns them. What was applied comes back with the senses (`applied`).

        Raises:
            ValueError: the command is not finite; a stop was sent before.
            LinkLost: the link is gone; the wheels there are at zero by themselves.
            RobotError: the body is closed.
        """
        if self._closed:
            raise RobotError("the robot is closed; open it again to drive")
        wheels = duties(self.config.drive, command)
        if not (-1.0 <= wheels.left <= 1.0 and -1.0 <= wheels.right <= 1.0):  # NaN is not
            self.stop()
            raise ValueError(f"{command!r} is not finite or beyond the limits; the wheels are stopped")
        now = self.clock.now()
        self._check_link(now)
        # By the server's clock, and too early by the way of the newest senses: a command never lives too long.
        begun = self._heard_stamp + ((now if since is None else since) - self._heard_at)
        if not self._send(Kind.DRIVE, wire.DRIVE.pack(wheels.left, wheels.right, begun)):
            raise LinkLost(self._fault)
        return wheels

    def _check_link(self, now: float) -> None:
        offset = self._offset
        if self._socket is None or offset is None or now - (self._heard_stamp + offset) > self._lost_s:
            raise LinkLost(
                self._fault or f"nothing young enough comes from the simulation at {self.address}; the wheels there "
                "are at zero"
            )

    def stop(self) -> None:
        """Wheels to zero, now. Idempotent, never raises."""
        with suppress(Exception):
            self._send(Kind.STOP)

    def close(self) -> None:
        """Stop, say that the run is over, and end. Idempotent."""
        if self._closed:
            return
        self.stop()
        with suppress(Exception):
            self._send(Kind.LEAVE)
        self._closed = True
        if self._thread is not threading.current_thread():
            self._thread.join(timeout=1.0)
        if self._socket is not None:  # what is unread when a socket closes may cost the other side our last word
            until = self.clock.now() + 0.5
            with suppress(OSError):
                self._socket.shutdown(socket.SHUT_WR)
                while self._socket.recv(262144) and self.clock.now() < until:
                    pass
        self._drop("closed")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def link(self) -> dict[str, float]:
        """How the network was: round trips in milliseconds, their jitter, and how often the link was lost."""
        trips = sorted(self.trips)

        def at(share: float) -> float:
            return 1e3 * trips[min(len(trips) - 1, int(share * len(trips)))] if trips else 0.0

        return {
            "round_trips": len(trips), "p50_ms": at(0.5), "p99_ms": at(0.99), "max_ms": at(1.0),
            "jitter_ms": at(0.99) - at(0.5), "losses": self.losses,
        }  # fmt: skip

    @property
    def note(self) -> str:
        """The same in words."""
        found = self.link()
        lost = f", lost {self.losses} times (last: {self._last})" if self.losses else ""
        return (
            f"{self.address}: {found['p50_ms']:.1f} ms there and back, p99 {found['p99_ms']:.1f}, max "
            f"{found['max_ms']:.1f}, jitter {found['jitter_ms']:.1f} ms{lost}"
        )

    def _connect(self) -> RobotConfig:
        host, port = self._place
        try:
            connection = socket.create_connection((host, port), timeout=CONNECT_S)
        except OSError as error:
            raise RobotError(
                f"no simulation answers at {self.address} ({error.strerror or error}); start it there with `edgebot "
                f"sim --serve --listen 0.0.0.0:{port}`"
            ) from None
        try:
            channel = self._shake_hands(connection)
            config = self._hear_config(connection, channel)
        except WireError as error:
            connection.close()
            raise RobotError(f"the body at {self.address}: {error}") from None
        except OSError as error:
            connection.close()
            raise RobotError(f"the body at {self.address} was lost ({error.strerror or error}); try again") from None
        connection.settimeout(0.2)
        with self._lock:
            self._socket, self._channel, self._fault = connection, channel, ""
            self._sent.clear()
            self._recent.clear()
            self._offset, self._silent_at = None, self.clock.now() + OPENING_S
        self._send(Kind.CAMERA, b"\1" if self._camera else b"\0")
        return config

    def _shake_hands(self, connection: socket.socket) -> Channel:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        magic, version, theirs = wire.HELLO.unpack(exactly(connection, wire.HELLO.size))
        if magic != wire.MAGIC:
            raise WireError("what answers there is no `edgebot sim --serve`; check host and port")
        if version != wire.VERSION:
            raise WireError(
                f"the simulation speaks version {version}, this runtime {wire.VERSION}; install one edgebot on both"
            )
        own = os.urandom(wire.NONCE)
        shown = wire.proof(self._token, b"client", theirs, own)
        connection.sendall(wire.CLAIM.pack(wire.MAGIC, wire.VERSION, own, self._run, shown))
        state = exactly(connection, 1)[0]
        if state == wire.REFUSED:
            length = int.from_bytes(exactly(connection, 2), "big")
            raise WireError(exactly(connection, length).decode(errors="replace"))
        if state != wire.ACCEPTED or exactly(connection, wire.PROOF) != wire.proof(self._token, b"server", own, theirs):
            raise WireError("it does not know our token, so it is not the simulation that we mean")
        return Channel(wire.proof(self._token, b"key", theirs, own), b"client", b"server")

    def _hear_config(self, connection: socket.socket, channel: Channel) -> RobotConfig:
        messages: list[Any] = []
        while not messages:
            try:
                data = connection.recv(65536)
            except TimeoutError:
                raise WireError(
                    f"it has let us in, and says nothing for {CONNECT_S:g} s; it is too busy, or hangs: try again, or "
                    "start it again"
                ) from None
            if not data:
                raise WireError("it has closed the connection; has it a driver already?")
            messages = channel.feed(data)
        kind, _, contents = messages[0]
        if kind is not Kind.CONFIG:
            raise WireError("it does not tell which robot it is; install the same edgebot on both")
        try:
            return RobotConfig.model_validate_json(contents)
        except ValueError:
            raise WireError("it simulates a robot that this edgebot cannot read; install the same on both") from None

    def _send(self, kind: Kind, contents: bytes = b"") -> bool:
        with self._lock:
            connection, channel = self._socket, self._channel
            if connection is None or channel is None:
                return False
            data = channel.pack(kind, contents)
            self._sent[channel.sent] = self.clock.now()
            if len(self._sent) > 512:
                del self._sent[next(iter(self._sent))]
            try:
                whole = connection.send(data, socket.MSG_DONTWAIT) == len(data)
            except OSError:
                whole = False
            if not whole:  # a part of a message would spoil all that follow; a shut connection is a stop
                self._drop(f"the link to {self.address} takes nothing more; the wheels there are at zero")
            return whole

    def _drop(self, fault: str) -> None:
        with self._lock:
            connection, self._socket, self._channel = self._socket, None, None
            self._fault = fault
        if connection is not None:
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
            connection.close()

    def _listen(self) -> None:
        while not self._closed:
            connection, channel = self._socket, self._channel
            if connection is None or channel is None:
                self.clock.sleep_until(self.clock.now() + _AGAIN_S)
                if not self._closed:
                    with suppress(RobotError):
                        self._connect()
                continue
            try:
                try:
                    data = connection.recv(262144)
                except TimeoutError:
                    if self.clock.now() > self._silent_at:
                        raise OSError("silent") from None
                    continue
                if not data:
                    raise OSError("closed")
                now = self.clock.now()
                for kind, _, contents in channel.feed(data):
                    self._take(kind, contents, now)
                if now >= self._ping_at:  # while nothing is driven: it says that we are here, and moves no wheel
                    self._ping_at = now + _PING_S
                    self._send(Kind.CAMERA, b"\1" if self._camera else b"\0")
            except (OSError, WireError, ValueError) as error:
                if not self._closed:
                    self.losses += 1
                    self._last = str(getattr(error, "strerror", None) or error)
                    self._drop(f"the link to {self.address} is lost ({self._last}); the wheels there are at zero")

    def _take(self, kind: Kind, contents: bytes, now: float) -> None:
        if kind is Kind.SENSES:
            readings, stamp, heard, since_s, applied = wire.unpack_senses(contents)
            with self._lock:
                sent = self._sent.pop(heard, None)
            if sent is not None:
                trip = max(0.0, now - sent - since_s)
                self.trips.append(trip)
                self._recent.append((trip, now - trip / 2 - stamp))
                self._offset = min(self._recent)[1]
            self._heard_stamp, self._heard_at, self._silent_at = stamp, now, now + _SILENT_S
            self.applied = Wheels(*applied)
            if self._offset is not None:
                offset = self._offset
                self._readings = {
                    name: None if r is None else Reading(r.value, min(now, r.stamp + offset))
                    for name, r in readings.items()
                }
                self._first.set()
        elif kind is Kind.FRAME and self._offset is not None:
            import cv2
            import numpy as np

            (stamp,) = wire.FRAME.unpack_from(contents)
            image = cv2.imdecode(np.frombuffer(contents, np.uint8, offset=wire.FRAME.size), cv2.IMREAD_COLOR)
            if image is not None:
                self._frame = Frame(np.ascontiguousarray(image[:, :, ::-1]), min(now, stamp + self._offset))
