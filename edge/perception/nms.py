"""Non-maximum suppression: of boxes that overlap, the best stays."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

MATRIX_LIMIT = 400  # up to here all pairs are compared at once: faster than row by row, and under 2 MB


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


def nms(
    boxes: NDArray[np.floating],
    scores: NDArray[np.floating],
    classes: NDArray[np.integer],
    limit: float,
    beta: float | None = None,
) -> NDArray[np.intp]:
    """Greedy suppression within each class.

    Args:
        boxes: (N, 4) x, y, width, height in any one unit.
        scores: (N,).
        classes: (N,); boxes of different classes do not suppress each other.
        limit: boxes that overlap a better one by more than this IoU go.
        beta: compare `diou` with this exponent instead of the IoU.

    Returns:
        The indices that stay, best first.
    """
    order = np.argsort(-scores, kind="stable")
    if len(order) <= 1:
        return order
    if len(order) > MATRIX_LIMIT or beta is not None:
        return _by_rows(boxes, scores, classes, limit, beta, order)
    boxes, classes = boxes[order], classes[order]
    x, y = boxes[:, 0], boxes[:, 1]
    right, bottom, area = x + boxes[:, 2], y + boxes[:, 3], boxes[:, 2] * boxes[:, 3]
    shared = np.minimum(right[:, None], right) - np.maximum(x[:, None], x)
    height = np.minimum(bottom[:, None], bottom) - np.maximum(y[:, None], y)
    np.maximum(shared, 0.0, out=shared)
    np.maximum(height, 0.0, out=height)
    shared *= height
    # IoU > limit, without the division: shared > limit * (a + b - shared)
    over = shared * (1.0 + limit) > limit * (area[:, None] + area)
    if classes[0] != classes[-1] or (classes != classes[0]).any():
        over &= classes[:, None] == classes
    keep = np.ones(len(order), bool)
    for index in np.flatnonzero(np.triu(over, 1).any(axis=1)):  # only rows that can remove something
        if keep[index]:
            keep[index + 1 :] &= ~over[index, index + 1 :]
    return order[keep]


def _by_rows(
    boxes: NDArray[np.floating],
    scores: NDArray[np.floating],
    classes: NDArray[np.integer],
    limit: float,
    beta: float | None,
    order: NDArray[np.intp],
) -> NDArray[np.intp]:
    kept: list[int] = []
    for label in np.unique(classes):
        rest = order[classes[order] == label]
        while len(rest):
            best, rest = rest[0], rest[1:]
            kept.append(int(best))
            over = iou(boxes[best], boxes[rest]) if beta is None else diou(boxes[best], boxes[rest], beta)
            rest = rest[over <= limit]
    chosen = np.array(kept, np.intp)
    return chosen[np.argsort(-scores[chosen], kind="stable")]
