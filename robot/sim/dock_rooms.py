"""Two rooms and a door between them: the robot starts in one, the lamp stands in the other and cannot be seen.

A dividing wall is two thin boxes; so all that knows rooms of boxes (senses, maps, camera) knows these.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from robot.errors import RobotError
from robot.sim.geometry import clearance, corners_of, rectangles, sees, separation
from robot.sim.maps import MARGIN_M, ROBOT_RADIUS_M
from robot.sim.room import Room

WALL_M = 0.1
DOORS_M = {"easy": (0.9, 1.1), "hard": (0.6, 0.8)}
BOXES = {"easy": 1, "hard": 2}
"""In each of the two rooms."""
_PASSAGE_M = 2 * (ROBOT_RADIUS_M + MARGIN_M)


def make_dock_room(level: str, seed: int, door_m: float | None = None, boxes: int | None = None) -> Room:
    """The rooms of this level ("easy" or "hard") and seed.

    Args:
        door_m: how wide the door is; boxes: how many stand in either room. None for what the level has.

    Raises:
        RobotError: none can be laid out.
    """
    rng = np.random.default_rng([seed, 4_177, tuple(DOORS_M).index(level)])
    for _ in range(200):
        door = float(rng.uniform(*DOORS_M[level])) if door_m is None else door_m
        room = _attempt(level, seed, door, BOXES[level] if boxes is None else boxes, rng)
        if room is not None:
            return room
    raise RobotError(f"no {level} room for dock could be laid out from seed {seed}; take another seed")


def _attempt(level: str, seed: int, door: float, count: int, rng: np.random.Generator) -> Room | None:
    size = (float(rng.uniform(4.6, 5.6)), float(rng.uniform(3.2, 4.2)))
    middle = size[0] * rng.uniform(0.45, 0.55)
    low = rng.uniform(0.4, size[1] - door - 0.4)
    ends = ((0.0, low), (low + door, size[1]))
    centres = [(middle, 0.5 * (a + b)) for a, b in ends]
    halves = [(WALL_M / 2, 0.5 * (b - a)) for a, b in ends]
    wall = corners_of(np.array(centres), np.array(halves), np.zeros(2))
    boxes = _boxes(count, size, middle, wall, rng)
    if boxes is None:
        return None
    corners = np.concatenate((wall, boxes))
    shapes = rectangles(corners)
    right = bool(rng.integers(2))  # where the robot starts

    def spot(in_right: bool, gap: float) -> NDArray[np.float64]:
        bounds = (middle + 0.6, size[0] - gap) if in_right else (gap, middle - 0.6)
        points = np.column_stack((rng.uniform(*bounds, 64), rng.uniform(gap, size[1] - gap, 64)))
        return points[clearance(points, size, shapes) >= gap]

    lamps, starts = spot(not right, 0.35), spot(right, 0.25)
    if not len(lamps):
        return None
    lamp = lamps[0]
    starts = starts[~sees(lamp, starts, corners)] if len(starts) else starts
    starts = starts[np.hypot(*(starts - lamp).T) >= 2.0]
    if not len(starts):
        return None
    start = np.array([*starts[0], rng.uniform(-np.pi, np.pi)])
    heights = np.concatenate(([1.1, 1.1], rng.uniform(0.35, 1.1, len(boxes))))
    kinds = ("box",) * len(corners)
    room = Room(seed, level, size, corners, kinds, heights, lamp, start, decor=int(rng.integers(2**31)), task="dock")
    column, row = np.rint(start[:2] / 0.1).astype(int)
    return room if np.isfinite(room.maps.geodesic[row, column]) else None


def _boxes(
    count: int, size: tuple[float, float], middle: float, wall: NDArray[np.float64], rng: np.random.Generator
) -> NDArray[np.float64] | None:
    """(B, 4, 2) boxes in either room, a robot's passage clear of all else; None where they do not fit."""
    found = wall
    for low, high in ((0.0, middle), (middle, size[0])):
        for _ in range(count):
            half = rng.uniform(0.12, 0.25, (32, 2))
            reach = np.hypot(*half.T) + _PASSAGE_M
            x = rng.uniform(low + reach, np.maximum(high - reach, low + reach))
            y = rng.uniform(reach, size[1] - reach)
            new = corners_of(np.column_stack((x, y)), half, rng.uniform(0, np.pi, 32))
            gaps = separation(rectangles(new), rectangles(found)).min(axis=1)
            clear = (gaps >= _PASSAGE_M) & (x + reach <= high)
            if not clear.any():
                return None
            found = np.concatenate((found, new[[int(clear.argmax())]]))
    return found[len(wall) :]
