"""`edgebot detect` from the command line: every kind of source, both outputs, every mistake."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace

import cv2
import numpy as np
import pytest

from edge.cli import main
from edge.commands.save import can_animate
from edge.perception.identities import Identities
from edge.perception.sources import Shot, Source
from edge.types import Detection
from tests.edge.pictures import picture

MODELS = Path(__file__).parent / "models"
MODEL = str(MODELS / "tiny.tflite")


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    path = tmp_path / "photo.png"
    cv2.imwrite(str(path), cv2.cvtColor(picture(), cv2.COLOR_RGB2BGR))
    return path


@pytest.fixture
def video(tmp_path: Path) -> Path:
    path = tmp_path / "film.avi"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"MJPG"), 10, (128, 96))
    for seed in range(7):
        writer.write(cv2.cvtColor(picture(128, 96, seed), cv2.COLOR_RGB2BGR))
    writer.release()
    return path


def lines(out: str) -> list[dict]:
    return [json.loads(line) for line in out.splitlines()]


def test_json_of_a_photo(photo: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["detect", str(photo), "--model", MODEL, "--score", "0.45", "--json"]) == 0
    (line,) = lines(capsys.readouterr().out)
    assert set(line) == {"source", "frame", "detections"}
    assert line["source"] == str(photo) and line["frame"] == 0
    told = json.loads((MODELS / "expected.json").read_text())["before_nms"]
    best = max(told, key=lambda row: row[1])
    first = line["detections"][0]
    assert set(first) == {"label", "score", "box"} and first["label"] == ("person", "dog")[int(best[0])]
    assert first["score"] == pytest.approx(best[1], abs=2e-3)
    np.testing.assert_allclose(first["box"], np.array(best[2:]) * [64, 48, 64, 48], atol=0.05)
    scores = [one["score"] for one in line["detections"]]
    assert scores == sorted(scores, reverse=True) and min(scores) > 0.45


def test_table_and_annotated_picture(
    photo: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["detect", "photo.png", "--model", MODEL, "--score", "0.45"]) == 0
    told = capsys.readouterr()
    assert "photo.png" in told.out and "person" in told.out and "photo-detected.jpg" in told.err
    annotated = cv2.imread("photo-detected.jpg")
    assert annotated.shape == (48, 64, 3)
    assert np.abs(annotated.astype(int) - cv2.imread("photo.png").astype(int)).max() > 60
    assert main(["detect", "photo.png", "--model", MODEL, "--save", "out/found.png", "--json"]) == 0
    assert cv2.imread("out/found.png").shape == (48, 64, 3)


def test_a_folder_lists_and_skips_what_is_no_image(
    photo: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    cv2.imwrite(str(tmp_path / "also.jpg"), picture(200, 100))
    (tmp_path / "broken.jpg").write_bytes(b"not a jpeg")
    (tmp_path / "notes.txt").write_text("hello")
    out = tmp_path / "out"
    assert main(["detect", str(tmp_path), "--model", MODEL, "--json", "--save", str(out)]) == 0
    told = capsys.readouterr()
    assert [(Path(line["source"]).name, line["frame"]) for line in lines(told.out)] == [
        ("also.jpg", 0),
        ("photo.png", 1),
    ]
    assert "broken.jpg" in told.err and "notes.txt" in told.err
    assert sorted(path.name for path in out.iterdir()) == ["also.jpg", "photo.png"]


def test_a_video(video: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "found.avi"
    assert main(["detect", str(video), "--model", MODEL, "--json", "--save", str(out)]) == 0
    found = lines(capsys.readouterr().out)
    assert [line["frame"] for line in found] == list(range(7))
    capture = cv2.VideoCapture(str(out))
    assert int(capture.get(cv2.CAP_PROP_FRAME_COUNT)) == 7 and capture.get(cv2.CAP_PROP_FRAME_WIDTH) == 128
    assert main(["detect", str(video), "--model", MODEL, "--frames", "3"]) == 0
    assert "3 frames" in capsys.readouterr().out


def test_the_simulated_camera(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    argv = ["detect", "sim", "--model", MODEL, "--seed", "3", "--frames", "4", "--json", "--score", "0.4"]
    assert main(argv) == 0
    first = capsys.readouterr().out
    assert [line["frame"] for line in lines(first)] == [0, 1, 2, 3]
    assert main(argv) == 0
    assert capsys.readouterr().out == first


@pytest.mark.parametrize(
    ("argv", "said"),
    [
        (["nowhere.jpg"], "there is no 'nowhere.jpg'"),
        (["usb:77"], "no camera"),
        (["usb:front"], "'usb:front' names no camera"),
        (["{photo}", "--model", "nowhere.tflite"], "nowhere.tflite cannot be read"),
        (["{photo}", "--model", str(MODELS / "tiny-policy.tflite")], "is a policy"),
        (["{photo}", "--model", str(MODELS / "expected.json")], "is not a TFLite model"),
        (["{photo}", "--score", "2"], "--score"),
        (["{photo}", "--score", "nan"], "--score"),
        (["{photo}", "--save", "x.gif"], "no picture's ending"),
        (["{folder}", "--save", "x.mp4"], "does not fit several pictures"),
        (["{photo}", "--save", "{photo}"], "would overwrite"),
        (["{photo}", "--save", "{folder}"], "would overwrite"),
        (["{photo}", "--robot", "nowhere.toml"], "cannot be read"),
        (["{text}"], "neither an image nor a video"),
        (["{broken}"], "no image that can be decoded"),
        (["{empty}"], "holds no image"),
        ([], "required: SOURCE"),
    ],
)
def test_mistakes_are_one_sentence_and_code_2(
    argv: list[str], said: str, photo: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "text").write_text("hello\n" * 100)
    (tmp_path / "broken.jpg").write_bytes(b"\xff\xd8\xff\xe0 broken")
    places = {
        "photo": photo, "folder": tmp_path, "empty": tmp_path / "empty", "text": tmp_path / "text",
        "broken": tmp_path / "broken.jpg",
    }  # fmt: skip
    given = [part.format(**places) for part in argv]
    if given and "--model" not in given:
        given += ["--model", MODEL]
    assert main(["detect", *given]) == 2
    told = capsys.readouterr()
    assert told.out == "" and said in told.err
    assert "Traceback" not in told.err and told.err.strip().count("\n") == 0


def test_a_folder_of_broken_images_only(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "a.jpg").write_bytes(b"x")
    assert main(["detect", str(tmp_path), "--model", MODEL]) == 2
    assert "none of the 1 images" in capsys.readouterr().err


class Mover:
    """A detector that sees one thing walk to the right and another stand, with a gap of two frames."""

    def __init__(self, *_: object) -> None:
        self.labels, self.frame = ("person",), -1
        self.manifest = SimpleNamespace(name="mover")

    def detect(self, image: np.ndarray) -> tuple[Detection, ...]:
        self.frame += 1
        still = () if self.frame in (3, 4) else (Detection("person", 0.8, (80.0, 20.0, 20.0, 50.0)),)
        return (Detection("person", 0.9, (5.0 + 4 * self.frame, 30.0, 20.0, 50.0)), *still)


@pytest.mark.parametrize("ending", [".gif", ".webp", ".apng"])
def test_identities_in_an_animation(
    ending: str, video: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("edge.perception.detector.Detector", Mover)
    out = tmp_path / f"found{ending}"
    if not can_animate(ending):
        assert main(["detect", str(video), "--save", str(out)]) == 2
        assert f"writes no {ending}; give a .webp" in capsys.readouterr().err and not out.exists()
        return
    assert main(["detect", str(video), "--track", "--json", "--save", str(out)]) == 0
    found = lines(capsys.readouterr().out)
    assert [[one["track"] for one in line["detections"]] for line in found] == [[1, 2]] * 3 + [[1]] * 2 + [[1, 2]] * 2
    if hasattr(cv2, "imreadanimation"):
        ok, film = cv2.imreadanimation(str(out))
        assert ok and len(film.frames) == 7 and film.frames[0].shape[:2] == (96, 128)
        assert abs(int(film.frames[0].astype(int).mean()) - int(film.frames[6].astype(int).mean())) < 60
    assert [path.name for path in tmp_path.iterdir() if "part" in path.name] == []
    assert main(["detect", str(video), "--track"]) == 0
    assert "2 identities, seen for 0.6 s on average; 0 broke off" in capsys.readouterr().out


def test_ctrl_c_ends_with_a_summary_and_a_whole_file(
    video: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    class Interrupted(Mover):
        def detect(self, image: np.ndarray) -> tuple[Detection, ...]:
            if self.frame == 3:
                raise KeyboardInterrupt
            return super().detect(image)

    monkeypatch.setattr("edge.perception.detector.Detector", Interrupted)
    out = tmp_path / "found.avi"
    assert main(["detect", str(video), "--save", str(out)]) == 130
    told = capsys.readouterr()
    assert "mover, 4 frames" in told.out and "wrote" in told.err and "interrupted" in told.err
    assert int(cv2.VideoCapture(str(out)).get(cv2.CAP_PROP_FRAME_COUNT)) == 4


def shot(frame: int) -> Shot:
    return Shot("film", frame, np.zeros((400, 400, 3), np.uint8))


def test_a_break_is_an_identity_that_ends_where_nobody_can_leave() -> None:
    def story(second: float, pause: int, begin: float = 100.0) -> Identities:
        told = Identities(Source("video", iter(()), fps=10.0), 0.4)
        for frame in range(20):
            told.update(shot(frame), (Detection("person", 0.9, (begin, 150.0, 40.0, 100.0)),))
        for frame in range(20 + pause, 40 + pause):
            told.update(shot(frame), (Detection("person", 0.9, (second, 150.0, 40.0, 100.0)),))
        return told

    assert (story(220.0, 5).count, story(220.0, 5).breaks()) == (2, 1)
    assert story(320.0, 5).breaks() == 0  # too far away for the same one
    assert story(220.0, 35).breaks() == 0  # too late
    assert story(130.0, 5, begin=5.0).breaks() == 0  # the first left by the rim
    assert story(100.0, 5).count == 1
