"""Boxes from TFLite_Detection_PostProcess, the operation that ends the SSD and EfficientDet models of TensorFlow.

It has suppressed and sorted already; what remains is a threshold and another order of the corners
(tensorflow/lite/kernels/detection_postprocess.cc).
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge.errors import ModelError
from edge.interpreter import dequantise
from edge.manifest import SsdDecode, Tensor
from edge.perception.decode import NONE, Candidates


class SsdDecoder:
    """Boxes, labels, scores and their number, each a tensor.

    Args:
        spec: which output is which.
        outputs: the model's output tensors.
        score: detections at or below it are dropped.

    Raises:
        ModelError: the tensors do not fit.
    """

    def __init__(self, spec: SsdDecode, outputs: tuple[Tensor, ...], score: float) -> None:
        self.outputs: tuple[int, ...] = (spec.boxes, spec.labels, spec.scores, spec.count)
        if not all(0 <= index < len(outputs) for index in self.outputs):
            raise ModelError(f"the model has {len(outputs)} outputs, expected boxes, labels, scores and their number")
        self._tensors = tuple(outputs[index] for index in self.outputs)
        shapes = [tensor.shape for tensor in self._tensors]
        most = shapes[0][1] if len(shapes[0]) == 3 else 0
        if shapes[0] != (1, most, 4) or shapes[1] != (1, most) or shapes[2] != (1, most) or np.prod(shapes[3]) != 1:
            raise ModelError(
                f"the model's outputs are {', '.join(map(str, shapes))}, expected boxes (1, N, 4), labels (1, N), "
                "scores (1, N) and their number (1,)"
            )
        self._classes, self._score = spec.classes, np.float32(score)

    def decode(self, raw: list[NDArray[Any]]) -> Candidates:
        """Candidates of one image. Raises `ValueError` where the network gave up counting."""
        corners, labels, scores, count = (
            dequantise(value, tensor).reshape(-1) for value, tensor in zip(raw, self._tensors, strict=True)
        )
        number = int(count[0]) if np.isfinite(count[0]) else -1
        if not 0 <= number <= len(scores):
            raise ValueError(f"the model says that it found {count[0]:g} things, of {len(scores)} at most")
        found = np.flatnonzero(scores[:number] > self._score)
        if not len(found):
            return NONE
        if not np.isfinite(labels[found]).all():
            raise ValueError("the model's labels are not finite")
        classes = np.rint(labels[found]).astype(np.intp)
        known = (classes >= 0) & (classes < self._classes)
        found, classes = found[known], classes[known]
        top, left, bottom, right = corners.reshape(-1, 4)[found].T
        boxes = np.stack([left, top, right - left, bottom - top], axis=1)
        return Candidates(boxes.astype(np.float32), scores[found].astype(np.float32), classes)
