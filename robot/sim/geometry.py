"""Plane geometry of rooms: rectangles, distances, lines of sight and the batched ray cast.

Walls run counter-clockwise, obstacles clockwise, so that seen from any free point a face that looks at
the point goes round it counter-clockwise: its cross product is positive, and all others are culled.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.floating]

SCALE = 1e-12  # see cast_fan
GRAZE = 1e-7
EDGE_ON = 1e-6  # m2; a face seen so flat has no visible width


@dataclass(frozen=True)
class Rectangles:
    """B rotated rectangles: centre (B, 2), half sizes (B, 2) and the unit vector (B, 2) of the first side."""

    centre: NDArray[np.float64]
    half: NDArray[np.float64]
    axis: NDArray[np.float64]


def corners_of(centre: Floats, half: Floats, angle: Floats) -> NDArray[np.float64]:
    """(B, 4, 2) corners, clockwise, of rectangles at `centre` (B, 2) turned by `angle` (B,) rad."""
    centre, half, angle = (np.asarray(a, dtype=np.float64) for a in (centre, half, angle))
    local = np.array([(-1, -1), (-1, 1), (1, 1), (1, -1)], dtype=np.float64) * half[:, None, :]
    c, s = np.cos(angle)[:, None], np.sin(angle)[:, None]
    x = local[..., 0] * c - local[..., 1] * s
    y = local[..., 0] * s + local[..., 1] * c
    return np.stack((x, y), axis=-1) + centre[:, None, :]


def rectangles(corners: Floats) -> Rectangles:
    """The rectangles that (B, 4, 2) clockwise corners describe.

    Raises:
        ValueError: a footprint is no rectangle, or runs counter-clockwise.
    """
    corners = np.asarray(corners, dtype=np.float64).reshape(-1, 4, 2)
    first, second = corners[:, 3] - corners[:, 0], corners[:, 1] - corners[:, 0]
    gap = np.abs(corners[:, 0] + corners[:, 2] - corners[:, 1] - corners[:, 3]).max(initial=0)
    skew = np.abs((first * second).sum(-1)).max(initial=0)
    turn = first[:, 0] * second[:, 1] - first[:, 1] * second[:, 0]
    if gap > 1e-6 or skew > 1e-6 or not (turn > 0).all():
        raise ValueError("every obstacle must be a rectangle with its corners clockwise; see corners_of")
    long, wide = np.linalg.norm(first, axis=-1), np.linalg.norm(second, axis=-1)
    return Rectangles(corners.mean(axis=1), np.stack((long, wide), axis=-1) / 2, first / long[:, None])


def distance_to_rectangles(points: Floats, boxes: Rectangles) -> NDArray[np.float64]:
    """(..., B) distance from each of (..., 2) points to each rectangle, 0 inside."""
    offset = points[..., None, :] - boxes.centre
    x = offset[..., 0] * boxes.axis[:, 0] + offset[..., 1] * boxes.axis[:, 1]
    y = offset[..., 1] * boxes.axis[:, 0] - offset[..., 0] * boxes.axis[:, 1]
    x, y = np.maximum(np.abs(x) - boxes.half[:, 0], 0), np.maximum(np.abs(y) - boxes.half[:, 1], 0)
    return np.asarray(np.sqrt(x * x + y * y))


def clearance(points: Floats, size: tuple[float, float], boxes: Rectangles) -> NDArray[np.float64]:
    """(...,) distance from each point to the nearest wall or rectangle; negative outside the room."""
    walls = np.minimum(
        np.minimum(points[..., 0], size[0] - points[..., 0]), np.minimum(points[..., 1], size[1] - points[..., 1])
    )
    if not len(boxes.half):
        return walls
    return np.minimum(walls, distance_to_rectangles(points, boxes).min(axis=-1))


def separation(a: Rectangles, b: Rectangles) -> NDArray[np.float64]:
    """(A, B) the widest gap between each pair along any of their four sides' normals.

    A lower bound of their distance (and not positive exactly when they overlap): the separating-axis theorem.
    """
    offset = b.centre[None] - a.centre[:, None]
    best = np.full(offset.shape[:2], -np.inf)
    dot = np.abs(np.einsum("ik,jk->ij", a.axis, b.axis))
    cross = np.abs(a.axis[:, None, 0] * b.axis[None, :, 1] - a.axis[:, None, 1] * b.axis[None, :, 0])
    first, second = (a.half[:, None], a.axis[:, None]), (b.half[None], b.axis[None])
    for (own, axes), (other, _) in ((first, second), (second, first)):
        along = np.abs((offset * axes).sum(-1))
        across = np.abs(offset[..., 1] * axes[..., 0] - offset[..., 0] * axes[..., 1])
        best = np.maximum(best, along - own[..., 0] - other[..., 0] * dot - other[..., 1] * cross)
        best = np.maximum(best, across - own[..., 1] - other[..., 0] * cross - other[..., 1] * dot)
    return best


def sees(origin: Floats, targets: Floats, corners: Floats) -> NDArray[np.bool_]:
    """(T,) whether the segment from `origin` (2,) or (T, 2) to each target (T, 2) misses every obstacle (B, 4, 2)."""
    rel = np.asarray(corners)[:, :, None, :] - np.broadcast_to(origin, targets.shape)  # (B, 4, T, 2)
    ray = targets - origin
    side = ray[:, 0] * rel[..., 1] - ray[:, 1] * rel[..., 0]
    ahead = np.roll(side, -1, axis=1)
    after = np.roll(rel, -1, axis=1)
    twice_area = rel[..., 0] * after[..., 1] - rel[..., 1] * after[..., 0]
    hit = (side <= 0) & (ahead > 0) & (twice_area > 0) & (ahead - side >= twice_area)
    return np.asarray(~hit.any(axis=(0, 1)))


class FanCaster:
    """Casts a fan of rays from each of N robots against that robot's own quadrilaterals.

    Work is done in chunks that stay in the cache, in buffers that are made once. Layout: robots on the
    last axis; corners are (5, Q, N), the fifth repeating the first, so that edges are two slices of one array.
    """

    def __init__(self, quads: int, chunk: int, dtype: type[np.floating]) -> None:
        self.chunk = chunk
        self._corner = [np.empty((5, quads, chunk), dtype) for _ in range(6)]
        self._edge = [np.empty((4, quads, chunk), dtype) for _ in range(4)]

    def cast(
        self, x: Floats, y: Floats, origin: Floats, cos: Floats, sin: Floats, tangents: tuple[float, ...], out: Floats
    ) -> None:
        """Write the inverse distance along each ray into `out`, 0 where nothing is hit.

        Args:
            x, y: (5, Q, N) corners, m. origin: (2, N) m. cos, sin: (N,) of the heading.
            tangents: of the rays' angles from the heading, each >= 0; an angle above 0 stands for two rays.
            out: (rays, N), in the order of `tangents`, each left before right.

        With corners turned into the robot's frame, a corner's side of the ray at angle a is y - x tan(a), and the
        ray meets the edge i -> j where side_i <= 0 < side_j, at a distance of cross(i, j) / (side_j - side_i) / cos(a).
        cross(i, j) does not depend on the ray, so its inverse is taken once. The nearest hit is the greatest inverse
        distance; in place of a mask, which is slow, the inverse distances are scaled far below any side and the
        minimum is taken with -side_i and side_j: what is not met turns negative.
        """
        n = x.shape[-1]
        for start in range(0, n, self.chunk):
            self._cast_chunk(x, y, origin, cos, sin, tangents, out, slice(start, min(start + self.chunk, n)))

    def _cast_chunk(
        self,
        x: Floats,
        y: Floats,
        origin: Floats,
        cos: Floats,
        sin: Floats,
        tangents: tuple[float, ...],
        out: Floats,
        part: slice,
    ) -> None:
        m = part.stop - part.start
        ahead, left, across, side, other, spare = (b[..., :m] for b in self._corner)
        inverse, width, value, back = (b[..., :m] for b in self._edge)
        c, s = cos[part], sin[part]
        np.subtract(x[..., part], origin[0, part], out=side)
        np.subtract(y[..., part], origin[1, part], out=other)
        np.multiply(side, c, out=ahead)
        np.multiply(other, s, out=spare)
        ahead += spare
        np.multiply(other, c, out=left)
        np.multiply(side, s, out=spare)
        left -= spare
        np.multiply(ahead[:-1], left[1:], out=inverse)
        np.multiply(ahead[1:], left[:-1], out=width)
        inverse -= width
        np.copyto(inverse, np.inf, where=inverse <= EDGE_ON)
        np.divide(SCALE, inverse, out=inverse)

        def nearest(side: Floats, row: Floats, secant: float) -> None:
            np.subtract(side[1:], side[:-1], out=width)
            np.multiply(width, inverse, out=value)
            np.subtract(GRAZE, side[:-1], out=back)
            np.minimum(value, back, out=value)
            np.minimum(value, side[1:], out=value)
            np.maximum.reduce(value, axis=(0, 1), out=row)
            np.maximum(row, 0, out=row)
            row *= secant

        ray = 0
        for tangent in tangents:
            scale = 1 / (SCALE * math.sqrt(1 + tangent * tangent))
            if tangent == 0:
                nearest(left, out[ray, part], scale)
                ray += 1
                continue
            np.multiply(ahead, tangent, out=across)
            nearest(np.subtract(left, across, out=side), out[ray, part], scale)
            nearest(np.add(left, across, out=side), out[ray + 1, part], scale)
            ray += 2


class ShadowCaster:
    """Whether obstacles stand between each of N lamps and points near that lamp's robot. Layout as `FanCaster`."""

    def __init__(self, quads: int, chunk: int, dtype: type[np.floating]) -> None:
        self.chunk = chunk
        self._corner = [np.empty((5, quads, chunk), dtype) for _ in range(2)]
        self._edge = [np.empty((4, quads, chunk), dtype) for _ in range(2)]

    @staticmethod
    def areas(x: Floats, y: Floats) -> NDArray[np.floating]:
        """(4, Q, ...) cross product of each edge's corners, which are (5, Q, ...) from the lamp; inf for back faces."""
        area = x[:-1] * y[1:] - x[1:] * y[:-1]
        area[area <= 0] = np.inf
        return area

    def cast(self, x: Floats, y: Floats, area: Floats, to_x: Floats, to_y: Floats, out: NDArray[np.bool_]) -> None:
        """Write into `out` (N,) whether the segment from the lamp to (to_x, to_y) (N,) is blocked; all from the lamp.

        As in `FanCaster`: the segment crosses the edge i -> j where side_i <= 0 < side_j, before its end where
        side_j - side_i >= cross(i, j).
        """
        n = x.shape[-1]
        if not x.shape[1]:
            out[:] = False
            return
        for start in range(0, n, self.chunk):
            part = slice(start, min(start + self.chunk, n))
            m = part.stop - part.start
            side, spare = (b[..., :m] for b in self._corner)
            width, back = (b[..., :m] for b in self._edge)
            np.multiply(y[..., part], to_x[part], out=side)
            np.multiply(x[..., part], to_y[part], out=spare)
            side -= spare
            np.subtract(side[1:], side[:-1], out=width)
            width -= area[..., part]
            np.negative(side[:-1], out=back)
            np.minimum(width, back, out=width)
            np.minimum(width, side[1:], out=width)
            np.greater_equal(np.maximum.reduce(width, axis=(0, 1)), 0, out=out[part])
