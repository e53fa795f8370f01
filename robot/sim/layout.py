"""The rooms of N robots as arrays: corners for ray casts, boxes for collisions, lamps, persons."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from robot.sim import light
from robot.sim.collision import Obstacles
from robot.sim.geometry import FanCaster, ShadowCaster, rectangles
from robot.sim.lookup import MapTable
from robot.sim.maps import PERSON_RADIUS_M
from robot.sim.persons import Persons
from robot.sim.room import Room

Floats = NDArray[np.floating]
Where = NDArray[np.intp] | slice


@dataclass(frozen=True)
class Kernels:
    """Who does the world's innermost loops: NumPy, or what does the same as these (`train.compiled`)."""

    fan: type[FanCaster] = FanCaster
    shadow: type[ShadowCaster] = ShadowCaster
    obstacles: type[Obstacles] = Obstacles
    maps: type[MapTable] = MapTable
    sensed: Callable[..., Floats] = light.sensed


NUMPY = Kernels()


class Layout:
    """Room for N rooms of up to so many obstacles, persons and legs of their ways; `enter` fills one in.

    Corners are (5, quads, N), the fifth repeating the first; quad 0 is the walls. Quads that a room does not have are
    points, which no ray meets.
    """

    def __init__(
        self,
        boxes: int,
        people: int,
        legs: int,
        n: int,
        chunk: int,
        dtype: type[np.floating],
        kernels: Kernels = NUMPY,
    ) -> None:
        self.capacity = (boxes, people, legs)
        self.corner_x = np.zeros((5, 1 + boxes, n), dtype)
        self.corner_y = np.zeros((5, 1 + boxes, n), dtype)
        self.lamp = np.zeros((2, n), dtype)
        self.obstacles = kernels.obstacles(boxes, people, n, dtype)
        self.persons = Persons(people, legs, n, dtype)
        self.obstacles.person = self.persons.position
        # From the lamp to the boxes' corners; the walls of a rectangle never shade.
        self._lamp_x = np.zeros((5, boxes, n), dtype)
        self._lamp_y = np.zeros((5, boxes, n), dtype)
        self._lamp_area = np.full((4, boxes, n), np.inf, dtype)
        self._fan = kernels.fan(1 + boxes, chunk, dtype)
        self._shadow = kernels.shadow(boxes, chunk, dtype)

    @staticmethod
    def needed(rooms: Sequence[Room]) -> tuple[int, int, int]:
        """The greatest number of obstacles, persons and legs of a way of any of the rooms."""
        return (
            max((len(room.obstacles) for room in rooms), default=0),
            max((len(room.persons) for room in rooms), default=0),
            max((len(person.legs) for room in rooms for person in room.persons), default=0),
        )

    def enter(self, index: int, room: Room) -> None:
        """Make `room` the room of robot `index`; its persons begin their ways anew."""
        width, length = room.size_m
        count = len(room.obstacles)
        corners = np.asarray(room.obstacles, dtype=np.float64).reshape(count, 4, 2)
        ring = np.concatenate((corners, corners[:, :1]), axis=1)
        self.corner_x[:, :, index] = 0
        self.corner_y[:, :, index] = 0
        self.corner_x[:, 0, index] = 0, width, width, 0, 0
        self.corner_y[:, 0, index] = 0, 0, length, length, 0
        self.corner_x[:, 1 : 1 + count, index] = ring[..., 0].T
        self.corner_y[:, 1 : 1 + count, index] = ring[..., 1].T
        self.lamp[:, index] = room.lamp
        self._lamp_x[:, :count, index] = ring[..., 0].T - room.lamp[0]
        self._lamp_y[:, :count, index] = ring[..., 1].T - room.lamp[1]
        self._lamp_area[:, :, index] = np.inf
        self._lamp_area[:, :count, index] = ShadowCaster.areas(
            self._lamp_x[:, :count, index], self._lamp_y[:, :count, index]
        )
        self.obstacles.put(index, room.size_m, rectangles(corners))
        self.persons.put(index, room.persons)

    def cast(
        self, origin: Floats, cos: Floats, sin: Floats, tangents: tuple[float, ...], out: Floats, where: Where
    ) -> None:
        """Inverse distances along a fan of rays from `origin` (2, N); see `FanCaster.cast`. Persons count."""
        self._fan.cast(self.corner_x[..., where], self.corner_y[..., where], origin, cos, sin, tangents, out)
        for px, py in zip(*self.persons.position[..., where], strict=True):
            dx, dy = px - origin[0], py - origin[1]
            ahead, left = dx * cos + dy * sin, dy * cos - dx * sin
            row = 0
            for tangent in tangents:
                c = 1 / np.sqrt(1 + tangent * tangent)
                for t in (tangent, -tangent) if tangent else (tangent,):
                    along, off = (ahead + left * t) * float(c), (left - ahead * t) * float(c)
                    chord = PERSON_RADIUS_M**2 - off * off
                    reach = along - np.sqrt(np.maximum(chord, 0))
                    hit = (chord > 0) & (reach > 1e-3)
                    np.maximum(out[row], np.where(hit, 1 / np.maximum(reach, 1e-3), 0), out=out[row])
                    row += 1

    def shaded(self, to_x: Floats, to_y: Floats, out: NDArray[np.bool_], where: Where) -> None:
        """Write into `out` (N,) whether a box or a person stands between the lamp and the point (N,) from it."""
        lamp = self.lamp[:, where]
        corner_x, corner_y, area = (a[..., where] for a in (self._lamp_x, self._lamp_y, self._lamp_area))
        self._shadow.cast(corner_x, corner_y, area, to_x, to_y, out)
        for px, py in zip(*self.persons.position[..., where], strict=True):
            x, y = px - lamp[0], py - lamp[1]
            share = np.clip((x * to_x + y * to_y) / (to_x * to_x + to_y * to_y + 1e-9), 0, 1)
            out |= (x - share * to_x) ** 2 + (y - share * to_y) ** 2 < PERSON_RADIUS_M**2
