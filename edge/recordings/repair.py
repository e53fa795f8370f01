"""Mending a recording that a crash, a power cut or a bad disk left behind: what is whole goes into a whole file.

The mended file is written beside the damaged one, forced to the disk, and only then takes its name; the damaged one
stays, under another. Chunks are taken over byte for byte. Of a chunk that the file ends within, the messages are
taken that lie in whole LZ4 blocks and can be read.
"""

from __future__ import annotations

import json
import os
import struct
import zlib
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from io import BytesIO
from pathlib import Path
from typing import Any

from mcap.data_stream import ReadDataStream
from mcap.opcode import Opcode
from mcap.records import Attachment, Channel, Footer, Header, Metadata, Schema

from edge import messages as topics
from edge.errors import EdgeError
from edge.recordings import protobuf
from edge.recordings.disk import Disk, sync_folder
from edge.recordings.mcap_file import MAGIC, McapWriter
from edge.recordings.scan import HEAD, Bytes, Chunk, Damage, Record, mapped, message, messages, walk


class RepairError(EdgeError):
    """A recording that cannot be mended."""


@dataclass
class Report:
    """What was found, and what was done about it."""

    path: str  # of the whole recording, when all is done
    whole: bool  # nothing was wrong, and nothing was changed
    original: str = ""  # where the damaged file is now; empty where it is where it was
    messages: int = 0
    saved: int = 0  # messages among them out of a chunk that was cut off; no CRC vouches for the last of them
    skipped_bytes: int = 0
    first_s: float | None = None  # of the messages' stamps
    last_s: float | None = None
    damage: list[str] = field(default_factory=list)

    def as_dict(self) -> dict[str, Any]:
        """Plain data, for `--json`."""
        return asdict(self)


def check(data: Bytes) -> list[Damage]:
    """All that is wrong with a file; an empty list where it is whole."""
    found = []
    for piece in walk(data):
        if isinstance(piece, Damage):
            found.append(piece)
        elif isinstance(piece, Chunk) and piece.cut:
            found.append(Damage(piece.at, piece.length, "the last chunk was cut off"))
        elif isinstance(piece, Record) and piece.opcode == Opcode.FOOTER and (why := _bad_summary(data, piece)):
            found.append(Damage(piece.at, 0, why))
        elif isinstance(piece, Record) and piece.opcode == Opcode.ATTACHMENT and not _sound_attachment(piece.content):
            found.append(Damage(piece.at, HEAD + len(piece.content), "an attachment is not what its CRC says"))
    return found


def repair(
    path: str | Path, output: str | Path | None = None, advance: Callable[[int], None] | None = None
) -> Report:
    """Make a whole recording of a damaged one.

    Args:
        path: the recording. With nothing wrong with it, it is left as it is.
        output: where the whole one goes; `path` is not touched then. None: it takes the name of `path`, and the
            damaged file is kept beside it, as `NAME.damaged`.
        advance: told how many more of the file's bytes have been dealt with.

    Raises:
        RepairError: there is nothing to save, the file is being written just now, or the disk refuses.
    """
    path = Path(path)
    if output is not None and Path(output).exists():
        raise RepairError(f"{output} exists already; choose another name for the repaired recording")
    try:
        _refuse_living(path)
        with mapped(path) as data:
            if not len(data):
                raise RepairError(f"{path} is empty: nothing was recorded, so there is nothing to repair")
            damage = check(data)
            if not damage:
                return _summary(data, Report(str(path), True))
            return _mend(path, data, damage, output, advance)
    except OSError as error:
        raise RepairError(
            f"recording {path} cannot be repaired ({error.strerror}); it was left as it is: "
            "look that the file is there and that there is room for a copy, or give -o FILE on another disk"
        ) from None


def _mend(
    path: Path, data: Bytes, damage: list[Damage], output: str | Path | None, advance: Callable[[int], None] | None
) -> Report:
    target = path if output is None else Path(output)
    target.parent.mkdir(parents=True, exist_ok=True)
    report = Report(str(target), False, damage=[_told(found) for found in damage])
    report.skipped_bytes = sum(found.length for found in damage)
    beside = _unused(target, ".part")
    disk = Disk(beside)
    try:
        _copy(data, disk, report, advance)
        if not report.messages and data[: len(MAGIC)] != MAGIC:
            raise RepairError(f"{path} holds nothing of a recording; it was left as it is")
        disk.sync()
        disk.close()
        os.chmod(beside, path.stat().st_mode & 0o777)
        if output is None:
            # A second name for the damaged file first: at no moment is there less than there was.
            kept = _unused(path, ".damaged")
            try:
                os.link(path, kept)
            except OSError:  # a disk without links, as FAT
                os.rename(path, kept)
            report.original = str(kept)
        os.replace(beside, target)
        sync_folder(target.parent)
    except BaseException:
        disk.close()
        with suppress(OSError):
            beside.unlink()
        raise
    return report


def _copy(data: Bytes, disk: Disk, report: Report, advance: Callable[[int], None] | None) -> None:
    """Write all that is whole in `data`."""
    pieces = walk(data)
    writer: McapWriter | None = None
    done = 0
    for piece in pieces:
        if writer is None:
            header = Header("edgebot", "edgebot")  # what it is taken for where its own is gone
            if isinstance(piece, Record) and piece.opcode == Opcode.HEADER:
                header = Header.read(ReadDataStream(BytesIO(piece.content)))
            writer = McapWriter(disk, header.profile, header.library)
        if isinstance(piece, Record):
            if piece.opcode in (Opcode.DATA_END, Opcode.FOOTER):
                break
            _copy_record(writer, piece, report)
        elif isinstance(piece, Chunk):
            _copy_chunk(writer, data, piece, report)
        if advance is not None:
            advance(piece.at - done)
            done = piece.at
    if writer is not None:
        writer.finish()
    if advance is not None:
        advance(len(data) - done)


