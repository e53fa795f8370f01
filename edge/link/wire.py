"""What the link says: one small datagram each way, sealed with a shared token, bearing the robot's own stamps.

The driver's clock and the robot's know nothing of each other. So the robot puts its own time into every answer, and
the driver's next commands bring it back: how old a command may be is measured by the robot's clock alone, over the
whole way there and back. What waited anywhere, in a socket's buffer, in the air, in a process that was suspended, is
too old when it arrives. And a way that works in one direction only is found out by both ends: the robot sees no
fresh stamp come back, the driver sees no answer.

Seal: HMAC-SHA-256 (RFC 2104), cut to 16 bytes. The robot's session and the rising sequence number let nobody play an
old command again. Nothing is secret but the token: who listens can read how the robot is driven.
"""

from __future__ import annotations

import hmac
import os
import secrets
import socket
import stat
import struct
from dataclasses import dataclass
from enum import IntEnum
from pathlib import Path

from edge.errors import UsageError

LISTEN = "127.0.0.1:7245"
"""Where the robot listens if it is told nothing else: this machine only."""

TOKEN = Path("~/.config/edgebot/link.token")
SHORTEST = 16

_SEAL_BYTES = 16
_COMMAND = struct.Struct("!4s8s8sQBddd")
_ANSWER = struct.Struct("!4s8s8sQBdfff24s")
_TO_ROBOT, _TO_DRIVER = b"EBC1", b"EBA1"  # the digit is the protocol's version
LARGEST = max(_COMMAND.size, _ANSWER.size) + _SEAL_BYTES

NOBODY = bytes(8)


class Word(IntEnum):
    """What a command is about."""

    DRIVE = 0
    LEAVE = 1  # the hand is gone; whoever comes next may drive


class State(IntEnum):
    """What the robot says to a driver."""

    YOURS = 0  # obeys this driver
    UNHEARD = 1  # has not had a fresh command of this driver: the first answer to anyone, and to one that stalled
    BUSY = 2  # obeys another
    ENDED = 3  # the run is over


@dataclass(frozen=True, slots=True)
class Command:
    """Driver to robot. `echo` is the stamp of the newest answer heard, -inf before the first."""

    session: bytes  # the robot's run that `echo` belongs to
    driver: bytes  # chosen at random when the driver's program starts
    sequence: int  # rises with each command
    word: Word
    echo: float
    forward: float  # shares of the robot's limits, -1..1
    left: float


@dataclass(frozen=True, slots=True)
class Answer:
    """Robot to driver; `stamp` is the robot's clock."""

    session: bytes
    driver: bytes
    sequence: int  # of the newest command heard of this driver
    state: State
    stamp: float
    applied_left: float
    applied_right: float
    range_m: float  # NaN: no echo
    reason: str  # the guard's


def seal_command(token: bytes, command: Command) -> bytes:
    """The datagram of a command."""
    return _seal(
        token,
        _COMMAND.pack(
            _TO_ROBOT, command.session, command.driver, command.sequence, command.word, command.echo, command.forward,
            command.left,
        ),
    )  # fmt: skip


def open_command(token: bytes, data: bytes) -> Command | None:
    """The command in a datagram; None for what is none, or not sealed with this token."""
    if len(data) != _COMMAND.size + _SEAL_BYTES or data[:4] != _TO_ROBOT or not _sealed(token, data):
        return None
    _, session, driver, sequence, word, echo, forward, left = _COMMAND.unpack_from(data)
    if word not in (Word.DRIVE, Word.LEAVE):
        return None
    return Command(session, driver, sequence, Word(word), echo, forward, left)


def seal_answer(token: bytes, answer: Answer) -> bytes:
    """The datagram of an answer."""
    return _seal(
        token,
        _ANSWER.pack(
            _TO_DRIVER, answer.session, answer.driver, answer.sequence, answer.state, answer.stamp,
            answer.applied_left, answer.applied_right, answer.range_m, answer.reason.encode()[:24],
        ),
    )  # fmt: skip


def open_answer(token: bytes, data: bytes) -> Answer | None:
    """The answer in a datagram; None for what is none, or not sealed with this token."""
    if len(data) != _ANSWER.size + _SEAL_BYTES or data[:4] != _TO_DRIVER or not _sealed(token, data):
        return None
    _, session, driver, sequence, state, stamp, left, right, metres, reason = _ANSWER.unpack_from(data)
    if state not in tuple(State):
        return None
    name = reason.rstrip(b"\0").decode(errors="replace")
    return Answer(session, driver, sequence, State(state), stamp, left, right, metres, name)


def read_token(path: Path | None, make: bool = False, made_by: str = "`edgebot run --policy link`") -> bytes:
    """The token in a file, which only its owner may read.

    Args:
        path: the file; None for `TOKEN`.
        make: write a new one where there is none. made_by: the command that makes one on the other machine.

    Raises:
        UsageError: the file cannot be read, is too short, or is open to others.
    """
    path = (TOKEN if path is None else path).expanduser()
    if make and not path.exists():
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
                file.write(secrets.token_hex(32) + "\n")
        except OSError as error:
            raise UsageError(f"token {path} cannot be written ({error.strerror}); name another with --token") from None
    try:
        mode = stat.S_IMODE(path.stat().st_mode)
        token = path.read_bytes().strip()
    except OSError as error:
        raise UsageError(
            f"token {path} cannot be read ({error.strerror}); {made_by} makes one on the other machine: copy it here, "
            "or name it with --token"
        ) from None
    if mode & 0o077:
        raise UsageError(f"token {path} is open to others (mode {mode:o}); `chmod 600 {path}` closes it")
    if len(token) < SHORTEST:
        raise UsageError(
            f"token {path} has {len(token)} characters, and {SHORTEST} are the least; delete it for a new one"
        )
    return token


def resolve(
    address: str, listening: bool = False, example: str = "robot.local:7245"
) -> tuple[socket.AddressFamily, tuple[str, int]]:
    """Family and address of `host:port`, `[v6]:port` or a port alone (this machine); who is wrong sees `example`.

    Raises:
        UsageError: it is none, or the host is not known.
    """
    host, _, port = address.rpartition(":")
    host = host.removeprefix("[").removesuffix("]") or "127.0.0.1"
    if not (port.isascii() and port.isdigit() and 0 <= int(port) <= 65535 and (listening or int(port))):
        raise UsageError(f"{address!r} is no address; write it like {example}")
    flags = socket.AI_PASSIVE if listening else 0
    try:
        found = socket.getaddrinfo(host, int(port), type=socket.SOCK_DGRAM, flags=flags)
    except OSError as error:
        raise UsageError(
            f"host {host!r} of {address!r} is not known ({error.strerror}); give a name or a number"
        ) from None
    family, _, _, _, place = found[0]
    return family, place[:2]  # type: ignore[return-value]


def _seal(token: bytes, body: bytes) -> bytes:
    return body + hmac.digest(token, body, "sha256")[:_SEAL_BYTES]


def _sealed(token: bytes, data: bytes) -> bool:
    body = data[:-_SEAL_BYTES]
    return hmac.compare_digest(hmac.digest(token, body, "sha256")[:_SEAL_BYTES], data[-_SEAL_BYTES:])
