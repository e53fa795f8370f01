"""The maps of many rooms in one table, looked up for N robots by bilinear interpolation."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from robot.sim.maps import CELL_M
from robot.sim.room import Room

FLUENCE, VECTOR_X, VECTOR_Y, GEODESIC = range(4)
FAR_M = 100.0
"""The geodesic distance of what cannot be reached."""


class MapTable:
    """Rows of (fluence, vector x, vector y, geodesic), one for each node of each room in use.

    Robots in the same `Room` object share its rows; rows of rooms that no robot is in are given back when the table
    has to grow.
    """

    def __init__(self, n: int, dtype: type[np.floating]) -> None:
        self._rows = np.zeros((0, 4), dtype)
        self._used = 0
        self._places: dict[int, tuple[Room, int]] = {}  # by id(room); the reference keeps the id unique
        self._rooms: list[Room | None] = [None] * n
        self._offset = np.zeros(n, np.intp)
        self._stride = np.ones(n, np.intp)
        self._last = np.zeros((2, n), dtype)  # the greatest column and row a cell may begin at

    def put(self, index: int, room: Room) -> None:
        """Give robot `index` the maps of `room`."""
        self._rooms[index] = room
        if id(room) not in self._places:
            self._add(room)
        self._place(index, room)

    def at(
        self, x: NDArray[np.floating], y: NDArray[np.floating], where: NDArray[np.intp] | slice = slice(None)
    ) -> NDArray[np.floating]:
        """(N, 4) interpolated rows at each robot's point (N,) m, clamped to its room; or of the robots at `where`."""
        (last_x, last_y), stride = self._last[:, where], self._stride[where]
        x = np.clip(x * (1 / CELL_M), 0, last_x + 1)
        y = np.clip(y * (1 / CELL_M), 0, last_y + 1)
        column, row = np.minimum(np.floor(x), last_x), np.minimum(np.floor(y), last_y)
        fx, fy = (x - column)[:, None], (y - row)[:, None]
        first = self._offset[where] + row.astype(np.intp) * stride + column.astype(np.intp)
        rows = self._rows
        below, above = rows.take(first, axis=0), rows.take(first + stride, axis=0)
        below += (rows.take(first + 1, axis=0) - below) * fx
        above += (rows.take(first + stride + 1, axis=0) - above) * fx
        above -= below
        above *= fy
        below += above
        return below

    def _place(self, index: int, room: Room) -> None:
        rows, columns = room.maps.geodesic.shape
        self._offset[index] = self._places[id(room)][1]
        self._stride[index] = columns
        self._last[:, index] = columns - 2, rows - 2

    def _add(self, room: Room) -> None:
        maps = room.maps
        count = maps.geodesic.size
        if self._used + count > len(self._rows):
            self._grow(count)
        rows = self._rows[self._used : self._used + count]
        rows[:, :GEODESIC] = maps.bounce.reshape(-1, 3)
        rows[:, GEODESIC] = np.minimum(maps.geodesic.ravel(), FAR_M)
        self._places[id(room)] = (room, self._used)
        self._used += count

    def _grow(self, count: int) -> None:
        """Move the rows still in use to a table of twice their number and `count` more."""
        live = {id(room): room for room in self._rooms if room is not None and id(room) in self._places}
        size = sum(room.maps.geodesic.size for room in live.values())
        table = np.zeros((2 * size + count, 4), self._rows.dtype)
        self._used, places = 0, {}
        for key, room in live.items():
            old, length = self._places[key][1], room.maps.geodesic.size
            table[self._used : self._used + length] = self._rows[old : old + length]
            places[key] = (room, self._used)
            self._used += length
        self._rows, self._places = table, places
        for index, owner in enumerate(self._rooms):
            if owner is not None and id(owner) in places:
                self._place(index, owner)
