"""The four walls that fit what a sonar heard all round, and the things that stand well in front of them.

The second way to tell things from walls, for things beside which the range does not jump: those before a wall or in a
corner. `edge.policies.scan` tells why the greatest distance that echoes imply is a wall's; here each echo has to be
confirmed by another turn's. Only element-wise operations and sums of integers: one robot and N see the same bits.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from edge.plateaus import LEVEL, LEVEL_M, MOST, Plateaus, beside, level_of, run
from edge.reckoning import HALF_CONE, SONAR_M
from edge.two_turns import TwoTurns

Floats = NDArray[np.float32]

_ANGLES = np.arange(0.0, 0.5 * math.pi, math.radians(4.5))[:, None, None, None]
_COS, _SIN = np.cos(_ANGLES).astype(np.float32), np.sin(_ANGLES).astype(np.float32)
"""From straight ahead to the first wall's normal."""
FRANK_RAD, FACES_RAD = 1.3, 1.5 + HALF_CONE
"""How far off its normal an echo of a wall still tells its distance well; how far off a wall is heard at all."""
WALL_RAD = 0.85
"""What is heard over less than this is no wall: a box a step away spans a cone and its width."""
FITS_M, FITS = 0.11, 0.02
"""What an echo may differ from the wall's, to be the wall's: so much, and this share of it."""
PROUD_M = 0.15
"""A thing stands in front of a wall by more than this."""


def before_walls(heard: TwoTurns) -> Plateaus:
    """Of each robot the nearest thing well in front of the walls, as each of the turns tells of it."""
    walls, doubt = (np.concatenate(tuple(each), -1) for each in _walls(heard))
    level = level_of(np.concatenate(tuple(heard.range_m), -1))
    level = np.where(walls - level > np.maximum(np.float32(PROUD_M), doubt), level, np.float32(np.inf))
    within = np.maximum(np.float32(LEVEL_M), np.float32(LEVEL) * level)
    with np.errstate(invalid="ignore"):  # where it is not in front of a wall
        right, left = (np.abs(each - level) <= within for each in beside(level))
    # Over a thing the range stands still for a cone's width; on a wall's flank it does not, and noise is alone.
    nearest = np.where(left & right, level, np.float32(np.inf))
    sector = nearest.argmin(0)
    column = np.flatnonzero(np.isfinite(nearest.min(0)))
    sector = sector[column]
    base = level[sector, column]
    to_left, to_right = (
        run([level[(sector + side * k) % len(level), column] for k in range(1, MOST)], base) for side in (1, -1)
    )
    middle = sector + np.float32(0.5) * (to_left - to_right)
    return Plateaus(column % heard.range_m.shape[-1], middle.astype(np.float32), base, 1.0 + to_left + to_right)


def _walls(heard: TwoTurns) -> tuple[Floats, Floats]:
    """(2, sectors, n) m where the walls would be heard, infinite where none is, and how far that may be wrong."""
    sectors = heard.range_m.shape[1]
    bearing = (np.arange(sectors, dtype=np.float32)[:, None] + heard.off) * np.float32(2 * math.pi / sectors)
    known = np.isfinite(heard.range_m)
    reach = np.where(known, heard.range_m, np.float32(0.0))
    cos, sin = np.cos(bearing), np.sin(bearing)
    ahead, aside = cos * _COS + sin * _SIN, sin * _COS - cos * _SIN
    normal, along = np.stack((ahead, aside, -ahead, -aside)), np.stack((aside, -ahead, -aside, ahead))
    each, bends = _each(reach, known, normal, along)
    walls = each.min(0)
    flat = np.where(each == walls, bends, np.float32(0.0)).max(0)
    good = (known & (np.abs(walls - reach) < np.float32(FITS_M))).sum((1, 2), dtype=np.int32)
    beyond = (reach > walls + np.float32(PROUD_M)).sum((1, 2), dtype=np.int32)
    best = (good - 2 * beyond).argmax(0)[None, None, None]
    walls, flat = np.take_along_axis(walls, best, 0)[0], np.take_along_axis(flat, best, 0)[0]
    # Seen at a slant, a degree or two of bearing makes much of a difference.
    slant = np.sqrt(np.float32(1.0) / np.clip(flat * flat, np.float32(1e-4), np.float32(1.0)) - np.float32(1.0))
    doubt = np.where(np.isfinite(walls), walls, np.float32(0.0)) * (np.float32(0.05) + np.float32(0.06) * slant)
    return walls, doubt


def _each(reach: Floats, known: NDArray[np.bool_], cos: Floats, sin: Floats) -> tuple[Floats, Floats]:
    """Each wall's ranges, infinite where it is none, and the cosines of the slants at which it is heard there.

    Args:
        reach, known: (2, sectors, n) m, and where there was an echo.
        cos, sin: (walls, angles, 2, sectors, n) of each bearing less the bearing of the wall's normal.
    """
    slant = cos * np.float32(math.cos(HALF_CONE)) + np.abs(sin) * np.float32(math.sin(HALF_CONE))
    bend = np.where(cos > np.float32(math.cos(HALF_CONE)), np.float32(1.0), np.maximum(slant, np.float32(0.05)))
    shift = np.float32(SONAR_M) * cos
    implied = np.where(known & (cos > np.float32(math.cos(FRANK_RAD))), reach * bend + shift, np.float32(0.0))
    distance = np.minimum(implied[:, :, :1], implied[:, :, 1:]).max(3, keepdims=True)
    wall = (distance - shift) / bend
    faces = cos > np.float32(math.cos(FACES_RAD))
    told = known & faces & (np.abs(wall - reach) < np.float32(FITS_M) + np.float32(FITS) * wall)
    half = sin / (np.float32(1.0) + np.maximum(cos, np.float32(-0.9)))  # the tangent of half the angle
    most = np.where(told, half, np.float32(-9.0)).max((2, 3), keepdims=True)
    least = np.where(told, half, np.float32(9.0)).min((2, 3), keepdims=True)
    spans = np.arctan(most) - np.arctan(least) >= np.float32(0.5 * WALL_RAD)
    return np.where(faces & spans, wall, np.float32(np.inf)), bend
