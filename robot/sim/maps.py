"""What is computed once for a room: the way to its goal, and the light that bounces, on a grid.

Nodes lie at whole multiples of `CELL_M` from the corner (0, 0), rows along y. The world looks up both by
bilinear interpolation.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import cv2
import numpy as np
from numpy.typing import NDArray

from robot.sim import light
from robot.sim.geometry import clearance, rectangles

if TYPE_CHECKING:
    from robot.sim.room import Room

CELL_M = 0.1
PERSON_RADIUS_M = 0.18
ROBOT_RADIUS_M = 0.11
MARGIN_M = 0.05
_PITCH = 2  # the bounce is smooth: it is computed at every other node

# Moves of one, diagonal and knight's steps: lengths are right to 2.7 % (Borgefors 1986), and a robot's width
# plus margin at both ends of the longest still leaves its width clear of a corner in between.
_MOVES = [(1, 0), (0, 1), (1, 1), (-1, 1), (2, 1), (1, 2), (-1, 2), (-2, 1)]


@dataclass(frozen=True)
class RoomMaps:
    """Grids of (rows, columns): clearance to walls, obstacles and standing persons (m), way to the lamp (m), bounce."""

    clearance: NDArray[np.float32]
    geodesic: NDArray[np.float32]
    bounce: NDArray[np.float32]  # (rows, columns, 3): fluence, vector x, y


def nodes(size: tuple[float, float]) -> NDArray[np.float64]:
    """(rows, columns, 2) positions of the grid's nodes; the last ones lie on or just beyond the walls."""
    columns, rows = (int(np.ceil(s / CELL_M - 1e-9)) + 1 for s in size)
    y, x = np.mgrid[0:rows, 0:columns] * CELL_M
    return np.stack((x, y), axis=-1)


def make_maps(room: Room) -> RoomMaps:
    """The maps of a room, a few milliseconds."""
    grid = nodes(room.size_m)
    free = free_space(room, grid)
    return RoomMaps(
        free.astype(np.float32),
        geodesic(free, grid, room.lamp, ROBOT_RADIUS_M + MARGIN_M),
        _bounce(room, grid, free),
    )


def free_space(room: Room, points: NDArray[np.float64]) -> NDArray[np.float64]:
    """(...,) distance from points to the nearest wall, obstacle or standing person."""
    free = clearance(points, room.size_m, rectangles(room.obstacles))
    for person in room.persons:
        if person.speed_mps == 0:
            at = person.waypoints[0]
            free = np.minimum(free, np.hypot(points[..., 0] - at[0], points[..., 1] - at[1]) - PERSON_RADIUS_M)
    return free


def geodesic(
    free: NDArray[np.floating], grid: NDArray[np.float64], goal: NDArray[np.float64], width: float
) -> NDArray[np.float32]:
    """The length of the shortest way from each node to `goal` for a disc of radius `width`, m; inf where there is none.

    Nodes that the disc cannot stand on, but that touch free ones, get the way through those (a robot that touches a
    wall stands between both kinds).
    """
    passable = free >= width
    away = np.hypot(*(np.moveaxis(grid, -1, 0) - np.asarray(goal)[:, None, None]))
    near = passable & (away <= max(1.5 * CELL_M, float(np.min(free[away <= CELL_M], initial=0.3))))
    way = np.where(near, away, np.inf).astype(np.float32)
    way = _relax(way, passable, way.size)
    return _relax(way, ~passable, 3)  # a rim of three steps into what is blocked


def _relax(way: NDArray[np.float32], may: NDArray[np.bool_], rounds: int) -> NDArray[np.float32]:
    """Bellman and Ford's relaxation of all nodes that `may` change at once, until none does or `rounds` are over."""
    rows, columns = way.shape
    # One flat array with a border of inf: every neighbour is a contiguous slice, which is several times faster.
    stride, border = columns + 4, 2 * (columns + 4) + 2
    padded = np.pad(way, 2, constant_values=np.inf).ravel()
    barred = np.pad(np.where(may, np.float32(0), np.float32(np.inf)), 2, constant_values=np.inf).ravel()
    inner, barred = padded[border:-border], barred[border:-border]
    moves = [
        (padded[border + step : len(padded) - border + step], barred + np.float32(CELL_M * np.hypot(dx, dy)))
        for dx, dy in _MOVES
        for step in (dy * stride + dx, -dy * stride - dx)
    ]
    spare = np.empty_like(inner)
    for _ in range(rounds):
        before = inner.copy()
        for neighbour, length in moves:  # each in place, so that a round carries further than one move
            np.add(neighbour, length, out=spare)
            np.minimum(inner, spare, out=inner)
        if np.array_equal(inner, before):
            break
    return padded.reshape(rows + 4, stride)[2:-2, 2:-2].copy()


def _bounce(room: Room, grid: NDArray[np.float64], free: NDArray[np.float64]) -> NDArray[np.float32]:
    coarse, open_ = grid[::_PITCH, ::_PITCH], free[::_PITCH, ::_PITCH] > 0.02
    field = np.zeros((*open_.shape, 3), dtype=np.float32)
    field[open_] = light.bounce(room.lamp, room.size_m, room.obstacles, coarse[open_])
    # Nodes inside obstacles take the mean of the free ones around.
    weight = open_.astype(np.float32)
    spread = cv2.GaussianBlur(field, (5, 5), 1.0, borderType=cv2.BORDER_CONSTANT)
    share = cv2.GaussianBlur(weight, (5, 5), 1.0, borderType=cv2.BORDER_CONSTANT)
    field[~open_] = (spread / np.maximum(share, 1e-6)[..., None])[~open_]
    to_fine = np.array([(1 / _PITCH, 0, 0), (0, 1 / _PITCH, 0)], dtype=np.float64)
    how = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    fine = cv2.warpAffine(field, to_fine, grid.shape[1::-1], flags=how, borderMode=cv2.BORDER_REPLICATE)
    return np.asarray(fine, dtype=np.float32)
