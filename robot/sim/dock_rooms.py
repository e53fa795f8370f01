"""Rooms in a row, with a door from each to the next: the robot starts in the first, the lamp stands in the last.

Two rooms at the levels easy and hard, three at far; the lamp cannot be seen from the start. A dividing wall is two thin
boxes; so all that knows rooms of boxes (senses, maps, camera) knows these.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from robot.errors import RobotError
from robot.sim.geometry import clearance, corners_of, rectangles, sees, separation
from robot.sim.maps import MARGIN_M, ROBOT_RADIUS_M
from robot.sim.room import Room

WALL_M = 0.1
DOORS_M = {"easy": (0.9, 1.1), "hard": (0.6, 0.8), "far": (0.6, 0.8)}
BOXES = {"easy": 1, "hard": 2, "far": 1}
"""In each of the rooms."""
WALLS = {"easy": 1, "hard": 1, "far": 2}
_NEXT_M = (2.3, 2.8)
"""From the first dividing wall to the second, and so on: how much longer each makes the row."""
_PASSAGE_M = 2 * (ROBOT_RADIUS_M + MARGIN_M)


def make_dock_room(
    level: str, seed: int, door_m: float | None = None, boxes: int | None = None, walls: int | None = None
) -> Room:
    """The rooms of this level ("easy", "hard" or "far") and seed.

    Args:
        door_m: how wide the doors are; boxes: how many stand in each of the rooms; walls: how many divide them; with
            none all is one room, where the robot starts near the lamp. None for what the level has.

    Raises:
        RobotError: none can be laid out.
    """
    rng = np.random.default_rng([seed, 4_177, tuple(DOORS_M).index(level)])
    walls = WALLS[level] if walls is None else walls
    for _ in range(200):
        doors = [float(rng.uniform(*DOORS_M[level])) if door_m is None else door_m for _ in range(walls)]
        room = _attempt(level, seed, doors, BOXES[level] if boxes is None else boxes, rng)
        if room is not None:
            return room
    raise RobotError(f"no {level} room for dock could be laid out from seed {seed}; take another seed")


def _attempt(level: str, seed: int, doors: list[float], count: int, rng: np.random.Generator) -> Room | None:
    length, width = float(rng.uniform(4.6, 5.6)), float(rng.uniform(3.2, 4.2))
    divided = [0.0]  # where each room begins
    walls: list[tuple[float, float, float]] = []
    for door in doors:
        if len(divided) == 1:
            divided.append(length * rng.uniform(0.45, 0.55))
        else:
            further = float(rng.uniform(*_NEXT_M))
            divided.append(divided[-1] + further)
            length += further
        low = rng.uniform(0.4, width - door - 0.4)
        walls += [(divided[-1], 0.0, low), (divided[-1], low + door, width)]
    divided.append(length)
    size = (length, width)
    x, begin, end = np.array(walls).reshape(-1, 3).T
    halves = np.column_stack((np.full(len(x), WALL_M / 2), 0.5 * (end - begin)))
    wall = corners_of(np.column_stack((x, 0.5 * (begin + end))), halves, np.zeros(len(x)))
    boxes = _boxes(count, divided, width, wall, rng)
    if boxes is None:
        return None
    corners = np.concatenate((wall, boxes))
    shapes = rectangles(corners)
    right = bool(rng.integers(2))  # where the robot starts

    def spot(in_right: bool, gap: float) -> NDArray[np.float64]:
        bounds = (divided[-2] + 0.6, length - gap) if in_right else (gap, divided[1] - 0.6)
        points = np.column_stack((rng.uniform(*bounds, 64), rng.uniform(gap, width - gap, 64)))
        return points[clearance(points, size, shapes) >= gap]

    lamps, starts = spot(not right, 0.35), spot(right, 0.25)
    if not len(lamps):
        return None
    lamp = lamps[0]
    if doors and len(starts):
        starts = starts[~sees(lamp, starts, corners)]
    away = np.hypot(*(starts - lamp).T)
    fit = away >= (2.0 if doors else 1.0)
    starts, away = starts[fit], away[fit]
    if not len(starts):
        return None
    first = starts[0 if doors else away.argmin()]
    start = np.array([*first, rng.uniform(-np.pi, np.pi)])
    heights = np.concatenate((np.full(len(wall), 1.1), rng.uniform(0.35, 1.1, len(boxes))))
    kinds = ("box",) * len(corners)
    room = Room(seed, level, size, corners, kinds, heights, lamp, start, decor=int(rng.integers(2**31)), task="dock")
    column, row = np.rint(start[:2] / 0.1).astype(int)
    return room if np.isfinite(room.maps.geodesic[row, column]) else None


def _boxes(
    count: int, divided: list[float], width: float, wall: NDArray[np.float64], rng: np.random.Generator
) -> NDArray[np.float64] | None:
    """(B, 4, 2) `count` boxes in each room, a robot's passage clear of all else; None where they do not fit."""
    found = wall
    for low, high in zip(divided, divided[1:], strict=False):
        for _ in range(count):
            half = rng.uniform(0.12, 0.25, (32, 2))
            reach = np.hypot(*half.T) + _PASSAGE_M
            x = rng.uniform(low + reach, np.maximum(high - reach, low + reach))
            y = rng.uniform(reach, width - reach)
            new = corners_of(np.column_stack((x, y)), half, rng.uniform(0, np.pi, 32))
            clear = x + reach <= high
            if len(found):
                clear &= separation(rectangles(new), rectangles(found)).min(axis=1) >= _PASSAGE_M
            if not clear.any():
                return None
            found = np.concatenate((found, new[[int(clear.argmax())]]))
    return found[len(wall) :]
