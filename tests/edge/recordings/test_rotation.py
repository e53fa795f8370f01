"""A folder of recordings: new files by size and age, a cap on all, the oldest first, and nothing lost between two."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from edge.commands.arguments import Parser
from edge.commands.recording_arguments import add, wanted
from edge.errors import UsageError
from edge.recordings import rotation
from edge.recordings.recorder import Recorder
from edge.recordings.repair import check
from edge.recordings.rotation import Rotation
from robot.types import Frame
from tests.edge.recordings.files import indexes, tick

ROOT = Path(__file__).resolve().parents[3]
NOISE = np.random.default_rng(0).integers(0, 255, (480, 640, 3), np.uint8)  # 300 kB as JPEG


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A flush each 10 ms, so that a test sees in a second what a robot sees in minutes."""
    monkeypatch.setattr("edge.recordings.recorder.FLUSH_S", 0.01)
    yield


def fill(folder: Path, limits: Rotation, seconds: float, most: int = 10**9) -> tuple[int, int, int]:
    """Record for a while; how many iterations, how many files, the most bytes that were in the folder at any time."""
    largest = count = 0
    with Recorder(folder, {"policy": "light"}, wait=True, rotation=limits, room=4) as recorder:
        until = time.monotonic() + seconds
        while time.monotonic() < until and count < most:
            recorder.tick(tick(count, Frame(NOISE, float(count))))
            count += 1
            largest = max(largest, sum(size(path) for path in folder.glob("*.mcap")))
    assert not recorder.error and not recorder.dropped
    return count, recorder.files, max(largest, sum(size(path) for path in folder.glob("*.mcap")))


def size(path: Path) -> int:
    """0 where it has just been removed."""
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0


def test_by_size_every_file_is_whole_and_nothing_is_lost_between_two(tmp_path: Path, quick: None) -> None:
    count, files, _ = fill(tmp_path, Rotation(max_bytes=3_000_000), 60.0, most=60)
    paths = [path for _, path in rotation.parts(tmp_path)]
    assert len(paths) == files >= 4
    found = [indexes(path) for path in paths]
    assert sum(found, []) == list(range(count))
    for path in paths:
        assert path.stat().st_size <= 3_000_000
        assert not check(path.read_bytes())


def test_by_age(tmp_path: Path, quick: None) -> None:
    with Recorder(tmp_path, wait=True, rotation=Rotation(max_s=1.0)) as recorder:
        until, count = time.monotonic() + 2.6, 0
        while time.monotonic() < until:
            recorder.tick(tick(count))
            count += 1
            time.sleep(0.01)
    assert 2 <= recorder.files <= 3
    assert sum((indexes(path) for _, path in rotation.parts(tmp_path)), []) == list(range(count))


def test_the_folder_never_holds_more_than_it_may_and_the_oldest_go(tmp_path: Path, quick: None) -> None:
    other = tmp_path / "holiday.mcap"  # none of ours: never removed, never counted
    other.write_bytes(b"x" * 1000)
    kept = 12_000_000
    count, files, largest = fill(tmp_path, Rotation(keep_bytes=kept), 60.0, most=120)
    numbers = [number for number, _ in rotation.parts(tmp_path)]
    assert files > len(numbers) >= 2
    assert numbers == list(range(files - len(numbers) + 1, files + 1))  # the newest are there, the oldest gone
    assert largest <= kept + 1000
    newest = sum((indexes(path) for _, path in rotation.parts(tmp_path)), [])
    assert newest == list(range(newest[0], count))
    assert other.read_bytes() == b"x" * 1000


def test_the_next_run_goes_on_counting_whatever_the_date_says(tmp_path: Path) -> None:
    (tmp_path / "000041-20991231-235959.mcap").write_bytes(b"x")
    Recorder(tmp_path, rotation=Rotation()).close()
    assert [number for number, _ in rotation.parts(tmp_path)] == [41, 42]


def test_an_earlier_runs_files_go_first(tmp_path: Path) -> None:
    for number in (3, 1, 2):
        (tmp_path / f"00000{number}-20260101-00000{number}.mcap").write_bytes(b"x" * 700_000)
    Recorder(tmp_path, rotation=Rotation(keep_bytes=2_000_000)).close()
    assert [number for number, _ in rotation.parts(tmp_path)] == [2, 3, 4]


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--keep-mb", "100"], "--keep-mb is about a recording; add --record DIR"),
        (["--overwrite"], "--overwrite is about a recording; add --record FILE"),
        (["--record", "run.mcap", "--rotate-s", "60"], "fill a folder, but run.mcap is a file; give a DIR"),
        (["--record", "runs", "--keep-mb", "100", "--rotate-mb", "60"], "leaves no room for two files"),
        (["--record", "runs", "--keep-mb", "10", "--overwrite"], "runs is a folder and gets a new file; leave it out"),
        (["--record", "runs", "--rotate-mb", "0.1"], "'0.1' is no number from 1 to"),
    ],
)
def test_what_does_not_go_together_is_told(arguments: list[str], sentence: str) -> None:
    parser = Parser("run", "", "")
    add(parser)
    with pytest.raises(UsageError, match=sentence):
        wanted(parser.parse_args(arguments))


def test_a_folder_that_is_there_gets_a_file_of_its_own_for_each_run(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "edge.cli", "run", "--sim", "--policy", "straight", "--duration", "2", "--json"]
    for number in (1, 2):
        arguments = [*command, "--record", f"{tmp_path}/", "--keep-mb", "20"]
        done = subprocess.run(arguments, cwd=ROOT, capture_output=True, text=True, timeout=120)
        assert done.returncode == 0, done.stderr
        told = json.loads(done.stdout)["recording"]
        assert Path(told["path"]).name.startswith(f"00000{number}-")
        assert indexes(Path(told["path"])) == list(range(100))
