"""Recordings to break, and what is in them by the ordinary reader."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from mcap.reader import make_reader

from edge.guard import Reason
from edge.loop import Tick
from edge.recordings.recorder import Recorder
from robot.types import STOP, Frame, Reading, Senses, Wheels

SMALL_CHUNK = 12_000


def tick(index: int, frame: Frame | None = None) -> Tick:
    """An iteration."""
    now = index * 0.02
    senses = Senses(now, *(Reading(0.5 + index / 1e4, now),) * 3, frame=frame)
    return Tick(index, now, now, now, senses, None, STOP, STOP, Wheels(0.1, 0.1), Reason.OK, "", 0)


def record(path: Path, ticks: int = 200, chunk: int = SMALL_CHUNK, frames: bool = True) -> bytes:
    """Write a whole recording of so many iterations in chunks of about so many bytes; returns its bytes."""
    picture = np.random.default_rng(0).integers(0, 255, (24, 32, 3), np.uint8)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("edge.recordings.mcap_file.CHUNK_BYTES", chunk)
        patch.setattr("edge.recordings.recorder.FLUSH_S", 1e6)  # chunks by size alone, on a busy machine too
        with Recorder(path, {"policy": "light"}, {"robot.json": b'{"name": "example"}'}, wait=True) as recorder:
            for index in range(ticks):
                frame = Frame(picture, index * 0.02) if frames and index % 5 == 0 else None
                recorder.tick(tick(index, frame))
    return path.read_bytes()


def indexes(path: Path) -> list[int]:
    """The iterations in a whole file, every CRC checked; frames, metadata and attachments must be readable too."""
    with path.open("rb") as file:
        reader = make_reader(file, validate_crcs=True)
        summary = reader.get_summary()
        assert summary is not None and summary.statistics is not None
        found, count = [], 0
        for _, channel, message in reader.iter_messages():
            count += 1
            if channel.topic == "/loop":
                found.append(json.loads(message.data)["index"])
        assert summary.statistics.message_count == count
        list(reader.iter_attachments()), list(reader.iter_metadata())
    return sorted(found)
