"""Pictures drawn anew: what is seen and what is said stay together."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("tensorflow")

from train.detector import pipeline
from train.detector.augment import Jitter, coloured, draw, window
from train.detector.examples import IGNORED, NOBODY, Examples, padded
from train.detector.pipeline import by_threads, epoch_batches

HEIGHT, WIDTH = 96, 128
PLAIN = Jitter(0.0, 0.0, 1.0, 1.0, 0.0, 0.0, 0.0, 0.0)
STRONG = Jitter(0.6, 0.8, 0.6, 1.6, 0.5, 0.02, 0.3, 0.3)


def bright(count: int = 6) -> Examples:
    """Dark pictures, each with one bright box."""
    rng = np.random.default_rng(4)
    images, truths = np.full((count, HEIGHT, WIDTH, 3), 20, np.uint8), []
    for image in images:
        x, y = rng.integers(5, 60), rng.integers(5, 40)
        wide, high = rng.integers(20, 60), rng.integers(20, 50)
        image[y : y + high, x : x + wide] = (250, 240, 230)
        middle = [(x + wide / 2) / WIDTH, (y + high / 2) / HEIGHT]
        truths.append(np.array([[*middle, wide / WIDTH, high / HEIGHT, 2]], np.float32))
    return Examples(images, truths)


def test_boxes_stay_round_what_they_are_round() -> None:
    examples = bright()
    mosaics = 0
    for seed in range(60):
        image, truth = draw(np.random.default_rng(seed), examples, seed % 6, STRONG)
        assert image.shape == (HEIGHT, WIDTH, 3) and set(truth[:, 4]) <= {2.0, float(IGNORED)}
        seen = image.max(axis=2) > 140
        mosaics += len(truth) > 1
        told = np.zeros_like(seen)
        for x, y, width, height, _ in truth:
            left, right = (x - width / 2) * WIDTH, (x + width / 2) * WIDTH
            top, bottom = (y - height / 2) * HEIGHT, (y + height / 2) * HEIGHT
            inner = seen[round(top) + 1 : round(bottom) - 1, round(left) + 1 : round(right) - 1]
            assert inner.all()
            told[max(0, round(top) - 1) : round(bottom) + 1, max(0, round(left) - 1) : round(right) + 1] = True
        assert (seen & ~told).sum() < 0.01 * seen.size  # slivers too small to be told
    assert mosaics > 20


def test_what_is_mostly_cut_off_need_not_be_found() -> None:
    image, truth = np.zeros((HEIGHT, WIDTH, 3), np.uint8), np.array([[0.9, 0.5, 0.2, 0.4, 1]], np.float32)
    for shift, want in ((0.05, 1), (0.15, IGNORED), (0.25, None)):
        _, moved = window(image, truth, np.ones(2), np.array([shift, 0.0]))
        assert (moved[:, 4].tolist() or [None]) == [want]
        if want is not None:
            assert moved[0, 0] + moved[0, 2] / 2 == pytest.approx(1.0)


def test_calm_pictures_are_the_pictures() -> None:
    examples = bright()
    image, truth = draw(np.random.default_rng(0), examples, 3, PLAIN.calm())
    np.testing.assert_array_equal(image, examples.images[3])
    np.testing.assert_array_equal(truth, examples.truth[3])
    assert (coloured(np.random.default_rng(1), image, STRONG) != image).any()


def test_an_epoch_has_every_picture_once_and_comes_again() -> None:
    examples = bright(7)
    for number, image in enumerate(examples.images):
        image[0, 0] = number  # a mark
    first, again, next_one = (
        list(epoch_batches(examples, 3, PLAIN, seed=5, epoch=epoch, workers=2)) for epoch in (0, 0, 1)
    )
    marks = [int(image[0, 0, 0]) for images, _ in first for image in images]
    assert len(first) == 2 and len(set(marks)) == 6
    for (images, truth), (same, alike) in zip(first, again, strict=True):
        np.testing.assert_array_equal(images, same)
        np.testing.assert_array_equal(truth, alike)
    assert [int(image[0, 0, 0]) for images, _ in next_one for image in images] != marks
    (few,) = epoch_batches(examples, 50, STRONG, seed=5, epoch=0, workers=1)
    assert few[0].shape == (7, HEIGHT, WIDTH, 3)


def test_threads_draw_what_tf_data_draws(monkeypatch: pytest.MonkeyPatch) -> None:
    examples = bright(count=23)
    drawn = list(epoch_batches(examples, 4, STRONG, seed=5, epoch=2, workers=2))
    monkeypatch.setattr(pipeline, "find_spec", lambda name: None)  # as where there is no TensorFlow
    others = list(epoch_batches(examples, 4, STRONG, seed=5, epoch=2, workers=3))
    assert len(drawn) == len(others) == 5
    for (images, truth), (same, alike) in zip(drawn, others, strict=True):
        np.testing.assert_array_equal(images, same)
        np.testing.assert_array_equal(truth, alike)


def test_threads_end_with_who_asks_them() -> None:
    begun: list[int] = []

    def one(number: int) -> pipeline.Batch:
        begun.append(number)
        if number == 3:
            raise ValueError("this one cannot be drawn")
        return np.full((1, 1, 1, 3), number, np.uint8), np.zeros((1, 4, 5), np.float32)

    batches = by_threads(one, 1000, workers=2)
    assert [int(next(batches)[0].max()) for _ in range(2)] == [0, 1]
    batches.close()  # as Ctrl-C does
    assert len(begun) < 10
    with pytest.raises(ValueError, match="cannot be drawn"):
        list(by_threads(one, 1000, workers=2))


def test_truth_is_padded_to_few_shapes() -> None:
    rows = [np.ones((count, 5), np.float32) for count in (0, 3, 5)]
    batch = padded(rows)
    assert batch.shape == (3, 8, 5) and (batch[0, :, 4] == NOBODY).all() and (batch[2, 5:, 4] == NOBODY).all()
    assert padded([np.zeros((0, 5), np.float32)]).shape == (1, 4, 5)
