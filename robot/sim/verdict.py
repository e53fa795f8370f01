"""How a run in the simulated world ended, judged by the truth that no policy sees."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from robot.sim.world import World

LAMP_M = 0.5  # a light run ends at most so far from the lamp
GAP_M, GAP_WITHIN_M = 0.25, 0.05  # a range run: from the sonar to the object, along the sonar's axis
PERSON_M, PERSON_WITHIN_M = 1.2, 0.3  # a person run: from the robot's middle to the person's
FACING_RAD = math.radians(30.0)  # "in front of": the person is this near to straight ahead
TOUCH_MPS = 0.05  # contacts faster than this are told


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether the goal was reached; `measure` is the distance (m) that was judged; contact speed in m/s, 0 without."""

    success: bool
    measure: float
    contact_speed: float

    @property
    def touched(self) -> bool:
        """Whether anything was hit faster than `TOUCH_MPS`."""
        return self.contact_speed > TOUCH_MPS


def judge(world: World, task: str, robot: int = 0, target: int | None = None) -> Verdict:
    """Judge robot `robot` of `world` at the `task` ("light", "range" or "person") as it stands now.

    Args:
        target: index of the obstacle that a range run had to find; None is the one nearest to the room's start.

    Raises:
        ValueError: an unknown task.
    """
    contact = float(world.contact_speed[robot])
    room = world.rooms[robot]
    pose = np.asarray(world.pose[:, robot], dtype=np.float64)
    if task == "light":
        distance = float(world.lamp_distance()[robot])
        return Verdict(distance <= LAMP_M, distance, contact)
    if task == "range":
        sonar = pose[:2] + world.config.range.x_m * np.array([math.cos(pose[2]), math.sin(pose[2])])
        gap = ray_to_polygon(sonar, pose[2], room.obstacles[room.nearest_object if target is None else target])
        ahead = float(world.gap_ahead()[robot])
        hit = abs(gap - ahead) < 0.01  # what is ahead is that very object
        return Verdict(hit and abs(gap - GAP_M) <= GAP_WITHIN_M and contact == 0.0, gap, contact)
    if task == "person":
        distance, bearing = min(
            (
                (math.hypot(p.x - pose[0], p.y - pose[1]), math.atan2(p.y - pose[1], p.x - pose[0]) - pose[2])
                for p in world.persons(robot)
            ),
            default=(math.inf, 0.0),
        )
        facing = abs(math.remainder(bearing, math.tau)) <= FACING_RAD
        return Verdict(facing and abs(distance - PERSON_M) <= PERSON_WITHIN_M, distance, contact)
    raise ValueError(f"task is {task!r}; it must be 'light', 'range' or 'person'")


def ray_to_polygon(origin: NDArray[np.float64], heading: float, corners: NDArray[np.float64]) -> float:
    """Distance (m) from `origin` (2,) along `heading` (rad) to the polygon `corners` (K, 2); inf where it misses."""
    direction = np.array([math.cos(heading), math.sin(heading)])
    best = math.inf
    for a, b in zip(corners, np.roll(corners, -1, axis=0), strict=True):
        edge, to = b - a, a - origin
        across = direction[0] * edge[1] - direction[1] * edge[0]
        if abs(across) < 1e-12:
            continue
        along = (to[0] * edge[1] - to[1] * edge[0]) / across
        share = (to[0] * direction[1] - to[1] * direction[0]) / across
        if along >= 0 and 0 <= share <= 1:
            best = min(best, float(along))
    return best
