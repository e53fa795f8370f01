"""Boxes that move: a Kalman filter with constant velocity for many boxes at once.

The state is that of SORT's successors (Wojke, Bewley and Paulus, "Simple online and realtime tracking with a deep
association metric", 2017): middle, aspect and height with their rates, and noise in proportion to the height. There
the matrices are diagonal in these four numbers, so each is a filter of its own over a number and its rate: two by two,
in closed form, which is the same to the last digits as the eight by eight of the paper and needs no inversion.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

PLACE, RATE = 1 / 20, 1 / 160  # standard deviations, as shares of a box's height
_ASPECT = (1e-2, 1e-5, 1e-1)  # of the aspect: in motion its place and rate, and when measured


class Boxes:
    """N boxes: `mean` (N, 2, 4) of middle x, middle y, aspect, height and of their rates per frame; see `to_boxes`.

    `spread` (N, 3, 4) holds each number's variance, its covariance with its rate, and its rate's variance.
    """

    def __init__(self, mean: Floats | None = None, spread: Floats | None = None) -> None:
        self.mean = np.zeros((0, 2, 4)) if mean is None else mean
        self.spread = np.zeros((0, 3, 4)) if spread is None else spread

    @classmethod
    def begin(cls, boxes: NDArray[np.floating]) -> Boxes:
        """New ones at rest, from boxes (N, 4) x, y, width, height."""
        seen = from_boxes(boxes)
        mean = np.stack((seen, np.zeros_like(seen)), axis=1)
        spread = np.zeros((len(seen), 3, 4))
        spread[:, 0] = _by_height(seen, 2 * PLACE, _ASPECT[0]) ** 2
        spread[:, 2] = _by_height(seen, 10 * RATE, _ASPECT[1]) ** 2
        return cls(mean, spread)

    def join(self, other: Boxes) -> None:
        """Add those of `other` at the end."""
        self.mean = np.concatenate((self.mean, other.mean))
        self.spread = np.concatenate((self.spread, other.spread))

    def keep(self, which: NDArray[np.bool_]) -> None:
        """Leave out all but these."""
        self.mean, self.spread = self.mean[which], self.spread[which]

    def predict(self, frames: float = 1.0, resting: NDArray[np.bool_] | None = None) -> None:
        """Move on by so many frames; `resting` ones (N,), which were lost, no longer change in height."""
        place, rate = self.mean[:, 0], self.mean[:, 1]
        if resting is not None:
            rate[resting, 3] = 0.0
        height = place.copy()
        place += frames * rate
        both, cross, own = self.spread[:, 0], self.spread[:, 1], self.spread[:, 2]
        both += frames * (2 * cross + frames * own) + frames * _by_height(height, PLACE, _ASPECT[0]) ** 2
        cross += frames * own
        own += frames * _by_height(height, RATE, _ASPECT[1]) ** 2

    def update(self, which: NDArray[np.intp], boxes: NDArray[np.floating]) -> None:
        """Take in measured boxes (M, 4) x, y, width, height for those at `which` (M,)."""
        mean, spread = self.mean[which], self.spread[which]
        noise = _by_height(mean[:, 0], PLACE, _ASPECT[2]) ** 2
        total = spread[:, 0] + noise
        gain, gain_rate = spread[:, 0] / total, spread[:, 1] / total
        wrong = from_boxes(boxes) - mean[:, 0]
        mean[:, 0] += gain * wrong
        mean[:, 1] += gain_rate * wrong
        spread[:, 2] -= gain_rate * spread[:, 1]
        spread[:, 1] *= 1 - gain
        spread[:, 0] *= 1 - gain
        self.mean[which], self.spread[which] = mean, spread

    def to_boxes(self) -> Floats:
        """(N, 4) x, y, width, height."""
        x, y, aspect, height = self.mean[:, 0].T
        height = np.maximum(height, 1.0)
        width = np.maximum(aspect, 0.01) * height
        return np.stack((x - width / 2, y - height / 2, width, height), axis=1)


def from_boxes(boxes: NDArray[np.floating]) -> Floats:
    """Middle x, middle y, aspect (width / height), height of boxes (N, 4) x, y, width, height."""
    x, y, width, height = np.asarray(boxes, np.float64).reshape(-1, 4).T
    return np.stack((x + width / 2, y + height / 2, width / np.maximum(height, 1e-9), height), axis=1)


def _by_height(state: Floats, share: float, aspect: float) -> Floats:
    """(N, 4) standard deviations: `share` of the height, and `aspect` for the aspect."""
    spread = np.repeat(share * np.maximum(state[:, 3:4], 1.0), 4, axis=1)
    spread[:, 2] = aspect
    return spread
