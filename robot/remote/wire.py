"""What a runtime and a served simulation say to each other over TCP.

    server    "EBS", version u8, nonce 16                          at once
    client    "EBS", version u8, nonce 16, run 8, proof 32         HMAC-SHA-256 (RFC 2104) of both nonces by the token
    server    state u8, proof 32                                   or: state u8, length u16, a sentence
    then      length u32, kind u8, sequence u64, contents, seal 16     each way, counted from 1

The key of the seals comes of the token and both nonces: nobody else can say a word, and nothing can be played again.
Nothing is encrypted. Stamps are the server's clock; the client brings back the newest one with each command, so that
the server, by its clock alone, knows how old the senses behind a command are.
"""

from __future__ import annotations

import hmac
import struct
from dataclasses import fields
from enum import IntEnum

from robot.errors import RobotError
from robot.types import Reading, Senses

PORT = 7246
VERSION = 1
MAGIC = b"EBS"
NONCE = 16
PROOF = 32
SEAL = 16
LARGEST = 8 << 20
"""Bytes; a frame is some tens of kilobytes."""

ACCEPTED, REFUSED = 1, 2

HELLO = struct.Struct(f"!3sB{NONCE}s")
CLAIM = struct.Struct(f"!3sB{NONCE}s8s{PROOF}s")
HEAD = struct.Struct("!IBQ")
DRIVE = struct.Struct("!ddd")  # left, right, since when by the server's clock
FRAME = struct.Struct("!d")  # stamp; a JPEG follows
_SENSES = struct.Struct("!dQddd")  # stamp, newest sequence heard, seconds since, applied duties
_READING = struct.Struct("!Bdd")  # 0 no such sense, 1 failed, 2 a value; value, stamp
_FIELDS = tuple(field.name for field in fields(Senses) if field.name not in ("stamp", "frame"))


class Kind(IntEnum):
    """Of a message."""

    CONFIG = 1  # server: the robot, as JSON
    SENSES = 2  # server: every 20 ms
    FRAME = 3  # server
    DRIVE = 4  # client
    STOP = 5  # client
    CAMERA = 6  # client: frames are wanted
    LEAVE = 7  # client: the run has ended


class WireError(RobotError):
    """The other side is no edgebot, another version of it, or has another token."""


def proof(token: bytes, who: bytes, first: bytes, second: bytes) -> bytes:
    """What shows that one knows the token; also the key, for `who` = b"key"."""
    return hmac.digest(token, b"edgebot sim 1 " + who + first + second, "sha256")


class Channel:
    """Packs, seals, opens and unpacks messages of one connection; knows nothing of sockets.

    Args:
        key: of the seals. mine, theirs: who speaks in each direction, that a message cannot be sent back.
    """

    def __init__(self, key: bytes, mine: bytes, theirs: bytes) -> None:
        self.sent = 0
        self._key, self._mine, self._theirs = key, mine, theirs
        self._heard = 0
        self._buffer = bytearray()

    def pack(self, kind: Kind, contents: bytes = b"") -> bytes:
        """The next message; `sent` is its sequence then."""
        self.sent += 1
        body = HEAD.pack(len(contents), kind, self.sent) + contents
        return body + hmac.digest(self._key, self._mine + body, "sha256")[:SEAL]

    def feed(self, data: bytes) -> list[tuple[Kind, int, bytes]]:
        """The messages that are complete now: kind, sequence, contents.

        Raises:
            WireError: what came is no message of the other side; the connection must end.
        """
        self._buffer += data
        found = []
        while len(self._buffer) >= HEAD.size:
            length, number, sequence = HEAD.unpack_from(self._buffer)
            if length > LARGEST:
                raise WireError(f"a message of {length} bytes came, which is none of edgebot's; end its sender")
            whole = HEAD.size + length + SEAL
            if len(self._buffer) < whole:
                break
            body, seal = bytes(self._buffer[: whole - SEAL]), bytes(self._buffer[whole - SEAL : whole])
            del self._buffer[:whole]
            good = hmac.compare_digest(hmac.digest(self._key, self._theirs + body, "sha256")[:SEAL], seal)
            if not good or sequence != self._heard + 1 or number not in tuple(Kind):
                raise WireError("a message came that is not sealed with our token, or not the next one")
            self._heard = sequence
            found.append((Kind(number), sequence, body[HEAD.size :]))
        return found


def pack_senses(senses: Senses, heard: int, since_s: float, left: float, right: float) -> bytes:
    """Everything but the frame."""
    parts = [_SENSES.pack(senses.stamp, heard, since_s, left, right)]
    for name in _FIELDS:
        reading: Reading | None = getattr(senses, name)
        if reading is None:
            parts.append(_READING.pack(0, 0.0, 0.0))
        else:
            parts.append(_READING.pack(1 if reading.value is None else 2, reading.value or 0.0, reading.stamp))
    return b"".join(parts)


def unpack_senses(data: bytes) -> tuple[dict[str, Reading | None], float, int, float, tuple[float, float]]:
    """(readings by name, stamp, sequence heard, seconds since, applied duties), stamps by the server's clock.

    Raises:
        WireError: other senses than ours: another version.
    """
    if len(data) != _SENSES.size + len(_FIELDS) * _READING.size:
        raise WireError("the simulation tells of other senses than this edgebot knows; install the same one on both")
    stamp, heard, since_s, left, right = _SENSES.unpack_from(data)
    found: dict[str, Reading | None] = {}
    for number, name in enumerate(_FIELDS):
        state, value, taken = _READING.unpack_from(data, _SENSES.size + number * _READING.size)
        found[name] = None if state == 0 else Reading(value if state == 2 else None, taken)
    return found, stamp, heard, since_s, (left, right)
