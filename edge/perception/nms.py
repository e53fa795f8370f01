"""Non-maximum suppression: of boxes that overlap, the best stays. OpenCV's, and its kind by DIoU that OpenCV lacks."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

FAR = 1e6  # what reaches further is no box of any picture


def iou(one: NDArray[np.floating], many: NDArray[np.floating]) -> NDArray[np.floating]:
    """Intersection over union of boxes given as x, y, width, height; the shapes broadcast, last axis 4."""
    width = np.minimum(one[..., 0] + one[..., 2], many[..., 0] + many[..., 2]) - np.maximum(one[..., 0], many[..., 0])
    height = np.minimum(one[..., 1] + one[..., 3], many[..., 1] + many[..., 3]) - np.maximum(one[..., 1], many[..., 1])
    shared = np.maximum(width, 0.0) * np.maximum(height, 0.0)
    union = one[..., 2] * one[..., 3] + many[..., 2] * many[..., 3] - shared
    overlap: NDArray[np.floating] = shared / np.maximum(union, 1e-12)
    return overlap


def diou(one: NDArray[np.floating], many: NDArray[np.floating], beta: float) -> NDArray[np.floating]:
    """IoU less (d / c)^beta: d the squared distance of the centres, c the squared diagonal of the box round both.

    What Darknet compares under nms_kind=diounms (Zheng et al., "Distance-IoU Loss", 2020, arXiv:1911.08287).
    """
    apart = one[..., :2] + one[..., 2:] / 2 - many[..., :2] - many[..., 2:] / 2
    whole = np.maximum(one[..., :2] + one[..., 2:], many[..., :2] + many[..., 2:])
    whole = whole - np.minimum(one[..., :2], many[..., :2])
    share = (apart**2).sum(-1) / np.maximum((whole**2).sum(-1), 1e-12)
    overlap: NDArray[np.floating] = iou(one, many) - share**beta
    return overlap


def covered(
    boxes: NDArray[np.floating],
    classes: NDArray[np.integer],
    better: NDArray[np.floating],
    better_classes: NDArray[np.integer],
    limit: float,
) -> NDArray[np.bool_]:
    """Which boxes (N, 4) overlap a better one (M, 4) of their class by an IoU above the limit: (N,)."""
    (x, y, width, height), (u, v, a, b) = boxes.T.copy(), better.T[:, :, None].copy()
    over: NDArray[np.bool_] = np.equal(better_classes[:, None], classes)
    across = np.minimum(u + a, x + width)
    across -= np.maximum(u, x)
    shared = np.minimum(v + b, y + height)
    shared -= np.maximum(v, y)
    over &= across > 0.0  # where both are negative, the product would not tell
    shared *= across
    # Without the division: shared > limit * (one + other - shared).
    share = limit / (1.0 + limit)
    over &= shared > share * (a * b) + share * (width * height)
    found: NDArray[np.bool_] = np.logical_or.reduce(over, axis=0)
    return found


def nms(
    boxes: NDArray[np.floating],
    scores: NDArray[np.floating],
    classes: NDArray[np.integer],
    limit: float,
    beta: float | None = None,
    most: int | None = None,
) -> NDArray[np.intp]:
    """Greedy suppression within each class.

    Args:
        boxes: (N, 4) x, y, width, height in any one unit.
        scores: (N,).
        classes: (N,); boxes of different classes do not suppress each other.
        limit: boxes that overlap a better one by more than this IoU go.
        beta: compare `diou` with this exponent instead of the IoU.
        most: no more are told.

    Returns:
        The indices that stay, best first.
    """
    if len(scores) > 1 and beta is None:
        near = np.clip(boxes, -FAR, FAR).astype(np.float64)  # OpenCV sets classes apart by the largest number there is
        kept = cv2.dnn.NMSBoxesBatched(near, scores.tolist(), classes.tolist(), -1.0, limit)
        return np.asarray(kept, np.intp)[:most]
    order = np.argsort(-scores, kind="stable")
    if beta is None or len(order) <= 1:
        return order[:most]
    boxes, classes = boxes[order], classes[order]
    over = diou(boxes[:, None], boxes, beta) > limit
    over &= classes[:, None] == classes
    keep = np.ones(len(order), bool)
    for index in np.flatnonzero(np.triu(over, 1).any(axis=1)):  # only rows that can remove something
        if keep[index]:
            keep[index + 1 :] &= ~over[index, index + 1 :]
    return order[keep][:most]
