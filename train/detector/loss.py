"""What the network should answer, and how wrong it is."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import tensorflow as tf

from train.detector.model import ANCHORS, SCALE_X_Y

_REACH = 0.8  # cells from a cell's middle to a person's within which the cell must find it
_SHAPE = 0.4  # IoU of anchor and person, laid on each other, from which the anchor must find it
_FORGIVEN = 0.5  # IoU with any person from which a cell that need not find it may


class Terms(NamedTuple):
    """The loss and its parts, scalars."""

    total: tf.Tensor
    box: tf.Tensor
    objectness: tf.Tensor


class YoloLoss:
    """Loss of a raw head against boxes.

    Several cells and anchors may be responsible for one person, as in later YOLOs: those near its middle
    whose anchor has about its shape. Boxes by generalised IoU (Rezatofighi et al., 2019), objectness by
    focal binary cross-entropy; the person channel learns beside it where a person is.

    Args:
        width, height: of the network's input; rows, columns: of its head.
    """

    def __init__(self, width: int, height: int, rows: int, columns: int) -> None:
        anchors = np.array(ANCHORS) / [width, height]
        y, x, a = np.meshgrid(np.arange(rows), np.arange(columns), np.arange(len(ANCHORS)), indexing="ij")
        self._cells = tf.constant(np.stack([x.ravel(), y.ravel()], axis=1), tf.float32)
        self._grid = tf.constant([columns, rows], tf.float32)
        self._anchors = tf.constant(anchors[a.ravel()], tf.float32)
        self._shapes = tf.constant(anchors, tf.float32)
        self._which = tf.constant(a.ravel())

    def decode(self, raw: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        """Boxes (B, C, 4) as middle and size in fractions, objectness (B, C) and person logits (B, C)."""
        raw = tf.reshape(raw, [tf.shape(raw)[0], -1, 6])
        middle = (tf.sigmoid(raw[..., :2]) * SCALE_X_Y - (SCALE_X_Y - 1) / 2 + self._cells) / self._grid
        size = tf.exp(tf.clip_by_value(raw[..., 2:4], -4.0, 4.0)) * self._anchors
        return tf.concat([middle, size], axis=-1), raw[..., 4], raw[..., 5]

    def __call__(self, raw: tf.Tensor, boxes: tf.Tensor, kinds: tf.Tensor) -> Terms:
        """Loss of `raw` (B, rows, columns, anchors * 6) for `boxes` (B, M, 4) of `kinds` (B, M); see `Examples`."""
        found, objectness, person = self.decode(raw)
        match, truth = self._assign(boxes, kinds)
        count = tf.maximum(tf.reduce_sum(match), 1.0)
        overlap = giou(found, truth)
        box = tf.reduce_sum((1.0 - overlap) * match) / count
        # Ambiguous cells teach nothing.
        near = tf.reduce_max(
            tf.where(kinds[:, None] != 0, iou(tf.stop_gradient(found)[:, :, None], boxes[:, None]), 0.0), axis=2
        )
        weight = tf.where((match == 0) & (near > _FORGIVEN), 0.0, 1.0)
        target = match * 0.98 + 0.005
        terms = 0.0
        for logits in (objectness, person):
            chance = tf.sigmoid(logits)
            focus = tf.stop_gradient(tf.abs(target - chance)) ** 1.5
            terms += tf.reduce_sum(
                weight * focus * tf.nn.sigmoid_cross_entropy_with_logits(labels=target, logits=logits)
            )
        objective = terms / count
        return Terms(2.0 * box + objective, box, objective)

    def _assign(self, boxes: tf.Tensor, kinds: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Which cells must find someone (B, C), 1 or 0, and whom (B, C, 4)."""
        away = tf.abs(boxes[:, None, :, :2] * self._grid - (self._cells + 0.5)[None, :, None])  # (B, C, M, 2)
        least = tf.minimum(boxes[:, :, None, 2:], self._shapes)
        both = least[..., 0] * least[..., 1]
        area = boxes[:, :, None, 2] * boxes[:, :, None, 3] + self._shapes[:, 0] * self._shapes[:, 1]
        shape = both / (area - both)  # (B, M, A)
        fits = (shape >= _SHAPE) | (shape >= tf.reduce_max(shape, axis=2, keepdims=True))
        fits = tf.gather(tf.transpose(fits, [0, 2, 1]), self._which, axis=1)  # (B, C, M)
        mine = fits & tf.reduce_all(away < _REACH, axis=-1) & (kinds[:, None] == 1)
        nearest = tf.where(mine, tf.reduce_sum(away, axis=-1), 1e9)
        whom = tf.argmin(nearest, axis=2)
        match = tf.cast(tf.reduce_any(mine, axis=2), tf.float32)
        return match, tf.gather(boxes, whom, axis=1, batch_dims=1)


def _corners(box: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    return box[..., :2] - box[..., 2:] / 2, box[..., :2] + box[..., 2:] / 2


def _areas(first: tf.Tensor, second: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    (low, high), (other_low, other_high) = _corners(first), _corners(second)
    inner = tf.maximum(tf.minimum(high, other_high) - tf.maximum(low, other_low), 0.0)
    both = inner[..., 0] * inner[..., 1]
    union = first[..., 2] * first[..., 3] + second[..., 2] * second[..., 3] - both
    return both, tf.maximum(union, 1e-9)


def iou(first: tf.Tensor, second: tf.Tensor) -> tf.Tensor:
    """Intersection over union of boxes (..., 4) as middle and size."""
    both, union = _areas(first, second)
    return both / union


def giou(first: tf.Tensor, second: tf.Tensor) -> tf.Tensor:
    """Generalised IoU, -1..1, of boxes (..., 4) as middle and size."""
    both, union = _areas(first, second)
    (low, high), (other_low, other_high) = _corners(first), _corners(second)
    hull = tf.maximum(high, other_high) - tf.minimum(low, other_low)
    area = tf.maximum(hull[..., 0] * hull[..., 1], 1e-9)
    return both / union - (area - union) / area
