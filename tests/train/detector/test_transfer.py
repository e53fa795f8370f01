"""Training on from Darknet's files: what was known stays known, and the whole line runs on photos of one's own."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("tensorflow")

import cv2

from convert.commands.convert import main as convert
from convert.source import Source, load
from edge import manifest as manifests
from edge.cli import main as edgebot
from edge.errors import EdgeError
from tests.convert.small_darknet import HEIGHT, WIDTH
from tests.train.detector.photos import write_photos
from train.detector.train import main
from train.detector.transfer import find, for_classes, freeze
from train.judges import judges


def heads(source: Source, image: np.ndarray) -> list[np.ndarray]:
    """Raw heads as (rows, columns, anchors, fields)."""
    fields = 5 + source.decode.classes
    return [np.asarray(head)[0].reshape(*head.shape[1:3], -1, fields) for head in source.keras(image, training=False)]


def test_known_classes_keep_their_answers_and_new_ones_begin_anew(model: Path) -> None:
    image = np.random.default_rng(0).random((1, HEIGHT, WIDTH, 3)).astype(np.float32)
    before = find(model)
    assert before.labels == ("person", "dog") and before.decode.classes == 2
    after = for_classes(before, ("lamp", "dog", "person"), seed=1)
    assert after.labels == ("lamp", "dog", "person") and after.decode.classes == 3
    for old, new in zip(heads(before, image), heads(after, image), strict=True):
        np.testing.assert_allclose(new[..., :5], old[..., :5], atol=1e-5)
        np.testing.assert_allclose(new[..., [7, 6]], old[..., [5, 6]], atol=1e-5)
        assert np.abs(new[..., 5] - -3).max() < 2
    assert for_classes(before, before.labels) is before


def test_frozen_is_what_all_heads_share(model: Path) -> None:
    network = find(model).keras
    freeze(network, backbone=True, norm=True)
    learning = {layer.name for layer in network.layers if layer.trainable_weights}
    assert {name.split("_")[0] for name in learning} == {"layer13", "layer18"}
    freeze(network, backbone=False, norm=False)
    assert any("layer0" in layer.name and layer.trainable_weights for layer in network.layers)


def test_the_whole_line_on_photos_of_ones_own(model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data = write_photos(tmp_path / "photos", 16)
    (tmp_path / "photos" / "labels" / "train" / "000.txt").unlink()
    run, made = tmp_path / "run", tmp_path / "mine.tflite"
    begin = ["--data", str(data), "--from", str(model), "--freeze", "--run", str(run), "--workers", "1"]
    frozen = find(model).keras.get_layer("layer0_convolutional_conv").get_weights()[0]
    assert main([*begin, "--epochs", "2", "--set", "batch=4", "--set", "warm_up=1"]) == 0
    told = capsys.readouterr().err
    assert "1 things are damaged" in told and "1 pictures without a label file, left out" in told
    assert "000.jpg" in (run / "damaged.txt").read_text()
    kept = find(run)
    np.testing.assert_array_equal(kept.keras.get_layer("layer0_convolutional_conv").get_weights()[0], frozen)
    assert kept.labels == ("square", "disc")

    assert edgebot(["eval", str(run), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["images"] == 8 and set(found["classes"]) == {"square", "disc"}
    assert found["ap"] == pytest.approx(json.loads((run / "evaluation.json").read_text())["ap"], abs=0.02)

    assert convert([str(run), "-o", str(made), "--quantize", "none"], judges=judges()) == 0
    _, manifest = manifests.read(made)
    assert manifest.labels == ("square", "disc")
    assert any("photos that training did not learn from" in figure["name"] for figure in manifest.parity["figures"])
    photo = tmp_path / "photo.png"
    cv2.imwrite(str(photo), np.zeros((60, 80, 3), np.uint8))
    assert edgebot(["detect", str(photo), "--model", str(made), "--score", "0.01", "--json"]) == 0
    assert json.loads(capsys.readouterr().out.splitlines()[0])["source"] == str(photo)
    assert edgebot(["eval", str(made), "--data", str(data), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["ap"] == pytest.approx(found["ap"], abs=0.01)


def test_what_cannot_be_trained_on_is_one_sentence(model: Path, tmp_path: Path) -> None:
    (tmp_path / "alone.tflite").write_bytes(model.read_bytes())
    with pytest.raises(EdgeError, match="there is no alone.keras beside it"):
        find(tmp_path / "alone.tflite")
    (tmp_path / "bad.keras").write_bytes(b"PK nothing")
    with pytest.raises(EdgeError, match="is no detector to train on from"):
        find(tmp_path / "bad.keras")
    assert load(model.with_suffix(".keras")).labels == ("person", "dog")
