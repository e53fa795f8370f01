"""Walking through a MCAP file that nobody vouches for: whole records, and what lies between them.

Cut off, with garbage behind it, with a hole in the middle, with half a chunk at its end: what is whole is found, by
its CRC where it has one. After a damaged place the next chunk is looked for by the name of its compression, which
stands at a fixed distance from its beginning.
"""

from __future__ import annotations

import mmap
import struct
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from mcap.opcode import Opcode

from edge.recordings.mcap_file import CHUNK, MAGIC, MESSAGE

HEAD = 9  # opcode and length of every record
_NAME_AT = CHUNK.size  # of the compression's name, behind its length
_MARKS = (b"\x03\x00\x00\x00lz4", b"\x04\x00\x00\x00zstd")
_OPCODES = frozenset(int(opcode) for opcode in Opcode)
_FEED = 16_384  # bytes of a cut LZ4 frame that are decompressed at once
_LARGEST = 1 << 30  # a chunk that claims more is damaged: ours hold a megabyte

Bytes = bytes | mmap.mmap


@dataclass(frozen=True, slots=True)
class Record:
    """One whole record that is no chunk; `content` is what follows opcode and length."""

    at: int
    opcode: int
    content: bytes


@dataclass(frozen=True, slots=True)
class Chunk:
    """One chunk whose CRC is right; or, where `cut`, what could be saved of one that ends too early."""

    at: int
    length: int  # of the whole record in the file
    start: int  # log times, ns
    end: int
    compression: str
    packed: int  # bytes of `data` as compressed
    data: bytes  # the records within, uncompressed
    cut: bool = False


@dataclass(frozen=True, slots=True)
class Damage:
    """Bytes that are no whole record, and why."""

    at: int
    length: int
    why: str


Piece = Record | Chunk | Damage


@contextmanager
def mapped(path: Path) -> Iterator[Bytes]:
    """A file's bytes without reading them all into memory. Raises `OSError` where it cannot be read."""
    with path.open("rb") as file:
        if not path.stat().st_size:
            yield b""
            return
        with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
            yield data


def walk(data: Bytes) -> Iterator[Piece]:
    """The pieces of a file, in order and without gaps, from behind its magic to its end.

    The last one of a whole file is the footer's `Record`; what a writer left behind it is `Damage`.
    """
    end = len(data)
    at = len(MAGIC)
    if data[:at] != MAGIC:
        at = _next_chunk(data, 0)
        yield Damage(0, at, "the beginning is no MCAP file's")
    while at < end:
        piece = _piece(data, at)
        if isinstance(piece, Damage) and not piece.length:
            after = _next_chunk(data, at + 1)
            if after == end and (saved := _cut_chunk(data, at)) is not None:
                yield saved
                return
            piece = Damage(at, after - at, piece.why)
        yield piece
        at += HEAD + len(piece.content) if isinstance(piece, Record) else piece.length
        if isinstance(piece, Record) and piece.opcode == Opcode.FOOTER:
            if data[at : at + len(MAGIC)] != MAGIC:
                yield Damage(at, end - at, "the end is missing")
            elif at + len(MAGIC) < end:
                yield Damage(at + len(MAGIC), end - at - len(MAGIC), "there is garbage behind the end")
            return
    yield Damage(end, 0, "it was never closed")


def messages(chunk: Chunk) -> Iterator[tuple[int, int, bytes]]:
    """Opcode, offset and content of the records within a chunk, whole ones only."""
    data, at = chunk.data, 0
    while at + HEAD <= len(data):
        opcode, length = struct.unpack_from("<BQ", data, at)
        if at + HEAD + length > len(data):
            return
        yield opcode, at, data[at + HEAD : at + HEAD + length]
        at += HEAD + length


def message(content: bytes) -> tuple[int, int, int, bytes]:
    """Channel, sequence, log time (ns) and data of a message record's content."""
    channel, sequence, stamp, _ = struct.unpack_from("<HIQQ", content)
    return channel, sequence, stamp, content[MESSAGE.size - HEAD :]


