"""Repair: whatever happened to a file, what was whole in it is in a whole file afterwards, and nothing is lost."""

from __future__ import annotations

import errno
import io
import json
import os
import random
from pathlib import Path
from typing import Any

import pytest
from mcap.reader import make_reader
from mcap.records import Schema
from mcap.writer import CompressionType, Writer

from edge.commands.recording import main
from edge.recordings.recorder import Recorder
from edge.recordings.repair import RepairError, check, repair
from edge.recordings.scan import Chunk, walk
from tests.edge.recordings.files import indexes, record, tick


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """A whole recording of 200 iterations in a dozen chunks."""
    return record(tmp_path_factory.mktemp("whole") / "run.mcap")


def chunks(data: bytes) -> list[Chunk]:
    return [piece for piece in walk(data) if isinstance(piece, Chunk)]


def within(chunk: Chunk) -> list[int]:
    """The iterations of a chunk."""
    return [json.loads(part.split(b"}")[0] + b"}")["index"] for part in _loops(chunk)]


def _loops(chunk: Chunk) -> list[bytes]:
    return [b'{"index"' + part for part in chunk.data.split(b'{"index"')[1:]]


def mended(path: Path, data: bytes) -> tuple[list[int], Any]:
    """Write `data`, repair it; what is in the whole file, and the report. The damaged file must still be there."""
    path.write_bytes(data)
    report = repair(path)
    assert not report.whole and report.damage
    assert Path(report.original).read_bytes() == data
    assert not check(path.read_bytes())
    assert not list(path.parent.glob("*.part*"))
    return indexes(path), report


def test_a_whole_file_is_left_alone(tmp_path: Path, whole: bytes) -> None:
    path = tmp_path / "run.mcap"
    path.write_bytes(whole)
    before = path.stat()
    report = repair(path)
    assert report.whole and report.messages == 4 * 200 + 40
    assert path.stat() == before and path.read_bytes() == whole
    assert [found.name for found in tmp_path.iterdir()] == ["run.mcap"]


def test_cut_anywhere_it_keeps_every_whole_chunk(tmp_path: Path, whole: bytes) -> None:
    parts = chunks(whole)
    assert len(parts) >= 8
    chance = random.Random(4)
    edges = [edge + step for part in parts[:3] for edge in (part.at, part.at + part.length) for step in (-1, 0, 1)]
    for number, cut in enumerate([*edges, *(chance.randrange(parts[0].at, len(whole) - 1) for _ in range(25))]):
        found, report = mended(tmp_path / f"{number}.mcap", whole[:cut])
        sure = [index for part in parts if part.at + part.length <= cut for index in within(part)]
        assert found[: len(sure)] == sure
        assert found == list(range(len(found)))
        assert len(found) - len(sure) <= report.saved


def test_cut_before_the_first_chunk_it_still_tells_what_the_run_was(tmp_path: Path, whole: bytes) -> None:
    path = tmp_path / "run.mcap"
    found, _ = mended(path, whole[: chunks(whole)[0].at])
    assert found == []
    with path.open("rb") as file:
        (about,) = make_reader(file).iter_metadata()
    assert about.metadata["policy"] == "light"


@pytest.mark.parametrize("closed", [True, False])
def test_garbage_behind_the_end(tmp_path: Path, whole: bytes, closed: bool) -> None:
    last = chunks(whole)[-1]
    data = whole if closed else whole[: last.at + last.length]
    for garbage in (b"\0" * 5000, random.Random(1).randbytes(5000), b"\x06" + b"\xff" * 4000, whole[:300]):
        path = tmp_path / f"{len(garbage)}-{garbage[:1].hex()}.mcap"
        assert mended(path, data + garbage)[0] == list(range(200))


