"""Writing MCAP (mcap.dev, "MCAP Format Specification"), version 0: records, chunks with CRCs, and the index at the end.

The `mcap` library writes MCAP too, and its record types are used here. It keeps schemas and channels in the first
chunk, goes on from wherever a failed write left it, and builds every message from a dozen small pieces. Here schemas
and channels stand at the top of the file, each chunk is one piece that is written whole or not at all, LZ4 blocks bear
checksums (so that half a chunk can be saved), and what the disk refused leaves the index right.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from lz4.frame import LZ4FrameCompressor
from mcap.data_stream import RecordBuilder
from mcap.opcode import Opcode
from mcap.records import (
    Attachment,
    AttachmentIndex,
    Channel,
    ChunkIndex,
    DataEnd,
    Footer,
    Header,
    McapRecord,
    Metadata,
    MetadataIndex,
    Schema,
    Statistics,
    SummaryOffset,
)

MAGIC = b"\x89MCAP0\r\n"
CHUNK_BYTES = 1 << 20  # a chunk is closed when it holds as much, and earlier by `close_chunk`

MESSAGE = struct.Struct("<BQHIQQ")  # opcode, length, channel, sequence, log time, publish time; then the data
CHUNK = struct.Struct("<BQQQQII")  # opcode, length, start, end, size, CRC, length of compression's name
_INDEX = struct.Struct("<BQHI")  # opcode, length, channel, length of the pairs


class Sink(Protocol):
    """Where the bytes go: appended whole, or `OSError` and nothing."""

    size: int

    def write(self, data: bytes) -> None: ...


@dataclass
class _Open:
    """The chunk at hand."""

    data: bytearray = field(default_factory=bytearray)
    index: dict[int, list[int]] = field(default_factory=dict)  # channel: time, offset, time, offset, ...
    start: int = 0
    end: int = 0


class McapWriter:
    """Writes one file to `sink`, from the magic to the magic.

    Raises:
        OSError: by every method that writes, as the sink does. The file up to then stays right: `finish` may
            follow at once.
    """

    def __init__(self, sink: Sink, profile: str, library: str) -> None:
        self._sink = sink
        self._schemas: list[Schema] = []
        self._channels: list[Channel] = []
        self._chunks = 0
        self._chunk_index = bytearray()  # as records: in hours there are thousands, and objects are ten times larger
        self._attachments: list[AttachmentIndex] = []
        self._metadata: list[MetadataIndex] = []
        self._counts: dict[int, int] = {}
        self._sequence: dict[int, int] = {}
        self._start = self._end = 0
        self._chunk = _Open()
        self.largest_chunk = 0
        sink.write(MAGIC + _record(Header(profile, library)))

    @property
    def pending(self) -> int:
        """Bytes of messages that wait for their chunk to be closed."""
        return len(self._chunk.data)

    def metadata(self, name: str, content: Mapping[str, str]) -> None:
        """Add names and values."""
        at, data = self._sink.size, _record(Metadata(name, dict(content)))
        self._sink.write(data)
        self._metadata.append(MetadataIndex(offset=at, length=len(data), name=name))

    def attachment(self, name: str, media_type: str, content: bytes, log_time: int = 0) -> None:
        """Add a whole file, with its CRC."""
        at, data = self._sink.size, _record(Attachment(0, log_time, name, media_type, content))
        self._sink.write(data)
        self._attachments.append(
            AttachmentIndex(
                offset=at, length=len(data), log_time=log_time, create_time=0, data_size=len(content), name=name,
                media_type=media_type,
            )
        )  # fmt: skip

    def channel(self, topic: str, schema_name: str, schema_encoding: str, schema: bytes, encoding: str) -> int:
        """Register a topic and its schema; returns the channel's number, from 1 up."""
        number = len(self._channels) + 1
        described = Schema(id=number, name=schema_name, encoding=schema_encoding, data=schema)
        channel = Channel(id=number, topic=topic, message_encoding=encoding, metadata={}, schema_id=number)
        self._sink.write(_record(described) + _record(channel))
        self._schemas.append(described)
        self._channels.append(channel)
        return number

    def add(self, channel: int, stamp_ns: int, data: bytes, sequence: int | None = None) -> None:
        """Add one message to the chunk at hand."""
        chunk = self._chunk
        if sequence is None:
            sequence = self._sequence.get(channel, 0)
            self._sequence[channel] = sequence + 1
        if not chunk.data:
            chunk.start = chunk.end = stamp_ns
        elif stamp_ns < chunk.start:
            chunk.start = stamp_ns
        elif stamp_ns > chunk.end:
            chunk.end = stamp_ns
        pairs = chunk.index.setdefault(channel, [])
        pairs.append(stamp_ns)
        pairs.append(len(chunk.data))
        chunk.data += MESSAGE.pack(Opcode.MESSAGE, 22 + len(data), channel, sequence, stamp_ns, stamp_ns)
        chunk.data += data
        if len(chunk.data) >= CHUNK_BYTES:
            self.close_chunk()

    def close_chunk(self) -> None:
        """Write the chunk at hand with its index, in one piece; nothing where it is empty.

        A chunk that the disk refuses is given up, and its messages with it.
        """
        chunk, self._chunk = self._chunk, _Open()
        if not chunk.data:
            return
        size = len(chunk.data)
        crc = zlib.crc32(chunk.data)
        compressor = LZ4FrameCompressor(block_checksum=True)
        packed = compressor.begin(size) + compressor.compress(chunk.data) + compressor.flush()
        name = b"lz4"
        length = CHUNK.size - 9 + len(name) + 8 + len(packed)
        head = CHUNK.pack(Opcode.CHUNK, length, chunk.start, chunk.end, size, crc, len(name))
        pieces = [head, name, struct.pack("<Q", len(packed)), packed]
        self._write_chunk(pieces, 9 + length, chunk.index, chunk.start, chunk.end, "lz4", len(packed), size)

    def _write_chunk(
        self, pieces: list[bytes], length: int, index: Mapping[int, list[int]], start: int, end: int, compression: str,
        packed: int, size: int,
    ) -> None:  # fmt: skip
        """Write a chunk's record and its messages' index as one piece, and note where it lies."""
        at = self._sink.size
        reached = at + length
        offsets = {}
        for number, pairs in index.items():
            offsets[number] = reached
            pieces.append(_INDEX.pack(Opcode.MESSAGE_INDEX, 6 + 8 * len(pairs), number, 8 * len(pairs)))
            pieces.append(struct.pack(f"<{len(pairs)}Q", *pairs))
            reached += _INDEX.size + 8 * len(pairs)
        self._sink.write(b"".join(pieces))
        self.largest_chunk = max(self.largest_chunk, reached - at)
        self._start = min(self._start, start) if self._chunks else start
        self._end = max(self._end, end)
        self._chunks += 1
        self._chunk_index += _record(
            ChunkIndex(
                chunk_length=length, chunk_start_offset=at, compression=compression, compressed_size=packed,
                message_end_time=end, message_index_length=reached - at - length, message_index_offsets=offsets,
                message_start_time=start, uncompressed_size=size,
            )
        )  # fmt: skip
        for number, pairs in index.items():
            self._counts[number] = self._counts.get(number, 0) + len(pairs) // 2

    def adopt(self, record: Schema | Channel) -> None:
        """Take over another file's schema or channel, under its own number; one that is known is passed over."""
        if isinstance(record, Schema):
            if all(other.id != record.id for other in self._schemas):
                self._sink.write(_record(record))
                self._schemas.append(record)
        elif all(other.id != record.id for other in self._channels):
            self._sink.write(_record(record))
            self._channels.append(record)

    def knows(self, channel: int) -> bool:
        """Whether there is a channel of this number."""
        return any(other.id == channel for other in self._channels)

    def encoding(self, channel: int) -> str:
        """How a known channel's messages are encoded."""
        return next(other.message_encoding for other in self._channels if other.id == channel)

    def copy(self, whole: bytes, content: bytes, compression: str, packed: int) -> int:
        """Take over another file's chunk as it is, with an index of its messages made anew.

        Args:
            whole: its record, with opcode and length.
            content: the records within, uncompressed.
            compression: its name.
            packed: bytes of `content` as compressed.

        Returns:
            How many messages it has.
        """
        self.close_chunk()
        index: dict[int, list[int]] = {}
        at, end = 0, len(content)
        while at < end:
            opcode, length = struct.unpack_from("<BQ", content, at)
            if opcode == Opcode.MESSAGE:
                _, _, channel, _, stamp, _ = MESSAGE.unpack_from(content, at)
                pairs = index.setdefault(channel, [])
                pairs.append(stamp)
                pairs.append(at)
            at += 9 + length
        start, last = CHUNK.unpack_from(whole)[2:4]
        self._write_chunk([whole], len(whole), index, start, last, compression, packed, end)
        return sum(len(pairs) // 2 for pairs in index.values())

    def finish(self) -> None:
        """Close the chunk at hand and write the summary and the end."""
        self.close_chunk()
        groups = (
            (Opcode.SCHEMA, _records(self._schemas)),
            (Opcode.CHANNEL, _records(self._channels)),
            (Opcode.STATISTICS, _records([self._statistics()])),
            (Opcode.CHUNK_INDEX, self._chunk_index),
            (Opcode.ATTACHMENT_INDEX, _records(self._attachments)),
            (Opcode.METADATA_INDEX, _records(self._metadata)),
        )
        end = _record(DataEnd(data_section_crc=0))
        start = self._sink.size + len(end)
        summary, offsets = bytearray(), []
        for opcode, records in groups:
            began = len(summary)
            summary += records
            if len(summary) > began:
                offsets.append(
                    SummaryOffset(group_opcode=opcode, group_start=start + began, group_length=len(summary) - began)
                )
        offset_start = start + len(summary)
        for offset in offsets:
            summary += _record(offset)
        footer = _record(Footer(summary_start=start, summary_offset_start=offset_start, summary_crc=0))[:-4]
        crc = zlib.crc32(footer, zlib.crc32(summary))
        self._sink.write(end + bytes(summary) + footer + struct.pack("<I", crc) + MAGIC)

    def _statistics(self) -> Statistics:
        return Statistics(
            attachment_count=len(self._attachments), channel_count=len(self._channels),
            channel_message_counts=self._counts, chunk_count=self._chunks,
            message_count=sum(self._counts.values()), message_end_time=self._end, message_start_time=self._start,
            metadata_count=len(self._metadata), schema_count=len(self._schemas),
        )  # fmt: skip


def _records(records: Sequence[McapRecord]) -> bytes:
    return b"".join(map(_record, records))


def _record(record: McapRecord) -> bytes:
    builder = RecordBuilder()
    record.write(builder)
    return bytes(builder.end())
