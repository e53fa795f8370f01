"""Average precision: worked by hand, and its bounds."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from convert.ap import average_precision, coco_ap, match

BOX = [10.0, 10.0, 20.0, 20.0]
FAR = [100.0, 100.0, 20.0, 20.0]


def one(boxes: list[list[float]], scores: list[float]) -> tuple[np.ndarray, np.ndarray]:
    return np.array(boxes, float).reshape(-1, 4), np.array(scores)


def test_worked_by_hand() -> None:
    truth = [np.array([BOX, FAR])]
    # hit, miss, hit: precision 1, 1/2, 2/3 at recall 1/2, 1/2, 1: the area is 1/2 + 1/2 * 2/3
    found = [one([BOX, [50, 50, 5, 5], FAR], [0.9, 0.8, 0.7])]
    assert average_precision(found, truth) == pytest.approx(0.5 + 0.5 * 2 / 3)
    # the miss first: 0, 1/2, 2/3, whose envelope is 2/3 throughout
    found = [one([BOX, [50, 50, 5, 5], FAR], [0.8, 0.9, 0.7])]
    assert average_precision(found, truth) == pytest.approx(2 / 3)


def test_a_true_box_counts_once() -> None:
    found = [one([BOX, BOX], [0.9, 0.8])]
    assert average_precision(found, [np.array([BOX])]) == 1.0
    assert match(*found[0], np.array([BOX])).tolist() == [True, False]


def test_scores_rank_across_images() -> None:
    found = [one([FAR], [0.9]), one([BOX], [0.5])]
    assert average_precision(found, [np.array([BOX]), np.array([BOX])]) == pytest.approx(0.25)


def test_nothing_found_and_nothing_there() -> None:
    assert average_precision([one([], [])], [np.array([BOX])]) == 0.0
    assert np.isnan(average_precision([one([BOX], [0.5])], [np.empty((0, 4))]))


def test_overlap_below_the_least_is_a_miss() -> None:
    shifted = [20.0, 10.0, 20.0, 20.0]  # IoU 1/3
    assert average_precision([one([shifted], [0.9])], [np.array([BOX])]) == 0.0
    assert average_precision([one([shifted], [0.9])], [np.array([BOX])], least_iou=0.3) == 1.0


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.floats(0, 50), st.floats(0, 50), st.floats(0.01, 0.99)), max_size=12), st.integers(1, 5))
def test_between_0_and_1_and_perfect_for_the_truth(rows: list[tuple[float, float, float]], count: int) -> None:
    truth = [np.array([[30.0 * index, 0.0, 20.0, 20.0] for index in range(count)])]
    found = [one([[x, y, 20.0, 20.0] for x, y, _ in rows], [score for *_, score in rows])]
    assert 0.0 <= average_precision(found, truth) <= 1.0
    assert average_precision([(truth[0], np.linspace(0.2, 0.9, count))], truth) == pytest.approx(1.0)


def test_coco_s_figures_are_pycocotools(capsys: pytest.CaptureFixture[str]) -> None:
    """Random scenes with near misses, doubled boxes, crowds, and images with nothing or a hundred more."""
    rng = np.random.default_rng(0)
    for trial in range(4):
        truth, crowds, found, annotations, told = [], [], [], [], []
        for image in range(12):
            boxes = np.concatenate([rng.uniform(0, 300, (6, 2)), rng.uniform(10, 120, (6, 2))], 1)[: rng.integers(0, 7)]
            crowd = np.array([[150.0, 150.0, 200.0, 150.0]])[: int(image % 3 == 0 and trial > 0)]
            near = np.repeat(boxes, 3, 0)
            near = near * rng.normal(1, 0.09, near.shape) + rng.normal(0, 2, near.shape)
            stray = np.concatenate([rng.uniform(0, 400, (130, 2)), rng.uniform(10, 90, (130, 2))], 1)
            scores = rng.uniform(0.2, 1, len(near))
            near = np.concatenate([near, stray[: 130 if image == 5 else rng.integers(0, 8)]])
            scores = np.round(np.concatenate([scores, rng.uniform(0, 0.5, len(near) - len(scores))]), 4)
            truth.append(boxes), crowds.append(crowd), found.append((near, scores))
            for group, is_crowd in ((boxes, 0), (crowd, 1)):
                for box in group:
                    annotations.append(
                        {"id": len(annotations) + 1, "image_id": image, "category_id": 1, "bbox": box.tolist(),
                         "area": float(box[2] * box[3]), "iscrowd": is_crowd}
                    )  # fmt: skip
            told += [
                {"image_id": image, "category_id": 1, "bbox": box.tolist(), "score": float(score)}
                for box, score in zip(near, scores, strict=True)
            ]
        reference = COCO()
        reference.dataset = {
            "info": {}, "images": [{"id": image} for image in range(12)], "categories": [{"id": 1, "name": "person"}],
            "annotations": annotations,
        }  # fmt: skip
        reference.createIndex()
        evaluation = COCOeval(reference, reference.loadRes(told), "bbox")
        evaluation.evaluate(), evaluation.accumulate(), evaluation.summarize()
        ours = coco_ap(found, truth, crowds)
        assert 0.2 < ours.at_50 < 0.95
        assert ours.at_50 == pytest.approx(evaluation.stats[1], abs=1e-6)
        assert ours.mean == pytest.approx(evaluation.stats[0], abs=1e-6)
    capsys.readouterr()
