"""`edgebot recording info` tells what is in a file, whole or not."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from edge.commands.recording import main
from edge.errors import UsageError
from edge.recordings.info import NoRecordingError, inspect
from edge.recordings.scan import Chunk, walk
from tests.edge.recordings.files import record


def test_a_whole_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "run[1].mcap"  # brackets are no markup
    record(path)
    assert main(["info", str(path), "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["state"], told["damage"], told["messages"], told["dropped"]) == ("whole", [], 4 * 200 + 40, 0)
    assert told["duration_s"] == pytest.approx(199 * 0.02)
    assert told["metadata"]["policy"] == "light"
    assert told["attachments"] == {"robot.json": 19}
    assert told["reasons"] == {"ok": 200}
    assert told["frames"] == {"jpeg 32x24": 40}
    rates = {topic["name"]: (topic["count"], topic["rate_hz"]) for topic in told["topics"]}
    assert rates["/loop"] == (200, pytest.approx(50.0))
    assert rates["/camera"] == (40, pytest.approx(10.0))
    assert main(["info", str(path)]) == 0
    shown = capsys.readouterr().err
    assert "run[1].mcap" in shown and "foxglove.CompressedImage" in shown and "100.0% ok" in shown


def test_a_file_that_was_not_closed_and_one_that_is_damaged(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "run.mcap"
    data = record(path)
    chunks = [piece for piece in walk(data) if isinstance(piece, Chunk)]
    path.write_bytes(data[: chunks[-2].at])
    info = inspect(path)
    assert (info.state, info.damage) == ("not closed", ["it was never closed"])
    assert 0 < info.messages < 4 * 200 + 40
    path.write_bytes(data[: chunks[2].at + 60] + b"\0" * 50 + data[chunks[2].at + 110 :])
    info = inspect(path)
    assert (info.state, info.damage) == ("damaged", ["a chunk is not what its CRC says"])
    assert main(["info", str(path)]) == 0
    assert f"edgebot recording repair {path}" in capsys.readouterr().err


def test_what_is_no_recording_is_told_in_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(NoRecordingError, match="No such file.*give an .mcap file"):
        inspect(tmp_path / "none.mcap")
    (tmp_path / "text.mcap").write_text("hello" * 100)
    with pytest.raises(NoRecordingError, match="is no MCAP file"):
        inspect(tmp_path / "text.mcap")
    with pytest.raises(UsageError, match="does not know 'look'; it knows info, repair, export"):
        main(["look"])
