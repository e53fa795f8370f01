"""Things that stand free in what a sonar heard all round: plateaus of range about one cone wide.

Beside a plateau the range jumps to what is farther; in a convex room walls never do that (`edge.policies.scan` tells
more). Only element-wise operations, as in `edge.observation`: one robot and N see the same bits.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]
Indices = NDArray[np.intp]

MISSING_M = 5.0
"""What is too far away to be heard counts as this far."""
JUMP_M, JUMP = 0.2, 0.08
"""A plateau's edge: the range grows from one sector to the next by so much, and by this share of it."""
LEVEL_M, LEVEL = 0.05, 0.08
"""A plateau's ranges differ from their median by no more than this, or this share."""
LEAST, MOST = 3, 12
"""Sectors of a plateau."""


class Plateaus(NamedTuple):
    """Things that stand free, (M,) each."""

    robot: Indices
    heading: Floats  # sectors, of the middle
    range_m: Floats
    sectors: Floats  # how many it fills


def plateaus(profile: Floats) -> Plateaus:
    """The plateaus of ranges (sectors, n), m, to the left all round; NaN where nothing is known, infinite: no echo."""
    with np.errstate(invalid="ignore"):
        after, before = np.roll(profile, -1, 0), np.roll(profile, 1, 0)
        farther = np.fmax(before, after)  # one echo that is missing is none; two are too far away to be heard
        profile = np.where(np.isinf(profile), np.minimum(farther, np.float32(MISSING_M)), profile)
        level = _median3(np.roll(profile, 1, 0), profile, np.roll(profile, -1, 0))  # one wild echo is none
        least = np.maximum(np.float32(JUMP_M), np.float32(JUMP) * level)
        found = [_beside(level, np.roll(level, -side, 0) - level > least, side) for side in (1, -1)]
    return Plateaus(*(np.concatenate(parts) for parts in zip(*found, strict=True)))


def cheapest(robot: Indices, cost: Floats, where: NDArray[np.bool_]) -> tuple[Indices, Indices]:
    """The robots for which there are plateaus among those at `where`, and of each the one that costs least."""
    among = np.flatnonzero(where)
    order = among[np.lexsort((cost[among], robot[among]))]
    first = np.ones(len(order), np.bool_)
    first[1:] = robot[order[1:]] != robot[order[:-1]]
    return robot[order[first]], order[first]


def _beside(level: Floats, edge: NDArray[np.bool_], side: int) -> Plateaus:
    """The plateaus that end at the sectors of `edge`, whose `side` (1 left, -1 right) is farther."""
    sector, robot = np.nonzero(edge)
    near = [level[(sector - side * k) % len(level), robot] for k in range(MOST)]
    base = _median5(*near[:5])
    within = np.maximum(np.float32(LEVEL_M), np.float32(LEVEL) * base)
    alive, width = np.ones(len(robot), np.bool_), np.zeros(len(robot), np.float32)
    for reach in near:
        alive &= np.abs(reach - base) <= within
        width += alive
    good = width >= LEAST
    middle = sector[good].astype(np.float32) - np.float32(0.5 * side) * (width[good] - 1.0)
    return Plateaus(robot[good], middle, base[good], width[good])


def _median3(a: Floats, b: Floats, c: Floats) -> Floats:
    return np.maximum(np.minimum(a, b), np.minimum(np.maximum(a, b), c))


def _median5(a: Floats, b: Floats, c: Floats, d: Floats, e: Floats) -> Floats:
    low, high = np.maximum(np.minimum(a, b), np.minimum(c, d)), np.minimum(np.maximum(a, b), np.maximum(c, d))
    return _median3(e, low, high)
