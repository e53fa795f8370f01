"""Average precision of a detector: over all points, as PASCAL VOC 2010 and later count it, or over COCO's 101."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from edge.perception.nms import iou

Floats = NDArray[np.floating]
COCO_IOUS = tuple(round(0.5 + 0.05 * step, 2) for step in range(10))
COCO_MOST = 100  # detections of one class in one image that count, best first
COCO_RECALLS = np.linspace(0.0, 1.0, 101)


def match(
    boxes: Floats, scores: Floats, truth: Floats, least_iou: float = 0.5, overlaps: Floats | None = None
) -> NDArray[np.bool_]:
    """Which detections of one image are true: each takes, best score first, the best true box still free.

    Args:
        boxes: (N, 4) x, y, width, height.
        scores: (N,).
        truth: (M, 4), the true boxes of the same class.
        least_iou: from which overlap on a box is found.
        overlaps: (N, M), where the caller has them already.
    """
    hits = np.zeros(len(boxes), bool)
    if not len(truth) or not len(boxes):
        return hits
    overlaps = iou(np.asarray(boxes)[:, None], np.asarray(truth)[None]) if overlaps is None else overlaps.copy()
    for index in np.argsort(-np.asarray(scores), kind="stable"):
        best = int(overlaps[index].argmax())
        if overlaps[index, best] >= least_iou:
            hits[index] = True
            overlaps[:, best] = -1.0
    return hits


def average_precision(found: Sequence[tuple[Floats, Floats]], truth: Sequence[Floats], least_iou: float = 0.5) -> float:
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
    rows = [_as_arrays(*one) for one in found]
    hits = [
        match(boxes, scores, np.asarray(true, np.float64).reshape(-1, 4), least_iou)
        for (boxes, scores), true in zip(rows, truth, strict=True)
    ]
    recall, envelope = _curve([scores for _, scores in rows], hits, total)
    return float(np.sum(np.diff(np.concatenate([[0.0], recall])) * envelope))


class CocoAp(NamedTuple):
    """COCO's two main figures: at an IoU of 0.5, and the mean over 0.5, 0.55 ... 0.95."""

    at_50: float
    mean: float


def coco_ap(
    found: Sequence[tuple[Floats, Floats]], truth: Sequence[Floats], crowds: Sequence[Floats] | None = None
) -> CocoAp:
    """One class as COCO's own evaluation counts it (T.-Y. Lin et al. 2014, arXiv:1405.0312; `pycocotools.COCOeval`).

    Args:
        found: per image boxes (N, 4) x, y, width, height and scores (N,); the best 100 of an image count.
        truth: per image the true boxes (M, 4).
        crowds: per image the boxes of crowds (K, 4): what lies in one and finds nobody else is neither right nor wrong.

    Returns:
        NaN twice where there is no true box.
    """
    total = sum(len(boxes) for boxes in truth)
    if total == 0:
        return CocoAp(float("nan"), float("nan"))
    rows = []
    for index, (one, given) in enumerate(zip(found, truth, strict=True)):
        boxes, scores = _as_arrays(*one)
        order = np.argsort(-scores, kind="stable")[:COCO_MOST]
        boxes, scores = boxes[order], scores[order]
        true = np.asarray(given, np.float64).reshape(-1, 4)
        crowd = np.empty((0, 4)) if crowds is None else np.asarray(crowds[index], np.float64).reshape(-1, 4)
        rows.append((boxes, scores, true, iou(boxes[:, None], true[None]), _share_inside(boxes, crowd)))
    precisions = []
    for least in COCO_IOUS:
        kept, hits = [], []
        for boxes, scores, true, overlaps, inside in rows:
            hit = match(boxes, scores, true, least, overlaps)
            counts = hit | (inside < least)
            kept.append(scores[counts])
            hits.append(hit[counts])
        recall, envelope = _curve(kept, hits, total)
        at = np.searchsorted(recall, COCO_RECALLS, side="left")
        precisions.append(float(np.append(envelope, 0.0)[np.minimum(at, len(envelope))].mean()))
    return CocoAp(precisions[0], float(np.mean(precisions)))


def _as_arrays(boxes: Floats, scores: Floats) -> tuple[Floats, Floats]:
    return np.asarray(boxes, np.float64).reshape(-1, 4), np.asarray(scores, np.float64).reshape(-1)


def _share_inside(boxes: Floats, crowd: Floats) -> Floats:
    """The largest share of each box that lies in one crowd: COCO's overlap with a crowd."""
    if not len(crowd) or not len(boxes):
        return np.zeros(len(boxes))
    low = np.maximum(boxes[:, None, :2], crowd[None, :, :2])
    high = np.minimum(boxes[:, None, :2] + boxes[:, None, 2:], crowd[None, :, :2] + crowd[None, :, 2:])
    shared = np.prod(np.maximum(high - low, 0.0), axis=-1)
    share: Floats = (shared / np.maximum(np.prod(boxes[:, 2:], axis=1), 1e-12)[:, None]).max(axis=1)
    return share


def _curve(scores: Sequence[Floats], hits: Sequence[NDArray[np.bool_]], total: int) -> tuple[Floats, Floats]:
    """Recall after each detection, best score first, and the best precision at that recall or beyond it."""
    order = np.argsort(-np.concatenate([np.empty(0), *scores]), kind="stable")
    right = np.cumsum(np.concatenate([np.empty(0, bool), *hits])[order])
    precision = right / np.arange(1, len(right) + 1)
    return right / total, np.maximum.accumulate(precision[::-1])[::-1]
