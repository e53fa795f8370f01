"""What is in a recording: the run, its topics and rates, what the guard said, what is missing, whether it is whole.

Every byte is looked at, and every CRC: what is told here is what can be had.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from io import BytesIO
from pathlib import Path
from typing import Any

from mcap.data_stream import ReadDataStream
from mcap.opcode import Opcode
from mcap.records import Attachment, Channel, Header, Metadata, Schema

from edge import messages as topics
from edge.errors import EdgeError
from edge.recordings import protobuf
from edge.recordings.repair import check
from edge.recordings.scan import Chunk, Record, mapped, message, messages, walk


class NoRecordingError(EdgeError):
    """A file that is none, or cannot be read."""


@dataclass
class TopicInfo:
    """One topic of a recording."""

    name: str
    schema: str
    encoding: str
    count: int = 0
    bytes: int = 0
    first_s: float = 0.0
    last_s: float = 0.0

    @property
    def rate_hz(self) -> float:
        """Messages a second between its first and its last."""
        return (self.count - 1) / (self.last_s - self.first_s) if self.last_s > self.first_s else 0.0


@dataclass
class Info:
    """One file."""

    path: str
    bytes: int
    state: str = "whole"  # or "not closed", or "damaged"
    damage: list[str] = field(default_factory=list)
    profile: str = ""
    metadata: dict[str, str] = field(default_factory=dict)
    attachments: dict[str, int] = field(default_factory=dict)  # name: bytes
    topics: list[TopicInfo] = field(default_factory=list)
    messages: int = 0
    first_s: float = 0.0
    last_s: float = 0.0
    reasons: dict[str, int] = field(default_factory=dict)  # iterations under each of the guard's reasons
    overruns: int = 0
    dropped: int = 0
    frames: dict[str, int] = field(default_factory=dict)  # by kind and size, as in "jpeg 640x480"
    warnings: list[str] = field(default_factory=list)  # lines of the log from "warning" up, the newest last

    @property
    def duration_s(self) -> float:
        """From the first message to the last."""
        return self.last_s - self.first_s

    def as_dict(self) -> dict[str, Any]:
        """Plain data, for `--json`."""
        return asdict(self) | {
            "duration_s": self.duration_s,
            "topics": [asdict(topic) | {"rate_hz": topic.rate_hz} for topic in self.topics],
        }


MOST_WARNINGS = 200


def inspect(path: str | Path, advance: Callable[[int], None] | None = None) -> Info:
    """Read a whole recording.

    Args:
        path: the file.
        advance: told how many more of its bytes have been read.

    Raises:
        NoRecordingError: it cannot be read, or is no MCAP file.
    """
    path = Path(path)
    try:
        with mapped(path) as data:
            info = Info(str(path), len(data))
            damage = check(data)
            gatherer = _Gatherer(info)
            done = 0
            for piece in walk(data):
                gatherer.take(piece)
                if advance is not None:
                    advance(piece.at - done)
                    done = piece.at
            if advance is not None:
                advance(len(data) - done)
    except OSError as error:
        raise NoRecordingError(
            f"recording {path} cannot be read ({error.strerror}); give an .mcap file, as `--record` writes it"
        ) from None
    if not gatherer.found:
        raise NoRecordingError(f"{path} is no MCAP file; give a recording, as `edgebot run --record FILE` writes it")
    info.damage = [found.why for found in damage]
    if damage:
        info.state = "not closed" if all(found.why == "it was never closed" for found in damage) else "damaged"
    gatherer.end()
    return info


class _Gatherer:
    """Counts what goes by."""

    def __init__(self, info: Info) -> None:
        self.info = info
        self.found = False
        self._schemas: dict[int, str] = {}
        self._topics: dict[int, TopicInfo] = {}
        self._reasons: Counter[str] = Counter()
        self._frames: Counter[str] = Counter()

    def take(self, piece: object) -> None:
        """One piece of the file."""
        if isinstance(piece, Record):
            self._record(piece.opcode, piece.content)
        elif isinstance(piece, Chunk):
            for opcode, _, content in messages(piece):
                self._record(opcode, content)

    def end(self) -> None:
        """Put the counts in order."""
        self.info.topics = [topic for topic in self._topics.values() if topic.count]
        self.info.messages = sum(topic.count for topic in self.info.topics)
        if self.info.topics:
            self.info.first_s = min(topic.first_s for topic in self.info.topics)
            self.info.last_s = max(topic.last_s for topic in self.info.topics)
        self.info.reasons = dict(self._reasons.most_common())
        self.info.frames = dict(self._frames.most_common())
        self.info.warnings = self.info.warnings[-MOST_WARNINGS:]

    def _record(self, opcode: int, content: bytes) -> None:
        self.found = True
        info, stream = self.info, ReadDataStream(BytesIO(content))
        if opcode == Opcode.MESSAGE:
            self._message(content)
        elif opcode == Opcode.HEADER:
            info.profile = Header.read(stream).profile
        elif opcode == Opcode.METADATA:
            info.metadata |= Metadata.read(stream).metadata
        elif opcode == Opcode.ATTACHMENT:
            file = Attachment.read(stream)
            info.attachments[file.name] = len(file.data)
        elif opcode == Opcode.SCHEMA:
            schema = Schema.read(stream)
            self._schemas[schema.id] = schema.name
        elif opcode == Opcode.CHANNEL:
            channel = Channel.read(stream)
            name = self._schemas.get(channel.schema_id, "")
            self._topics.setdefault(channel.id, TopicInfo(channel.topic, name, channel.message_encoding))

    def _message(self, content: bytes) -> None:
        number, _, stamp_ns, data = message(content)
        stamp = stamp_ns / 1e9
        topic = self._topics.setdefault(number, TopicInfo(f"channel {number}", "", ""))
        topic.first_s = min(topic.first_s, stamp) if topic.count else stamp
        topic.last_s = max(topic.last_s, stamp)
        topic.count += 1
        topic.bytes += len(data)
        try:
            if topic.name == topics.CAMERA.name and topic.encoding == "protobuf":
                self._frames[_frame(protobuf.read_image(data))] += 1
            elif topic.encoding == "json":
                self._text(topic.name, data)
        except (ValueError, KeyError, TypeError):  # counted; what it says is another's
            return

    def _text(self, topic: str, data: bytes) -> None:
        if topic == topics.COMMAND.name:
            self._reasons[str(json.loads(data)["reason"])] += 1
        elif topic == topics.LOOP.name:
            found = json.loads(data)
            self.info.overruns = max(self.info.overruns, int(found["overruns"]))
            self.info.dropped = max(self.info.dropped, int(found["dropped"]))
        elif topic == topics.LOG.name:
            found = json.loads(data)
            if found["level"] >= topics.LEVELS["warning"]:
                self.info.warnings.append(str(found["message"]).splitlines()[0])


def _frame(found: protobuf.CompressedImage) -> str:
    """Kind and size of a frame, from its first bytes."""
    data = found.data
    if found.format == "png":
        width, height = int.from_bytes(data[16:20], "big"), int.from_bytes(data[20:24], "big")
        return f"png {width}x{height}"
    at = 2
    while at + 9 < len(data) and data[at] == 0xFF:  # JPEG: marker segments up to the frame's header
        if 0xC0 <= data[at + 1] <= 0xC3:
            height, width = int.from_bytes(data[at + 5 : at + 7], "big"), int.from_bytes(data[at + 7 : at + 9], "big")
            return f"{found.format} {width}x{height}"
        at += 2 + int.from_bytes(data[at + 2 : at + 4], "big")
    return found.format
