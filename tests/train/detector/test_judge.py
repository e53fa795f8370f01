"""The judge: what counts, what is forgiven, what is wrong."""

from __future__ import annotations

import numpy as np
import pytest

from train.detector.baseline import ColourThreshold
from train.detector.judge import Tally, judge
from train.detector.scenes import Scene

NOTHING = np.zeros((0, 4)), np.zeros(0)


def scene(*boxes: tuple[float, ...], visible: tuple[float, ...] | None = None) -> Scene:
    some = np.array(boxes, float).reshape(-1, 4)
    return Scene(np.zeros((100, 200, 3), np.uint8), some, np.array(visible or [1.0] * len(some)))


def test_finding_everything_is_perfect_and_nothing_is_zero() -> None:
    pictures = [scene((10, 10, 20, 50), (100, 5, 30, 80)), scene()]
    found = iter([(pictures[0].boxes, np.array([0.9, 0.8])), NOTHING])
    verdict = judge(lambda _: next(found), pictures)
    assert (verdict.ap, verdict.recall, verdict.precision, verdict.false_per_image) == (1.0, 1.0, 1.0, 0.0)
    assert (verdict.images, verdict.things) == (2, 2)
    assert judge(lambda _: NOTHING, pictures).ap == 0.0


def test_a_wrong_find_of_a_better_score_costs_half() -> None:
    tally = Tally()
    tally.add(np.array([[150.0, 10, 20, 50], [10, 10, 20, 50]]), np.array([0.9, 0.8]), scene((10, 10, 20, 50)))
    verdict = tally.verdict()
    assert verdict.ap == pytest.approx(0.5) and verdict.precision == 0.5 and verdict.false_per_image == 1.0


def test_the_second_find_of_one_person_is_wrong() -> None:
    tally = Tally()
    tally.add(np.array([[10.0, 10, 20, 50], [11, 10, 20, 50]]), np.array([0.9, 0.8]), scene((10, 10, 20, 50)))
    assert tally.verdict().precision == 0.5


def test_hidden_persons_are_forgiven_unless_asked_for() -> None:
    picture = scene((10, 10, 20, 50), (100, 5, 30, 80), visible=(0.8, 0.4))
    for boxes, loose, strict in (
        (picture.boxes, (1.0, 1.0), (1.0, 1.0)),  # found: no gain, no loss
        (picture.boxes[:1], (1.0, 1.0), (0.5, 1.0)),  # not found: asked for by the strict only
        (np.concatenate([picture.boxes[:1], [[60.0, 5, 30, 80]]]), (1.0, 0.5), (0.5, 0.5)),  # beside it: wrong
    ):
        for tally, want in ((Tally(), loose), (Tally(visible=1 / 3), strict), (Tally(visible=0.0), strict)):
            tally.add(boxes, np.linspace(0.9, 0.8, len(boxes)), picture)
            verdict = tally.verdict()
            assert (verdict.ap, verdict.precision) == pytest.approx(want)


def test_boxes_are_compared_within_the_frame() -> None:
    tally = Tally()
    tally.add(np.array([[150.0, -60, 150, 160]]), np.array([0.9]), scene((150, 0, 50, 100)))
    assert tally.verdict().ap == 1.0


def test_the_threshold_finds_a_patch_of_its_colour() -> None:
    image = np.full((480, 640, 3), 128, np.uint8)
    image[100:300, 200:280] = (255, 0, 0)
    red = ColourThreshold((175, 5), (200, 255), (200, 255), 3, 0.001, 1.0, 1.0)
    boxes, scores = red.find(image)
    np.testing.assert_allclose(boxes, [[200, 100, 80, 200]], atol=8)
    assert scores[0] > 0
