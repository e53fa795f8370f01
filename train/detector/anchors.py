"""Anchors from the boxes of a data set: k-means, with 1 - IoU as the distance.

Redmon and Farhadi, "YOLO9000: Better, Faster, Stronger", 2017, section 2.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Sizes = NDArray[np.float64]
_ROUNDS, _STARTS = 60, 4


def shape_iou(sizes: Sizes, anchors: Sizes) -> Sizes:
    """IoU (N, K) of boxes (N, 2) with anchors (K, 2), width and height, laid on each other by a corner."""
    both = np.minimum(sizes[:, None], anchors[None]).prod(axis=2)
    area = sizes.prod(axis=1)[:, None] + anchors.prod(axis=1)[None] - both
    return np.asarray(both / np.maximum(area, 1e-12))


def cluster(sizes: Sizes, count: int, seed: int = 0) -> tuple[Sizes, float]:
    """`count` anchors for boxes (N, 2), smallest first, and the mean IoU of a box with its best anchor.

    Clusters move to the median of their boxes, which outliers do not pull; the best of some random starts is kept.
    Where there are fewer different boxes than anchors, some anchors are scaled copies of others.
    """
    rng = np.random.default_rng([seed, 41])
    different = np.unique(np.round(sizes, 6), axis=0)
    if len(different) < count:
        scales = np.geomspace(0.7, 1.4, -(-count // len(different)) + 1)
        different = np.concatenate([different, *(different * scale for scale in scales)])[: max(count, 1)]
        return _sorted(different), float(shape_iou(sizes, different).max(axis=1).mean())
    best, highest = different[:count], -1.0
    for _ in range(_STARTS):
        anchors = _moved(sizes, different[rng.choice(len(different), count, replace=False)])
        found = float(shape_iou(sizes, anchors).max(axis=1).mean())
        if found > highest:
            best, highest = anchors, found
    return _sorted(best), highest


def _moved(sizes: Sizes, anchors: Sizes) -> Sizes:
    nearest = np.full(len(sizes), -1)
    for _ in range(_ROUNDS):
        before, nearest = nearest, shape_iou(sizes, anchors).argmax(axis=1)
        if (nearest == before).all():
            break
        anchors = np.array(
            [
                np.median(sizes[nearest == k], axis=0) if (nearest == k).any() else anchor
                for k, anchor in enumerate(anchors)
            ]
        )
    return anchors


def _sorted(anchors: Sizes) -> Sizes:
    return anchors[np.argsort(anchors.prod(axis=1), kind="stable")]
