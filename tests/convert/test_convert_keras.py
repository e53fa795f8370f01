"""`edgebot convert detector.keras`: a detector of one's own, judged on labelled photos, and every refusal."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest

pytest.importorskip("tensorflow")

import keras
from keras import layers

from convert.images import noise
from edge.cli import main
from edge.manifest import read
from edge.perception.detector import Detector

ANCHORS = [[6, 8], [14, 18]]
HEAD = {"labels": ["person", "dog"], "decode": {"heads": [{"output": 0, "anchors": ANCHORS}]}}


def network(seed: int = 0) -> keras.Model:
    """A little YOLO, its head reshaped as people like it."""
    keras.utils.set_random_seed(seed)
    x = image = keras.Input((32, 40, 3))
    for filters in (8, 12):
        x = layers.Conv2D(filters, 3, strides=2, padding="same", use_bias=False)(x)
        x = layers.BatchNormalization()(x)
        x = layers.Activation("swish")(x)
    x = layers.Conv2D(14, 1, name="heads")(layers.Conv2D(16, 3, padding="same", activation="relu6")(x))
    model = keras.Model(image, layers.Reshape((8, 10, 2, 7))(x))
    kernel, bias = model.get_layer("heads").get_weights()
    model.get_layer("heads").set_weights([16 * kernel, bias])
    return model


@pytest.fixture
def files(tmp_path: Path) -> Path:
    """own.keras, own.json, and a labelled set on which the network is perfect: the truth is what it finds itself."""
    network().save(tmp_path / "own.keras")
    (tmp_path / "own.json").write_text(json.dumps(HEAD))
    photos = tmp_path / "set" / "images"
    photos.mkdir(parents=True)
    for index, picture in enumerate(noise(12, (64, 80), seed=4)):
        cv2.imwrite(str(photos / f"{index}.png"), picture)
    return tmp_path


def label(folder: Path, model: Path) -> None:
    """Write as truth what a converted model finds."""
    (folder / "labels").mkdir()
    detector = Detector(model, score=0.45)
    for photo in (folder / "images").iterdir():
        image = cv2.cvtColor(cv2.imread(str(photo)), cv2.COLOR_BGR2RGB)
        boxes, _, classes = detector.boxes(image)
        low, high = np.clip(boxes[:, :2], 0, (80, 64)), np.clip(boxes[:, :2] + boxes[:, 2:], 0, (80, 64))
        rows = np.concatenate([classes[:, None], (low + high) / 2 / (80, 64), (high - low) / (80, 64)], 1)
        text = "".join(f"{int(row[0])} " + " ".join(f"{value:.6f}" for value in row[1:]) + "\n" for row in rows)
        (folder / "labels" / f"{photo.stem}.txt").write_text(text)


def test_float_then_int8_judged_on_labelled_photos(files: Path, capsys: pytest.CaptureFixture[str]) -> None:
    argv = ["convert", str(files / "own.keras")]
    assert main([*argv, "--quantize", "none"]) == 0
    label(files / "set", files / "own.tflite")
    judged = [*argv, "--calibrate", str(files / "set"), "--labelled", str(files / "set")]
    assert main([*judged, "--max-drop", "0.5", "--keep-float", "worst"]) == 0
    manifest = read(files / "own.tflite")[1]
    assert manifest.labels == ("person", "dog") and manifest.inputs[0].dtype == "int8"
    assert manifest.provenance["source"] == "keras"
    figures = {figure["name"]: figure for figure in manifest.parity["figures"]}
    ap = figures["AP@0.5 on set"]
    assert ap["before"] > 0.3 and ap["float"] == pytest.approx(ap["before"], abs=1e-3) and ap["may_drop"] == 0.5
    assert "AP@[.5:.95] on set" in figures
    told = capsys.readouterr().err
    assert "channels equalised" in told and "in float:" in told and "noise on the heads by" in told
    # A loss beyond the limit, here one that no rounding could keep, is refused and the layer to keep named.
    (files / "own.tflite").unlink()
    assert main([*judged, "--max-drop", "0"]) == 2
    told = " ".join(capsys.readouterr().err.split())
    assert "nothing was written" in told and "--keep-float" in told and not (files / "own.tflite").exists()


def change(**more: object) -> str:
    return json.dumps(HEAD | more)


@pytest.mark.parametrize(
    ("described", "said"),
    [
        (None, "needs a description of its heads"),
        ("{", "is no JSON"),
        (json.dumps({"labels": ["a"]}), "must have labels and decode"),
        (change(labels="person"), "expected a list of names"),
        (change(labels=["person"]), "need (None, rows, columns, 12)"),
        (change(decode={"heads": [{"output": 3, "anchors": ANCHORS}]}), "has 1 outputs"),
        (change(decode={"heads": [{"output": 0}]}), "does not fit at heads.0.anchors"),
        (change(image={"resize": "crop"}), "does not fit at resize"),
    ],
)
def test_a_description_that_does_not_fit(
    files: Path, described: str | None, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    (files / "own.json").unlink()
    if described is not None:
        (files / "own.json").write_text(described)
    assert main(["convert", str(files / "own.keras"), "--quantize", "none"]) == 2
    assert said in " ".join(capsys.readouterr().err.split())


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ([], "--quantize int8 needs --calibrate"),
        (["--quantize", "none", "--labelled", "{tmp}/nowhere"], "neither a folder"),
        (["--quantize", "none", "--max-drop", "2"], "--max-drop 2 is no loss"),
        (["--quantize", "none", "--alias", "a=b"], "give the set with --labelled"),
        (["--quantize", "none", "--keep-float", "worst"], "--keep-float is for --quantize int8"),
        (["--calibrate", "{tmp}/set", "--keep-float", "haeds"], "no layer of this model; near it: heads"),
        (["--quantize", "none", "--head", "{tmp}/other.json"], "other.json is not there"),
    ],
)
def test_mistakes_are_one_sentence(files: Path, more: list[str], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["convert", str(files / "own.keras"), *(part.format(tmp=files) for part in more)]) == 2
    told = capsys.readouterr().err
    assert said in " ".join(told.split()) and "Traceback" not in told and not (files / "own.tflite").exists()


def test_models_that_cannot_be_taken(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "own.json").write_text(json.dumps(HEAD))
    (tmp_path / "own.keras").write_bytes(b"no model")
    argv = ["convert", str(tmp_path / "own.keras"), "--quantize", "none"]
    assert main(argv) == 2
    image = keras.Input((None, None, 3))
    keras.Model(image, layers.Conv2D(14, 3)(image)).save(tmp_path / "own.keras")
    assert main(argv) == 2
    assert main(["convert", str(tmp_path / "nowhere.keras")]) == 2
    told = " ".join(capsys.readouterr().err.split())
    assert "cannot be read as a Keras model" in told and "a detector takes one image" in told
    assert "nowhere.keras is not there" in told
