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
JUMP_M, JUMP = 0.25, 0.1
"""A plateau's edge: the range grows from one sector to the next by so much, and by this share of it."""
LEVEL_M, LEVEL = 0.05, 0.06
"""A plateau's ranges differ from their median by no more than this, or this share."""
LEAST, MOST = 3, 7
"""Sectors of a plateau; one that goes on merges into what stands beside it, and what is at its edge counts."""


class Plateaus(NamedTuple):
    """Things that stand free, (M,) each."""

    robot: Indices
    heading: Floats  # sectors, of the middle
    range_m: Floats
    sectors: Floats  # how many it fills


def plateaus(profile: Floats) -> Plateaus:
    """The plateaus of ranges (sectors, n), m, to the left all round; NaN where nothing is known, infinite: no echo."""
    with np.errstate(invalid="ignore"):
        level = level_of(profile)
        least = np.maximum(np.float32(JUMP_M), np.float32(JUMP) * level)
        right, left = beside(level)
        found = [_edged(level, farther - level > least, side) for farther, side in ((left, 1), (right, -1))]
    return joined(*found)


def joined(*found: Plateaus) -> Plateaus:
    """All of them."""
    return Plateaus(*(np.concatenate(parts) for parts in zip(*found, strict=True)))


def level_of(profile: Floats) -> Floats:
    """The profile without what is wild: one echo that is missing, or much unlike those beside it."""
    farther = np.fmax(*beside(profile))
    # One echo that is missing is none; two are too far away to be heard.
    profile = np.where(np.isinf(profile), np.minimum(farther, np.float32(MISSING_M)), profile)
    return _median3(profile, *beside(profile))


def beside(profile: Floats) -> tuple[Floats, Floats]:
    """What is one sector to the right of each, and one to the left."""
    ring = np.concatenate((profile[-1:], profile, profile[:1]))
    return ring[:-2], ring[2:]


def run(near: list[Floats], base: Floats) -> Floats:
    """How many of the ranges `near`, from the first on, are level with `base`, (M,) each."""
    within = np.maximum(np.float32(LEVEL_M), np.float32(LEVEL) * base)
    alive, width = np.ones(len(base), np.bool_), np.zeros(len(base), np.float32)
    for reach in near:
        alive &= np.abs(reach - base) <= within
        width += alive
    return width


def those(found: Plateaus, pick: Indices) -> Plateaus:
    """Some of them."""
    return Plateaus(found.robot[pick], found.heading[pick], found.range_m[pick], found.sectors[pick])


def cheapest(robot: Indices, cost: Floats, where: NDArray[np.bool_]) -> tuple[Indices, Indices]:
    """The robots for which there are plateaus among those at `where`, and of each the one that costs least."""
    among = np.flatnonzero(where)
    order = among[np.lexsort((cost[among], robot[among]))]
    first = np.ones(len(order), np.bool_)
    first[1:] = robot[order[1:]] != robot[order[:-1]]
    return robot[order[first]], order[first]


def _edged(level: Floats, edge: NDArray[np.bool_], side: int) -> Plateaus:
    """The plateaus that end at the sectors of `edge`, whose `side` (1 left, -1 right) is farther."""
    sector, robot = np.nonzero(edge)
    near = [level[(sector - side * k) % len(level), robot] for k in range(MOST)]
    base = _median5(*near[:5])
    width = run(near, base)
    good = width >= LEAST
    middle = sector[good].astype(np.float32) - np.float32(0.5 * side) * (width[good] - 1.0)
    return Plateaus(robot[good], middle, base[good], width[good])


def _median3(a: Floats, b: Floats, c: Floats) -> Floats:
    return np.maximum(np.minimum(a, b), np.minimum(np.maximum(a, b), c))


def _median5(a: Floats, b: Floats, c: Floats, d: Floats, e: Floats) -> Floats:
    low, high = np.maximum(np.minimum(a, b), np.minimum(c, d)), np.minimum(np.maximum(a, b), np.maximum(c, d))
    return _median3(e, low, high)
