"""Non-maximum suppression: of boxes that overlap, the best stays. Among a few boxes, or many of few classes, OpenCV's.

Many boxes of many classes have few rivals each, and only those pairs are compared here; OpenCV lacks the kind by DIoU.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

FAR = 1e6  # what reaches further is no box of any picture
BLOCK = 24_000  # so many pairs are compared at once: what they take stays in the processor's cache
FEW, RIVALS = 64, 8.0  # OpenCV is quicker for fewer boxes, and for boxes with more rivals on the average


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
    (x, y, width, height), areas = boxes.T.copy(), boxes[:, 2] * boxes[:, 3]
    right, bottom = x + width, y + height
    share = np.float32(limit / (1.0 + limit))  # without a division: shared > limit * (one + other - shared)
    found: NDArray[np.bool_] = np.zeros(len(boxes), bool)
    rows = max(1, BLOCK // max(len(boxes), 1))
    for start in range(0, len(better), rows):
        some = slice(start, start + rows)
        u, v, a, b = better[some].T[:, :, None].copy()
        across = np.minimum(u + a, right)
        across -= np.maximum(u, x)
        shared = np.minimum(v + b, bottom)
        shared -= np.maximum(v, y)
        np.maximum(shared, 0.0, out=shared)
        shared *= across
        over = shared > share * (a * b) + share * areas
        over &= better_classes[some, None] == classes
        found |= np.logical_or.reduce(over, axis=0)
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
        if len(scores) > FEW and (sizes := np.bincount(classes)) @ (sizes - 1) <= 2 * RIVALS * len(scores):
            return _sparse(near, scores, classes, sizes, limit)[:most]
        kept = cv2.dnn.NMSBoxesBatched(near.tolist(), scores.tolist(), classes.tolist(), -1.0, limit)
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


def _sparse(
    boxes: NDArray[np.floating],
    scores: NDArray[np.floating],
    classes: NDArray[np.integer],
    sizes: NDArray[np.intp],
    limit: float,
) -> NDArray[np.intp]:
    """`nms` by comparing each box with the lesser ones of its class alone; `sizes`: how many boxes each class has."""
    order = np.argsort(-scores, kind="stable")
    grouped = order[np.argsort(classes[order], kind="stable")]
    # Box i of the groups has as many lesser rivals as its group has after it, and they are i + 1, i + 2, ...
    rivals = np.repeat(np.cumsum(sizes), sizes) - np.arange(1, len(order) + 1)
    one = np.repeat(np.arange(len(order)), rivals)
    other = np.arange(1, len(one) + 1) + np.repeat(np.arange(len(order)) - np.cumsum(rivals) + rivals, rivals)
    x, y, width, height = boxes[grouped].T
    right, bottom, area = x + width, y + height, width * height
    across = np.minimum(right[one], right[other]) - np.maximum(x[one], x[other])
    down = np.minimum(bottom[one], bottom[other]) - np.maximum(y[one], y[other])
    shared = np.maximum(across, 0.0) * np.maximum(down, 0.0)
    over = np.flatnonzero(shared > limit * (area[one] + area[other] - shared))
    kept = np.ones(len(order), bool)
    for better, worse in zip(one[over].tolist(), other[over].tolist(), strict=True):
        if kept[better]:
            kept[worse] = False
    stays = np.empty(len(order), bool)
    stays[grouped] = kept
    return order[stays[order]]
