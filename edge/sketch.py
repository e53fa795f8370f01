"""A room as text, seen from above: for a terminal, where no picture can be shown."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from robot.sim.world import World

ARROWS = "→↗↑↖←↙↓↘"


class Sketch:
    """Draws robot 0 of a world in its room; a character is half as wide as it is high.

    Args:
        columns: of the drawing, walls included.
    """

    def __init__(self, world: World, columns: int = 56) -> None:
        self.world = world
        room = world.rooms[0]
        self._step = room.size_m[0] / (columns - 2)
        rows = max(3, round(room.size_m[1] / (2 * self._step)))
        x = (np.arange(columns - 2) + 0.5) * self._step
        y = (np.arange(rows) + 0.5) * room.size_m[1] / rows
        self._size = (rows, columns - 2)
        self._row_m = room.size_m[1] / rows
        points = np.stack(np.meshgrid(x, y), axis=-1)
        self._blank = np.full(self._size, " ")
        for corners in room.obstacles:
            self._blank[_inside(points, corners)] = "#"

    def lines(self) -> list[str]:
        """The room now, north up."""
        world, grid = self.world, self._blank.copy()
        room = world.rooms[0]
        if room.task in ("light", "demo"):
            self._put(grid, float(room.lamp[0]), float(room.lamp[1]), "*")
        for person in world.persons(0):
            self._put(grid, person.x, person.y, "P")
        x, y, yaw = world.pose[:, 0].tolist()
        self._put(grid, x, y, ARROWS[round(yaw / (math.pi / 4)) % 8])
        edge = "+" + "-" * self._size[1] + "+"
        return [edge, *("|" + "".join(row) + "|" for row in grid[::-1]), edge]

    def _put(self, grid: NDArray[Any], x: float, y: float, mark: str) -> None:
        row = min(max(int(y / self._row_m), 0), self._size[0] - 1)
        column = min(max(int(x / self._step), 0), self._size[1] - 1)
        grid[row, column] = mark


def _inside(points: NDArray[np.float64], corners: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Which points lie in a convex polygon, whichever way round its corners (K, 2) go."""
    edges = np.roll(corners, -1, axis=0) - corners
    to = points[..., None, :] - corners
    sides = edges[:, 0] * to[..., 1] - edges[:, 1] * to[..., 0]
    return np.asarray((sides >= 0).all(axis=-1) | (sides <= 0).all(axis=-1))
