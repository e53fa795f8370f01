"""A detector model at work: a frame in, detections out."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge.errors import ModelError
from edge.perception.decoders import find, make_decoder
from edge.perception.geometry import CameraGeometry
from edge.perception.preprocess import Preprocessor
from edge.perception.recognise import open_detector
from edge.types import Detection
from robot.clock import WallClock

SHIPPED = Path(__file__).parent.parent / "models" / "person.tflite"
"""The detector of persons that comes with the package."""


class Detector:
    """Find things on frames with one model.

    Args:
        path: a detector's `.tflite` file, ours or another's (`recognise.ModelFile` says more of it); None means the
            shipped detector of persons.
        score: detections at or below it are not told; 0 < score < 1.
        threads: for the interpreter.
        geometry: gives each thing a bearing and an apparent height; without it both stay None.

    Raises:
        ModelError: the file is no detector that can be used.

    Attributes:
        times: seconds that each stage of the last call took: preprocess, inference, decode.
    """

    def __init__(
        self,
        path: str | os.PathLike[str] | None = None,
        score: float = 0.4,
        threads: int = 1,
        geometry: CameraGeometry | None = None,
    ) -> None:
        self.path = SHIPPED if path is None else Path(path)
        self.interpreter, self.manifest = open_detector(SHIPPED if path is None else path, threads)
        image, decode = self.manifest.image, self.manifest.decode
        if image is None or decode is None or len(self.manifest.inputs) != 1:
            raise ModelError(f"{self.path} does not say how to feed it and read it; convert it again")
        self.labels = self.manifest.labels
        self.geometry, self.threads = geometry, threads
        self._decode = decode
        self.preprocessor = Preprocessor(image, self.manifest.inputs[0])
        width, height = self.preprocessor.width, self.preprocessor.height
        self.decoder = make_decoder(decode, self.manifest.outputs, width, height, score)
        self.times: dict[str, float] = {}
        self._watch = WallClock().now  # real time, also where the robot's is simulated
        self._input = self.interpreter.input_view(0)
        self._outputs = [self.interpreter.output_view(index) for index in self.decoder.outputs]

    def detect(self, image: NDArray[np.uint8]) -> tuple[Detection, ...]:
        """Detections on one frame (uint8 height x width x 3, RGB), best first.

        Boxes are in pixels of `image` and may reach beyond its edges where the thing does.
        """
        boxes, scores, classes = self.boxes(image)
        labels, geometry = self.labels, self.geometry
        if geometry is None:
            places: Iterable[Any] = map(tuple, boxes.tolist())
            return tuple(map(Detection, map(labels.__getitem__, classes.tolist()), scores.tolist(), places))
        rows, columns = image.shape[:2]
        found = []
        for index, score, (x, y, w, h) in zip(classes.tolist(), scores.tolist(), boxes.tolist(), strict=True):
            box = (x, y, w, h)
            bearing, height = geometry.bearing(box, columns, rows), geometry.apparent_height(box, columns, rows)
            found.append(Detection(labels[index], score, box, bearing, height))
        return tuple(found)

    def boxes(self, image: NDArray[np.uint8]) -> tuple[NDArray[np.floating], NDArray[np.float32], NDArray[np.intp]]:
        """The same as arrays: boxes (N, 4) in pixels of `image`, scores (N,), classes (N,)."""
        began = self._watch()
        self.preprocessor.write(image, self._input)
        ready = self._watch()
        self.interpreter.invoke()
        inferred = self._watch()
        found = find(self.decoder, self._decode, [view() for view in self._outputs])
        self.times = {"preprocess": ready - began, "inference": inferred - ready, "decode": self._watch() - inferred}
        return self.preprocessor.to_frame(found.boxes), found.scores, found.classes
