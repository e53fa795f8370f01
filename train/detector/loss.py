"""What a detector's raw heads should answer, and how wrong they are; for any backend of Keras.

Truth is (B, M, 5), as `examples.padded` makes it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from keras import ops

from edge.manifest import DarknetDecode
from train.detector.examples import IGNORED, NOBODY
from train.detector.overlap import ciou, iou

_SHAPE = 0.4  # IoU of anchor and thing, laid on each other, from which the anchor must find it
_FORGIVEN = 0.5  # IoU with anything from which a cell that need not find it may
_SURE = 0.995  # the chance asked for where something is; 1 - this where nothing is
_BOX, _OBJECTNESS, _CLASS = 2.0, 2.0, 0.5
_EPSILON = 1e-6


class Terms(NamedTuple):
    """The loss and its parts, scalars."""

    total: Any
    box: Any
    objectness: Any
    label: Any


class YoloLoss:
    """Loss of raw Darknet heads against boxes.

    Several cells and anchors may be responsible for one thing, as in later YOLOs: those near its middle whose anchor
    has about its shape, whichever head they are in. Boxes learn by complete IoU, objectness by focal or plain binary
    cross-entropy (Lin et al., "Focal Loss for Dense Object Detection", 2017), classes by binary cross-entropy where
    something is.

    Args:
        decode: how the runtime reads the heads.
        grids: rows and columns of each head, in the order of `decode.heads`.
        width, height: of the network's input, pixels.
        focus: the focal loss's gamma; 0 is plain binary cross-entropy.
    """

    def __init__(
        self, decode: DarknetDecode, grids: Sequence[tuple[int, int]], width: int, height: int, focus: float = 1.5
    ) -> None:
        self._fields, self._classes, self._focus = 5 + decode.classes, decode.classes, focus
        self._ready = [head.new_coords for head in decode.heads]
        cells, grid, anchors, spread, which = [], [], [], [], []
        first = 0
        for head, (rows, columns) in zip(decode.heads, grids, strict=True):
            count = len(head.anchors)
            y, x, a = (part.ravel() for part in np.meshgrid(*map(np.arange, (rows, columns, count)), indexing="ij"))
            cells.append(np.stack([x, y], axis=1))
            grid.append(np.broadcast_to([columns, rows], (len(x), 2)))
            anchors.append((np.array(head.anchors) / [width, height])[a])
            spread.append(np.full((len(x), 1), head.scale_x_y))
            which.append(first + a)
            first += count
        self._cells, self._grid, self._anchors, self._spread = (
            np.concatenate(part).astype(np.float32) for part in (cells, grid, anchors, spread)
        )
        self._which = np.concatenate(which).astype(np.int32)
        self._shapes = np.concatenate([head.anchors for head in decode.heads]).astype(np.float32)
        self._shapes /= np.array([width, height], np.float32)
        # As far from a cell's middle as its answer reaches, less a margin: a logistic never gets to its ends.
        self._reach = 0.5 + 0.3 * np.clip(self._spread - 1.0, 0.0, 1.0)

    def decode(self, heads: Sequence[Any]) -> tuple[Any, Any, Any]:
        """Boxes (B, C, 4) as middle and size in fractions, objectness logits (B, C), class logits (B, C, classes)."""
        raw = [ops.reshape(head, (ops.shape(head)[0], -1, self._fields)) for head in heads]
        middle = [part[..., :2] if ready else ops.sigmoid(part[..., :2]) for part, ready in self._each(raw)]
        size = [
            ops.square(2.0 * part[..., 2:4]) if ready else ops.exp(ops.clip(part[..., 2:4], -6.0, 6.0))
            for part, ready in self._each(raw)
        ]
        chances = [_logit(part[..., 4:]) if ready else part[..., 4:] for part, ready in self._each(raw)]
        middles = (_joined(middle) * self._spread - (self._spread - 1) / 2 + self._cells) / self._grid
        logits = _joined(chances)
        return ops.concatenate([middles, _joined(size) * self._anchors], axis=-1), logits[..., 0], logits[..., 1:]

    def __call__(self, heads: Sequence[Any], truth: Any) -> Terms:
        """The loss of raw heads (B, rows, columns, anchors x (5 + classes)) for `truth` (B, M, 5)."""
        found, objectness, labels = self.decode(heads)
        truth = ops.cast(truth, "float32")
        match, whom = self.assign(truth)
        mine = ops.take_along_axis(truth, whom[..., None], axis=1)
        count = ops.maximum(ops.sum(match), 1.0)
        box = ops.sum((1.0 - ciou(found, mine[..., :4])) * match) / count
        # A cell that finds what is another's to find, or nobody's, is neither right nor wrong.
        there = truth[:, None, :, 4] > NOBODY + 0.5
        near = ops.where(there, iou(ops.stop_gradient(found)[:, :, None], truth[:, None, :, :4]), 0.0)
        counts = ops.where((match == 0) & (ops.max(near, axis=2) > _FORGIVEN), 0.0, 1.0)
        target = match * (2 * _SURE - 1) + (1 - _SURE)
        wrong = _cross_entropy(target, objectness)
        if self._focus:
            wrong = wrong * ops.stop_gradient(ops.abs(target - ops.sigmoid(objectness))) ** self._focus
        chance = ops.sum(counts * wrong) / count
        kind = ops.one_hot(ops.cast(ops.maximum(mine[..., 4], 0.0), "int32"), self._classes)
        kinds = ops.sum(_cross_entropy(kind, labels), axis=-1)
        label = ops.sum(kinds * match) / count
        return Terms(_BOX * box + _OBJECTNESS * chance + _CLASS * label, box, chance, label)

    def assign(self, truth: Any) -> tuple[Any, Any]:
        """Which cells must find something (B, C), 1 or 0, and the row of `truth` that it is (B, C)."""
        away = ops.abs(truth[:, None, :, :2] * self._grid[:, None] - (self._cells + 0.5)[:, None])  # (B, C, M, 2)
        least = ops.minimum(truth[:, :, None, 2:4], self._shapes)
        both = least[..., 0] * least[..., 1]
        area = truth[:, :, None, 2] * truth[:, :, None, 3] + self._shapes[:, 0] * self._shapes[:, 1]
        shape = both / ops.maximum(area - both, 1e-9)  # (B, M, anchors)
        fits = (shape >= _SHAPE) | (shape >= ops.max(shape, axis=2, keepdims=True))
        fits = ops.take(ops.transpose(fits, (0, 2, 1)), self._which, axis=1)  # (B, C, M)
        asked = truth[:, None, :, 4] > IGNORED + 0.5
        mine = fits & ops.all(away <= self._reach[:, None], axis=-1) & asked
        nearest = ops.where(mine, ops.sum(away, axis=-1), 1e9)
        return ops.cast(ops.any(mine, axis=2), "float32"), ops.argmin(nearest, axis=2)

    def _each(self, raw: list[Any]) -> Any:
        return zip(raw, self._ready, strict=True)


def _joined(parts: list[Any]) -> Any:
    return parts[0] if len(parts) == 1 else ops.concatenate(parts, axis=1)


def _logit(chance: Any) -> Any:
    chance = ops.clip(chance, _EPSILON, 1 - _EPSILON)
    return ops.log(chance) - ops.log(1.0 - chance)


def _cross_entropy(target: Any, logits: Any) -> Any:
    """Binary, from logits, without overflow."""
    return ops.maximum(logits, 0.0) - logits * target + ops.log1p(ops.exp(-ops.abs(logits)))
