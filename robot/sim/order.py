"""In which order things on the floor are painted, so that the nearer hides the farther.

Of two convex footprints that do not touch, the one that is met first along any ray that meets both is in
front; along all such rays it is the same one, and within a field of view below 180 degrees there are no
circles. So one ray per pair decides, and a topological order paints them all.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


def square(middle: Array, half: float) -> Array:
    """The footprint (4, 2) of something round, as a square."""
    return np.asarray(middle) + half * np.array([[-1.0, -1.0], [-1.0, 1.0], [1.0, 1.0], [1.0, -1.0]])


def far_to_near(footprints: Sequence[Array], eye: Array, heading: float, half_angle: float) -> list[int]:
    """Numbers of the footprints, (4, 2) each, within the field of view, the farthest first.

    Args:
        eye: (2,) where one looks from. heading, half_angle: rad; the view spans heading +- half_angle.
    """
    if not footprints:
        return []
    corners = np.array(footprints) - eye
    middle = corners.mean(axis=1)
    aim = np.arctan2(middle[:, 1], middle[:, 0])
    turned = np.arctan2(corners[..., 1], corners[..., 0]) - aim[:, None]
    turned = (turned + np.pi) % (2 * np.pi) - np.pi
    centre = (aim - heading + np.pi) % (2 * np.pi) - np.pi
    low, high = centre + turned.min(axis=1), centre + turned.max(axis=1)
    seen = np.flatnonzero((high > -half_angle) & (low < half_angle))
    low, high = np.maximum(low[seen], -half_angle), np.minimum(high[seen], half_angle)
    corners, away = corners[seen], np.linalg.norm(middle[seen], axis=1)
    first, second = np.triu_indices(len(seen), 1)
    start, end = np.maximum(low[first], low[second]), np.minimum(high[first], high[second])
    meet = end - start > 1e-6
    first, second = first[meet], second[meet]
    bearing = heading + (start[meet] + end[meet]) / 2
    rays = np.column_stack([np.cos(bearing), np.sin(bearing)])
    one, other = _entry(corners[first], rays), _entry(corners[second], rays)
    unsure = ~(np.isfinite(one) & np.isfinite(other))
    one, other = np.where(unsure, away[first], one), np.where(unsure, away[second], other)
    behind: list[set[int]] = [set() for _ in seen]  # whom each must wait for
    for a, b, nearer in zip(first, second, one < other, strict=True):
        behind[a if nearer else b].add(int(b if nearer else a))
    ranks: list[int] = []
    left = set(range(len(seen)))
    while left:
        ready = [i for i in left if not behind[i] & left] or list(left)  # overlapping footprints may form a circle
        pick = max(ready, key=lambda i: (away[i], i))
        left.remove(pick)
        ranks.append(int(seen[pick]))
    return ranks


def _entry(corners: Array, rays: Array) -> Array:
    """Where rays (R, 2) from the origin first meet the quads (R, 4, 2); infinity where they miss."""
    edge = np.roll(corners, -1, axis=1) - corners
    cross = rays[:, None, 0] * edge[..., 1] - rays[:, None, 1] * edge[..., 0]
    cross = np.where(np.abs(cross) < 1e-12, 1e-12, cross)
    along = (corners[..., 0] * edge[..., 1] - corners[..., 1] * edge[..., 0]) / cross
    share = (corners[..., 0] * rays[:, None, 1] - corners[..., 1] * rays[:, None, 0]) / cross
    hit = (share >= -1e-9) & (share <= 1 + 1e-9) & (along > 0)
    return np.where(hit, along, np.inf).min(axis=1)
