"""Non-maximum suppression: of boxes that overlap, the best stays."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

CHUNK = 128  # so many candidates are compared at once with each other and with those that stay
SMALL = 32  # of so few all are compared with all
FEW = 8  # of more, only pairs of one class, where these are fewer than this part of the square of all

Piece = tuple[NDArray[np.floating], NDArray[np.integer], NDArray[Any]]
"""Some candidates: boxes (N, 4), classes (N,), and something of each that is carried along (N,)."""


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
    pieces = ((boxes[part], classes[part], part) for part in ranks(scores))
    return nms_ranked(pieces, limit, beta, most)[2]


def ranks(scores: NDArray[np.floating], size: int = CHUNK) -> Iterator[NDArray[np.intp]]:
    """The indices of all scores (N,), best first, in pieces of `size` at most and at least one piece.

    Of many scores the lower end is put in order only when it is asked for.
    """
    groups: tuple[NDArray[np.intp] | None, ...] = (None,)
    if len(scores) > 4 * size:
        high = scores >= np.partition(scores, -2 * size)[-2 * size]
        groups = np.flatnonzero(high), np.flatnonzero(~high)
    for group in groups:
        order = np.argsort(-(scores if group is None else scores[group]), kind="stable")
        order = order if group is None else group[order]
        for start in range(0, max(len(order), 1), size):
            yield order[start : start + size]


def nms_ranked(pieces: Iterable[Piece], limit: float, beta: float | None = None, most: int | None = None) -> Piece:
    """`nms` of candidates that come best first, in pieces; those after the last that is needed are not asked for."""
    kept: Piece | None = None
    for piece in pieces:
        kept = _added(kept, piece, limit, beta)
        if most is not None and len(kept[0]) >= most:
            break
    assert kept is not None, "at least one piece, be it empty"
    return _chosen(kept, slice(most))


def _chosen(piece: Piece, which: slice | NDArray[Any]) -> Piece:
    boxes, classes, carried = piece
    return boxes[which], classes[which], carried[which]


def _joined(one: Piece | None, other: Piece) -> Piece:
    if one is None:
        return other
    return np.concatenate([one[0], other[0]]), np.concatenate([one[1], other[1]]), np.concatenate([one[2], other[2]])


def _added(kept: Piece | None, piece: Piece, limit: float, beta: float | None) -> Piece:
    """What stays of better candidates, none of which removes another, and of a piece that comes after them."""
    together = _joined(kept, piece)
    boxes, classes, _ = together
    if len(boxes) <= 1:
        return together
    pairs = _pairs(classes) if len(boxes) > SMALL else None
    if pairs is not None:
        better, worse = pairs
        over = _above(boxes[better], boxes[worse], limit, beta)
        keep = np.ones(len(boxes), bool)
        for one, other in zip(better[over].tolist(), worse[over].tolist(), strict=True):
            if keep[one]:
                keep[other] = False
        return _chosen(together, keep)
    if kept is not None:
        removed = _above(kept[0][:, None], piece[0], limit, beta) & (kept[1][:, None] == piece[1])
        piece = _chosen(piece, ~removed.any(axis=0))
    boxes, classes, _ = piece
    among = _above(boxes[:, None], boxes, limit, beta) & (classes[:, None] == classes)
    keep = np.ones(len(boxes), bool)
    for index in np.flatnonzero(np.triu(among, 1).any(axis=1)):  # only rows that can remove something
        if keep[index]:
            keep[index + 1 :] &= ~among[index, index + 1 :]
    return _joined(kept, _chosen(piece, keep))


def _pairs(classes: NDArray[np.integer]) -> tuple[NDArray[np.intp], NDArray[np.intp]] | None:
    """All pairs of one class as indices (better, worse), better first; None where they are too many to list."""
    order = np.argsort(classes, kind="stable")
    own = classes[order]
    later = np.searchsorted(own, own, side="right") - np.arange(1, len(own) + 1)  # of its class, after each
    if later.sum() * FEW > len(own) ** 2:
        return None
    first = np.repeat(np.arange(len(own)), later)
    second = np.arange(1, len(first) + 1) + first - np.repeat(np.cumsum(later) - later, later)
    return order[first], order[second]


def _above(
    one: NDArray[np.floating], other: NDArray[np.floating], limit: float, beta: float | None
) -> NDArray[np.bool_]:
    """Of which boxes the overlap is above the limit; the shapes broadcast."""
    if beta is not None:
        return diou(one, other, beta) > limit
    # `iou` without its division: shared > limit * (a + b - shared).
    shared = np.minimum(one[..., 0] + one[..., 2], other[..., 0] + other[..., 2])
    shared -= np.maximum(one[..., 0], other[..., 0])
    height = np.minimum(one[..., 1] + one[..., 3], other[..., 1] + other[..., 3])
    height -= np.maximum(one[..., 1], other[..., 1])
    np.maximum(shared, 0.0, out=shared)
    np.maximum(height, 0.0, out=height)
    shared *= height
    found: NDArray[np.bool_] = shared * (1.0 + limit) > limit * (
        one[..., 2] * one[..., 3] + other[..., 2] * other[..., 3]
    )
    return found
