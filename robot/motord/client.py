"""The runtime's side of the motors' process: a `MotorPort` over its socket, and what others may say to it.

Nothing here waits for longer than `REPLY_S`. Where the other side is late, the wheels are its own business: it
stops them when the last command's time is up, or when this socket closes.
"""

from __future__ import annotations

import itertools
import select
import socket
import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from robot.clock import WallClock
from robot.errors import RobotError
from robot.motor_port import BadCommandError, MotorsLost, checked
from robot.motor_report import Flag, Report
from robot.motord import protocol
from robot.motord.protocol import Kind, ProtocolError
from robot.types import STOP, Wheels

REPLY_S = 0.005
"""How long a command waits for its answer; one comes after about 0.2 ms."""

SILENCE_S = 0.2
"""Without any answer for so long, it is lost."""

_FLAGS = getattr(socket, "MSG_DONTWAIT", 0) | getattr(socket, "MSG_NOSIGNAL", 0)
_CONNECT_S = 2.0  # the first answer of all may take longer: the process may be starting
_AGAIN_S = 0.1  # between attempts to find it again
_OLD_S = 0.02  # a report older than this is asked for anew


class MotordPort:
    """Drives the wheels through `edgebot-motord`.

    When it goes, hangs or is restarted, `apply` raises `MotorsLost`, and goes on by itself once it answers again.

    Args:
        path: its socket.
        digest: of the configuration that it should have; 0 for any.
        revive: called while it is lost, at most each 0.1 s: may start it again; must not block.

    Raises:
        RobotError: it does not run, does not let this user in, has a driver already, or another configuration.
    """

    def __init__(self, path: str | Path, digest: int = 0, revive: Callable[[], None] | None = None) -> None:
        self.path = Path(path)
        self.late = 0
        """Answers that did not come in time."""
        self.losses = 0
        """How often it was lost."""
        self._digest, self._revive = digest, revive
        self._clock = WallClock()
        self._lock = threading.RLock()  # stop() goes without: a signal handler may call it
        self._socket: socket.socket | None = None
        self._report: Report | None = None
        self._welcome = False  # it has answered our claim
        self._numbers = itertools.count(1)
        self._stops = 0
        self._closed = False
        self._fault = ""
        self._again_at = self._asked_at = 0.0
        self._silent_since: float | None = None  # when the oldest question without an answer was asked
        self._connect(_CONNECT_S)
        if self._report is None or not self._welcome:
            self._disconnect()
            raise RobotError(self._fault or f"edgebot-motord at {str(self.path)!r} does not answer; restart it")
        self._newest: Report = self._report

    @property
    def fault(self) -> str:
        """What is wrong with the way to the motors; nothing where all is well."""
        return self._fault

    def apply(self, wheels: Wheels, valid_until: float) -> Wheels:
        """Send the duties, valid until `valid_until` (CLOCK_MONOTONIC); returns what the other side has applied.

        An answer that is late is not waited for: what was applied before is returned then.

        Raises:
            ValueError: not finite or beyond -1..1; the wheels are stopped.
            MotorsLost: no answer for longer than a command may last, or the other side has gone.
            RobotError: this port is closed.
        """
        with self._lock:
            if self._closed:
                raise RobotError("the motor port is closed; open the robot again to drive")
            try:
                left, right, until = checked(wheels, valid_until)
            except BadCommandError:
                self.stop()
                raise
            stops = self._stops
            self._tend()
            if not self._welcome:
                raise MotorsLost(self._fault)
            number = next(self._numbers)
            self._send(protocol.command(number, left, right, until))
            if stops != self._stops:  # stopped by a signal handler or another thread meanwhile: that has the last word
                self.stop()
                return STOP
            if not self._hear(number, self._clock.now() + REPLY_S):
                self.late += 1
            if not self._welcome:
                raise MotorsLost(self._fault)
            return self._newest.applied

    def report(self) -> Report:
        """The newest report; its stamp tells how new. Asks for a newer one, without waiting for it."""
        with self._lock:
            if not self._closed:
                self._tend()
                now = self._clock.now()
                if self._welcome and now - max(self._newest.stamp, self._asked_at) > _OLD_S:
                    self._asked_at = now
                    self._send(protocol.request(Kind.ASK, next(self._numbers)))
            return self._newest

    def stop(self) -> None:
        """Zero, now. Idempotent, never raises."""
        self._stops += 1
        sock = self._socket
        if sock is not None:
            try:
                sock.send(protocol.request(Kind.STOP, next(self._numbers)), _FLAGS)
            except OSError:  # it hangs, or has gone; an end of the socket that is shut is a stop too
                with suppress(OSError):
                    sock.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        """Stop, and let another one drive. Idempotent."""
        self.stop()
        with self._lock:
            self._closed = True
            self._disconnect()

    def _tend(self) -> None:
        """Hear what has come, notice a silence, and look for one that was lost."""
        now = self._clock.now()
        if self._socket is not None:
            self._hear(-1, 0.0)
            silent = 0.0 if self._silent_since is None else now - self._silent_since
            if silent > (SILENCE_S if self._welcome else _CONNECT_S):
                self._lose(f"edgebot-motord at {str(self.path)!r} has not answered for {silent:.1f} s")
        elif now >= self._again_at:
            self._again_at = now + _AGAIN_S
            if self._revive is not None:
                self._revive()
            self._connect(REPLY_S)

    def _connect(self, patience: float) -> None:
        """Connect and claim; `_welcome` tells whether it has agreed within `patience` seconds."""
        sock = _socket()
        try:
            sock.connect(str(self.path))
        except OSError as error:
            sock.close()
            self._fault = told(self.path, error)
            return
        self._socket, self._silent_since = sock, None
        number = next(self._numbers)
        self._send(protocol.request(Kind.CLAIM, number))
        self._hear(number, self._clock.now() + patience)
        if self._socket is not None and not self._welcome:
            self._fault = f"edgebot-motord at {str(self.path)!r} does not answer; restart it"

    def _send(self, data: bytes) -> None:
        if self._socket is None:
            return
        if self._silent_since is None:
            self._silent_since = self._clock.now()
        try:
            self._socket.send(data, _FLAGS)
        except BlockingIOError:  # it takes nothing more: the silence will tell
            return
        except OSError:  # what it said last, such as why it refuses us, may still be there to hear
            return

    def _hear(self, number: int, until: float) -> bool:
        """Take all answers that are there, and wait `until` then for that to `number`; whether it came."""
        while self._socket is not None:
            try:
                data = self._socket.recv(protocol.LARGEST + 1)
            except BlockingIOError:
                rest = until - self._clock.now()
                if rest <= 0 or not select.select([self._socket], [], [], rest)[0]:
                    return False
                continue
            except ConnectionResetError:  # told once; what was said before it can still be read
                continue
            except OSError as error:
                self._lose(told(self.path, error))
                return False
            if not data:
                self._lose(f"edgebot-motord at {str(self.path)!r} has gone; the wheels are at zero")
            elif self._take(data) == number:
                return True
        return False

    def _take(self, data: bytes) -> int:
        """One answer; returns the number of the question."""
        try:
            kind, number = protocol.head(data)
            if kind is Kind.REFUSED:
                self._lose(protocol.read_refused(data))
                return number
            found = protocol.read_report(data)
        except ProtocolError as error:
            self._lose(str(error))
            return -1
        self._silent_since = None
        self._report = self._newest = found
        if Flag.YOURS not in found.flags:
            return number
        if self._digest and found.digest != self._digest:
            self._lose(
                f"edgebot-motord at {str(self.path)!r} has another robot's pins or limits; write them with `edgebot "
                "motors config --robot robot.toml -o /etc/edgebot/motord.json`, then run `sudo systemctl restart "
                "edgebot-motord`"
            )
            return number
        self._welcome, self._fault = True, ""
        return number

    def _lose(self, fault: str) -> None:
        self.losses += self._welcome
        self._fault = fault
        self._disconnect()
        self._again_at = self._clock.now() + _AGAIN_S

    def _disconnect(self) -> None:
        sock, self._socket = self._socket, None
        self._welcome = False
        if sock is not None:
            sock.close()


