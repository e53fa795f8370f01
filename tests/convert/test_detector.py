"""`edgebot convert darknet`: from files to a model that `edgebot detect` uses, and every refusal."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest

pytest.importorskip("tensorflow")

from convert import detector, quantise
from convert.images import noise
from convert.parity import Judge
from edge.cli import main
from edge.manifest import read
from edge.perception.detector import Detector
from edge.perception.nms import iou
from tests.convert import small_darknet as small
from tests.convert.damage import damage_one_scale

ORACLE = "opencv_person_detections_320.json"
REAL = {
    "1.1": ("yolo-fastest-1.1_coco", "yolo-fastest-1.1", "coco.names", "person"),
    "1.1-xl": ("yolo-fastest-1.1_coco", "yolo-fastest-1.1-xl", "coco.names", "person"),
    "body": ("yolo-fastest-1.1_body", "yolo-fastest-1.1_body", "body.names", "body"),
}
NO_PERSON = ("dog.jpg", "eagle.jpg", "giraffe.jpg", "horses.jpg")


@pytest.fixture
def argv(tmp_path: Path) -> list[str]:
    cfg, weights, names = small.write(tmp_path)
    out = tmp_path / "small.tflite"
    return ["convert", "darknet", "--cfg", str(cfg), "--weights", str(weights), "--names", str(names), "-o", str(out)]


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    folder = tmp_path / "photos" / "deeper"
    folder.mkdir(parents=True)
    for index, image in enumerate(noise(12, (60, 80))):
        cv2.imwrite(str(folder / f"{index}.png"), image)
    return folder.parent


def test_a_region_head_from_files_to_boxes(tmp_path: Path) -> None:
    """The whole grammar through TFLite, and a [region] head decoded as region_layer.c says."""
    cfg, weights, names = small.write(tmp_path, layers=small.GRAMMAR)
    out = tmp_path / "region.tflite"
    argv = ["--cfg", str(cfg), "--weights", str(weights), "--names", str(names), "-o", str(out)]
    assert main(["convert", "darknet", *argv]) == 0
    image = noise(1, (small.HEIGHT, small.WIDTH), seed=4)[0]
    outputs = small.reference(image / 255.0, small.draw_weights(layers=small.GRAMMAR), small.GRAMMAR)
    (head,) = small.heads(small.GRAMMAR, outputs)
    rows, columns, _ = head.shape
    wanted = {}
    for row, column, anchor in np.ndindex(rows, columns, 2):
        x, y, w, h, objectness, *classes = head[row, column, 8 * anchor : 8 * anchor + 8]
        wide, high = np.exp(w) * (0.5, 2)[anchor] / columns, np.exp(h) * (0.75, 1.5)[anchor] / rows
        left = (column + 1 / (1 + np.exp(-x))) / columns - wide / 2
        top = (row + 1 / (1 + np.exp(-y))) / rows - high / 2
        for index, score in enumerate(np.exp(classes) / np.exp(classes).sum() / (1 + np.exp(-objectness))):
            wanted[index, score] = np.array([left, top, wide, high]) * np.tile([small.WIDTH, small.HEIGHT], 2)
    boxes, scores, found = Detector(out, score=0.1).boxes(image)
    assert len(scores) > 3
    assert scores.max() == pytest.approx(max(score for _, score in wanted), rel=1e-4)
    for box, score, index in zip(boxes, scores, found, strict=True):
        near = min(wanted, key=lambda key: (key[0] != index, abs(key[1] - score)))
        assert near == (index, pytest.approx(score, rel=1e-4))
        np.testing.assert_allclose(box, wanted[near], rtol=1e-3, atol=1e-3)


def test_float_and_int8_from_files_to_boxes(argv: list[str], photos: Path, tmp_path: Path) -> None:
    image = noise(1, (96, 128), seed=9)[0]
    assert main(argv) == 0
    plain = Detector(tmp_path / "small.tflite", score=0.4).boxes(image)
    assert plain[0].shape[0] > 5
    (photos / "broken.jpg").write_bytes(b"not a picture")
    assert main([*argv, "--quantize", "int8", "--calibrate", str(photos)]) == 0
    flatbuffer, manifest = read(tmp_path / "small.tflite")
    assert manifest.inputs[0].dtype == "int8" and manifest.parity["quantize"] == "int8"
    assert manifest.labels == ("person", "dog") and manifest.provenance["weights"]["file"] == "small.weights"
    assert [one["snr_db"] > 15 for one in manifest.parity["outputs"]] == [True, True]
    rounded = Detector(tmp_path / "small.tflite", score=0.2).boxes(image)
    assert (iou(plain[0][:, None], rounded[0][None]).max(1) > 0.5).mean() > 0.8


@pytest.mark.parametrize("mode", ["none", "int8"])
def test_a_damaged_layer_is_refused_and_nothing_written(
    argv: list[str], photos: Path, tmp_path: Path, mode: str, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    where = quantise if mode == "int8" else detector
    export = where.export
    monkeypatch.setattr(where, "export", lambda *args, **kwargs: damage_one_scale(export(*args, **kwargs), 1.5))
    assert main([*argv, "--quantize", mode, "--calibrate", str(photos)]) == 2
    assert "nothing was written" in capsys.readouterr().err
    assert not (tmp_path / "small.tflite").exists()


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (["--quantize", "int8"], "--quantize int8 needs --calibrate"),
        (["--quantize", "int8", "--calibrate", "{tmp}/nowhere"], "is not a folder"),
        (["--quantize", "int8", "--calibrate", "{tmp}"], "holds 0 pictures"),
        (["--quantize", "int4"], "int4"),
        (["--cfg", "{tmp}/nowhere.cfg"], "nowhere.cfg is not there"),
        (["--weights", "{tmp}/small.cfg"], "numbers after their header, the cfg needs"),
        (["--names", "{tmp}/small.cfg"], "the cfg has 2 classes"),
        (["--keep", "cat"], "no label 'cat'"),
        (["-o", "{tmp}"], "cannot be written"),
    ],
)
def test_mistakes_are_one_sentence_and_code_2(
    argv: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str], more: list[str], said: str
) -> None:
    assert main([*argv, *(part.format(tmp=tmp_path) for part in more)]) == 2
    told = capsys.readouterr()
    last = told.err.strip().splitlines()[-1]
    assert told.out == "" and said in last and last.startswith("edgebot: ")
    assert "Traceback" not in told.err and not (tmp_path / "small.tflite").exists()


def test_a_run_of_a_detector_calibrates_on_its_judges_scenes(tmp_path: Path) -> None:
    from convert.commands.convert import main as convert
    from convert.darknet.model import load

    run = tmp_path / "detector-0"
    run.mkdir()
    source = load(*small.write(tmp_path))
    source.keras.save(run / "checkpoint.keras")
    manifest = {
        "kind": "detector", "name": "own", "image": source.image.model_dump(), "decode": source.decode.model_dump(),
        "labels": source.labels,
    }  # fmt: skip
    (run / "settings.json").write_text(json.dumps({"task": "detector", "seed": 1, "manifest": manifest}))
    scenes = noise(16, (120, 160), seed=2)
    seen: list[int] = []

    def measure(predict) -> float:  # noqa: ANN001
        boxes, scores, classes = predict(scenes[0])
        assert boxes.shape == (len(scores), 4) and len(scores) == len(classes) and scores.min() > 0.005
        assert boxes[:, 2].max() > 1  # pixels, not fractions
        seen.append(len(scores))
        return 0.9

    assert convert([str(run)], {"detector": lambda path: Judge("AP", measure, lambda: scenes, 0.02)}) == 0
    assert len(seen) == 2
    manifest = read(run / "model.tflite")[1]
    assert manifest.inputs[0].dtype == "int8"
    assert {"name": "AP", "before": 0.9, "after": 0.9, "may_drop": 0.02} in manifest.parity["figures"]


def real(shared: Path, which: str, out: Path, *more: str) -> Detector:
    folder, stem, names, _ = REAL[which]
    files = shared / "detectors" / "yolo-fastest" / folder
    argv = ["--cfg", f"{files / stem}.cfg", "--weights", f"{files / stem}.weights", "--names", str(files / names)]
    assert main(["convert", "darknet", *argv, "-o", str(out), *more]) == 0
    return Detector(out, score=0.2)


def persons(found: Detector, which: str, path: Path) -> tuple[np.ndarray, np.ndarray]:
    seen = [
        one
        for one in found.detect(cv2.cvtColor(cv2.imread(str(path)), cv2.COLOR_BGR2RGB))
        if one.label == REAL[which][3]
    ]
    return np.array([one.box for one in seen]).reshape(-1, 4), np.array([one.score for one in seen])


@pytest.mark.slow
@pytest.mark.parametrize("which", REAL)
def test_real_detectors_in_float_are_opencvs(shared_data: Path, tmp_path: Path, which: str) -> None:
    told = json.loads((shared_data / "oracle" / ORACLE).read_text())["models"][which]
    found = real(shared_data, which, tmp_path / "x.tflite")
    checked = 0
    for name, rows in told.items():
        boxes, scores = persons(found, which, shared_data / name)
        for score, *box in rows:
            if score >= 0.25:
                near = (iou(np.array(box), boxes) >= 0.9) & (np.abs(scores - score) <= 0.02)
                assert near.any(), (name, score, box)
                checked += 1
    assert checked > 25


@pytest.mark.slow
@pytest.mark.parametrize("which", ["1.1", "body"])  # 1.1-xl takes minutes: benchmarks/quantise.py has it
def test_real_detectors_in_int8_find_the_persons(shared_data: Path, tmp_path: Path, which: str) -> None:
    told = json.loads((shared_data / "oracle" / ORACLE).read_text())["models"][which]
    few = tmp_path / "few"  # photos: each costs training time, and this many prove the same
    few.mkdir()
    for photo in sorted((shared_data / "coco_train128").rglob("*.jpg"))[::16]:
        (few / photo.name).symlink_to(photo.resolve())
    found = real(shared_data, which, tmp_path / "x.tflite", "--quantize", "int8", "--calibrate", str(few))
    checked, missed = 0, []
    for name, rows in told.items():
        boxes, scores = persons(found, which, shared_data / name)
        if Path(name).name in NO_PERSON:
            assert scores.max(initial=0) < 0.5, name
        for score, *box in rows:
            if score >= 0.6:
                if not ((iou(np.array(box), boxes) >= 0.5) & (scores >= 0.25)).any():
                    missed.append((name, score, box))
                checked += 1
    # body loses the one of OpenCV's persons that is barely above 0.6, half hidden in a crowd.
    assert not missed or (which == "body" and [round(score, 4) for _, score, _ in missed] == [0.6047]), missed
    assert checked > 14
