"""What the runtime and the motors' process say to each other: fixed structs, one per datagram.

The socket is SOCK_SEQPACKET: whole messages, in order, and an end that is noticed. Whoever may open the
socket's file may speak; there is no other authentication. Stamps are seconds of CLOCK_MONOTONIC, which all
processes of one machine share. Little-endian, no padding:

    request   magic "EB", version u8, kind u8, sequence u64
              COMMAND adds: left f64, right f64 (duties, -1..1), valid_until f64
    reply     the same head, with the sequence of the request that it answers, then
              REPORT: see `robot.motor_report.Report`;  REFUSED: a sentence in UTF-8

The first COMMAND or CLAIM of a connection makes it the driver, where there is none. Any other connection only
looks on: it may ask for reports, acknowledge the emergency stop, and stop the wheels for good (until
acknowledged), which is never wrong.
"""

from __future__ import annotations

import struct
from enum import IntEnum
from pathlib import Path

from robot.errors import RobotError
from robot.motor_report import Cause, Flag, Report, Switch
from robot.types import Wheels

SOCKET = Path("/run/edgebot-motord/motord.sock")
PATH_VARIABLE = "EDGEBOT_MOTORD"
"""This environment variable names another socket."""

VERSION = 1
MAGIC = b"EB"
LARGEST = 1024
"""Bytes; no message is longer."""


class Kind(IntEnum):
    """Of a message."""

    CLAIM = 1  # become the driver, without a command yet
    COMMAND = 2
    STOP = 3  # zero, now; the driver's
    ACKNOWLEDGE = 4  # release the latch of the emergency stop
    ASK = 5  # for a report
    HALT = 6  # zero, and latched as by the emergency stop; anyone's
    REPORT = 64
    REFUSED = 65


class ProtocolError(RobotError):
    """A message that is none of this protocol's, or of another version of it."""


_HEAD = struct.Struct("<2sBBQ")
_COMMAND = struct.Struct("<ddd")
_REPORT = struct.Struct("<dddBddBHIdQIIII")
_KINDS = {int(kind): kind for kind in Kind}


def request(kind: Kind, sequence: int) -> bytes:
    """A message without contents."""
    return _HEAD.pack(MAGIC, VERSION, kind, sequence)


def command(sequence: int, left: float, right: float, valid_until: float) -> bytes:
    """A COMMAND. Packs whatever numbers it is given: judging them is the motors' side's business."""
    return _HEAD.pack(MAGIC, VERSION, Kind.COMMAND, sequence) + _COMMAND.pack(left, right, valid_until)


def refused(sequence: int, sentence: str) -> bytes:
    """A REFUSED; what does not fit is cut off."""
    text = sentence.encode()[: LARGEST - _HEAD.size].decode(errors="ignore")
    return _HEAD.pack(MAGIC, VERSION, Kind.REFUSED, sequence) + text.encode()


def report(sequence: int, found: Report) -> bytes:
    """A REPORT."""
    return _HEAD.pack(MAGIC, VERSION, Kind.REPORT, sequence) + _REPORT.pack(
        found.stamp, found.applied.left, found.applied.right, found.cause, found.age_s, found.deadline,
        found.switch, found.flags, found.pid, found.started, found.commands & 0xFFFFFFFFFFFFFFFF,
        found.expiries & 0xFFFFFFFF, found.refusals & 0xFFFFFFFF, found.digest,
        found.driver,
    )  # fmt: skip


def head(data: bytes) -> tuple[Kind, int]:
    """Kind and sequence of a message, whose length is checked too.

    Raises:
        ProtocolError: it is not of this protocol and version.
    """
    if len(data) < _HEAD.size or data[:2] != MAGIC:
        raise ProtocolError(f"{len(data)} bytes on the motors' socket are no message of ours; end their sender")
    _, version, number, sequence = _HEAD.unpack_from(data)
    if version != VERSION:
        raise ProtocolError(
            f"the other side speaks version {version} of the motors' protocol, this one {VERSION}; "
            "install the same edgebot for both, then restart edgebot-motord"
        )
    kind = _KINDS.get(number)
    size = len(data) - _HEAD.size
    wanted = {Kind.COMMAND: _COMMAND.size, Kind.REPORT: _REPORT.size, Kind.REFUSED: size}.get(kind, 0) if kind else -1
    if kind is None or size != wanted:
        raise ProtocolError(f"a message of kind {number} with {size} bytes is not edgebot-motord's; update both sides")
    return kind, sequence


def read_command(data: bytes) -> tuple[float, float, float]:
    """left, right, valid_until of a COMMAND that `head` has let pass; the numbers may be anything."""
    left, right, until = _COMMAND.unpack_from(data, _HEAD.size)
    return left, right, until


def read_report(data: bytes) -> Report:
    """The `Report` in a REPORT that `head` has let pass. Raises `ProtocolError` for unknown codes."""
    stamp, left, right, cause, age, deadline, switch, flags, pid, started, *counts = _REPORT.unpack_from(
        data, _HEAD.size
    )
    try:
        return Report(
            stamp, Wheels(left, right), Cause(cause), age, deadline, Switch(switch), Flag(flags), pid, started,
            *counts,
        )  # fmt: skip
    except ValueError as error:
        raise ProtocolError(f"edgebot-motord reports something unknown ({error}); update both sides") from None


def read_refused(data: bytes) -> str:
    """The sentence of a REFUSED."""
    return data[_HEAD.size :].decode(errors="replace")
