"""Non-maximum suppression: of boxes that overlap, the best stays."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

CHUNK = 400  # so many candidates are compared at once with each other and with those that stay

Some = slice | NDArray[np.intp]
Pairs = Callable[[Some, Some], NDArray[np.bool_]]
"""Which of some boxes (rows) would remove which of others (columns)."""


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
    most: int | None = None,
) -> NDArray[np.intp]:
    """Greedy suppression within each class.

    Args:
        boxes: (N, 4) x, y, width, height in any one unit.
        scores: (N,).
        classes: (N,); boxes of different classes do not suppress each other.
        limit: boxes that overlap a better one by more than this IoU go.
        beta: compare `diou` with this exponent instead of the IoU.
        most: the search ends once so many are found.

    Returns:
        The indices that stay, best first.
    """
    order = np.argsort(-scores, kind="stable")
    if len(order) <= 1:
        return order[:most]
    boxes, classes = boxes[order], classes[order]
    removes = _iou_above(boxes, limit) if beta is None else _diou_above(boxes, limit, beta)
    many_classes = bool((classes != classes[0]).any())

    def over(better: Some, rest: Some) -> NDArray[np.bool_]:
        found = removes(better, rest)
        if many_classes:
            found &= classes[better][:, None] == classes[rest]
        return found

    kept = np.empty(0, np.intp)
    for start in range(0, len(order), CHUNK):
        rest: Some = slice(start, start + CHUNK)
        left = np.arange(start, min(start + CHUNK, len(order)))
        if start:
            rest = left = left[~over(kept, rest).any(axis=0)]
        among = over(rest, rest)
        keep = np.ones(len(left), bool)
        for index in np.flatnonzero(np.triu(among, 1).any(axis=1)):  # only rows that can remove something
            if keep[index]:
                keep[index + 1 :] &= ~among[index, index + 1 :]
        kept = np.concatenate([kept, left[keep]]) if start else left[keep]
        if most is not None and len(kept) >= most:
            break
    return order[kept[:most]]


def _iou_above(boxes: NDArray[np.floating], limit: float) -> Pairs:
    """Tells of which pairs `iou` > limit, without its division: shared > limit * (a + b - shared)."""
    x, y = boxes[:, 0], boxes[:, 1]
    right, bottom, area = x + boxes[:, 2], y + boxes[:, 3], boxes[:, 2] * boxes[:, 3]

    def above(one: Some, many: Some) -> NDArray[np.bool_]:
        shared = np.minimum(right[one][:, None], right[many]) - np.maximum(x[one][:, None], x[many])
        height = np.minimum(bottom[one][:, None], bottom[many]) - np.maximum(y[one][:, None], y[many])
        np.maximum(shared, 0.0, out=shared)
        np.maximum(height, 0.0, out=height)
        shared *= height
        found: NDArray[np.bool_] = shared * (1.0 + limit) > limit * (area[one][:, None] + area[many])
        return found

    return above


def _diou_above(boxes: NDArray[np.floating], limit: float, beta: float) -> Pairs:
    return lambda one, many: diou(boxes[one][:, None], boxes[many], beta) > limit