def test_half_a_chunk_at_the_end(tmp_path: Path) -> None:
    """LZ4 blocks of 64 kB that are whole bear their own checksums: what is in them is saved."""
    data = record(tmp_path / "long.mcap", ticks=1500, chunk=10**9, frames=False)
    (only,) = chunks(data)
    found, report = mended(tmp_path / "cut.mcap", data[: only.at + only.length * 3 // 4])
    assert found == list(range(len(found)))
    assert 600 < len(found) < 1500
    assert report.saved == report.messages > 0
    damaged = bytearray(data[: only.at + only.length * 3 // 4])
    damaged[only.at + only.length // 2] ^= 0x10  # a block is not what its checksum says: from there on nothing is taken
    fewer, _ = mended(tmp_path / "bad.mcap", bytes(damaged))
    assert fewer == list(range(len(fewer)))
    assert 0 < len(fewer) < len(found)


def test_a_hole_costs_only_what_was_in_it(tmp_path: Path, whole: bytes) -> None:
    """As a power cut leaves it, where a later page reached the disk and an earlier one did not."""
    parts = chunks(whole)
    start, end = parts[3].at - 50, parts[5].at + 200
    data = whole[:start] + b"\0" * (end - start) + whole[end:]
    found, report = mended(tmp_path / "run.mcap", data)
    lost = {index for part in parts[3:6] for index in within(part)}
    assert set(range(200)) - set(found) <= lost
    assert set(found) >= {index for part in (*parts[:3], *parts[6:]) for index in within(part)}
    assert report.skipped_bytes > 0


def test_a_flipped_bit_costs_its_chunk(tmp_path: Path, whole: bytes) -> None:
    parts = chunks(whole)
    for offset in (2, 30, 34, 38, 42, parts[4].length // 2):
        place = parts[4].at + offset
        data = bytearray(whole)
        data[place] ^= 0x40
        found, _ = mended(tmp_path / f"{place}.mcap", bytes(data))
        assert set(range(200)) - set(found) <= set(within(parts[4]))
        assert len(found) < 200


def test_a_lost_beginning_costs_the_names_and_not_the_messages(tmp_path: Path, whole: bytes) -> None:
    first = chunks(whole)[0].at
    found, report = mended(tmp_path / "run.mcap", b"\0" * first + whole[first:])
    assert found == list(range(200))
    assert "the names of its topics were lost; they were taken from this edgebot" in report.damage


@pytest.mark.parametrize("content", [b"", b"no recording at all" * 100, b"\x89MCAP"])
def test_what_is_no_recording_is_refused_and_left_alone(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "run.mcap"
    path.write_bytes(content)
    with pytest.raises(RepairError, match="nothing"):
        repair(path)
    assert path.read_bytes() == content
    assert [found.name for found in tmp_path.iterdir()] == ["run.mcap"]


def test_a_file_of_the_mcap_library_is_mended_too(tmp_path: Path) -> None:
    """Its channels stand in the first chunk."""
    for compression in (CompressionType.LZ4, CompressionType.NONE):
        stream = io.BytesIO()
        writer = Writer(stream, chunk_size=2000, compression=compression)
        writer.start(profile="other", library="test")
        schema = writer.register_schema("edgebot.Loop", "jsonschema", b"{}")
        channel = writer.register_channel("/loop", "json", schema)
        for index in range(300):
            writer.add_message(channel, index, json.dumps({"index": index}).encode(), index)
        writer.flush()
        path = tmp_path / f"{compression.name}.mcap"
        found, _ = mended(path, stream.getvalue())
        assert found == list(range(300))
        with path.open("rb") as file:
            reader = make_reader(file)
            summary = reader.get_summary()
            assert reader.get_header().profile == "other"
        assert summary is not None
        assert list(summary.schemas.values()) == [Schema(data=b"{}", encoding="jsonschema", id=1, name="edgebot.Loop")]


def test_a_second_repair_keeps_the_first_ones_original(tmp_path: Path, whole: bytes) -> None:
    path = tmp_path / "run.mcap"
    mended(path, whole[:-1])
    mended(path, whole[:-2000])
    names = sorted(found.name for found in tmp_path.iterdir())
    assert names == ["run.mcap", "run.mcap.damaged", "run.mcap.damaged2"]


def test_a_full_disk_leaves_the_damaged_file_as_it_is(
    tmp_path: Path, whole: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "run.mcap"
    path.write_bytes(whole[:-1])

    def full(self: object, data: bytes) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr("edge.recordings.disk.Disk.write", full)
    with pytest.raises(RepairError, match="No space left.*left as it is"):
        repair(path)
    assert path.read_bytes() == whole[:-1]
    assert [found.name for found in tmp_path.iterdir()] == ["run.mcap"]


def test_a_recording_that_is_being_written_is_not_repaired(tmp_path: Path) -> None:
    path = tmp_path / "run.mcap"
    with Recorder(path) as recorder:
        recorder.tick(tick(0))
        with pytest.raises(RepairError, match="is being written just now"):
            repair(path)
    assert repair(path).whole


def test_the_command(tmp_path: Path, whole: bytes, capsys: pytest.CaptureFixture[str]) -> None:
    path, other = tmp_path / "run.mcap", tmp_path / "else" / "whole.mcap"
    path.write_bytes(whole[:-1000])
    assert main(["repair", str(path), "-o", str(other), "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert (report["path"], report["whole"], report["original"]) == (str(other), False, "")
    assert path.read_bytes() == whole[:-1000] and indexes(other) == list(range(200))
    with pytest.raises(RepairError, match="exists already"):
        main(["repair", str(path), "-o", str(other)])
    bad = tmp_path / "bad.mcap"
    bad.write_bytes(b"x" * 100)
    assert main(["repair", str(bad), str(path)]) == 2  # the one that can be mended is
    said = capsys.readouterr().err
    assert "bad.mcap holds nothing of a recording" in said
    assert f"the damaged file is {path}.damaged" in said.replace("\n", " ")
