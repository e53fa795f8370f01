"""Recordings as a LeRobot data set: the layout, the rows and the films, checked against what LeRobot documents."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pyarrow.parquet as parquet
import pytest

from edge import cli
from edge.recordings.reader import Recording
from robot.sim.faults import Fault
from tests.edge.runs import record

STATE = [
    "light_left", "light_right", "range", "light_left_valid", "light_right_valid", "range_valid", "wheel_left",
    "wheel_right",
]  # fmt: skip


def export(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str]:
    code = cli.main(["recording", "export", "--format", "lerobot", *arguments])
    return code, capsys.readouterr().err


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    folder = tmp_path_factory.mktemp("runs")
    fault = (Fault("range", "dropout", 1.0, 2.0),)  # type: ignore[arg-type]
    record(folder / "a.mcap", "light", 4.0, camera=True, faults=fault)
    record(folder / "b.mcap", "light", 2.5, camera=True, seed=8)
    return [folder / "a.mcap", folder / "b.mcap"]


@pytest.fixture(scope="module")
def place(runs: list[Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("out") / "drives"
    arguments = ["--format", "lerobot", "-o", str(place), "--task", "seek the lamp"]
    assert cli.main(["recording", "export", *map(str, runs), *arguments]) == 0
    return place


def table(path: Path) -> dict[str, list[Any]]:
    return parquet.read_table(path).to_pydict()  # type: ignore[no-any-return]


def test_the_layout_is_lerobots(place: Path) -> None:
    files = {path.relative_to(place).as_posix() for path in place.rglob("*") if path.is_file()}
    assert files == {
        "meta/info.json", "meta/stats.json", "meta/tasks.parquet", "meta/episodes/chunk-000/file-000.parquet",
        "data/chunk-000/file-000.parquet", "videos/observation.images.front/chunk-000/file-000.mp4",
        "videos/observation.images.front/chunk-000/file-001.mp4",
    }  # fmt: skip
    info = json.loads((place / "meta/info.json").read_text())
    assert (info["codebase_version"], info["fps"], info["total_episodes"], info["total_tasks"]) == ("v3.0", 10, 2, 1)
    assert info["splits"] == {"train": "0:2"} and info["robot_type"] == "example"
    features = info["features"]
    assert set(STATE) <= set(features["observation.state"]["names"])
    assert features["action"] == {"dtype": "float32", "shape": [2], "names": ["v_mps", "omega_radps"]}
    assert features["observation.images.front"]["dtype"] == "video"
    assert features["observation.images.front"]["shape"] == [480, 640, 3]
    for name in ("frame_index", "episode_index", "index", "task_index"):
        assert features[name] == {"dtype": "int64", "shape": [1], "names": None}
    stored = parquet.read_schema(place / "data/chunk-000/file-000.parquet")
    assert set(stored.names) == set(features) - {"observation.images.front"}
    for name in stored.names:
        feature, kind = features[name], str(stored.field(name).type)
        kind_of = {"float32": "float", "int64": "int64", "bool": "bool"}[feature["dtype"]]
        width = feature["shape"][0]
        wanted = kind_of if width == 1 else f"fixed_size_list<element: {kind_of}>[{width}]"
        assert kind.replace("item", "element") == wanted


def test_rows_are_what_was_sensed_and_sent_on_the_cameras_beat(place: Path, runs: list[Path]) -> None:
    info = json.loads((place / "meta/info.json").read_text())
    rows = table(place / "data/chunk-000/file-000.parquet")
    count = len(rows["index"])
    assert count == info["total_frames"] and rows["index"] == list(range(count))
    names = info["features"]["observation.state"]["names"]
    at = 0
    kinds = set()
    for episode, path in enumerate(runs):
        moments = list(Recording(path).moments())
        start = next(moment.tick.now for moment in moments if moment.picture is not None)
        length = rows["episode_index"].count(episode)
        assert length == pytest.approx((moments[-1].tick.now - start) * 10 + 1, abs=1)
        for frame in range(length):
            row = {name: column[at] for name, column in rows.items()}
            assert row["frame_index"] == frame and row["timestamp"] == np.float32(frame / 10)
            assert row["next.done"] == (frame == length - 1)
            moment = [moment for moment in moments if moment.tick.now <= start + frame / 10 + 1e-6][-1]
            state = dict(zip(names, row["observation.state"], strict=True))
            echo = moment.tick.senses.range.value
            kinds.add(echo is None)
            assert state["range"] == np.float32(0.0 if echo is None else echo)
            assert state["range_valid"] == float(echo is not None)
            assert state["wheel_left"] == np.float32(moment.tick.before.left)
            command = moment.tick.command
            sent = (command.v, command.omega) if hasattr(command, "v") else (0.0, 0.0)
            assert row["action"] == [np.float32(part) for part in sent]
            at += 1
    assert kinds == {True, False}


def test_episodes_tell_where_they_are_found(place: Path) -> None:
    episodes = table(place / "meta/episodes/chunk-000/file-000.parquet")
    rows = table(place / "data/chunk-000/file-000.parquet")
    assert episodes["episode_index"] == [0, 1] and episodes["tasks"] == [["seek the lamp"]] * 2
    assert episodes["dataset_from_index"] == [0, episodes["length"][0]]
    assert episodes["dataset_to_index"][1] == len(rows["index"]) == sum(episodes["length"])
    key = "videos/observation.images.front"
    assert (episodes[f"{key}/chunk_index"], episodes[f"{key}/file_index"]) == ([0, 0], [0, 1])
    for index, length in enumerate(episodes["length"]):
        film = cv2.VideoCapture(str(place / f"{key}/chunk-000/file-{index:03d}.mp4"))
        assert film.get(cv2.CAP_PROP_FRAME_COUNT) == length and film.get(cv2.CAP_PROP_FPS) == 10
        assert episodes[f"{key}/from_timestamp"][index] == 0.0
        assert episodes[f"{key}/to_timestamp"][index] == pytest.approx(length / 10)
    tasks = parquet.read_table(place / "meta/tasks.parquet")
    assert tasks.to_pydict() == {"task_index": [0], "task": ["seek the lamp"]}
    assert json.loads(tasks.schema.metadata[b"pandas"])["index_columns"] == ["task"]


def test_the_film_shows_the_recorded_frames(place: Path, runs: list[Path]) -> None:
    film = cv2.VideoCapture(str(place / "videos/observation.images.front/chunk-000/file-000.mp4"))
    pictures = [moment.picture for moment in Recording(runs[0]).moments() if moment.picture is not None]
    for picture in pictures[:20]:
        there, shown = film.read()
        assert there
        apart = np.abs(shown[:, :, ::-1].astype(int) - picture.decode().image).mean()
        assert apart < 6, apart


def test_statistics_are_those_of_the_rows(place: Path) -> None:
    stats = json.loads((place / "meta/stats.json").read_text())
    rows = table(place / "data/chunk-000/file-000.parquet")
    for name in ("observation.state", "action", "timestamp", "index"):
        values = np.array(rows[name], np.float64).reshape(len(rows["index"]), -1)
        for key in ("min", "max", "mean", "std"):
            assert stats[name][key] == pytest.approx(getattr(values, key)(0).tolist(), abs=1e-6), (name, key)
        assert stats[name]["count"] == [len(values)]
        assert stats[name]["q01"] <= stats[name]["q50"] <= stats[name]["q99"]
    colours = stats["observation.images.front"]
    assert np.shape(colours["mean"]) == (3, 1, 1) and 0 <= np.min(colours["min"]) < np.max(colours["max"]) <= 1
    episodes = table(place / "meta/episodes/chunk-000/file-000.parquet")
    assert np.array(episodes["stats/action/max"]).max(0).tolist() == stats["action"]["max"]


def test_a_run_without_a_camera_stands_on_the_loops_beat(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    record(tmp_path / "blind.mcap", "straight", 1.0)
    code, told = export(capsys, str(tmp_path / "blind.mcap"), "-o", str(tmp_path / "blind"))
    assert code == 0 and "1 episode, 50 frames at 50 frames/s" in told
    info = json.loads((tmp_path / "blind/meta/info.json").read_text())
    assert info["video_path"] is None and "observation.images.front" not in info["features"]
    assert not (tmp_path / "blind/videos").exists()


def test_mistakes_are_told(
    capsys: pytest.CaptureFixture[str], runs: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    record(tmp_path / "blind.mcap", "straight", 0.5)
    for arguments, said in (
        ((str(runs[0]), str(tmp_path / "blind.mcap")), "some of these runs have frames and some have none"),
        ((str(runs[0]), "--fps", "12.5"), "a whole number of frames a second"),
    ):
        code, told = export(capsys, *arguments, "-o", str(tmp_path / "out"))
        assert code == 2 and said in told
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    code, told = export(capsys, str(runs[0]), "-o", str(tmp_path / "out"))
    assert code == 2 and 'needs pyarrow, which is not installed; `pip install "edgebot[workstation]"` brings it' in told
    assert not (tmp_path / "out").exists()
