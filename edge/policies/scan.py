"""What one sonar heard while the robot turned: which echoes are walls, which are things, and where things are.

A cone reports the nearest surface within its half angle h. A wall at distance D with its normal at heading
n is therefore heard at D wherever the normal lies within the cone, and at D / cos(|heading - n| - h)
beyond. So each echo of a wall implies its D exactly, and no echo can imply a greater one: the largest D
implied is the wall's. Four walls at right angles are fitted that way; what is heard well in front of them
stands free. An object's nearest point is heard over a plateau one cone wide, whose middle points at it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Found:
    """A thing: `heading` (rad, frame of the scan) of its nearest point, `distance` (m) from the middle."""

    heading: float
    distance: float


class Scan:
    """Echoes by heading. Ranges are kept as distances from the robot's middle, about which it turns."""

    def __init__(self, sensor_x: float, half_cone: float) -> None:
        self._sensor_x, self._half = sensor_x, half_cone
        self._headings: list[float] = []
        self._ranges: list[float] = []  # NaN where the echo was missing

    def __len__(self) -> int:
        return len(self._headings)

    def add(self, heading: float, distance: float | None) -> None:
        """One echo at `heading` (rad, not wrapped); None where it was missing."""
        self._headings.append(heading)
        self._ranges.append(math.nan if distance is None else distance)

    def arrays(self) -> tuple[Array, Array]:
        """Headings and ranges in order of heading."""
        headings, ranges = np.array(self._headings), np.array(self._ranges)
        order = np.argsort(headings, kind="stable")
        return headings[order], ranges[order]

    def free_standing(self, margin_m: float = 0.15) -> list[Found]:
        """Things in front of the walls, the nearest first."""
        headings, ranges = self.arrays()
        heard = np.isfinite(ranges)
        headings, ranges = headings[heard], ranges[heard]
        if len(headings) < 12:
            return []
        wall, slack = self._fit_walls(headings, ranges)
        thing = wall - ranges > np.maximum(margin_m, slack)
        found = []
        left = thing.copy()
        while left.any():
            nearest = int(np.argmin(np.where(left, ranges, np.inf)))
            low, high = _plateau(headings, ranges, nearest)
            # A single short echo among long ones is noise, not a thing.
            alone = np.count_nonzero(np.abs(headings - headings[nearest]) < self._half) > 3 and low == high
            if not alone:
                middle = (headings[low] + headings[high]) / 2
                found.append(Found(float(middle), float(ranges[nearest]) + self._sensor_x))
            left[low : high + 1] = False
            left[np.abs(headings - headings[nearest]) < 0.3] = False
        return found

    def nearest(self, expected: float | None = None) -> Found | None:
        """The nearest surface of a sweep, or of those within 0.25 m of the `expected` range where that is given."""
        headings, ranges = self.arrays()
        heard = np.isfinite(ranges)
        headings, ranges = headings[heard], ranges[heard]
        if expected is not None:
            near = np.abs(ranges - expected) < 0.25
            if near.any():
                ranges = np.where(near, ranges, np.inf)
        if len(headings) < 3 or not np.isfinite(ranges).any():
            return None
        at = int(np.argmin(ranges))
        low, high = _plateau(headings, ranges, at)
        inside = slice(low, high + 1)
        return Found(float(headings[low] + headings[high]) / 2, float(np.median(ranges[inside])) + self._sensor_x)

    def _fit_walls(self, headings: Array, ranges: Array) -> tuple[Array, Array]:
        """The range at which walls would be heard at each heading, and how far that may be wrong (m).

        Dead reckoning errs by a few per cent on a whole turn, so the headings' scale is fitted too.
        """
        best: tuple[float, Array, Array] = (-math.inf, np.zeros_like(ranges), np.zeros_like(ranges))
        centre = headings.mean()
        for stretch in np.linspace(0.92, 1.08, 9):
            true = centre + (headings - centre) * stretch
            for angle in np.arange(0.0, math.pi / 2, math.radians(3)):
                walls = np.full(ranges.shape, np.inf)
                slack = np.zeros(ranges.shape)
                for k in range(4):
                    off = np.remainder(true - angle - k * math.pi / 2 + math.pi, math.tau) - math.pi
                    faces = np.abs(off) < 1.4
                    if np.count_nonzero(faces) < 4:
                        continue
                    bend = np.cos(np.maximum(0.0, np.abs(off[faces]) - self._half))
                    shift = self._sensor_x * np.cos(off[faces])
                    implied = ranges[faces] * bend + shift
                    distance = np.sort(implied)[-3]  # the third largest: two wild echoes do no harm
                    heard = (distance - shift) / bend
                    nearer = heard < walls[faces]
                    at = np.flatnonzero(faces)[nearer]
                    walls[at] = heard[nearer]
                    # Seen at a slant, a degree or two of heading makes much of a difference.
                    slack[at] = heard[nearer] * (0.05 + 0.06 * np.sqrt(1 / bend[nearer] ** 2 - 1))
                score = float(np.count_nonzero(np.abs(walls - ranges) < 0.05))
                score -= 2.0 * float(np.count_nonzero(ranges > walls + 0.15))
                if score > best[0]:
                    best = (score, walls, slack)
        return best[1], best[2]


def _plateau(headings: Array, ranges: Array, at: int) -> tuple[int, int]:
    """First and last index of the neighbours of `at`, a nearest echo, that are about as near; gaps of one pass."""
    low = high = at
    beside = np.abs(headings - headings[at]) < 0.3
    # The nearest echo of all is one that noise has shortened: the middle of the nearest four is a better base.
    base = float(np.median(np.sort(ranges[beside])[:4]))
    near = np.abs(ranges - base) <= max(0.05, 0.04 * base)
    while low > 0 and headings[low] - headings[low - 1] < 0.3:
        if near[low - 1]:
            low -= 1
        elif low > 1 and near[low - 2]:
            low -= 2
        else:
            break
    while high < len(ranges) - 1 and headings[high + 1] - headings[high] < 0.3:
        if near[high + 1]:
            high += 1
        elif high < len(ranges) - 2 and near[high + 2]:
            high += 2
        else:
            break
    return low, high
