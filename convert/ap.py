"""Average precision of a detector: all-point interpolation at one IoU, as PASCAL VOC 2010 and later count it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from edge.perception.nms import iou


def match(
    boxes: NDArray[np.floating], scores: NDArray[np.floating], truth: NDArray[np.floating], least_iou: float = 0.5
) -> NDArray[np.bool_]:
    """Which detections of one image are true: each takes, best score first, the best true box still free.

    Args:
        boxes: (N, 4) x, y, width, height.
        scores: (N,).
        truth: (M, 4), the true boxes of the same class.
    """
    hits = np.zeros(len(boxes), bool)
    if not len(truth) or not len(boxes):
        return hits
    overlaps = iou(np.asarray(boxes)[:, None], np.asarray(truth)[None])
    for index in np.argsort(-np.asarray(scores), kind="stable"):
        best = int(overlaps[index].argmax())
        if overlaps[index, best] >= least_iou:
            hits[index] = True
            overlaps[:, best] = -1.0
    return hits


def average_precision(
    found: Sequence[tuple[NDArray[np.floating], NDArray[np.floating]]],
    truth: Sequence[NDArray[np.floating]],
    least_iou: float = 0.5,
) -> float:
    """The area under precision over recall, one class, 0..1.

    Args:
        found: per image the boxes (N, 4) x, y, width, height and scores (N,) of the detector, as many as it has:
            a cut at a score cuts the curve too.
        truth: per image the true boxes (M, 4).
        least_iou: a detection counts from this overlap on.

    Returns:
        NaN where there is no true box at all.
    """
    total = sum(len(boxes) for boxes in truth)
    if total == 0:
        return float("nan")
    scores = [np.asarray(given, np.float64).reshape(-1) for _, given in found]
    hits = [
        match(np.asarray(boxes, np.float64).reshape(-1, 4), own, np.asarray(true, np.float64).reshape(-1, 4), least_iou)
        for (boxes, _), own, true in zip(found, scores, truth, strict=True)
    ]
    order = np.argsort(-np.concatenate([np.empty(0), *scores]), kind="stable")
    hit = np.concatenate([np.empty(0, bool), *hits])[order]
    right = np.cumsum(hit)
    recall = np.concatenate([[0.0], right / total])
    precision = right / np.arange(1, len(hit) + 1)
    # Precision at a recall is the best at that recall or beyond it.
    envelope = np.maximum.accumulate(precision[::-1])[::-1]
    return float(np.sum(np.diff(recall) * envelope))
