"""foxglove.CompressedImage as protobuf, by hand: the one message whose payload is too large for text.

Base64 in JSON makes each frame a third larger and costs more than all other messages of an iteration together.
A MCAP file carries its schemas (a `FileDescriptorSet`), so Foxglove and every protobuf library read this without
knowing us. Field numbers are Foxglove's (foxglove-sdk, `CompressedImage.proto`); the wire format is protobuf's
(protobuf.dev, "Encoding"). One message of four fields is not worth depending on a protobuf library: the interpreter's
package brings one today, and need not tomorrow. The tests hold ours against it, and against Foxglove's own schema.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

SCHEMA_NAME = "foxglove.CompressedImage"

_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5  # wire types
_TYPE_INT64, _TYPE_INT32, _TYPE_STRING, _TYPE_MESSAGE, _TYPE_BYTES = 3, 5, 9, 11, 12  # FieldDescriptorProto.Type


@dataclass(frozen=True, slots=True)
class CompressedImage:
    """One frame as it lies in a file."""

    stamp_ns: int
    frame_id: str
    data: bytes
    format: str  # "jpeg" or "png"


def image(found: CompressedImage) -> bytes:
    """A `foxglove.CompressedImage`."""
    seconds, nanoseconds = divmod(found.stamp_ns, 1_000_000_000)
    timestamp = (_number(1, seconds) if seconds else b"") + (_number(2, nanoseconds) if nanoseconds else b"")
    return b"".join(
        (
            _bytes(1, timestamp),
            _bytes(3, found.format.encode()),
            _bytes(4, found.frame_id.encode()),
            _tag(2, _BYTES),
            _varint(len(found.data)),
            found.data,  # last and not copied twice: the rest is thirty bytes
        )
    )


def read_image(data: bytes) -> CompressedImage:
    """The inverse of `image`, for any writer's order of fields; unknown fields are passed over.

    Raises:
        ValueError: these are not the bytes of a message.
    """
    stamp_ns, frame_id, picture, kind = 0, "", b"", ""
    for field, value in _fields(data):
        if field == 1 and isinstance(value, bytes):
            parts = dict(_fields(value))
            seconds, nanoseconds = parts.get(1, 0), parts.get(2, 0)
            if isinstance(seconds, int) and isinstance(nanoseconds, int):
                stamp_ns = seconds * 1_000_000_000 + nanoseconds
        elif field == 2 and isinstance(value, bytes):
            picture = value
        elif field == 3 and isinstance(value, bytes):
            kind = value.decode()
        elif field == 4 and isinstance(value, bytes):
            frame_id = value.decode()
    return CompressedImage(stamp_ns, frame_id, picture, kind)


def schema() -> bytes:
    """The `FileDescriptorSet` of `foxglove.CompressedImage`: what a MCAP schema of encoding protobuf holds."""
    timestamp = _file(
        "google/protobuf/timestamp.proto",
        "google.protobuf",
        "Timestamp",
        (_field("seconds", 1, _TYPE_INT64), _field("nanos", 2, _TYPE_INT32)),
    )
    compressed = _file(
        "foxglove/CompressedImage.proto",
        "foxglove",
        "CompressedImage",
        (
            _field("timestamp", 1, _TYPE_MESSAGE, ".google.protobuf.Timestamp"),
            _field("frame_id", 4, _TYPE_STRING),
            _field("data", 2, _TYPE_BYTES),
            _field("format", 3, _TYPE_STRING),
        ),
        "google/protobuf/timestamp.proto",
    )
    return _bytes(1, timestamp) + _bytes(1, compressed)


def _file(name: str, package: str, message: str, fields: tuple[bytes, ...], dependency: str = "") -> bytes:
    """A `FileDescriptorProto` of one message."""
    body = _text(1, message) + b"".join(_bytes(2, field) for field in fields)
    depends = _text(3, dependency) if dependency else b""
    return _text(1, name) + _text(2, package) + depends + _bytes(4, body) + _text(12, "proto3")


def _field(name: str, number: int, kind: int, type_name: str = "") -> bytes:
    """A `FieldDescriptorProto`: optional, as every plain field of proto3."""
    of = _text(6, type_name) if type_name else b""
    return _text(1, name) + _number(3, number) + _number(4, 1) + _number(5, kind) + of


def _varint(number: int) -> bytes:
    parts = bytearray()
    while number > 0x7F:
        parts.append(number & 0x7F | 0x80)
        number >>= 7
    parts.append(number)
    return bytes(parts)


def _tag(field: int, wire: int) -> bytes:
    return _varint(field << 3 | wire)


def _number(field: int, number: int) -> bytes:
    return _tag(field, _VARINT) + _varint(number)


def _bytes(field: int, data: bytes) -> bytes:
    return _tag(field, _BYTES) + _varint(len(data)) + data


def _text(field: int, text: str) -> bytes:
    return _bytes(field, text.encode())


def _fields(data: bytes) -> Iterator[tuple[int, int | bytes]]:
    """Each field's number and value, in the order of the bytes."""
    at, end = 0, len(data)
    while at < end:
        tag, at = _read_varint(data, at)
        wire = tag & 7
        if wire == _VARINT:
            number, at = _read_varint(data, at)
            yield tag >> 3, number
            continue
        if wire == _BYTES:
            size, at = _read_varint(data, at)
        elif wire in (_FIXED32, _FIXED64):
            size = 4 if wire == _FIXED32 else 8
        else:
            raise ValueError(f"protobuf wire type {wire} at byte {at}: this is no message")
        if at + size > end:
            raise ValueError(f"a protobuf field of {size} bytes at byte {at} runs past the message's {end}")
        yield tag >> 3, bytes(data[at : at + size])
        at += size


def _read_varint(data: bytes, at: int) -> tuple[int, int]:
    number = shift = 0
    while at < len(data) and shift < 70:
        byte = data[at]
        at += 1
        number |= (byte & 0x7F) << shift
        shift += 7
        if byte < 0x80:
            return number, at
    raise ValueError(f"a protobuf number ends nowhere before byte {at}")
