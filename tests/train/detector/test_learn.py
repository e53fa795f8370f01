"""The detector's loss, and that a network learns by it."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from edge.errors import UsageError
from train.detector.learn import DetectorSettings, Learner, decoder_of, example_scene, jitter, judge_examples, lit
from train.detector.loss import YoloLoss, giou, iou
from train.detector.model import HEIGHT, WIDTH, build, manifest
from train.detector.scenes import TRAINED, Examples, gather, render
from train.detector.train import main


@pytest.fixture(scope="module")
def examples() -> Examples:
    return gather(list(render(range(8), 4, WIDTH, HEIGHT, workers=1)))


def test_the_network_is_small_and_says_what_it_is() -> None:
    model = build()
    assert model.count_params() <= 300_000
    head = manifest()["decode"]["heads"][0]
    assert model.output_shape[-1] == len(head["anchors"]) * 6


def test_overlap() -> None:
    one = tf.constant([[0.5, 0.5, 0.2, 0.4]])
    assert iou(one, one).numpy() == pytest.approx([1.0])
    half = tf.constant([[0.6, 0.5, 0.2, 0.4]])
    assert iou(one, half).numpy() == pytest.approx([1 / 3], rel=1e-5)
    apart = tf.constant([[0.9, 0.5, 0.1, 0.1]])
    assert iou(one, apart).numpy() == pytest.approx([0.0]) and giou(one, apart).numpy()[0] < -0.3


def test_every_person_has_a_cell_and_the_answer_is_read_as_the_runtime_reads_it(examples: Examples) -> None:
    """A head filled in as the loss asks decodes, by the runtime's decoder, to the labelled boxes."""
    model = build()
    _, rows, columns, channels = model.output_shape
    loss = YoloLoss(WIDTH, HEIGHT, rows, columns)
    boxes, kinds = tf.constant(examples.boxes), tf.constant(examples.kinds.astype(np.int32))
    match, truth = (part.numpy() for part in loss._assign(boxes, kinds))
    cells, anchors = loss._cells.numpy(), loss._anchors.numpy()
    decoder = decoder_of(model, 0.5)
    for number, image in enumerate(examples.images):
        scene = example_scene(image, examples.boxes[number], examples.kinds[number])
        raw = np.full((rows * columns * channels // 6, 6), -9.0, np.float32)
        mine = match[number] > 0
        middle = (truth[number, mine, :2] * [columns, rows] - cells[mine] + 0.5) / 2.0
        assert ((middle > 0) & (middle < 1)).all()
        raw[mine, :2] = np.log(middle / (1 - middle))
        raw[mine, 2:4] = np.log(truth[number, mine, 2:] / anchors[mine])
        raw[mine, 4:] = 9.0
        head = raw.reshape(1, rows, columns, channels)
        found = decoder.decode([head]).boxes * [WIDTH, HEIGHT, WIDTH, HEIGHT]
        asked = scene.asked(TRAINED)
        for box in scene.boxes[asked]:
            assert np.abs(found - box).max(axis=1).min() < 0.01
        if not asked.any():
            assert not len(found)
        decoded, _, _ = loss.decode(tf.constant(head))
        np.testing.assert_allclose(decoded.numpy()[0, mine], truth[number, mine], atol=1e-4)
        right = loss(tf.constant(head), boxes[number : number + 1], kinds[number : number + 1])
        wrong = loss(tf.zeros_like(head), boxes[number : number + 1], kinds[number : number + 1])
        assert right.total.numpy() < 0.2 < wrong.total.numpy()


def test_jitter_moves_boxes_with_the_picture() -> None:
    images = np.zeros((16, HEIGHT, WIDTH, 3), np.uint8)
    images[:, HEIGHT // 4 : 3 * HEIGHT // 4, 20:40] = 250
    boxes = np.zeros((16, 4, 4), np.float32)
    boxes[:, 0] = (30 / WIDTH, 0.5, 20 / WIDTH, 0.5)
    kinds = np.zeros((16, 4), np.int8)
    kinds[:, 0] = 1
    pictures, moved, counts, light = jitter(np.random.default_rng(1), images, boxes, kinds)
    assert 0 < (moved[:, 0, 0] > 0.5).sum() < 16 and (moved[:, 0, 3] > 0.6).any()
    assert (moved[:, 1:] == 0).all() and (counts[:, 1:] == 0).all() and images[0, 50, 30, 0] == 250
    shown = lit(tf.constant(pictures), tf.constant(light)).numpy()
    assert shown.min() >= 0 and shown.max() <= 1 and shown.std(axis=0).max() > 0.05
    for picture, (x, y, width, height), count in zip(shown, moved[:, 0], counts[:, 0], strict=True):
        if count == 0:
            continue
        bright = picture.mean(axis=2) > (picture.min() + picture.max()) / 2
        rows, columns = np.flatnonzero(bright.any(axis=1)), np.flatnonzero(bright.any(axis=0))
        assert (columns[0] + columns[-1] + 1) / 2 == pytest.approx(x * WIDTH, abs=1.5)
        assert (rows[0] + rows[-1] + 1) / 2 == pytest.approx(y * HEIGHT, abs=1.5)
        assert len(columns) == pytest.approx(width * WIDTH, abs=2) and len(rows) == pytest.approx(
            height * HEIGHT, abs=2
        )


def test_light_leaves_a_picture_alone_where_it_should() -> None:
    images = np.random.default_rng(0).integers(0, 256, (2, 4, 5, 3), dtype=np.uint8)
    plain = np.concatenate([np.eye(3), np.zeros((1, 3))])[None].repeat(2, axis=0) / 255
    np.testing.assert_allclose(lit(tf.constant(images), tf.constant(plain, tf.float32)), images / 255, atol=1e-6)


@pytest.mark.slow
def test_a_handful_of_pictures_is_learnt_by_heart(examples: Examples) -> None:
    some = Examples(examples.images[:12], examples.boxes[:12], examples.kinds[:12])
    settings = DetectorSettings(batch=12, warm_up=10, average=0.9, checks=2, weight_decay=0.0)
    learner = Learner(settings, 0, 220, some, some)
    before = judge_examples(learner.model, some).ap
    course = list(learner.learn())
    assert course[-1].loss < 0.5 * course[0].loss
    assert before < 0.2 and learner.best > 0.9


def test_a_run_leaves_a_folder_that_tells_all(tmp_path: Path) -> None:
    run = tmp_path / "run"
    small = ["--set", "rooms=3", "--set", "frames=2", "--set", "check_rooms=2", "--set", "batch=4", "--set", "checks=1"]
    assert main(["--steps", "3", "--seed", "5", "--run", str(run), "--workers", "1", *small]) == 0
    names = {path.name for path in run.iterdir()}
    assert {"settings.json", "checkpoint.keras", "curve.png", "predictions.png", "progress.csv", "tensorboard"} <= names
    settings = json.loads((run / "settings.json").read_text())
    assert (settings["task"], settings["seed"], settings["steps"]) == ("detector", 5, 3)
    assert settings["manifest"]["labels"] == ["person"] and settings["agent"]["rooms"] == 3


def test_the_same_seed_gives_the_same_network(examples: Examples) -> None:
    def weights() -> list[np.ndarray]:
        learner = Learner(DetectorSettings(batch=8, checks=1), 3, 3, examples, examples)
        list(learner.learn())
        return learner.best_weights

    for one, other in zip(weights(), weights(), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--set", "room=3"], "did you mean 'rooms'"),
        (["--set", "rooms=none"], "expected a whole number"),
        (["--steps", "0"], "--steps is 0"),
        (["--resume"], "cannot be resumed"),
        (["--algo", "ppo"], "invalid choice"),
    ],
)
def test_mistakes_are_one_sentence(arguments: list[str], told: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=told):
        main([*arguments, "--run", str(tmp_path / "run")])
    assert not (tmp_path / "run").exists()