def _piece(data: Bytes, at: int) -> Piece:
    """The record at `at`. A `Damage` of length 0 says that where the next begins is not known."""
    end = len(data)
    if at + HEAD > end:
        return Damage(at, 0, "it was cut off")
    opcode, length = struct.unpack_from("<BQ", data, at)
    if opcode not in _OPCODES:
        return Damage(at, 0, f"there is no record of kind {opcode}")
    if at + HEAD + length > end:
        return Damage(at, 0, "it was cut off")
    if opcode != Opcode.CHUNK:
        return Record(at, opcode, data[at + HEAD : at + HEAD + length])
    chunk = _chunk(data, at)
    if chunk is not None:
        return chunk
    following = at + HEAD + length  # a chunk of bad content in a good frame costs only itself
    sound = following == end or (following + HEAD <= end and data[following] in _OPCODES)
    return Damage(at, HEAD + length if sound else 0, "a chunk is not what its CRC says")


def _chunk(data: Bytes, at: int) -> Chunk | None:
    """The chunk that begins at `at`, None where there is no whole and right one."""
    end = len(data)
    if at < 0 or at + CHUNK.size > end:
        return None
    opcode, length, first, last, size, crc, name = CHUNK.unpack_from(data, at)
    if opcode != Opcode.CHUNK or name > 16 or size > _LARGEST or at + HEAD + length > end:
        return None
    body = at + _NAME_AT + name + 8
    packed = at + HEAD + length - body
    if packed < 0 or body > end:
        return None
    if struct.unpack_from("<Q", data, body - 8)[0] != packed:
        return None
    compression = bytes(data[at + _NAME_AT : at + _NAME_AT + name])
    content = _unpacked(compression, data[body : body + packed], size)
    if content is None or len(content) != size or (crc and zlib.crc32(content) != crc):
        return None
    return Chunk(at, HEAD + length, first, last, compression.decode("ascii"), packed, content)


def _unpacked(compression: bytes, packed: bytes, size: int) -> bytes | None:
    try:
        if compression == b"lz4":
            import lz4.frame

            return bytes(lz4.frame.decompress(packed))
        if compression == b"zstd":
            import zstandard

            return bytes(zstandard.decompress(packed, size))
    except (RuntimeError, ValueError, MemoryError, ImportError, OSError):
        return None
    except Exception as error:  # zstandard's own
        if type(error).__module__.startswith("zstandard"):
            return None
        raise
    return packed if not compression else None


def _next_chunk(data: Bytes, start: int) -> int:
    """Where the next whole chunk begins, at or after `start`; the end of the file where there is none."""
    found = [len(data)]
    for mark in _MARKS:
        place = data.find(mark, start)
        while 0 <= place < found[0]:
            begin = place - (_NAME_AT - 4)
            if begin >= start and _chunk(data, begin) is not None:
                found[0] = min(found[0], begin)
                break
            place = data.find(mark, place + 1)
    return found[0]


def _cut_chunk(data: Bytes, at: int) -> Chunk | None:
    """What can be had of a chunk that the file ends within: LZ4 blocks that are whole, by their own checksums."""
    end = len(data)
    if at + CHUNK.size > end:
        return None
    opcode, _, first, last, size, _, name = CHUNK.unpack_from(data, at)
    body = at + _NAME_AT + name + 8
    if opcode != Opcode.CHUNK or data[at + _NAME_AT : at + _NAME_AT + name] != b"lz4" or size > _LARGEST or body > end:
        return None
    from lz4.frame import LZ4FrameDecompressor

    decompressor, content = LZ4FrameDecompressor(), bytearray()
    try:
        for place in range(body, end, _FEED):
            content += decompressor.decompress(data[place : place + _FEED])
    except (RuntimeError, EOFError, ValueError):
        pass  # from here on it is damaged
    return Chunk(at, end - at, first, last, "lz4", end - body, bytes(content[:size]), cut=True)
