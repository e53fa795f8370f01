"""Where a thing may be that one sonar hears: a belief about how far its bearing is off dead reckoning's.

A cone tells that something is at a range, not where in the cone; and a robot whose wheels differ by a few per cent
drives a bend that it knows nothing of. A thing that is heard no more may thus have left the cone to either side. The
belief is a histogram over the bend and the bearing (a discrete Bayes filter: Thrun, Burgard and Fox, "Probabilistic
Robotics" (2005), 4.1), which driving shears, turning spreads, and each echo weighs. Only element-wise operations: one
robot and N see the same bits.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]

BINS, BIN_RAD = 32, 0.05
"""Of the bearing: how many, and how wide."""
OFF_RAD = ((np.arange(BINS) - 0.5 * (BINS - 1)) * BIN_RAD).astype(np.float32)[:, None]
"""(BINS, 1) what the thing's bearing is more than reckoned, at each bin's middle."""
BENDS, BEND_RAD_PER_M = 8, 0.15
"""Of the bend: how many, and how far apart."""
BEND = ((np.arange(BENDS) - 0.5 * (BENDS - 1)) * BEND_RAD_PER_M).astype(np.float32)[:, None, None]
"""(BENDS, 1, 1) by how much more to the left the thing gets with each metre ahead."""
SPREAD_RAD_PER_M = 0.2
"""Standard deviation of the bend: of wheels whose gains are 2 per cent off, 0.15 m apart."""
PER_M, PER_RAD = 0.004, 0.0016
"""rad^2 by which a metre driven and a radian turned spread the bearing, besides."""
AT_FIRST_RAD, FIX_RAD, WILD = 0.1, 0.08, 0.05
"""Standard deviations of a thing newly found, and of one found again; the likelihood that what was found is another."""


class BearingBelief:
    """Of `n` robots; `share` (BENDS, BINS, n) is what each cell has of the belief."""

    def __init__(self, n: int) -> None:
        self.share = np.empty((BENDS, BINS, n), np.float32)
        self.reset(slice(None))

    def reset(self, where: NDArray[np.intp] | NDArray[np.bool_] | slice) -> None:
        """Nothing is known of the bends of the robots at `where`."""
        self.share[..., where] = _AT_FIRST

    def begin(self, at: NDArray[np.intp]) -> None:
        """A new thing, where reckoning has it, for the robots at `at`; what is known of their bends stays so."""
        few = summed(self.share[:, :, at], 1)[:, None] * _bell(OFF_RAD, AT_FIRST_RAD)
        self.share[:, :, at] = few / summed(few)

    def move(self, way: Floats, turn: Floats) -> None:
        """The robots drove `way` m and turned by `turn` rad, (n,) each."""
        variance = np.float32(PER_M) * np.abs(way) + np.float32(PER_RAD) * np.abs(turn)
        both = np.minimum(variance * np.float32(0.5 / BIN_RAD**2), np.float32(0.2))
        drift = np.clip(BEND * way * np.float32(1.0 / BIN_RAD), np.float32(-0.5), np.float32(0.5))
        up, down = both + np.maximum(drift, 0.0), both + np.maximum(-drift, 0.0)
        flow = up * self.share[:, :-1] - down * self.share[:, 1:]
        self.share[:, :-1] -= flow
        self.share[:, 1:] += flow

    def fix(self, at: NDArray[np.intp], off: Floats) -> None:
        """The things of the robots at `at` were found again, `off` rad (M,) from where reckoning has them."""
        few = self.share[:, :, at] * (_bell(OFF_RAD - off, FIX_RAD) + np.float32(WILD))
        self.share[:, :, at] = few / summed(few)

    def weigh(self, likelihood: Floats) -> None:
        """By how likely what was heard is for each bearing, (BINS, n)."""
        self.share *= likelihood
        self.share += np.float32(1e-9)  # nothing is ruled out for good
        self.share /= summed(self.share)

    def bearing(self) -> Floats:
        """(BINS, n) the belief about the bearing alone."""
        return summed(self.share, 0)

    def bend(self) -> Floats:
        """(n,) the mean bend, rad/m."""
        return summed(self.share * BEND)

    def centre(self) -> Floats:
        """Move the belief by whole bins so that its mean is in the middle; returns by how much (n,) rad."""
        mean = summed(self.bearing() * OFF_RAD, 0)
        bins = np.rint(mean * np.float32(1.0 / BIN_RAD)).astype(np.intp)
        moved = bins.nonzero()[0]
        if moved.size:
            rows = np.arange(BINS)[:, None] + bins[moved]
            few = np.take_along_axis(self.share[:, :, moved], np.clip(rows, 0, BINS - 1)[None], 1)
            few *= (rows >= 0) & (rows < BINS)
            self.share[:, :, moved] = few / summed(few)
        return bins.astype(np.float32) * np.float32(BIN_RAD)


def summed(cells: Floats, axis: int | None = None) -> Floats:
    """The sum over an axis, a power of two long, or over all but the last: in an order that n does not change."""
    if axis is None:
        return summed(summed(cells, 0), 0) if cells.ndim == 3 else summed(cells, 0)
    while (half := cells.shape[axis] // 2) > 0:
        cells = cells.take(range(half), axis) + cells.take(range(half, 2 * half), axis)
    return cells.squeeze(axis)


def _bell(off: Floats, deviation: float) -> Floats:
    return np.exp(np.float32(-0.5 / deviation**2) * off * off)


_AT_FIRST = _bell(BEND, SPREAD_RAD_PER_M) * _bell(OFF_RAD, AT_FIRST_RAD)
_AT_FIRST /= summed(_AT_FIRST)
