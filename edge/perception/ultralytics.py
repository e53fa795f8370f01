"""Boxes from the output of an Ultralytics network: only those that can pass the threshold are ever looked at closely.

The rules are those of Ultralytics' `non_max_suppression` as its predictor calls it: of each box the best class alone,
and a score above the threshold, not at it. `tests/edge/test_ultralytics.py` compares with what that function found.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge.errors import ModelError
from edge.interpreter import dequantise
from edge.manifest import Tensor, UltralyticsDecode
from edge.perception.decode import NONE, Candidates, joined

PIECE = 0.64  # so many candidates are read at once, of the most that are told


class UltralyticsDecoder:
    """The one output of such a network, float or quantised.

    Args:
        spec: the layout.
        outputs: the model's output tensors.
        width, height: of the network's input, pixels.
        score: candidates at or below it are dropped.

    Raises:
        ModelError: the tensor does not fit the layout.
    """

    def __init__(
        self, spec: UltralyticsDecode, outputs: tuple[Tensor, ...], width: int, height: int, score: float
    ) -> None:
        tensor = outputs[spec.output] if 0 <= spec.output < len(outputs) else None
        self._first = {"v5": 5, "v8": 4, "end2end": 6}[spec.layout]  # the first class score, or what is left over
        least = 6 if spec.layout == "end2end" else self._first + spec.classes
        if tensor is None or len(tensor.shape) != 3 or tensor.shape[0] != 1 or tensor.shape[spec.fields_axis] < least:
            shape = None if tensor is None else tensor.shape
            expected = "1 x fields x boxes" if spec.fields_axis == 1 else "1 x boxes x fields"
            raise ModelError(
                f"output {spec.output} of the model is {shape}, expected {expected} with at least {least} fields "
                f"({spec.layout}, {spec.classes} classes); give another --layout"
            )
        if tensor.dtype not in ("float32", "int8", "uint8") or (tensor.dtype != "float32" and not tensor.scale):
            raise ModelError(f"the model's output is {tensor.dtype}, expected float32 or int8; convert it again")
        self.outputs: tuple[int, ...] = (spec.output,)
        self._layout, self._classes, self._tensor, self._score = spec.layout, spec.classes, tensor, score
        self._transposed = spec.fields_axis == 2
        self._piece = math.ceil(PIECE * spec.max_detections)
        # Fractions of the input, whatever the network counts in.
        self._unit = np.array([width, height, width, height], np.float32) if spec.pixels else None
        boxes = tensor.shape[3 - spec.fields_axis]
        self._best = np.empty(boxes, tensor.dtype)
        # The threshold as the tensor stores it: compared with every box, so nothing needs to become real first.
        self._least: Any = np.float32(score)
        if tensor.scale:
            limits = np.iinfo(tensor.dtype)
            stored = math.floor(score / tensor.scale + tensor.zero_point)
            self._least = self._best.dtype.type(min(max(stored, limits.min), limits.max))

    def decode(self, raw: list[NDArray[Any]]) -> Candidates:
        """Candidates of one image, best first. Raises `ValueError` where the network gave up counting."""
        if self._layout == "end2end":
            return self._ready(self._rows(raw, self._objects(raw)))
        return joined(list(self.ranked(raw)))

    def ranked(self, raw: list[NDArray[Any]]) -> Iterator[Candidates]:
        """The same of a network that does not suppress, best first in pieces, one at least.

        A piece is sorted and read when it is asked for: of thousands of candidates mostly a few hundred.
        """
        found = self._objects(raw)
        if not len(found):
            yield NONE
            return
        if self._layout == "v8":
            scores = dequantise(self._best[found], self._tensor)
        else:
            rows = self._rows(raw, found)
            scores = rows[:, 5 : 5 + self._classes].max(axis=1, initial=0.0) * rows[:, 4]
        passed = scores > np.float32(self._score)
        if not passed.all():
            found, scores = found[passed], scores[passed]
        while True:
            best, rest = _best(scores, self._piece)
            rows = self._rows(raw, found[best])
            classes = rows[:, self._first : self._first + self._classes].argmax(axis=1)
            boxes = self._fractions(rows)
            boxes[:, :2] -= boxes[:, 2:] * np.float32(0.5)
            yield Candidates(boxes, scores[best], classes)
            if not len(rest):
                return
            found, scores = found[rest], scores[rest]

    def _objects(self, raw: list[NDArray[Any]]) -> NDArray[np.intp]:
        """Which boxes can pass by their objectness or, without one, their best class; told by the stored numbers."""
        fields = raw[0][0].T if self._transposed else raw[0][0]  # fields x boxes
        if self._layout == "v8":
            best = np.maximum.reduce(fields[4 : 4 + self._classes], axis=0, out=self._best)
        else:
            best = fields[4]
        if best.dtype.kind == "f" and not math.isfinite(best.max()):  # NaN is the largest of all to numpy
            raise ValueError("the model's output is not finite")
        # At the stored threshold itself rounding decides, later with the real score.
        return np.flatnonzero(best >= self._least if self._tensor.scale else best > self._least)

    def _rows(self, raw: list[NDArray[Any]], chosen: NDArray[np.intp]) -> NDArray[np.float32]:
        """Some boxes with all their fields, as real numbers."""
        rows = raw[0][0][chosen] if self._transposed else raw[0][0][:, chosen].T
        real: NDArray[np.float32] = dequantise(rows, self._tensor)
        return real

    def _ready(self, rows: NDArray[np.float32]) -> Candidates:
        classes = np.rint(rows[:, 5]).astype(np.intp)
        passed = (rows[:, 4] > np.float32(self._score)) & (classes >= 0) & (classes < self._classes)
        rows, classes = rows[passed], classes[passed]
        boxes = self._fractions(rows)
        boxes[:, 2:] -= boxes[:, :2]
        return Candidates(boxes, rows[:, 4], classes)

    def _fractions(self, rows: NDArray[np.float32]) -> NDArray[np.float32]:
        boxes = rows[:, :4] / self._unit if self._unit is not None else rows[:, :4].copy()
        if not np.isfinite(boxes).all():
            raise ValueError("the model's boxes are not finite")
        return boxes


def _best(scores: NDArray[np.float32], most: int) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """The best `most` of some scores, best first and equal ones in their order, and the rest as they stand."""
    if len(scores) <= most:
        return np.argsort(-scores, kind="stable"), np.empty(0, np.intp)
    least = np.partition(scores, len(scores) - most)[len(scores) - most]
    enough = scores > least
    enough[np.flatnonzero(scores == least)[: most - np.count_nonzero(enough)]] = True
    best = np.flatnonzero(enough)
    return best[np.argsort(-scores[best], kind="stable")], np.flatnonzero(~enough)
