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

from robot.sim import light
from robot.sim.collision import ROUNDS, SLACK, Obstacles
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
            np.array((SCALE, GRAZE, EDGE_ON, 0), kind), out,
        )  # fmt: skip


class CompiledShadow(ShadowCaster):
    """`ShadowCaster`, compiled."""

    def cast(self, x: Floats, y: Floats, area: Floats, to_x: Floats, to_y: Floats, out: NDArray[np.bool_]) -> None:
        _shadow(*_rows(x, y, area, to_x, to_y), out)


class CompiledObstacles(Obstacles):
    """`Obstacles`, compiled."""

    def push(
        self,
        x: Floats,
        y: Floats,
        vx: Floats,
        vy: Floats,
        yaw: Floats,
        radius: float,
        person_radius: float,
        at: NDArray[np.intp],
    ) -> tuple[Floats, Floats, NDArray[np.bool_]]:
        told = np.zeros((2, x.size), x.dtype)
        wedged = np.zeros(x.size, np.bool_)
        numbers = np.array((radius, radius + person_radius, 1e-9, 1e-6, SLACK, 0, 1), x.dtype)
        moving = np.stack((x, y, vx, vy, yaw))
        _push(moving, *_rows(at, self.size, self.box, self.person), numbers, told, wedged)
        x[:], y[:] = moving[:2]
        return told[0], told[1], wedged

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


def sensed(to_x: Floats, *arrays: Any) -> NDArray[np.floating]:
    """`robot.sim.light.sensed`, compiled."""
    *rows, axis = arrays
    numbers = (*axis, light.LAMP_HEIGHT_M**2, 1e-9, light.AMBIENT, light.HALF_READING, 1.0, 0.5, 0.375)
    out = np.empty_like(to_x)
    _sensed(*_rows(to_x, *rows), np.array(numbers, to_x.dtype), out)
    return out


COMPILED = Kernels(CompiledFan, CompiledShadow, CompiledObstacles, CompiledMaps, sensed)


def _rows(*arrays: NDArray[Any]) -> list[NDArray[Any]]:
    """In rows, as the loops are compiled for: a selection of robots may lie otherwise in memory."""
    return [np.ascontiguousarray(array) for array in arrays]


@njit(cache=True, error_model="numpy")
def _fan(x, y, origin, cos, sin, tangents, scales, limits, out):  # type: ignore[no-untyped-def]
    scale, graze, edge_on, zero = limits
    quads, n = x.shape[1:]
    ahead, left = np.empty((5, BLOCK), x.dtype), np.empty((5, BLOCK), x.dtype)
    inverse, best = np.empty(BLOCK, x.dtype), np.empty((len(out), BLOCK), x.dtype)
    for start in range(0, n, BLOCK):
        m = min(BLOCK, n - start)
        part = slice(start, start + m)
        from_x, from_y, c, s = origin[0, part], origin[1, part], cos[part], sin[part]
        best[:] = zero
        for quad in range(quads):
            for corner in range(5):
                xs, ys, forward, side = x[corner, quad, part], y[corner, quad, part], ahead[corner], left[corner]
                for i in range(m):
                    dx, dy = xs[i] - from_x[i], ys[i] - from_y[i]
                    forward[i] = dx * c[i] + dy * s[i]
                    side[i] = dy * c[i] - dx * s[i]
            for edge in range(4):
                ahead_a, ahead_b, left_a, left_b = ahead[edge], ahead[edge + 1], left[edge], left[edge + 1]
                for i in range(m):
                    area = ahead_a[i] * left_b[i] - ahead_b[i] * left_a[i]
                    inverse[i] = scale / area if area > edge_on else zero
                ray = 0
                for tangent in tangents:
                    for way in range(1 if tangent == zero else 2):
                        turn, row = -tangent if way == 0 else tangent, best[ray]
                        for i in range(m):
                            here, there = left_a[i] + ahead_a[i] * turn, left_b[i] + ahead_b[i] * turn
                            value, back = (there - here) * inverse[i], graze - here
                            value = back if back < value else value
                            value = there if there < value else value
                            row[i] = value if value > row[i] else row[i]
                        ray += 1
        ray = 0
        for k in range(len(tangents)):
            for _ in range(1 if tangents[k] == zero else 2):
                out[ray, part] = best[ray, :m] * scales[k]
                ray += 1


