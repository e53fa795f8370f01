"""Keeps N disc-shaped robots out of walls, boxes and persons: they slide along what they touch, or stop."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from robot.sim.geometry import Floats, Rectangles

ROUNDS = 4
SLACK = 1e-5  # m; pushed out a little further than touching, so that rounding does not leave a robot inside


class Obstacles:
    """What each of N robots can run into: its room's size (2, N), boxes (B, N), persons (P, N).

    Boxes are kept as centre, unit vector of the first side, half sizes; absent ones lie far away.
    """

    FAR = 1e3

    def __init__(self, boxes: int, persons: int, n: int, dtype: type[np.floating]) -> None:
        self.size = np.ones((2, n), dtype)
        self.box = np.zeros((6, boxes, n), dtype)  # cx, cy, ux, uy, hx, hy
        self.box[:2] = self.FAR
        self.box[2] = 1
        self.person = np.full((2, persons, n), self.FAR, dtype)

    def put(self, index: int, size: tuple[float, float], boxes: Rectangles) -> None:
        """Give robot `index` a room of this size with these boxes."""
        count = len(boxes.half)
        self.size[:, index] = size
        self.box[:, :, index] = np.array([self.FAR, self.FAR, 1, 0, 0, 0])[:, None]
        self.box[:, :count, index] = np.concatenate((boxes.centre, boxes.axis, boxes.half), axis=1).T

    def penetration(
        self, x: Floats, y: Floats, radius: float, person_radius: float, at: NDArray[np.intp]
    ) -> tuple[Floats, Floats, Floats]:
        """How deep a disc at (x, y) is in whatever it is deepest in, and the unit normal out of it.

        Returns:
            depth (M,) m, not above 0 where free; normal x, y (M,), for the robots `at`.
        """
        size = self.size[:, at]
        depth = radius - x
        nx, ny = np.ones_like(depth), np.zeros_like(depth)

        def worse(d: Floats, ax: Floats | float, ay: Floats | float) -> None:
            more = d > depth
            np.copyto(depth, d, where=more)
            np.copyto(nx, ax, where=more)
            np.copyto(ny, ay, where=more)

        worse(x + radius - size[0], -1.0, 0.0)
        worse(radius - y, 0.0, 1.0)
        worse(y + radius - size[1], 0.0, -1.0)
        if self.box.shape[1]:
            cx, cy, ux, uy, hx, hy = self.box[:, :, at]
            gap, ox, oy = _box_gap(x, y, cx, cy, ux, uy, hx, hy)
            nearest, own = gap.argmin(axis=0), np.arange(x.size)
            gap, ox, oy, ux, uy = (a[nearest, own] for a in (gap, ox, oy, ux, uy))
            worse(radius - gap, ox * ux - oy * uy, ox * uy + oy * ux)
        for px, py in zip(*self.person[:, :, at], strict=True):
            dx, dy = x - px, y - py
            away = np.hypot(dx, dy)
            safe = np.maximum(away, 1e-6)
            worse(radius + person_radius - away, dx / safe, dy / safe)
        return depth, nx, ny

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
        """Push discs at (x, y) (M,), which it changes, out of what they are in, for the robots `at`.

        Returns:
            closing speed (M,) m/s and bearing (M,) rad as `resolve` tells them, and who is still inside something.
        """
        closing, bearing = np.zeros_like(x), np.zeros_like(x)
        live = np.arange(at.size)  # those that are still inside something
        for _ in range(ROUNDS):
            depth, nx, ny = self.penetration(x[live], y[live], radius, person_radius, at[live])
            inside = depth > 0
            live, depth, nx, ny = live[inside], depth[inside] + SLACK, nx[inside], ny[inside]
            if not live.size:
                break
            speed = -(vx[live] * nx + vy[live] * ny)
            worse = (speed > closing[live]) | (closing[live] == 0)
            closing[live] = np.maximum(closing[live], speed)
            bearing[live] = np.where(worse, np.arctan2(-ny, -nx) - yaw[live], bearing[live])
            x[live] += depth * nx
            y[live] += depth * ny
        wedged = np.zeros(at.size, np.bool_)
        wedged[live] = self.penetration(x[live], y[live], radius, person_radius, at[live])[0] > 0
        return closing, bearing, wedged

    def touched(self, x: Floats, y: Floats, radius: float, person_radius: float) -> NDArray[np.intp]:
        """Indices of the robots whose disc at (x, y) (N,) is in anything: the cheap first look."""
        size = self.size
        hit = (x < radius) | (y < radius) | (x > size[0] - radius) | (y > size[1] - radius)
        if self.box.shape[1]:
            cx, cy, ux, uy, hx, hy = self.box
            dx, dy = x - cx, y - cy
            along = dx * ux
            along += dy * uy
            np.abs(along, out=along)
            along -= hx
            np.maximum(along, 0, out=along)
            dy *= ux
            dx *= uy
            dy -= dx
            np.abs(dy, out=dy)
            dy -= hy
            np.maximum(dy, 0, out=dy)
            along *= along
            dy *= dy
            along += dy
            hit |= along.min(axis=0) < radius * radius
        for px, py in zip(*self.person, strict=True):
            hit |= (x - px) ** 2 + (y - py) ** 2 < (radius + person_radius) ** 2
        return np.flatnonzero(hit)

    def around(self, pose: Floats, person_radius: float) -> Iterator[tuple[Floats, Floats]]:
        """For each thing, the distance (N,) from the robots' middles to it and its bearing (N,) from their headings."""
        x, y, yaw = pose
        full, east = np.full_like(x, np.pi), np.zeros_like(x)
        walls = ((x, full), (self.size[0] - x, east), (y, full * -0.5), (self.size[1] - y, full * 0.5))
        for distance, angle in walls:
            yield distance, _wrap(angle - yaw)
        for cx, cy, ux, uy, hx, hy in np.moveaxis(self.box, 1, 0):
            gap, nx, ny = _box_gap(x, y, cx, cy, ux, uy, hx, hy)
            yield gap, _wrap(np.arctan2(-(nx * uy + ny * ux), -(nx * ux - ny * uy)) - yaw)
        for px, py in zip(*self.person, strict=True):
            yield np.hypot(px - x, py - y) - person_radius, _wrap(np.arctan2(py - y, px - x) - yaw)


