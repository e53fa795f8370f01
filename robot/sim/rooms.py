"""Rooms from seeds: walls, obstacles, lamp, persons and a start, by task and level.

A room depends on its task, level and seed only. Every goal can be reached by the robot's width plus a margin, checked
on a grid. Seeds below `EVALUATION_SEEDS` are for training.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from robot.errors import RobotError
from robot.sim.dock_rooms import WALLS, make_dock_room
from robot.sim.geometry import Rectangles, corners_of, distance_to_rectangles, rectangles, sees, separation
from robot.sim.maps import MARGIN_M, PERSON_RADIUS_M, ROBOT_RADIUS_M, free_space, geodesic, nodes
from robot.sim.room import Person, Room

EVALUATION_SEEDS = 1_000_000
TASKS = ("light", "range", "person", "demo", "follow")
LEVELS = ("easy", "hard")
START_TO_GOAL_M = 2.0
_PASSAGE_M = 2 * (ROBOT_RADIUS_M + MARGIN_M)

Rng = np.random.Generator


@dataclass(frozen=True)
class _Plan:
    """How a task's rooms are laid out at a level: (low, high) ranges, metres."""

    width: tuple[float, float]
    length: tuple[float, float]
    half: tuple[float, float]  # of an obstacle's sides
    obstacles: tuple[int, int]
    gap: float  # between obstacles
    wall_gap: float
    kinds: tuple[str, ...] = ("box",)


_FURNITURE = ("box", "chair", "coat_stand", "plant")
_PLANS = {
    ("light", "easy"): _Plan((3.2, 4.2), (4.0, 5.2), (0.10, 0.22), (5, 6), 2 * (ROBOT_RADIUS_M + 0.15), 0.4),
    ("light", "hard"): _Plan((3.2, 4.2), (4.0, 5.2), (0.15, 0.50), (6, 6), _PASSAGE_M, _PASSAGE_M),
    ("range", "easy"): _Plan((4.2, 5.0), (5.2, 6.2), (0.10, 0.18), (5, 5), 0.6, 0.55),
    ("range", "hard"): _Plan((4.2, 5.0), (5.2, 6.2), (0.10, 0.25), (6, 6), 0.5, 0.5),
    ("person", "easy"): _Plan((4.0, 5.0), (4.6, 6.0), (0.12, 0.22), (5, 5), 0.55, 0.40, _FURNITURE),
    ("person", "hard"): _Plan((4.0, 5.0), (4.6, 6.0), (0.15, 0.40), (6, 6), _PASSAGE_M, _PASSAGE_M, _FURNITURE),
    ("demo", "easy"): _Plan((4.6, 5.0), (5.6, 6.2), (0.12, 0.20), (5, 5), 0.6, 0.55, _FURNITURE),
    ("demo", "hard"): _Plan((4.6, 5.0), (5.6, 6.2), (0.15, 0.35), (6, 6), 0.5, 0.5, _FURNITURE),
    ("follow", "easy"): _Plan((5.0, 5.8), (6.0, 7.0), (0.12, 0.20), (5, 5), 0.6, 0.35, _FURNITURE),
    ("follow", "hard"): _Plan((5.0, 5.8), (6.0, 7.0), (0.12, 0.28), (6, 6), 0.5, 0.35, _FURNITURE),
}
_LEADER_MPS = {"easy": (0.15, 0.25), "hard": (0.2, 0.3)}
"""How fast the person to be followed walks: a robot of 0.4 m/s has to catch up after each corner."""
_OTHERS = 2  # who walk about in a follow room, beside that person
_HEIGHTS = {"box": (0.35, 1.1), "chair": (0.8, 1.0), "coat_stand": (1.6, 1.9), "plant": (0.7, 1.5)}
_HIDDEN = 0.5  # the share of hard rooms whose lamp is hidden at the start


