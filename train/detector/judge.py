"""How good a detector is: average precision over labelled scenes, and what it finds at its working score."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import cache
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from convert.ap import average_precision, match
from edge.perception.nms import iou
from robot.sim.rooms import EVALUATION_SEEDS
from train.detector.scenes import Scene, scenes

if TYPE_CHECKING:
    from convert.parity import Judge

Array = NDArray[np.floating]
Find = Callable[[NDArray[np.uint8]], tuple[Array, Array]]
"""From a frame to boxes (N, 4) x, y, width, height in its pixels, and scores (N,)."""

VISIBLE = 0.5
"""Persons who are at least half in view must be found: the rule of the main figure."""

LEAST_IOU = 0.5
JUDGED_ROOMS, JUDGED_FRAMES = 100, 4
CALIBRATION_ROOMS, CALIBRATION_FRAMES = 64, 4
MAY_DROP = 0.01


class Verdict(NamedTuple):
    """`ap` at an IoU of 0.5; recall, precision and false finds per image with scores above `at`."""

    ap: float
    recall: float
    precision: float
    false_per_image: float
    images: int
    things: int
    at: float


class Tally:
    """Collects what a detector finds, scene by scene.

    Asked for are the persons of whom at least the share `visible` is in view (see `Scene.asked`); to find others is
    neither right nor wrong.
    """

    def __init__(self, at: float = 0.4, visible: float = VISIBLE) -> None:
        self.at, self.visible = at, visible
        self._found: list[tuple[Array, Array]] = []
        self._truth: list[Array] = []
        self._images = 0

    def add(self, boxes: Array, scores: Array, scene: Scene) -> None:
        """Take note of what was found in `scene`: boxes (N, 4) in its pixels, scores (N,)."""
        height, width = scene.image.shape[:2]
        # What reaches beyond the frame cannot be labelled, so boxes are compared within it.
        limit = np.array([width, height], float)
        low, high = np.clip(boxes[:, :2], 0, limit), np.clip(boxes[:, :2] + boxes[:, 2:], 0, limit)
        boxes = np.concatenate([low, high - low], axis=1)
        asked = scene.asked(self.visible)
        self.take(boxes, scores, scene.boxes[asked], scene.boxes[~asked])

    def take(self, boxes: Array, scores: Array, truth: Array, others: Array) -> None:
        """The same for boxes of any one class: `truth` (P, 4) must be found, `others` (Q, 4) may be."""
        if len(others) and len(boxes):
            forgiven = (iou(boxes[:, None], others[None]) >= LEAST_IOU).any(axis=1) & ~match(
                boxes, scores, truth, LEAST_IOU
            )
            boxes, scores = boxes[~forgiven], scores[~forgiven]
        self._found.append((boxes, scores))
        self._truth.append(truth)
        self._images += 1

    def verdict(self) -> Verdict:
        """The sum of it."""
        things = sum(len(truth) for truth in self._truth)
        right = wrong = 0
        for (boxes, scores), truth in zip(self._found, self._truth, strict=True):
            told = scores > self.at
            hits = int(match(boxes[told], scores[told], truth, LEAST_IOU).sum())
            right, wrong = right + hits, wrong + int(told.sum()) - hits
        return Verdict(
            average_precision(self._found, self._truth, LEAST_IOU) if things else float("nan"),
            right / max(things, 1),
            right / max(right + wrong, 1),
            wrong / max(self._images, 1),
            self._images,
            things,
            self.at,
        )


def judge(find: Find, pictures: Iterable[Scene], at: float = 0.4, visible: float = VISIBLE) -> Verdict:
    """What `find` is worth on `pictures`."""
    tally = Tally(at, visible)
    for scene in pictures:
        tally.add(*find(scene.image), scene)
    return tally.verdict()


def unseen_scenes(rooms: int, frames: int, first: int = EVALUATION_SEEDS) -> Iterable[Scene]:
    """Pictures of rooms that no training ever saw."""
    for seed in range(first, first + rooms):
        yield from scenes(seed, frames)


def scenes_judge() -> Judge:
    """For `edgebot convert`: average precision in unseen rooms, and pictures of training rooms to calibrate with."""
    from convert.parity import Judge

    @cache
    def pictures() -> list[Scene]:
        return list(unseen_scenes(JUDGED_ROOMS, JUDGED_FRAMES))

    def measure(predict: Callable[[NDArray[np.uint8]], tuple[Array, Array, Any]]) -> float:
        return judge(lambda image: predict(image)[:2], pictures()).ap

    def calibration() -> NDArray[np.uint8]:
        return np.stack(
            [scene.image for seed in range(CALIBRATION_ROOMS) for scene in scenes(seed, CALIBRATION_FRAMES)]
        )

    figure = f"person AP@0.5 in {JUDGED_ROOMS * JUDGED_FRAMES} pictures of {JUDGED_ROOMS} unseen rendered rooms"
    return Judge(figure, measure, calibration, MAY_DROP)