@njit(cache=True, error_model="numpy")
def _shadow(x, y, area, to_x, to_y, out):  # type: ignore[no-untyped-def]
    quads, n = x.shape[1:]
    side, best = np.empty((5, BLOCK), x.dtype), np.empty(BLOCK, x.dtype)
    for start in range(0, n, BLOCK):
        m = min(BLOCK, n - start)
        part = slice(start, start + m)
        far_x, far_y = to_x[part], to_y[part]
        best[:] = -1
        for quad in range(quads):
            for corner in range(5):
                xs, ys, row = x[corner, quad, part], y[corner, quad, part], side[corner]
                for i in range(m):
                    row[i] = ys[i] * far_x[i] - xs[i] * far_y[i]
            for edge in range(4):
                here, there, least = side[edge], side[edge + 1], area[edge, quad, part]
                for i in range(m):
                    value = (there[i] - here[i]) - least[i]
                    value = -here[i] if -here[i] < value else value
                    value = there[i] if there[i] < value else value
                    best[i] = value if value > best[i] else best[i]
        out[part] = best[:m] >= 0


@njit(cache=True, error_model="numpy")
def _touched(x, y, size, box, person, radius, person_radius, hit):  # type: ignore[no-untyped-def]
    n = x.size
    zero = radius - radius
    reach2, person2 = radius * radius, (radius + person_radius) * (radius + person_radius)
    nearest = np.empty(BLOCK, x.dtype)
    for start in range(0, n, BLOCK):
        m = min(BLOCK, n - start)
        part = slice(start, start + m)
        px, py, touches = x[part], y[part], hit[part]
        nearest[:] = np.inf
        for b in range(box.shape[1]):
            cx, cy, ux, uy, long, wide = (
                box[0, b, part], box[1, b, part], box[2, b, part], box[3, b, part], box[4, b, part], box[5, b, part]
            )  # fmt: skip
            for i in range(m):
                dx, dy = px[i] - cx[i], py[i] - cy[i]
                along = abs(dx * ux[i] + dy * uy[i]) - long[i]
                off = abs(dy * ux[i] - dx * uy[i]) - wide[i]
                along = along if along > zero else zero
                off = off if off > zero else zero
                gap = along * along + off * off
                nearest[i] = gap if gap < nearest[i] else nearest[i]
        right, top = size[0, part], size[1, part]
        for i in range(m):
            walls = (px[i] < radius) | (py[i] < radius) | (px[i] > right[i] - radius) | (py[i] > top[i] - radius)
            touches[i] = walls | (nearest[i] < reach2)
        for p in range(person.shape[1]):
            at_x, at_y = person[0, p, part], person[1, p, part]
            for i in range(m):
                dx, dy = px[i] - at_x[i], py[i] - at_y[i]
                touches[i] |= dx * dx + dy * dy < person2


@njit(cache=True, error_model="numpy")
def _push(moving, at, size, box, person, numbers, told, wedged):  # type: ignore[no-untyped-def]
    slack, zero = numbers[4], numbers[5]
    boxes = np.empty((BLOCK, box.shape[1], 6), box.dtype)  # of a block of robots, each one's side by side
    for start in range(0, at.size, BLOCK):
        m = min(BLOCK, at.size - start)
        for b in range(box.shape[1]):
            for part in range(6):
                for k in range(m):
                    boxes[k, b, part] = box[part, b, at[start + k]]
        for k in range(m):
            j, i = start + k, at[start + k]
            px, py, vx, vy, yaw = moving[0, j], moving[1, j], moving[2, j], moving[3, j], moving[4, j]
            closing, bearing = zero, zero
            for turn in range(ROUNDS + 1):
                depth, nx, ny = _deepest(px, py, size[0, i], size[1, i], boxes[k], person[:, :, i], numbers)
                if not depth > zero:
                    break
                if turn == ROUNDS:
                    wedged[j] = True
                    break
                depth += slack
                speed = -(vx * nx + vy * ny)
                if speed > closing or closing == zero:
                    bearing = np.arctan2(-ny, -nx) - yaw
                closing = speed if speed > closing else closing
                px += depth * nx
                py += depth * ny
            moving[0, j], moving[1, j], told[0, j], told[1, j] = px, py, closing, bearing


