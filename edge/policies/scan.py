"""What one sonar heard while the robot turned: which echoes are walls, which are things, and where things are.

A cone reports the nearest surface within its half angle h. A wall at distance D with its normal at heading
n is therefore heard at D wherever the normal lies within the cone, and at D / cos(|heading - n| - h)
beyond: its range never jumps to something farther, as that of a thing does at its edges, for rooms are
convex. Where a thing has no such edge, walls are fitted: each echo of a wall implies its D exactly, and no
echo can imply a greater one, so the largest D implied is the wall's, and what is heard well in front of
them stands free. A thing's nearest point is heard over a plateau one cone wide, whose middle points at it.
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
    """Echoes by heading, in a frame about whose origin the robot turns."""

    BEYOND_M = 5.0  # what is too far away to be heard counts as this far
    PLATEAU_RAD = 0.25  # what is heard at one range over less than this is no thing
    WALL_RAD = 0.85  # what is heard over less than this is no wall: a box a step away spans a cone and its width

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

    def free_standing(self) -> list[Found]:
        """Things that stand free, the likeliest goal first: the nearest one."""
        edged, proud = self._before_a_jump(), self._before_a_wall()
        # A jump proves a thing. The fit of walls may err, and counts where it tells of something clearly nearer.
        if not edged or (proud and proud[0].distance < edged[0].distance - 0.25):
            return proud
        return edged

    def _before_a_jump(self) -> list[Found]:
        """Things beside which the range jumps to what is farther: in a convex room walls never do that."""
        headings, ranges = self.arrays()
        missing = ~np.isfinite(ranges)
        # One missing echo is a drop-out, two on end are too far away to be heard.
        far = missing & (np.roll(missing, 1) | np.roll(missing, -1))
        ranges = np.where(far, self.BEYOND_M, ranges)
        heard = np.isfinite(ranges)
        headings, ranges = headings[heard], ranges[heard]
        found: list[Found] = []
        for i in range(len(ranges) - 1):
            a, b = ranges[i], ranges[i + 1]
            near = i if a < b else i + 1
            if abs(a - b) < max(0.3, 0.18 * min(a, b)) or headings[i + 1] - headings[i] > 0.3:
                continue
            low, high = _plateau(headings, ranges, near)
            if headings[high] - headings[low] < self.PLATEAU_RAD:
                continue
            base = float(np.median(ranges[low : high + 1]))
            found.append(Found(float(headings[low] + headings[high]) / 2, base + self._sensor_x))
        return sorted(found, key=lambda thing: thing.distance)

    def _before_a_wall(self, margin_m: float = 0.15) -> list[Found]:
        """Things well in front of the walls that fit the scan best."""
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
            # Over a thing the range stands still for a cone's width; on a wall's flank it does not, and noise is alone.
            if headings[high] - headings[low] >= self.PLATEAU_RAD:
                middle = (headings[low] + headings[high]) / 2
                found.append(Found(float(middle), float(ranges[nearest]) + self._sensor_x))
            left[low : high + 1] = False
            left[np.abs(headings - headings[nearest]) < 0.3] = False
        return found

    def refind(self, heading: float, distance: float) -> tuple[Found, int] | None:
        """The thing that should be at `heading` (rad) and `distance` (m from the middle), and where it is cut off.

        The sweep falls into segments where the range jumps; the one that fits best is taken. The second value
        is -1 or 1 where the thing goes on beyond the sweep's lower or upper end, else 0.
        """
        headings, ranges = self.arrays()
        heard = np.isfinite(ranges)
        headings, ranges = headings[heard], ranges[heard]
        if len(headings) < 4:
            return None
        steps = np.abs(np.diff(ranges))
        breaks = np.flatnonzero(steps > np.maximum(0.12, 0.08 * ranges[1:])) + 1
        parts = [(part, 0.0) for part in np.split(np.arange(len(ranges)), breaks)]
        # A thing that merges into a wall beside it is what stands still at about the right range.
        right = np.abs(ranges + self._sensor_x - distance) < max(0.12, 0.1 * distance)
        runs = np.split(np.arange(len(ranges)), np.flatnonzero(np.diff(right.astype(np.int8))) + 1)
        parts += [(run, 0.7) for run in runs if right[run[0]] and np.ptp(headings[run]) >= self.PLATEAU_RAD]
        best: tuple[float, tuple[Found, int]] | None = None
        for part, doubt in parts:
            if len(part) < 2:
                continue
            ordered = np.sort(ranges[part])
            base = float(ordered[len(part) // 2] if doubt else np.median(ordered[:4]))
            near = part[np.abs(ranges[part] - base) <= max(0.06, 0.04 * base)]
            if not len(near):
                continue
            low, high = int(near[0]), int(near[-1])
            middle = float(headings[low] + headings[high]) / 2
            misfit = doubt + abs(base + self._sensor_x - distance) / 0.2
            misfit += abs(middle - heading) / max(0.3, 0.35 / distance)
            if best is None or misfit < best[0]:
                cut = -1 if low == 0 else 1 if high == len(ranges) - 1 else 0
                best = misfit, (Found(middle, base + self._sensor_x), cut)
        return None if best is None or best[0] > 5.0 else best[1]

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
                    # A slanted wall is heard well past a right angle, but tells its distance badly there.
                    faces, frank = np.abs(off) < 1.5 + self._half, np.abs(off) < 1.3
                    if np.count_nonzero(frank) < 4:
                        continue
                    bend = np.maximum(np.cos(np.maximum(0.0, np.abs(off) - self._half)), 0.05)
                    shift = self._sensor_x * np.cos(off)
                    # The third largest of the distances implied: two wild echoes do no harm.
                    distance = np.sort((ranges * bend + shift)[frank])[-3]
                    heard, bend = ((distance - shift) / bend)[faces], bend[faces]
                    explained = off[faces][np.abs(heard - ranges[faces]) < 0.05 + 0.02 * heard]
                    if len(explained) == 0 or np.ptp(explained) < self.WALL_RAD:
                        continue
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
    near = np.abs(ranges - base) <= max(0.05, 0.06 * base)
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
