"""Two turns of listening laid over each other, by which the robot's turning is measured.

Dead reckoning errs by some per cent on a whole turn: where a turn ends it does not meet its beginning, and a slanted
wall jumps there as things do at their edges. What was heard twice tells how far a turn really is: as far as makes the
second like the first. Only element-wise operations and sums of integers: one robot and N see the same bits.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from edge.plateaus import MISSING_M

Floats = NDArray[np.float32]

RATES = np.linspace(0.92, 1.08, 33, dtype=np.float32)[:, None, None, None]
"""How much the robot may have turned for each radian that was reckoned."""
ALIKE_M = 0.3
"""Ranges that differ by so much are as unlike as can be: one missed a thing, which tells nothing of the turn."""
THERE = 0.5
"""Sectors; what is farther from a row's bearing tells less of it than what the other turn heard there."""


class TwoTurns(NamedTuple):
    """What was heard, by true bearing: row k is k sectors to the left of straight ahead. (2, sectors, n) each."""

    range_m: Floats  # infinite: no echo either time
    off: Floats  # sectors by which the sonar looked farther to the left than the row tells


def laid_over(range_m: Floats, turned: Floats) -> TwoTurns:
    """What is heard of two turns in each direction; what one of them lacks is the other's.

    Args:
        range_m: (2, sectors, n) m of both turns, in any order; infinite: no echo.
        turned: (2, sectors, n) where the sonar looked, reckoned in sectors to the left of straight ahead; turns and
            all: what it looked at a turn ago is `sectors` to the right or left of what it looks at now.
    """
    sectors, true = range_m.shape[1], turned * RATES
    over = np.full(true.shape, np.nan, np.float32)
    clipped = np.broadcast_to(np.minimum(range_m, np.float32(MISSING_M)), true.shape)
    np.put_along_axis(over, np.rint(true).astype(np.intp) % sectors, clipped, 2)
    unlike = np.abs(over[:, 0] - over[:, 1]) * np.float32(1000.0 / ALIKE_M)
    unlike = np.where(np.isnan(unlike), np.float32(500.0), np.minimum(unlike, np.float32(1000.0)))
    rate = RATES[unlike.astype(np.int32).sum(1).argmin(0), 0, 0, 0]

    off = (turned * rate)[:, None] - np.arange(sectors, dtype=np.float32)[:, None, None]
    off -= np.float32(sectors) * np.rint(off * np.float32(1.0 / sectors))
    nearest = np.abs(off).argmin(2)
    off = np.take_along_axis(off, nearest[:, :, None], 2)[:, :, 0]
    heard = np.take_along_axis(range_m, nearest, 1)
    far, there = np.abs(off) > np.float32(THERE), np.abs(off[::-1]) <= np.float32(THERE)
    lacks = (far | np.isinf(heard)) & there
    return TwoTurns(np.where(lacks, heard[::-1], heard), np.where(lacks, off[::-1], off))
