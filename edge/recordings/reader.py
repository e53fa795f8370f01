"""Reading a recording: what it was, and each iteration of the loop as the loop knew it.

A file that was cut off (a crash, an empty battery) is read as far as its last whole chunk, with or without
`edgebot recording repair`. A run that was rotated over several files is read through them in order.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from math import inf
from pathlib import Path
from typing import IO, Any

from pydantic import ValidationError

from edge import messages
from edge.perception.runner import fresh
from edge.reasons import Reason
from edge.recordings import decode
from edge.recordings.decode import Line, Picture, UnreadableError
from edge.tick import Tick
from edge.types import Detections
from robot.config import RobotConfig
from robot.types import STOP, Wheels

Pose = tuple[float, float, float]
ONCE = (messages.SENSE.name, messages.COMMAND.name, messages.LOOP.name)
"""Each iteration writes one of each, in this order; a second one begins the next iteration."""

RECALLED = 16
"""How many results of perception are kept, to be found again by the stamp that an iteration names."""


@dataclass(frozen=True, slots=True)
class Moment:
    """One iteration as recorded, with what came new in it."""

    tick: Tick  # its `senses.frame` is None: `picture` has the frame, where it was a new one
    picture: Picture | None
    found: Detections | None
    pose: Pose | None  # x, y (m), yaw (rad): only a simulation knows


class Recording:
    """One run, in one file or, rotated, in several.

    Args:
        paths: its files in order.

    Raises:
        UnreadableError: there is no such file, or it is no recording of edgebot.

    Attributes:
        metadata: what the run was: policy, seed, clock, versions.
        attachments: whole files by name: robot.json, and the manifests of the models.
        cut: after `moments` or `log`, why the last file ends too early; empty where it is whole.
        dropped: after `moments`, how many items the recording lacks by its own account.
    """

    def __init__(self, *paths: str | Path) -> None:
        self.paths = tuple(Path(path) for path in paths)
        self.metadata: dict[str, str] = {}
        self.attachments: dict[str, bytes] = {}
        self.cut = ""
        self.dropped = 0
        for path in reversed(self.paths):  # the first part's word counts
            self._read_header(path)

    @property
    def path(self) -> Path:
        """The (first) file."""
        return self.paths[0]

    @cached_property
    def size(self) -> int:
        """Bytes of all files."""
        return sum(path.stat().st_size for path in self.paths)

    @cached_property
    def config(self) -> RobotConfig:
        """The robot that was recorded. Raises `UnreadableError` where the recording does not say."""
        data = self.attachments.get("robot.json")
        if data is None:
            raise UnreadableError(f"{self.path} holds no robot.json; record the run again with `edgebot run --record`")
        try:
            return RobotConfig.model_validate_json(data)
        except ValidationError as error:
            where = ".".join(str(part) for part in error.errors()[0]["loc"])
            raise UnreadableError(
                f"{self.path} holds a robot.json that this edgebot does not understand ({where}: "
                f"{error.errors()[0]['msg']}); read it with edgebot {self.metadata.get('edgebot', 'of its time')}"
            ) from None

    def moments(self, *, pictures: bool = True, advance: Callable[[int], None] | None = None) -> Iterator[Moment]:
        """Every iteration in order.

        Args:
            pictures: whether to decode the camera's messages; False leaves `Moment.picture` None and is faster.
            advance: told now and then how many more bytes of `size` have been read.

        Raises:
            UnreadableError: a message cannot be understood.
        """
        skip = {topic.name for topic in (messages.ANNOTATIONS, messages.RANGE, messages.LOG)}
        if not pictures:
            skip.add(messages.CAMERA.name)
        gatherer = _Gatherer(self.config)
        for topic, encoding, data in self._messages(skip, advance):
            moment = gatherer.add(topic, encoding, data)
            if moment is not None:
                yield moment
        moment = gatherer.end()
        self.dropped = gatherer.dropped
        if moment is not None:
            yield moment

    def log(self) -> Iterator[Line]:
        """The lines of the log."""
        for _, encoding, data in self._messages({topic.name for topic in messages.TOPICS} - {messages.LOG.name}, None):
            yield decode.line(encoding, data)

    def _messages(
        self, skip: set[str], advance: Callable[[int], None] | None
    ) -> Iterator[tuple[str, str, bytes]]:
        """Topic, encoding and data of the messages that are not skipped, in the order of writing."""
        from mcap.records import Channel, Message

        known = {topic.name for topic in messages.TOPICS} - skip
        self.cut = ""
        for path in self.paths:
            channels: dict[int, tuple[str, str]] = {}
            with path.open("rb") as file:
                told = 0
                for record in self._records(path, file):
                    if isinstance(record, Channel):
                        channels[record.id] = record.topic, record.message_encoding
                    elif isinstance(record, Message):
                        topic, encoding = channels[record.channel_id]
                        if topic not in known:
                            continue
                        yield topic, encoding, record.data
                        if advance is not None and file.tell() - told > 100_000:
                            advance(file.tell() - told)
                            told = file.tell()
                if advance is not None:
                    advance(path.stat().st_size - told)

    def _records(self, path: Path, file: IO[bytes], chunks: bool = False) -> Iterator[Any]:
        """All records up to the end, or to where the file is cut off or damaged, which is noted in `cut`."""
        from mcap.exceptions import EndOfFile, InvalidMagic, McapError
        from mcap.stream_reader import StreamReader

        records = iter(StreamReader(file, emit_chunks=chunks, validate_crcs=True).records)
        while True:
            try:
                record = next(records)
            except StopIteration:
                return
            except InvalidMagic:
                if file.tell() <= 8:
                    raise UnreadableError(f"{path} is no MCAP file; give what `--record` wrote") from None
                self.cut = "its end is damaged"
                return
            except (EndOfFile, struct.error):
                self.cut = "it was cut off"
                return
            except (McapError, ValueError, RuntimeError, OSError, KeyError, MemoryError, OverflowError) as error:
                self.cut = f"it is damaged at byte {file.tell()} ({type(error).__name__})"
                return
            yield record

    def _read_header(self, path: Path) -> None:
        from mcap.records import Attachment, Chunk, Header, Metadata

        profile = None
        try:
            with path.open("rb") as file:
                if os.fstat(file.fileno()).st_size == 0:
                    raise UnreadableError(f"{path} is empty; nothing was recorded")
                for record in self._records(path, file, chunks=True):
                    if isinstance(record, Header):
                        profile = record.profile
                    elif isinstance(record, Metadata) and record.name == "edgebot":
                        self.metadata |= record.metadata
                    elif isinstance(record, Attachment):
                        self.attachments[record.name] = record.data
                    elif isinstance(record, Chunk) and self.metadata:
                        break
        except OSError as error:
            raise UnreadableError(
                f"recording {path} cannot be read ({error.strerror}); give an .mcap file, as `--record` writes it"
            ) from None
        if profile is None:
            raise UnreadableError(f"{path} holds nothing that can be read: {self.cut or 'it has no header'}")
        if profile != "edgebot":
            raise UnreadableError(
                f"{path} was written by {profile or 'another program'!r}, not by edgebot; give a recording of "
                "`edgebot run --record`"
            )


class _Gatherer:
    """Puts the messages of an iteration together again."""

    def __init__(self, config: RobotConfig) -> None:
        self.dropped = 0
        self._stale_s = inf if config.camera is None else config.camera.stale_s
        self._now: dict[str, tuple[str, bytes]] = {}
        self._recalled: dict[float, Detections] = {}
        self._newest: Detections | None = None
        self._applied: Wheels = STOP

    def add(self, topic: str, encoding: str, data: bytes) -> Moment | None:
        """Take a message; the iteration that ended with the one before, where one did."""
        ended = self.end() if topic in ONCE and topic in self._now else None
        self._now[topic] = encoding, data
        return ended

    def end(self) -> Moment | None:
        """The iteration at hand, or None where it is not whole: the file was cut off within it."""
        now, self._now = self._now, {}
        if not (messages.COMMAND.name in now and messages.LOOP.name in now):
            return None
        try:
            return self._moment(now)
        except (ValueError, KeyError, TypeError) as error:
            raise UnreadableError(
                f"an iteration of the recording cannot be understood ({type(error).__name__}: {error}); a newer "
                "edgebot may have written it: `pip install -U edgebot`"
            ) from None

    def _moment(self, now: dict[str, tuple[str, bytes]]) -> Moment:
        found = {topic: decode.fields(*message) for topic, message in now.items() if topic != messages.CAMERA.name}
        loop, acted = found[messages.LOOP.name], found[messages.COMMAND.name]
        began = float(loop["began"])
        self.dropped = max(self.dropped, int(loop.get("dropped", 0)))
        new = None
        if messages.DETECTIONS.name in found:
            new = decode.detections(found[messages.DETECTIONS.name])
            self._newest = self._recalled[new.stamp] = new
            while len(self._recalled) > RECALLED:
                del self._recalled[next(iter(self._recalled))]
        before = decode.wheels(acted["before"]) if "before" in acted else self._applied
        self._applied = decode.wheels(acted["applied"])
        tick = Tick(
            index=int(loop["index"]),
            due=float(loop["due"]),
            now=float(loop.get("policy_now", began)),
            acted=float(loop["acted"]),
            senses=decode.senses(found.get(messages.SENSE.name, {})),
            detections=self._seen(loop, began),
            wanted=decode.command(acted["wanted"]),
            command=decode.command(acted["command"]),
            applied=self._applied,
            reason=Reason(acted["reason"]),
            message=str(acted.get("message", "")),
            overruns=int(loop.get("overruns", 0)),
            asked=bool(acted.get("asked", True)),
            before=before,
        )
        picture = None
        if messages.CAMERA.name in now:
            picture = decode.picture(*now[messages.CAMERA.name])
            if "frame" in loop:  # told there in full, with the picture to the nanosecond
                picture = Picture(float(loop["frame"]), picture.format, picture.data)
        pose = decode.pose(found[messages.POSE.name]) if messages.POSE.name in found else None
        return Moment(tick, picture, new, pose)

    def _seen(self, loop: decode.Fields, now: float) -> Detections | None:
        """What the policy saw: by its stamp where the iteration tells it, else the newest while it was fresh."""
        if "detections" in loop:
            return self._recalled.get(float(loop["detections"]))
        return None if "policy_now" in loop else fresh(self._newest, now, self._stale_s)


def episodes(paths: Sequence[str | Path]) -> list[Recording]:
    """The runs that these files hold, in the order given: the parts of a rotated run become one recording.

    A folder stands for all recordings in it.

    Raises:
        UnreadableError: a file is no recording, or a folder holds none.
    """
    runs: dict[str, list[tuple[int, Path]]] = {}
    for path in _files(paths):
        metadata = Recording(path).metadata
        run = metadata.get("run", "")
        runs.setdefault(run or str(path), []).append((int(metadata.get("part", "0")), path))
    return [Recording(*(path for _, path in sorted(parts))) for parts in runs.values()]



def _files(paths: Sequence[str | Path]) -> Iterator[Path]:
    for path in map(Path, paths):
        if not path.is_dir():
            yield path
            continue
        found = sorted(path.glob("*.mcap"))
        if not found:
            raise UnreadableError(f"the folder {path} holds no recording; give an .mcap file, as `--record` writes it")
        yield from found