def make_room(task: str, level: str, seed: int, *, walkers: int = 0) -> Room:
    """One room.

    Args:
        task: "light" (a lamp), "range" (objects clear of walls and of each other), "person" (a standing person and
            distractors), "demo" (a lamp, objects and a person), "follow" (three persons who walk, of whom the first,
            nearest and ahead of the robot at the start, goes round and round and is to be followed), "dock" (a lamp in
            another room, see `robot.sim.dock_rooms`).
        level: "easy" (half-sizes of at most 0.22 m, wide passages) or "hard" (up to 0.5 m; in half of the rooms the
            lamp cannot be seen from the start); for "dock" also "far".
        seed: 0 or more; from `EVALUATION_SEEDS` on for evaluation.
        walkers: how many persons walk about, besides.

    Raises:
        RobotError: an unknown task or level, or a negative seed.
    """
    if task not in (*TASKS, "dock"):
        raise RobotError(f"there is no task {task!r} to make a room for; choose one of {', '.join(TASKS)}, dock")
    levels = tuple(WALLS) if task == "dock" else LEVELS
    if level not in levels:
        raise RobotError(f"there is no level {level!r} of rooms for {task}; choose one of {', '.join(levels)}")
    if seed < 0:
        raise RobotError(f"the room's seed is {seed}; it must be 0 or more")
    if task == "dock":
        return make_dock_room(level, seed)
    rng = np.random.default_rng([seed, TASKS.index(task), LEVELS.index(level), walkers])
    for _ in range(200):
        room = _attempt(task, level, seed, walkers, rng)
        if room is not None:
            return room
    raise RobotError(f"no {level} room for {task} could be laid out from seed {seed}; take another seed")


class RoomPool(Sequence[Room]):
    """Rooms of many seeds, made when first asked for and kept.

    A pool of about a thousand is plenty to learn from; `draw` takes from it at random.
    """

    def __init__(self, task: str, level: str, seeds: Sequence[int], *, walkers: int = 0) -> None:
        self.task, self.level, self.seeds, self.walkers = task, level, seeds, walkers
        self._rooms: dict[int, Room] = {}

    def __len__(self) -> int:
        return len(self.seeds)

    def __getitem__(self, index):  # type: ignore[no-untyped-def]
        if isinstance(index, slice):
            return [self[i] for i in range(*index.indices(len(self)))]
        seed = self.seeds[index]
        if seed not in self._rooms:
            self._rooms[seed] = make_room(self.task, self.level, seed, walkers=self.walkers)
        return self._rooms[seed]

    def __iter__(self) -> Iterator[Room]:
        return (self[i] for i in range(len(self)))

    def draw(self, count: int, rng: Rng) -> list[Room]:
        """`count` rooms, uniformly, with repetition."""
        return [self[int(i)] for i in rng.integers(len(self), size=count)]


def _attempt(task: str, level: str, seed: int, walkers: int, rng: Rng) -> Room | None:
    plan = _PLANS[task, level]
    size = (float(rng.uniform(*plan.width)), float(rng.uniform(*plan.length)))
    if rng.random() < 0.5:
        size = (size[1], size[0])
    boxes = _place_boxes(plan, size, rng)
    if boxes is None:
        return None
    corners, kinds, heights = boxes
    shapes = rectangles(corners)

    def spot(gap: float, count: int = 64) -> NDArray[np.float64]:
        """Points at least `gap` clear of walls and obstacles, (K, 2)."""
        points = rng.uniform((gap, gap), (size[0] - gap, size[1] - gap), (count, 2))
        return points[distance_to_rectangles(points, shapes).min(axis=-1) >= gap]

    lamps, starts = spot(0.32), spot(0.25 if task in ("light", "person") else 0.4, 128)
    if not len(lamps) or not len(starts):
        return None
    lamp = lamps[0]
    persons: tuple[Person, ...] = ()
    if task in ("person", "demo"):
        found = spot(0.5)
        found = found[np.hypot(*(found - lamp).T) >= 1.0]
        if not len(found):
            return None
        persons = (_standing(found[0], rng),)
        starts = starts[np.hypot(*(starts - found[0]).T) >= START_TO_GOAL_M]
    if task == "follow":
        leader = _leader(size, shapes, level, rng)
        if leader is None:
            return None
        persons = (leader,)
        starts = starts[_behind(starts, leader) & sees(leader.waypoints[0], starts, corners)]
    if task in ("light", "demo"):
        starts = starts[np.hypot(*(starts - lamp).T) >= START_TO_GOAL_M]
    if task == "light" and level == "hard":
        hidden = rng.random() < _HIDDEN
        starts = starts[sees(lamp, starts, corners) != hidden]
    if task in ("range", "demo"):
        starts = starts[_one_is_nearest(starts, shapes)]
    if not len(starts):
        return None
    yaw = rng.uniform(-np.pi, np.pi)
    if task == "follow":
        ahead = persons[0].waypoints[0] - starts[0]
        yaw, walkers = float(np.arctan2(ahead[1], ahead[0])) + 0.1 * yaw, walkers + _OTHERS
    start = np.array([*starts[0], yaw])
    others = tuple(_walking(size, shapes, start[:2], rng) for _ in range(walkers))
    if task == "follow":
        # All walk, and the one to follow is the nearest at the start.
        near = min(np.hypot(*(other.waypoints[0] - start[:2])) for other in others)
        if near < 3.2 or not all(other.speed_mps > 0 for other in others):
            return None
    persons += others
    room = Room(
        seed, level, size, corners, kinds, heights, lamp, start, persons, decor=int(rng.integers(2**31)), task=task
    )
    return room if _reachable(room) else None


