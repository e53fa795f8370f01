"""What a detector by colour threshold can do: the yardstick that a learnt one must leave far behind.

Pixels within a box of hue, saturation and value are gathered into blobs; tall enough blobs, grown by a
factor, are persons. All thresholds are tuned by random search on training scenes, so that the yardstick is as
good as the method allows.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from train.detector.judge import Array, judge
from train.detector.scenes import Scene

_WIDTH, _HEIGHT = 160, 120


@dataclass(frozen=True)
class ColourThreshold:
    """Thresholds in OpenCV's HSV (hue 0..180, others 0..255); `hue` may wrap round.

    `close` is the side of the structuring element that joins pixels, `least` the smallest blob as a share of the
    picture, `wider` and `taller` how far a blob's box is grown, downwards as it is mostly faces and shirts that show.
    """

    hue: tuple[int, int]
    saturation: tuple[int, int]
    value: tuple[int, int]
    close: int
    least: float
    wider: float
    taller: float

    def find(self, image: NDArray[np.uint8]) -> tuple[Array, Array]:
        """Boxes (N, 4) in pixels of `image`, and scores (N,): how well a blob fills its box, and its size."""
        small = cv2.cvtColor(cv2.resize(image, (_WIDTH, _HEIGHT)), cv2.COLOR_RGB2HSV)
        mask = self._within(small)
        if self.close > 1:
            mask = cv2.morphologyEx(mask, cv2.MORPH_CLOSE, np.ones((self.close, self.close), np.uint8))
        count, _, blobs, _ = cv2.connectedComponentsWithStats(mask, connectivity=8)
        blobs = blobs[1:count]
        blobs = blobs[blobs[:, cv2.CC_STAT_AREA] >= self.least * _WIDTH * _HEIGHT]
        boxes = blobs[:, :4].astype(float)
        fill = blobs[:, cv2.CC_STAT_AREA] / np.maximum(boxes[:, 2] * boxes[:, 3], 1)
        upright = np.clip(boxes[:, 3] / np.maximum(boxes[:, 2], 1) / 2, 0, 1)
        scores = fill * upright * np.sqrt(np.clip(boxes[:, 3] / _HEIGHT, 0, 1))
        boxes[:, 0] -= boxes[:, 2] * (self.wider - 1) / 2
        boxes[:, 2] *= self.wider
        boxes[:, 3] *= self.taller
        scale = np.array([image.shape[1] / _WIDTH, image.shape[0] / _HEIGHT] * 2)
        return boxes * scale, scores

    def _within(self, picture: NDArray[np.uint8]) -> NDArray[np.uint8]:
        low, high = self.hue
        rest = (self.saturation[0], self.value[0]), (self.saturation[1], self.value[1])
        if low <= high:
            return np.asarray(cv2.inRange(picture, (low, *rest[0]), (high, *rest[1])), np.uint8)
        first = cv2.inRange(picture, (low, *rest[0]), (180, *rest[1]))
        return np.asarray(first | cv2.inRange(picture, (0, *rest[0]), (high, *rest[1])), np.uint8)


def tune(scenes: Sequence[Scene], tries: int, seed: int = 0) -> tuple[ColourThreshold, float]:
    """The best of `tries` random thresholds on `scenes`, and its average precision there."""
    rng = np.random.default_rng([seed, 31])
    best, highest = _draw(rng), -1.0
    for _ in range(tries):
        candidate = _draw(rng)
        found = judge(candidate.find, scenes).ap
        if found > highest:
            best, highest = candidate, found
    return best, highest


def _draw(rng: np.random.Generator) -> ColourThreshold:
    def span(top: int) -> tuple[int, int]:
        low, high = sorted(rng.integers(0, top + 1, 2).tolist())
        return low, high

    # Half of the tries begin from skin, whose hue lies about red.
    hue = (int(rng.integers(160, 181)), int(rng.integers(8, 30))) if rng.random() < 0.5 else span(180)
    return ColourThreshold(
        hue=hue,
        saturation=span(255),
        value=span(255),
        close=int(rng.choice([1, 3, 5, 9, 15])),
        least=float(rng.choice([0.001, 0.004, 0.01, 0.03])),
        wider=float(rng.choice([1.0, 1.3, 2.0])),
        taller=float(rng.choice([1.0, 1.3, 2.0, 4.0])),
    )
