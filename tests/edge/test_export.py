"""`edgebot recording export`: tables, films and data sets that other programs read, whole or not at all."""

from __future__ import annotations

import csv
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from edge import cli
from edge.errors import UsageError
from edge.export.frames import beats
from edge.export.staging import staged
from edge.export.table import COLUMNS
from edge.recordings.reader import Recording
from robot.sim.faults import Fault
from tests.edge.runs import record

ROOT = Path(__file__).resolve().parents[2]
SEED, SECONDS = 5, 6.0  # of a run that sees somebody and nobody


@pytest.fixture(scope="module")
def seen(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run with a camera; the sonar says NaN for a while, and no echo for another."""
    path = tmp_path_factory.mktemp("runs") / "seen.mcap"
    faults = (Fault("range", "nan", 1.0, 1.5), Fault("range", "dropout", 2.0, 2.5))  # type: ignore[arg-type]
    record(path, "person", SECONDS, task="person", seed=SEED, faults=faults)
    return path


def export(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, dict[str, Any], str]:
    code = cli.main(["recording", "export", "--json", *arguments])
    told = capsys.readouterr()
    return code, json.loads(told.out) if told.out else {}, told.err


def test_a_table_has_every_iteration_and_every_digit(
    seen: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    place = tmp_path / "run.csv"
    code, found, told = export(capsys, str(seen), "--format", "csv", "-o", str(place))
    assert code == 0 and found["path"] == str(place) and "300 rows" in told
    with place.open(newline="") as file:
        rows = list(csv.DictReader(file))
    moments = list(Recording(seen).moments())
    assert len(rows) == len(moments) == 300 and tuple(rows[0]) == COLUMNS
    kinds = set()
    for row, moment in zip(rows, moments, strict=True):
        tick = moment.tick
        assert float(row["now_s"]) == tick.now
        assert float(row["light_left"]) == tick.senses.light_left.value
        value = tick.senses.range.value
        kinds.add("none" if value is None else "nan" if value != value else "number")
        assert row["range"] == ("" if value is None else repr(value))
        assert float(row["applied_left"]) == tick.applied.left
        assert row["reason"] == str(tick.reason)
        assert row["tilt"] == row["tilt_stamp_s"] == ""
        seen_now = tick.detections
        assert row["detections"] == ("" if seen_now is None else str(len(seen_now.items)))
        if seen_now is not None and seen_now.items:
            kinds.add("box")
            assert float(row["best_width"]) == seen_now.items[0].box[2] and row["best_label"] == "person"
        assert moment.pose is not None and float(row["pose_x_m"]) == moment.pose[0]
    assert kinds == {"none", "nan", "number", "box"}


def test_a_film_shows_the_frames_with_their_own_boxes(
    seen: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    place = tmp_path / "run.mp4"
    code, _, told = export(capsys, str(seen), "--format", "video", "-o", str(place))
    assert code == 0 and "frames at 10 frames/s" in told
    film = cv2.VideoCapture(str(place))
    pictures = []
    while (shot := film.read())[0]:
        pictures.append(shot[1])
    moments = list(Recording(seen).moments())
    recorded = [moment.picture for moment in moments if moment.picture is not None]
    assert len(pictures) == pytest.approx(len(recorded), abs=1) and film.get(cv2.CAP_PROP_FPS) == pytest.approx(10)
    found = {moment.found.stamp: moment.found for moment in moments if moment.found is not None}
    changed = []
    for picture, shown in zip(recorded, pictures, strict=False):
        plain = picture.decode().image[:, :, ::-1]
        assert shown.shape[1] == plain.shape[1] and plain.shape[0] < shown.shape[0] <= plain.shape[0] + 26
        apart = np.abs(shown[: plain.shape[0]].astype(int) - plain).max(axis=2)
        items = found[picture.stamp].items if picture.stamp in found else ()
        changed.append((bool(items), float((apart > 90).mean())))
    with_box = [share for there, share in changed if there]
    without = [share for there, share in changed if not there]
    assert min(with_box) > 0.002 > max(without), changed


def test_beats_are_regular_and_hold_what_is_older(seen: Path) -> None:
    for fps in (5.0, 10.0, 30.0):
        found = list(beats(Recording(seen), fps, camera=True))
        start = found[0].moment.tick.now
        assert len(found) == pytest.approx((SECONDS - start) * fps, abs=2)
        for number, beat in enumerate(found):
            assert beat.time == number / fps
            late = start + beat.time - beat.moment.tick.now
            assert -1e-6 <= late < 0.02 + 1e-6
            assert beat.picture is not None and -1e-6 <= start + beat.time - beat.picture.stamp < 0.15


def test_a_yolo_data_set_has_labels_that_fit_its_pictures(
    seen: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    place = tmp_path / "rooms"
    code, _, told = export(capsys, str(seen), "--format", "yolo", "-o", str(place), "--change", "2", "--empty", "1")
    assert code == 0 and "near-duplicates" in told
    listed = (place / "data.yaml").read_text().splitlines()
    assert {"train: images/train", "val: images/val", "nc: 1", "  0: 'person'"} < set(listed)
    assert not any(line.startswith("path:") for line in listed)  # it would be looked for elsewhere
    found = {moment.found.stamp: moment.found for moment in Recording(seen).moments() if moment.found is not None}
    originals = {
        moment.picture.data: moment.picture.stamp for moment in Recording(seen).moments() if moment.picture is not None
    }
    counts = {}
    last: Any = None
    boxes = 0
    for half in ("train", "val"):
        images = sorted((place / "images" / half).iterdir())
        labels = sorted((place / "labels" / half).iterdir())
        assert [path.stem for path in images] == [path.stem for path in labels]
        counts[half] = len(images)
        for image, label in zip(images, labels, strict=True):
            stamp = originals[image.read_bytes()]  # the recorded bytes, not encoded anew
            picture = cv2.imread(str(image))
            assert picture is not None
            rows, columns = picture.shape[:2]
            lines = [line.split() for line in label.read_text().splitlines()]
            assert len(lines) <= len(found[stamp].items)
            for line, item in zip(lines, found[stamp].items, strict=False):
                assert line[0] == "0"
                x, y, width, height = (float(part) for part in line[1:])
                assert x - width / 2 + 1e-5 >= 0 and x + width / 2 <= 1 + 1e-5 and width > 0 and 0 < height <= 1
                left, top, wide, tall = item.box
                inside = [max(left, 0), max(top, 0), min(left + wide, columns), min(top + tall, rows)]
                again = [(x - width / 2) * columns, (y - height / 2) * rows, (x + width / 2) * columns]
                assert [*again, (y + height / 2) * rows] == pytest.approx(inside, abs=0.01)
                boxes += 1
            small = cv2.resize(cv2.cvtColor(picture, cv2.COLOR_BGR2GRAY), (32, 24), interpolation=cv2.INTER_AREA)
            if last is not None:
                assert np.abs(small.astype(int) - last).mean() >= 2
            last = small.astype(int)
    assert boxes > 5
    assert counts["val"] == pytest.approx(0.2 * sum(counts.values()), abs=1) and 10 < sum(counts.values()) < len(found)


def test_half_of_the_pictures_have_a_box(seen: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    arguments = ("--format", "yolo", "--change", "0.5", "--val", "0", "-o")
    for share, expected in (("1", None), ("0.5", 1.0), ("0.2", 0.25), ("0", 0.0)):
        assert export(capsys, str(seen), *arguments, str(tmp_path / share), "--empty", share)[0] == 0
        labels = [path.read_text() for path in (tmp_path / share / "labels/train").iterdir()]
        assert len(labels) == len(list((tmp_path / share / "images/train").iterdir()))
        boxed = sum(map(bool, labels))
        if expected is None:
            assert len(labels) > 2.5 * boxed > 10, "most show nobody, or this test says nothing"
        else:
            assert len(labels) - boxed == round(expected * boxed)


def test_a_run_that_hardly_moves_gives_few_pictures(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    record(tmp_path / "still.mcap", "range", 3.0, camera=True, faults=(Fault("motors", "dead"),))  # type: ignore[arg-type]
    code, _, _ = export(capsys, str(tmp_path / "still.mcap"), "--format", "yolo", "-o", str(tmp_path / "few"))
    assert code == 0
    assert len(list((tmp_path / "few" / "images").rglob("*.jpg"))) <= 2


def test_another_detector_may_look_again(seen: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    place = tmp_path / "rooms"
    arguments = ("--format", "yolo", "-o", str(place), "--detector", "person", "--score", "0.05", "--val", "0")
    assert export(capsys, str(seen), *arguments)[0] == 0
    assert not list((place / "images" / "val").iterdir())
    again = sum(len(path.read_text().splitlines()) for path in (place / "labels").rglob("*.txt"))
    assert export(capsys, str(seen), *arguments[:4], "--overwrite", "--val", "0")[0] == 0
    assert again > sum(len(path.read_text().splitlines()) for path in (place / "labels").rglob("*.txt"))


def test_nothing_is_overwritten_unasked(seen: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    (tmp_path / "run.csv").write_text("precious")
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("precious")
    for arguments, said in (
        (("csv", "-o", "run.csv"), "exists already"),
        (("yolo", "-o", "mine"), "exists already"),
        (("yolo", "-o", "mine", "--overwrite"), "holds something else"),
        (("csv", "-o", "mine"), "is a folder"),
        (("yolo", "-o", "run.csv"), "is a file"),
        (("csv", "-o", "run.csv/x.csv"), "cannot be written"),
        (("video", "-o", "film.gif"), "has no video's ending"),
    ):
        place = str(tmp_path / arguments[2])
        code, _, told = export(capsys, str(seen), "--format", arguments[0], "-o", place, *arguments[3:])
        assert code == 2 and said in told and "Traceback" not in told, told
    assert (tmp_path / "run.csv").read_text() == (tmp_path / "mine" / "thesis.txt").read_text() == "precious"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["mine", "run.csv"]
    assert export(capsys, str(seen), "--format", "csv", "-o", str(tmp_path / "run.csv"), "--overwrite")[0] == 0
    assert (tmp_path / "run.csv").read_text().startswith("index,")


def test_a_run_without_frames_says_so(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    record(tmp_path / "blind.mcap", "straight", 0.5)
    for name in ("video", "yolo"):
        place = tmp_path / f"out-{name}{'.mp4' if name == 'video' else ''}"
        code, _, told = export(capsys, str(tmp_path / "blind.mcap"), "--format", name, "-o", str(place))
        assert code == 2 and "holds no frame" in told and "--camera" in told, told
    assert [path.name for path in tmp_path.iterdir()] == ["blind.mcap"]


def test_several_runs_in_one_table_are_refused(seen: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    record(tmp_path / "other.mcap", "straight", 0.5)
    code, _, told = export(capsys, str(seen), str(tmp_path / "other.mcap"), "--format", "csv")
    assert code == 2 and "takes one run, and these files hold 2" in told


def test_what_is_staged_appears_whole_or_not_at_all(tmp_path: Path) -> None:
    place = tmp_path / "set"
    with pytest.raises(RuntimeError), staged(place, "data.yaml") as part:
        (part / "data.yaml").write_text("half")
        raise RuntimeError
    assert list(tmp_path.iterdir()) == []
    with staged(place, "data.yaml") as part:
        (part / "data.yaml").write_text("first")
        assert not place.exists()
    with pytest.raises(KeyboardInterrupt), staged(place, "data.yaml", overwrite=True) as part:
        raise KeyboardInterrupt
    assert (place / "data.yaml").read_text() == "first"
    with staged(place, "data.yaml", overwrite=True) as part:
        (part / "data.yaml").write_text("second")
    assert (place / "data.yaml").read_text() == "second"
    with pytest.raises(UsageError, match="No space left"), staged(tmp_path / "x.csv"):
        raise OSError(28, "No space left on device")
    assert [path.name for path in tmp_path.iterdir()] == ["set"]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_ctrl_c_leaves_nothing_half_written(seen: Path, number: signal.Signals, tmp_path: Path) -> None:
    """Stopped at the moment at which the half-written film is there."""
    place = tmp_path / "run.mp4"
    command = [sys.executable, "-m", "edge.cli", "recording", "export", str(seen), "--format", "video"]
    process = subprocess.Popen(
        [*command, "-o", str(place), "--fps", "200"], cwd=ROOT, stderr=subprocess.PIPE, text=True
    )
    until = time.monotonic() + 60
    while time.monotonic() < until and not any(tmp_path.iterdir()) and process.poll() is None:
        time.sleep(0.005)
    assert any(".run.part" in path.name for path in tmp_path.iterdir()), "it was over too soon"
    os.kill(process.pid, number)
    _, told = process.communicate(timeout=60)
    assert process.returncode == 128 + number and "Traceback" not in told, told
    assert "nothing was written" in told
    assert list(tmp_path.iterdir()) == []