def _place_boxes(
    plan: _Plan, size: tuple[float, float], rng: Rng
) -> tuple[NDArray[np.float64], tuple[str, ...], NDArray[np.float64]] | None:
    """Corners (B, 4, 2), kinds and heights of obstacles that keep the plan's gaps, or None where they do not fit."""
    wanted = int(rng.integers(plan.obstacles[0], plan.obstacles[1] + 1))
    count = 128
    half = rng.uniform(*plan.half, (count, 2))
    kinds = rng.integers(len(plan.kinds), size=count)
    for index, kind in enumerate(plan.kinds):
        if kind != "box":  # furniture is about as deep as it is wide
            half[kinds == index, 1] = half[kinds == index, 0]
    half[np.asarray(plan.kinds)[kinds] == "coat_stand"] = min(0.16, plan.half[1])
    angle = rng.uniform(0, np.pi, count)
    reach_x = half[:, 0] * np.abs(np.cos(angle)) + half[:, 1] * np.abs(np.sin(angle)) + plan.wall_gap
    reach_y = half[:, 0] * np.abs(np.sin(angle)) + half[:, 1] * np.abs(np.cos(angle)) + plan.wall_gap
    centre = np.stack((rng.uniform(reach_x, size[0] - reach_x), rng.uniform(reach_y, size[1] - reach_y)), axis=-1)
    candidates = Rectangles(centre, half, np.stack((np.cos(angle), np.sin(angle)), axis=-1))
    open_ = np.ones(count, dtype=bool)
    chosen: list[int] = []
    while len(chosen) < wanted:
        if not open_.any():
            return None
        new = int(open_.argmax())
        chosen.append(new)
        one = Rectangles(centre[[new]], half[[new]], candidates.axis[[new]])
        open_ &= separation(one, candidates)[0] >= plan.gap
    names = tuple(plan.kinds[k] for k in kinds[chosen])
    heights = np.array([rng.uniform(*_HEIGHTS[name]) for name in names])
    return corners_of(centre[chosen], half[chosen], angle[chosen]), names, heights


def _one_is_nearest(starts: NDArray[np.float64], shapes: Rectangles) -> NDArray[np.bool_]:
    """(S,) where the nearest object is far enough to be a goal, and clearly nearer than the second."""
    gaps = distance_to_rectangles(starts, shapes)
    order = np.sort(gaps, axis=-1)
    nearest = np.hypot(*(shapes.centre[gaps.argmin(axis=-1)] - starts).T)
    return (nearest >= START_TO_GOAL_M) & (order[:, 1] - order[:, 0] >= 0.3)


def _standing(at: NDArray[np.float64], rng: Rng) -> Person:
    return Person(at[None].copy(), float(rng.uniform(-np.pi, np.pi)), 0.0, float(rng.uniform(1.5, 1.95)), _look(rng))


