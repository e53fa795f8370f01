"""Heads of their own learn what a detector does not know; what it knows stays as it is."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("tensorflow")

from convert.commands.convert import main as convert
from convert.predict import Detect, keras_batch
from convert.source import Source
from edge import manifest as manifests
from edge.cli import main as edgebot
from edge.errors import EdgeError
from tests.convert.small_darknet import HEIGHT, WIDTH
from tests.train.detector.photos import write_photos
from train.detector.extend import extended, freeze, learning
from train.detector.origins import Photos
from train.detector.settings import PhotoSettings
from train.detector.train import main
from train.detector.transfer import find
from train.judges import judges


def looks(source: Source) -> Detect:
    return Detect(keras_batch(source.keras), (HEIGHT, WIDTH), source.image, source.decode)


def test_known_classes_are_found_as_before(model: Path, tmp_path: Path) -> None:
    before = find(model)
    origin = Photos(write_photos(tmp_path, 8), ("disc", "square"), PhotoSettings())
    after = extended(before, origin, seed=3)
    assert origin.labels == after.labels == ("person", "dog", "disc", "square")
    assert [len(head.anchors) for head in after.decode.heads[2:]] == [3, 3]
    areas = [np.prod(head.anchors, axis=1).mean() for head in learning(after.decode).heads]
    grids = [after.keras.outputs[head.output].shape[1] for head in learning(after.decode).heads]
    assert (areas[0] < areas[1]) == (grids[0] > grids[1])  # small anchors where the cells are small
    image = np.random.default_rng(0).integers(0, 256, (HEIGHT, WIDTH, 3), dtype=np.uint8)
    boxes, scores, classes = looks(before)(image)
    own, found, kinds = looks(after)(image)
    known = kinds < 2
    assert len(boxes) and known.sum() == len(boxes)
    for old, new in ((boxes, own[known]), (scores, found[known]), (classes, kinds[known])):
        np.testing.assert_allclose(new, old, atol=1e-4)


def test_only_the_new_heads_learn_and_the_file_finds_both(
    model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data, run, made = write_photos(tmp_path / "photos", 16), tmp_path / "run", tmp_path / "mine.tflite"
    small = ["--set", "batch=4", "--set", "warm_up=2", "--set", "mosaic=0", "--workers", "1"]
    begin = ["--data", str(data), "--from", str(model), "--extend", "--run", str(run)]
    assert main([*begin, "--epochs", "30", "--set", "check_every=30", "--set", "learning_rate=0.01", *small]) == 0
    kept, before = find(run), find(model)
    assert kept.labels == ("person", "dog", "square", "disc")
    mine = {layer.name: layer for layer in kept.keras.layers}
    for layer in before.keras.layers:
        if layer.name in mine:  # the old heads have another name, as they have more channels
            for old, new in zip(layer.get_weights(), mine[layer.name].get_weights(), strict=True):
                np.testing.assert_array_equal(new, old)
    report = json.loads((run / "evaluation.json").read_text())
    assert set(report["classes"]) == {"square", "disc"} and report["ap"] > 0.3
    assert main(["--run", str(run), "--resume"]) == 0  # what was whole stays whole
    assert json.loads((run / "evaluation.json").read_text()) == report

    assert convert([str(run), "-o", str(made), "--quantize", "none"], judges=judges()) == 0
    assert manifests.read(made)[1].labels == kept.labels
    capsys.readouterr()
    assert edgebot(["eval", str(made), "--data", str(data), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["ap"] == pytest.approx(report["ap"], abs=0.02)


def test_freeze_leaves_the_new_heads(model: Path, tmp_path: Path) -> None:
    source = extended(find(model), Photos(write_photos(tmp_path, 8), (), PhotoSettings()))
    freeze(source.keras)
    names = {layer.name for layer in source.keras.layers if layer.trainable_weights}
    assert names == {f"new{number}_{part}" for number in (2, 3) for part in ("convolution", "norm", "head")}


def test_what_cannot_be_extended_is_one_sentence(model: Path, tmp_path: Path) -> None:
    data = write_photos(tmp_path / "photos", 8)
    text = data.read_text()
    data.write_text(text.replace("square", "person").replace("disc", "dog"))
    with pytest.raises(EdgeError, match="has no box of a class that the detector does not know already"):
        main(["--data", str(data), "--from", str(model), "--extend", "--run", str(tmp_path / "run")])
    with pytest.raises(EdgeError, match="--extend goes with --from"):
        main(["--data", str(data), "--extend"])
    assert not (tmp_path / "run").exists()
