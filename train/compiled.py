"""The world's innermost loops, compiled by Numba: ray casts, shadows, first contacts, maps.

Each class does what the NumPy class that it extends does, by the same operations in the same order and without fused
multiply-adds, so that both agree to the last bits; the NumPy one stays the reference, and noise is drawn by NumPy for
both. What a loop needs lies in short blocks of robots: an inner loop over a block is turned into vector instructions.
Compiled code is kept on disk for the next process. `train.kernels` gives these where Numba is installed.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from robot.sim.collision import Obstacles
from robot.sim.geometry import EDGE_ON, GRAZE, SCALE, FanCaster, Floats, ShadowCaster
from robot.sim.layout import Kernels
from robot.sim.lookup import MapTable
from robot.sim.maps import CELL_M

BLOCK = 128  # robots; a block's corners fit the first-level cache


class CompiledFan(FanCaster):
    """`FanCaster`, compiled."""

    def cast(
        self, x: Floats, y: Floats, origin: Floats, cos: Floats, sin: Floats, tangents: tuple[float, ...], out: Floats
    ) -> None:
        kind = out.dtype
        scales = [1 / (SCALE * math.sqrt(1 + tangent * tangent)) for tangent in tangents]
        _fan(
            *_rows(x, y, origin, cos, sin), np.array(tangents, kind), np.array(scales, kind),
            np.array((SCALE, GRAZE, EDGE_ON), kind), out,
        )  # fmt: skip


class CompiledShadow(ShadowCaster):
    """`ShadowCaster`, compiled."""

    def cast(self, x: Floats, y: Floats, area: Floats, to_x: Floats, to_y: Floats, out: NDArray[np.bool_]) -> None:
        _shadow(*_rows(x, y, area, to_x, to_y), out)


class CompiledObstacles(Obstacles):
    """`Obstacles`, its first look compiled."""

    def touched(self, x: Floats, y: Floats, radius: float, person_radius: float) -> NDArray[np.intp]:
        hit = np.empty(x.size, np.bool_)
        _touched(*_rows(x, y, self.size, self.box, self.person), x.dtype.type(radius), x.dtype.type(person_radius), hit)
        return np.flatnonzero(hit)


class CompiledMaps(MapTable):
    """`MapTable`, its interpolation compiled."""

    def at(self, x: Floats, y: Floats, where: NDArray[np.intp] | slice = slice(None)) -> NDArray[np.floating]:
        out = np.empty((x.size, 4), x.dtype)
        last, offset, stride = self._last[:, where], self._offset[where], self._stride[where]
        _interpolate(*_rows(self._rows, x, y, last, offset, stride), x.dtype.type(1 / CELL_M), out)
        return out


COMPILED = Kernels(CompiledFan, CompiledShadow, CompiledObstacles, CompiledMaps)


def _rows(*arrays: NDArray[Any]) -> list[NDArray[Any]]:
    """In rows, as the loops are compiled for: a selection of robots may lie otherwise in memory."""
    return [np.ascontiguousarray(array) for array in arrays]


@njit(cache=True)
def _fan(x, y, origin, cos, sin, tangents, scales, limits, out):  # type: ignore[no-untyped-def]
    scale, graze, edge_on = limits
    quads, n = x.shape[1:]
    ahead, left = np.empty((5, BLOCK), x.dtype), np.empty((5, BLOCK), x.dtype)
    inverse = np.empty(BLOCK, x.dtype)
    out[:] = 0
    for start in range(0, n, BLOCK):
        m = min(BLOCK, n - start)
        for quad in range(quads):
            for corner in range(5):
                for i in range(m):
                    dx = x[corner, quad, start + i] - origin[0, start + i]
                    dy = y[corner, quad, start + i] - origin[1, start + i]
                    ahead[corner, i] = dx * cos[start + i] + dy * sin[start + i]
                    left[corner, i] = dy * cos[start + i] - dx * sin[start + i]
            for edge in range(4):
                for i in range(m):
                    area = ahead[edge, i] * left[edge + 1, i] - ahead[edge + 1, i] * left[edge, i]
                    inverse[i] = scale / area if area > edge_on else 0
                ray = 0
                for k in range(len(tangents)):
                    tangent = tangents[k]
                    for way in range(1 if tangent == 0 else 2):
                        turn = -tangent if way == 0 else tangent
                        row = out[ray]
                        for i in range(m):
                            here = left[edge, i] + ahead[edge, i] * turn
                            there = left[edge + 1, i] + ahead[edge + 1, i] * turn
                            value = (there - here) * inverse[i]
                            back = graze - here
                            value = back if back < value else value
                            value = there if there < value else value
                            best = row[start + i]
                            row[start + i] = value if value > best else best
                        ray += 1
    ray = 0
    for k in range(len(tangents)):
        for _ in range(1 if tangents[k] == 0 else 2):
            for i in range(n):
                out[ray, i] *= scales[k]
            ray += 1


@njit(cache=True)
def _shadow(x, y, area, to_x, to_y, out):  # type: ignore[no-untyped-def]
    quads, n = x.shape[1:]
    side, best = np.empty((5, BLOCK), x.dtype), np.empty(BLOCK, x.dtype)
    for start in range(0, n, BLOCK):
        m = min(BLOCK, n - start)
        best[:] = -1
        for quad in range(quads):
            for corner in range(5):
                for i in range(m):
                    side[corner, i] = (
                        y[corner, quad, start + i] * to_x[start + i] - x[corner, quad, start + i] * to_y[start + i]
                    )
            for edge in range(4):
                for i in range(m):
                    here, there = side[edge, i], side[edge + 1, i]
                    value = (there - here) - area[edge, quad, start + i]
                    value = -here if -here < value else value
                    value = there if there < value else value
                    best[i] = value if value > best[i] else best[i]
        for i in range(m):
            out[start + i] = best[i] >= 0


@njit(cache=True)
def _touched(x, y, size, box, person, radius, person_radius, hit):  # type: ignore[no-untyped-def]
    n = x.size
    reach2, person2 = radius * radius, (radius + person_radius) * (radius + person_radius)
    nearest, zero = np.empty(BLOCK, x.dtype), x.dtype.type(0)
    for start in range(0, n, BLOCK):
        m = min(BLOCK, n - start)
        nearest[:] = np.inf
        for b in range(box.shape[1]):
            for i in range(m):
                dx, dy = x[start + i] - box[0, b, start + i], y[start + i] - box[1, b, start + i]
                ux, uy = box[2, b, start + i], box[3, b, start + i]
                along = abs(dx * ux + dy * uy) - box[4, b, start + i]
                off = abs(dy * ux - dx * uy) - box[5, b, start + i]
                along = along if along > zero else zero
                off = off if off > zero else zero
                gap = along * along + off * off
                nearest[i] = gap if gap < nearest[i] else nearest[i]
        for i in range(m):
            px, py = x[start + i], y[start + i]
            wide, long = size[0, start + i], size[1, start + i]
            hit[start + i] = (
                px < radius or py < radius or px > wide - radius or py > long - radius or nearest[i] < reach2
            )
        for p in range(person.shape[1]):
            for i in range(m):
                dx, dy = x[start + i] - person[0, p, start + i], y[start + i] - person[1, p, start + i]
                hit[start + i] |= dx * dx + dy * dy < person2


@njit(cache=True)
def _interpolate(rows, x, y, last, offset, stride, per_m, out):  # type: ignore[no-untyped-def]
    zero, one = x.dtype.type(0), x.dtype.type(1)
    for i in range(x.size):
        u = min(max(x[i] * per_m, zero), last[0, i] + one)
        v = min(max(y[i] * per_m, zero), last[1, i] + one)
        column, row = min(np.floor(u), last[0, i]), min(np.floor(v), last[1, i])
        fx, fy = u - column, v - row
        first = offset[i] + np.intp(row) * stride[i] + np.intp(column)
        above = first + stride[i]
        for k in range(4):
            low = rows[first, k] + (rows[first + 1, k] - rows[first, k]) * fx
            high = rows[above, k] + (rows[above + 1, k] - rows[above, k]) * fx
            out[i, k] = low + (high - low) * fy