def _walking(size: tuple[float, float], shapes: Rectangles, start: NDArray[np.float64], rng: Rng) -> Person:
    """A walker between two to three way-points, along lines clear of obstacles (and of the robot's start)."""
    gap = PERSON_RADIUS_M + 0.05
    points = rng.uniform((gap, gap), (size[0] - gap, size[1] - gap), (64, 2))
    way = [points[0]]
    share = np.linspace(0, 1, 40)[:, None]
    for point in points[1:]:
        line = way[-1] + share * (point - way[-1])
        clear = distance_to_rectangles(line, shapes).min() >= gap
        clear = clear and np.hypot(*(line - start).T).min() >= gap + ROBOT_RADIUS_M + 0.1
        if clear and np.hypot(*(point - way[-1])) >= 0.8:
            way.append(point)
        elif len(way) == 1:
            way = [point]
        if len(way) == 3:
            break
    speed = float(rng.uniform(0.3, 0.9)) if len(way) > 1 else 0.0
    return Person(np.array(way), float(rng.uniform(-np.pi, np.pi)), speed, float(rng.uniform(1.5, 1.95)), _look(rng))


def _leader(size: tuple[float, float], shapes: Rectangles, level: str, rng: Rng) -> Person | None:
    """Somebody who walks round the room through five to seven corners, clear of obstacles by a robot's width more."""
    gap = PERSON_RADIUS_M + ROBOT_RADIUS_M + MARGIN_M
    half = np.array(size) / 2
    share = np.linspace(0, 1, 13)[:, None, None]
    for _ in range(20):
        count = int(rng.integers(5, 8))
        angle = 2 * np.pi * (np.arange(count) + rng.uniform(-0.25, 0.25, count)) / count + rng.uniform(0, 2 * np.pi)
        rays = np.column_stack((np.cos(angle), np.sin(angle)))[:: rng.choice((-1, 1))] * (half - 0.6)
        choices = half + rng.uniform(0.5, 1.0, (8, count, 1)) * rays
        clear = distance_to_rectangles(choices, shapes).min(axis=-1) >= gap
        way = choices[clear.argmax(axis=0), np.arange(count)]
        after = np.roll(way, -1, axis=0)
        line = way + share * (after - way)
        if (
            clear.any(axis=0).all()
            and np.hypot(*(after - way).T).min() >= 0.8
            and distance_to_rectangles(line, shapes).min() >= gap
        ):
            speed = float(rng.uniform(*_LEADER_MPS[level]))
            return Person(way, 0.0, speed, float(rng.uniform(1.5, 1.95)), _look(rng), round=True)
    return None


def _behind(starts: NDArray[np.float64], leader: Person) -> NDArray[np.bool_]:
    """(S,) where a robot stands 2 to 2.6 m behind the person, within 60 degrees of straight behind."""
    to, heading = leader.waypoints[0] - starts, leader.legs[0] / np.hypot(*leader.legs[0])
    away = np.hypot(*to.T)
    return (away >= START_TO_GOAL_M) & (away <= START_TO_GOAL_M + 0.6) & (to @ heading >= 0.5 * away)


def _look(rng: Rng) -> int:
    return int(rng.integers(2**31))


def _reachable(room: Room) -> bool:
    """Whether a disc of the robot's width plus the margin gets from the start to all that the task asks for."""
    grid = nodes(room.size_m)
    if room.task == "light":
        return bool(np.isfinite(_at(room.maps.geodesic, room.start)))
    free = free_space(room, grid)
    way = geodesic(free, grid, room.start[:2], ROBOT_RADIUS_M + MARGIN_M)
    goals = []
    if room.task == "demo":
        goals.append((room.lamp, 0.4))
    if room.task in ("person", "demo"):
        goals.append((room.persons[0].waypoints[0], 1.2))
    if room.task == "follow":
        goals += [(corner, 0.4) for corner in room.persons[0].waypoints]
    if room.task in ("range", "demo"):
        box = room.obstacles[room.nearest_object]
        goals.append((box.mean(axis=0), float(np.hypot(*(box[0] - box[2]))) / 2 + 0.25))
    passable = np.isfinite(way) & (free >= ROBOT_RADIUS_M + MARGIN_M)
    away = ((np.hypot(*(np.moveaxis(grid, -1, 0) - goal[:, None, None])), near) for goal, near in goals)
    return all((passable & (distance <= near)).any() for distance, near in away)


def _at(values: NDArray[np.float32], point: NDArray[np.float64]) -> float:
    """The value at the node nearest to a point."""
    from robot.sim.maps import CELL_M

    column, row = np.rint(point[:2] / CELL_M).astype(int)
    return float(values[row, column])