def ask(path: str | Path, kind: Kind = Kind.ASK, patience_s: float = 2.0) -> Report:
    """Say one thing to the motors' process without driving: ASK, ACKNOWLEDGE or HALT.

    Raises:
        RobotError: it does not run, does not answer, or refuses; its own sentence then.
    """
    with _socket() as sock:
        sock.settimeout(patience_s)
        try:
            sock.connect(str(path))
            sock.send(protocol.request(kind, 1), socket.MSG_NOSIGNAL)
            data = sock.recv(protocol.LARGEST + 1)
        except OSError as error:
            raise RobotError(told(Path(path), error)) from None
    if not data:
        raise RobotError(f"edgebot-motord at {str(path)!r} has gone; restart it")
    answer, _ = protocol.head(data)
    if answer is Kind.REFUSED:
        raise RobotError(protocol.read_refused(data))
    return protocol.read_report(data)


def told(path: Path, error: OSError) -> str:
    """A failure to reach the socket, in one sentence."""
    if isinstance(error, (FileNotFoundError, ConnectionRefusedError)):
        return (
            f"edgebot-motord does not run (no answer at {str(path)!r}); start it with `sudo systemctl start "
            "edgebot-motord`, or by hand: edgebot-motord --help"
        )
    if isinstance(error, PermissionError):
        return (
            f"no permission to use the motors' socket {str(path)!r}; run: sudo usermod -aG "
            f"{_group(path)} $USER, then log in again"
        )
    if isinstance(error, (TimeoutError, BlockingIOError)):
        return f"edgebot-motord at {str(path)!r} does not answer; run `sudo systemctl restart edgebot-motord`"
    return f"edgebot-motord at {str(path)!r} cannot be reached ({error.strerror or error}); is this its socket?"


def _group(path: Path) -> str:
    try:
        return path.group()
    except (OSError, KeyError):
        return "gpio"


def _socket() -> socket.socket:
    try:
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET | socket.SOCK_CLOEXEC)
    except (OSError, AttributeError):
        raise RobotError("this system has no SOCK_SEQPACKET sockets, which edgebot-motord needs; use Linux") from None
    sock.setblocking(False)
    return sock