def _wrap(angle: Floats) -> Floats:
    return angle - 2 * np.pi * np.rint(angle / (2 * np.pi))


def _box_gap(
    x: Floats, y: Floats, cx: Floats, cy: Floats, ux: Floats, uy: Floats, hx: Floats, hy: Floats
) -> tuple[Floats, Floats, Floats]:
    """Signed distance (B, M) to boxes, and the unit normal in the box's own frame."""
    dx, dy = x - cx, y - cy
    lx, ly = dx * ux + dy * uy, dy * ux - dx * uy
    ox, oy = np.abs(lx) - hx, np.abs(ly) - hy
    qx, qy = np.maximum(ox, 0), np.maximum(oy, 0)
    outside = np.sqrt(qx * qx + qy * qy)
    inside = (ox <= 0) & (oy <= 0)
    by_x = inside & (ox >= oy)
    safe = np.maximum(outside, 1e-9)
    nx = np.where(inside, by_x.astype(x.dtype), qx / safe)
    ny = np.where(inside, (inside & ~by_x).astype(x.dtype), qy / safe)
    gap = np.where(inside, np.maximum(ox, oy), outside)
    return gap, np.copysign(nx, lx), np.copysign(ny, ly)


def resolve(
    obstacles: Obstacles,
    before: Floats,
    after: Floats,
    radius: float,
    person_radius: float,
    dt: float,
) -> tuple[NDArray[np.intp], Floats, Floats]:
    """Push robots that drove from `before` into something out of it again; changes `after` (3, N).

    A push along the normal leaves the motion along the surface: the body slides. Where pushing does not free it (wedged
    between two things), it stays where it was.

    Returns:
        The robots (M,) that touched, the greatest speed (M,) m/s at which each closed in along a surface's normal, and
        the bearing (M,) rad of the contact from the robot's heading.
    """
    at = obstacles.touched(after[0], after[1], radius, person_radius)
    x, y, yaw = after[:, at]
    speed = (x - before[0, at]) / dt, (y - before[1, at]) / dt
    closing, bearing, wedged = obstacles.push(x, y, *speed, yaw, radius, person_radius, at)
    stay = at[wedged]
    x[wedged], y[wedged] = before[0, stay], before[1, stay]
    after[0, at], after[1, at] = x, y
    return at, closing, _wrap(bearing)
