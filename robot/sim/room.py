"""One room as data: walls, obstacles, lamp, persons, where the robot starts. `robot.sim.rooms` makes them."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from robot.sim.geometry import distance_to_rectangles, rectangles
from robot.sim.maps import RoomMaps, make_maps


@dataclass(frozen=True)
class Person:
    """A person: stands (`speed_mps` 0), walks to and fro along way-points, or round and round through them."""

    waypoints: NDArray[np.float64]  # (K, 2) m; a standing person has one
    yaw: float  # rad, where a standing person looks
    speed_mps: float
    height_m: float
    look: int  # seed of clothes, skin, build
    round: bool = False  # from the last way-point on to the first, and not back

    @property
    def legs(self) -> NDArray[np.float64]:
        """(L, 2) m from each way-point to the next."""
        points = np.asarray(self.waypoints, dtype=np.float64)
        return np.diff(np.concatenate((points, points[:1])) if self.round else points, axis=0)


@dataclass(frozen=True)
class Room:
    """A rectangle from (0, 0) to `size_m` with obstacles; every length in metres.

    `obstacles` is (B, 4, 2) corners, clockwise seen from above (so that outward normals agree with the
    room's counter-clockwise walls); `kinds` says what the camera draws in each footprint: "box", "chair",
    "coat_stand", "plant"; `heights_m` how tall it is. `decor` seeds walls, floor, posters and lighting.
    """

    seed: int
    level: str
    size_m: tuple[float, float]
    obstacles: NDArray[np.float64]
    kinds: tuple[str, ...]
    heights_m: NDArray[np.float64]
    lamp: NDArray[np.float64]  # (2,)
    start: NDArray[np.float64]  # (3,) x, y, yaw
    persons: tuple[Person, ...] = ()
    decor: int = 0
    task: str = "light"

    @cached_property
    def maps(self) -> RoomMaps:
        """The way to the lamp and the bounced light on a grid; computed at first use."""
        return make_maps(self)

    @property
    def goal(self) -> NDArray[np.float64]:
        """(2,) where the robot is to go: the lamp; the middle of the nearest object; or the first person's start."""
        if self.task == "range":
            return np.asarray(self.obstacles[self.nearest_object].mean(axis=0))
        if self.task in ("person", "follow"):
            return self.persons[0].waypoints[0]
        return self.lamp

    @cached_property
    def nearest_object(self) -> int:
        """Index of the obstacle whose surface is nearest to the start."""
        return int(distance_to_rectangles(self.start[:2], rectangles(self.obstacles)).argmin())


@dataclass(frozen=True)
class PersonState:
    """Where a person is now; `phase` (rad) is that of the gait, 0 while standing."""

    x: float
    y: float
    yaw: float
    phase: float
    height_m: float
    look: int
