"""How far boxes overlap, for any backend of Keras: intersection over union, and the complete IoU that boxes learn by.

Boxes are (..., 4): x and y of the middle, width and height, in any one unit; shapes broadcast.
"""

from __future__ import annotations

from math import pi
from typing import Any

from keras import ops

_TINY = 1e-9


def iou(first: Any, second: Any) -> Any:
    """Intersection over union, 0..1."""
    (low, high), (other_low, other_high) = _corners(first), _corners(second)
    inner = ops.maximum(ops.minimum(high, other_high) - ops.maximum(low, other_low), 0.0)
    both = inner[..., 0] * inner[..., 1]
    union = first[..., 2] * first[..., 3] + second[..., 2] * second[..., 3] - both
    return both / ops.maximum(union, _TINY)


def ciou(first: Any, second: Any) -> Any:
    """Complete IoU: also how far apart the middles are, and how unlike the shapes; at most 1.

    Zheng et al., "Distance-IoU Loss: Faster and Better Learning for Bounding Box Regression", 2020, equations 7-10.
    """
    (low, high), (other_low, other_high) = _corners(first), _corners(second)
    overlap = iou(first, second)
    hull = ops.maximum(high, other_high) - ops.minimum(low, other_low)
    diagonal = ops.sum(ops.square(hull), axis=-1)
    away = ops.sum(ops.square(first[..., :2] - second[..., :2]), axis=-1)
    shape = (4 / pi**2) * ops.square(_slope(second) - _slope(first))
    # The trade-off is a weight, not something to learn by (section 3.3 of the paper).
    trade = ops.stop_gradient(shape / ops.maximum(1.0 - overlap + shape, _TINY))
    return overlap - away / ops.maximum(diagonal, _TINY) - trade * shape


def _corners(box: Any) -> tuple[Any, Any]:
    return box[..., :2] - box[..., 2:] / 2, box[..., :2] + box[..., 2:] / 2


def _slope(box: Any) -> Any:
    return ops.arctan(box[..., 2] / ops.maximum(box[..., 3], _TINY))