@njit(cache=True, error_model="numpy")
def _deepest(px, py, right, top, boxes, person, numbers):  # type: ignore[no-untyped-def]
    radius, reach, least, least_away, _, zero, one = numbers
    depth, nx, ny = radius - px, one, zero
    value = px + radius - right
    if value > depth:
        depth, nx, ny = value, -one, zero
    value = radius - py
    if value > depth:
        depth, nx, ny = value, zero, one
    value = py + radius - top
    if value > depth:
        depth, nx, ny = value, zero, -one
    nearest, near_x, near_y, near = radius, zero, zero, -1  # a box further away is none to be pushed out of
    for b in range(len(boxes)):
        cx, cy, ux, uy, long, wide = boxes[b]
        dx, dy = px - cx, py - cy
        local_x, local_y = dx * ux + dy * uy, dy * ux - dx * uy
        off_x, off_y = abs(local_x) - long, abs(local_y) - wide
        if off_x <= zero and off_y <= zero:
            gap = off_x if off_x > off_y else off_y
        else:
            qx, qy = off_x if off_x > zero else zero, off_y if off_y > zero else zero
            gap = np.sqrt(qx * qx + qy * qy)
        if gap < nearest:
            nearest, near_x, near_y, near = gap, local_x, local_y, b
    if near >= 0 and radius - nearest > depth:
        _, _, ux, uy, long, wide = boxes[near]
        off_x, off_y = abs(near_x) - long, abs(near_y) - wide
        if off_x <= zero and off_y <= zero:
            by_x, by_y = (one, zero) if off_x >= off_y else (zero, one)
        else:
            safe = nearest if nearest > least else least
            by_x, by_y = (off_x if off_x > zero else zero) / safe, (off_y if off_y > zero else zero) / safe
        by_x, by_y = np.copysign(by_x, near_x), np.copysign(by_y, near_y)
        depth, nx, ny = radius - nearest, by_x * ux - by_y * uy, by_x * uy + by_y * ux
    for p in range(person.shape[1]):
        dx, dy = px - person[0, p], py - person[1, p]
        away = np.sqrt(dx * dx + dy * dy)
        safe = away if away > least_away else least_away
        if reach - away > depth:
            depth, nx, ny = reach - away, dx / safe, dy / safe
    return depth, nx, ny


@njit(cache=True, error_model="numpy")
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


@njit(cache=True, error_model="numpy")
def _sensed(to_x, to_y, cos, sin, fluence, ahead, left, shadow, numbers, out):  # type: ignore[no-untyped-def]
    axis_x, axis_y, lamp2, least, ambient, half_reading, one, half, flat = numbers
    for i in range(out.size):
        distance2 = to_x[i] * to_x[i] + to_y[i] * to_y[i]
        forward, aside = to_x[i] * cos[i] + to_y[i] * sin[i], to_y[i] * cos[i] - to_x[i] * sin[i]
        cosine = (-forward * axis_x - aside * axis_y) / np.sqrt(distance2 + least)
        facing = half * cosine + half
        straight = (one / (distance2 + lamp2)) * (facing * facing)
        found = one - one if shadow[i] else straight
        found += flat * fluence[i] + half * (ahead[i] * axis_x + left[i] * axis_y)
        found += ambient
        out[i] = found / (found + half_reading)
