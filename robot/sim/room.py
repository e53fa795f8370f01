"""One room as data: walls, obstacles, lamp, persons, where the robot starts. `robot.sim.rooms` makes them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Person:
    """A person: stands (`speed_mps` 0) or walks back and forth along way-points."""

    waypoints: NDArray[np.float64]  # (K, 2) m; a standing person has one
    yaw: float  # rad, where a standing person looks
    speed_mps: float
    height_m: float
    look: int  # seed of clothes, skin, build


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


@dataclass(frozen=True)
class PersonState:
    """Where a person is now; `phase` (rad) is that of the gait, 0 while standing."""

    x: float
    y: float
    yaw: float
    phase: float
    height_m: float
    look: int
