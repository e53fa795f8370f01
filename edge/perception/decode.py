"""Raw heads of a Darknet-style YOLO into scored boxes: one way for float and for int8 tensors.

A head is NHWC with anchors x (x, y, w, h, objectness, one per class) channels, as the network leaves them.
Objectness is tested on the stored numbers, so that only the few cells that can reach the threshold are ever
turned into real values (score = objectness x class probability, so score > t implies objectness > t).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge.errors import ModelError
from edge.manifest import DarknetDecode, DarknetHead, Tensor

FEW = 5  # channels before the classes: x, y, w, h, objectness


@dataclass(frozen=True, slots=True)
class Candidates:
    """Boxes before suppression: `boxes` (N, 4) x, y, w, h as fractions of the input, top left corner."""

    boxes: NDArray[np.float32]
    scores: NDArray[np.float32]
    classes: NDArray[np.intp]


    def chosen(self, which: NDArray[np.intp]) -> Candidates:
        """Some of them, in that order."""
        return Candidates(self.boxes[which], self.scores[which], self.classes[which])


def joined(parts: list[Candidates]) -> Candidates:
    """All candidates of one or more parts."""
    if len(parts) == 1:
        return parts[0]
    return Candidates(
        np.concatenate([part.boxes for part in parts]),
        np.concatenate([part.scores for part in parts]),
        np.concatenate([part.classes for part in parts]),
    )


NONE = Candidates(np.empty((0, 4), np.float32), np.empty(0, np.float32), np.empty(0, np.intp))


class _Head:
    """One head: cell positions and anchors spread out per row, tables where the tensor is quantised."""

    def __init__(self, head: DarknetHead, classes: int, tensor: Tensor, width: int, height: int, score: float) -> None:
        anchors = len(head.anchors)
        if len(tensor.shape) != 4 or tensor.shape[0] != 1 or tensor.shape[3] != anchors * (FEW + classes):
            raise ModelError(
                f"output {head.output} of the model is {tensor.shape}, expected 1 x rows x columns x "
                f"{anchors * (FEW + classes)} ({anchors} anchors, {classes} classes); convert the model again"
            )
        _, rows, columns, _ = tensor.shape
        self.output = head.output
        self.fields = FEW + classes
        y, x, a = np.meshgrid(np.arange(rows), np.arange(columns), np.arange(anchors), indexing="ij")
        spread = -(head.scale_x_y - 1.0) / 2.0
        self.corner = np.stack([x.ravel() + spread, y.ravel() + spread], axis=1).astype(np.float32)
        self.cell = np.array([1.0 / columns, 1.0 / rows], np.float32)
        self.stretch = np.float32(head.scale_x_y)
        sizes = np.array(head.anchors, np.float64) / (width, height)
        self.sizes = sizes[a.ravel()].astype(np.float32)
        self.new_coords, self.softmax = head.new_coords, head.softmax
        self.gain = np.float32(head.box_gain)
        self.quantised = tensor.scale != 0.0
        if tensor.dtype not in (("int8", "uint8") if self.quantised else ("float32",)):
            raise ModelError(
                f"output {head.output} of the model is {tensor.dtype}, expected float32 or int8; convert it again"
            )
        # new_coords heads (Scaled-YOLOv4) come with the logistic already applied to every channel.
        least = score if head.new_coords else math.log(score / (1.0 - score))
        self.least: Any = least
        if self.quantised:
            stored = np.arange(256, dtype=np.uint8).view(tensor.dtype)
            real = (stored.astype(np.float64) - tensor.zero_point) * tensor.scale
            self.real, self.chance = real.astype(np.float32), _unit(real, head.new_coords)
            self.unit = _unit(real / head.box_gain, head.new_coords)
            self.size = _size(real / head.box_gain, head.new_coords)
            limits = np.iinfo(tensor.dtype)
            # The first stored number above the threshold; where there is none the score decides below.
            first = math.floor(least / tensor.scale + tensor.zero_point) + 1
            self.least = stored.dtype.type(min(max(first, limits.min), limits.max))

    def decode(self, raw: NDArray[Any], score: float) -> Candidates | None:
        raw = raw.reshape(-1, self.fields)
        if not self.quantised and not math.isfinite(raw[:, 4].max()):  # NaN is the largest of all to numpy
            raise ValueError(f"output {self.output} of the model is not finite")
        found = np.flatnonzero(raw[:, 4] >= self.least)
        if not len(found):
            return None
        rows = raw[found]
        if self.quantised:
            stored = rows.view(np.uint8)
            centre, extent, chances = self.unit[stored[:, :2]], self.size[stored[:, 2:4]], self.chance[stored[:, 4:]]
        else:
            box = rows[:, :4] / self.gain
            centre, extent = _unit(box[:, :2], self.new_coords), _size(box[:, 2:], self.new_coords)
            chances = _unit(rows[:, 4:], self.new_coords)
        if self.softmax:
            chances[:, 1:] = _shared(self.real[stored[:, FEW:]] if self.quantised else rows[:, FEW:])
        scores = chances[:, 1:] * chances[:, :1]
        row, classes = np.nonzero(scores > score)
        if not len(row):
            return None
        chosen = found[row]
        boxes = np.empty((len(row), 4), np.float32)
        boxes[:, 2:] = extent[row] * self.sizes[chosen]
        boxes[:, :2] = (centre[row] * self.stretch + self.corner[chosen]) * self.cell - boxes[:, 2:] * np.float32(0.5)
        return Candidates(boxes, scores[row, classes], classes)


class DarknetDecoder:
    """The heads of one model.

    Args:
        spec: heads, anchors and number of classes.
        outputs: the model's output tensors, in order.
        width, height: of the network's input, pixels.
        score: candidates at or below this score are dropped; 0 < score < 1.
    """

    def __init__(self, spec: DarknetDecode, outputs: tuple[Tensor, ...], width: int, height: int, score: float) -> None:
        if not 0.0 < score < 1.0:
            raise ValueError(f"score must lie between 0 and 1, not {score}")
        self.score = score
        self.outputs = tuple(head.output for head in spec.heads)
        self._heads = [_Head(head, spec.classes, outputs[head.output], width, height, score) for head in spec.heads]

    def decode(self, heads: list[NDArray[Any]]) -> Candidates:
        """Candidates of one image from the raw head tensors, in the order of `self.outputs`."""
        parts = [part for head, raw in zip(self._heads, heads, strict=True) if (part := head.decode(raw, self.score))]
        if not parts:
            return NONE
        return joined(parts)


def _unit(real: NDArray[Any], ready: bool) -> NDArray[np.float32]:
    """Centres and chances: the logistic function, unless the network applied it."""
    if ready:
        return real.astype(np.float32)
    with np.errstate(over="ignore"):
        return (1.0 / (1.0 + np.exp(-real))).astype(np.float32)


def _shared(real: NDArray[Any]) -> NDArray[np.float32]:
    """Chances of classes that exclude each other: softmax over the last axis."""
    raised = np.exp(real - real.max(axis=-1, keepdims=True))
    return (raised / raised.sum(axis=-1, keepdims=True)).astype(np.float32)


def _size(real: NDArray[Any], ready: bool) -> NDArray[np.float32]:
    """Widths and heights in anchors: exp (YOLOv2-v4), or (2 x)^2 (Scaled-YOLOv4's new_coords)."""
    if ready:
        return ((2.0 * real) ** 2).astype(np.float32)
    with np.errstate(over="ignore"):
        return np.exp(real).astype(np.float32)