def _copy_record(writer: McapWriter, piece: Record, report: Report) -> None:
    stream = ReadDataStream(BytesIO(piece.content))
    if piece.opcode == Opcode.SCHEMA:
        writer.adopt(Schema.read(stream))
    elif piece.opcode == Opcode.CHANNEL:
        writer.adopt(Channel.read(stream))
    elif piece.opcode == Opcode.METADATA:
        found = Metadata.read(stream)
        writer.metadata(found.name, found.metadata)
    elif piece.opcode == Opcode.ATTACHMENT and _sound_attachment(piece.content):
        file = Attachment.read(stream)
        writer.attachment(file.name, file.media_type, file.data, file.log_time)
    elif piece.opcode == Opcode.MESSAGE:  # a file without chunks
        channel, sequence, stamp, content = message(piece.content)
        _note(report, stamp)
        writer.add(channel, stamp, content, sequence)


def _copy_chunk(writer: McapWriter, data: Bytes, piece: Chunk, report: Report) -> None:
    """A whole chunk as it is, of a cut one what can be read; channels that it bears or needs enter the summary."""
    kept = []
    for opcode, _, content in messages(piece):
        if opcode == Opcode.SCHEMA:
            writer.adopt(Schema.read(ReadDataStream(BytesIO(content))))
        elif opcode == Opcode.CHANNEL:
            writer.adopt(Channel.read(ReadDataStream(BytesIO(content))))
        elif opcode == Opcode.MESSAGE:
            found = message(content)
            if not writer.knows(found[0]):
                _adopt_ours(writer, report)
            if not piece.cut:
                _note(report, found[2])
            elif writer.knows(found[0]) and _readable(writer.encoding(found[0]), found[3]):
                kept.append(found)
    if not piece.cut:
        whole = data[piece.at : piece.at + piece.length]
        writer.copy(whole, piece.data, piece.compression, piece.packed)
        return
    for channel, sequence, stamp, content in kept:
        _note(report, stamp)
        report.saved += 1
        writer.add(channel, stamp, content, sequence)


def _adopt_ours(writer: McapWriter, report: Report) -> None:
    """The channels as the recorder numbers them, where the file's own were lost with its beginning."""
    for number, topic in enumerate(topics.TOPICS, start=1):
        if not writer.knows(number):
            writer.adopt(
                Schema(id=number, name=topic.schema_name, encoding=topic.schema_encoding, data=topic.schema_data)
            )
            writer.adopt(
                Channel(id=number, topic=topic.name, message_encoding=topic.encoding, metadata={}, schema_id=number)
            )
    report.damage.append("the names of its topics were lost; they were taken from this edgebot")


def _readable(encoding: str, data: bytes) -> bool:
    """Whether a message without a CRC is whole by its own form."""
    try:
        if encoding == "json":
            json.loads(data)
        elif encoding == "protobuf":
            found = protobuf.read_image(data)
            return found.data.endswith(b"\xff\xd9" if found.format == "jpeg" else b"IEND\xaeB`\x82")
    except ValueError:
        return False
    return True


def _note(report: Report, stamp_ns: int) -> None:
    report.messages += 1
    stamp = stamp_ns / 1e9
    report.first_s = stamp if report.first_s is None else min(report.first_s, stamp)
    report.last_s = stamp if report.last_s is None else max(report.last_s, stamp)


def _summary(data: Bytes, report: Report) -> Report:
    """Counts of a whole file."""
    for piece in walk(data):
        if isinstance(piece, Chunk):
            for opcode, _, content in messages(piece):
                if opcode == Opcode.MESSAGE:
                    _note(report, message(content)[2])
        elif isinstance(piece, Record) and piece.opcode == Opcode.MESSAGE:
            _note(report, message(piece.content)[2])
    return report


def _bad_summary(data: Bytes, piece: Record) -> str:
    """What is wrong with the index between the data's end and the footer; empty where nothing is."""
    footer = Footer.read(ReadDataStream(BytesIO(piece.content)))
    if not footer.summary_start:
        return "there is no index"
    if not len(MAGIC) < footer.summary_start <= piece.at:
        return "the index is not where the end says"
    crc = zlib.crc32(data[footer.summary_start : piece.at + HEAD + len(piece.content) - 4])
    return "the index is not what its CRC says" if footer.summary_crc not in (0, crc) else ""


def _sound_attachment(content: bytes) -> bool:
    stored = struct.unpack_from("<I", content, len(content) - 4)[0] if len(content) >= 4 else 0
    return stored in (0, zlib.crc32(content[:-4]))


def _told(found: Damage) -> str:
    where = f"at byte {found.at}: {found.why}"
    return f"{where} ({found.length} bytes)" if found.length else where


def _unused(path: Path, ending: str) -> Path:
    """A name beside `path` that nobody has."""
    for number in range(1, 10_000):
        found = path.with_name(f"{path.name}{ending}{'' if number == 1 else number}")
        if not found.exists():
            return found
    raise RepairError(f"{path} has been repaired ten thousand times; remove the old {path.name}{ending} files")


def _refuse_living(path: Path) -> None:
    """A file that a run is writing is no damaged file."""
    import fcntl

    with path.open("rb") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            raise RepairError(f"{path} is being written just now; end that run, and it may need no repair") from None
        except OSError:  # a disk that knows no locks
            return
