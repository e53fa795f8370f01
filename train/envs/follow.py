"""The task `follow`: keep 1.2 m behind a person who walks about, from the bearing and the apparent size of that person.

What a detector and a tracker would tell is drawn from the truth: a person within the camera's view and not behind an
obstacle is seen, but for one look in twenty; bearing and size have noise, and how tall the person is is not known. The
criterion is that of `edgebot run --policy follow` (`robot.sim.following`), looked at once a decision.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from edge import sight_observation
from edge.sight_observation import SightObserver
from robot.sim.following import APPROACH_S, DISTANCE_M, FOLLOW_S, SHARE, WITHIN_M
from robot.sim.geometry import ShadowCaster
from robot.sim.room import Room
from robot.sim.verdict import FACING_RAD
from train.envs.batch import Flags, Floats
from train.envs.robot import Judged, RobotBatch, RobotSettings
from train.envs.robot_task import RobotTask
from train.settings import setting

BEARING_NOISE_RAD, SIZE_NOISE, MISSED = 0.02, 0.05, 0.05
"""Standard deviations of what is told of a person, and the share of looks in which a person in view is not found."""


@dataclass(frozen=True)
class FollowSettings(RobotSettings):
    """The task's settings."""

    level: str = setting("easy", "rooms: easy or hard", among=("easy", "hard"))
    rooms: int = setting(200, "how many rooms are trained in", low=1, high=100_000)
    limit_s: float = setting(APPROACH_S + FOLLOW_S, "seconds after which an episode is cut", low=1.0)
    near_reward: float = setting(0.05, "reward for each decision with the person where they ought to be", low=0.0)
    step_cost: float = setting(0.0, "what each decision costs", low=0.0)


class FollowBatch(RobotBatch):
    """N robots that follow the first person of their rooms. Arguments as `RobotBatch` has them."""

    TRUTH = 5
    TWISTS = (
        (0.4, 0.0), (0.2, 0.0), (0.0, 0.0), (-0.15, 0.0), (0.3, 0.8), (0.3, -0.8), (0.15, 1.2), (0.15, -1.2),
        (0.0, 1.5), (0.0, -1.5),
    )  # fmt: skip
    observation_size = sight_observation.SIZE

    def __init__(self, rooms: Sequence[Room], n: int, settings: Any, **more: Any) -> None:
        super().__init__(rooms, n, settings, **more)
        assert self.config.camera is not None
        self._half_view = math.radians(self.config.camera.horizontal_fov_deg / 2)
        self._height = np.zeros(n, np.float32)
        self._since = np.full(n, -1, np.int64)  # the decision from which on it counts; -1: not yet
        self._good, self._worth = np.zeros(n, np.int64), np.zeros(n, np.float32)
        self._first = round(APPROACH_S / settings.period_s)
        self._minute = round(FOLLOW_S / settings.period_s)

    def _make_observer(self, n: int) -> SightObserver:
        return SightObserver(n, self.settings.period_s)

    def _begin(self, at: NDArray[np.intp]) -> None:
        self._height[at] = [self._world.rooms[int(i)].persons[0].height_m for i in at]
        self._since[at], self._good[at] = -1, 0
        self._worth[at] = self._potential()[at]

    def _judge(self, touched: Flags, late: Flags) -> Judged:
        distance, bearing = self._where_person()
        good = (np.abs(distance - DISTANCE_M) <= WITHIN_M) & (np.abs(bearing) <= FACING_RAD)
        self._since = np.where((self._since < 0) & (good | (self._age >= self._first)), self._age, self._since)
        counts = (self._since >= 0) & (self._age - self._since < self._minute)
        self._good += counts & good
        over = (self._since >= 0) & (self._age - self._since >= self._minute)
        success = (over | late) & (self._good >= SHARE * self._minute)
        before, self._worth = self._worth, self._potential()
        gained = np.float32(self.settings.near_reward) * good + self._worth - before
        return Judged(gained.astype(np.float32), over, success)

    def _look(self, at: NDArray[np.intp] | slice) -> Floats:
        world = self._world
        distance, bearing = (values[at] for values in self._where_person())
        looked = np.empty((2, distance.size), np.float32)
        looked[0] = bearing + BEARING_NOISE_RAD * self._rng.standard_normal(distance.size, np.float32)
        size = self._height[at] / np.maximum(distance, 0.2)
        looked[1] = size * (1.0 + SIZE_NOISE * self._rng.standard_normal(distance.size, np.float32))
        hidden = (np.abs(bearing) > self._half_view) | (self._rng.random(distance.size) < MISSED)
        corner_x, corner_y = world.boxes()
        x, y = corner_x[..., at] - world.pose[0, at], corner_y[..., at] - world.pose[1, at]
        to = world.person_places()[:, 0, at] - world.pose[:2, at]
        behind = np.empty(distance.size, np.bool_)
        ShadowCaster(x.shape[1], min(distance.size, 2048), np.float32).cast(
            x, y, ShadowCaster.areas(x, y), to[0], to[1], behind
        )
        looked[:, hidden | behind] = np.nan
        return looked

    def _where_person(self) -> tuple[Floats, Floats]:
        """Distance (N,) m and bearing (N,) rad, left positive, of the person to follow."""
        dx, dy = self._world.person_places()[:, 0] - self._world.pose[:2]
        bearing = np.arctan2(dy, dx) - self._world.pose[2]
        return np.hypot(dx, dy), bearing - 2 * np.pi * np.rint(bearing / (2 * np.pi))

    def _potential(self) -> NDArray[np.float32]:
        distance, bearing = self._where_person()
        return (0.1 * np.cos(bearing) - 0.3 * np.abs(distance - DISTANCE_M)).astype(np.float32)

    def _truth(self) -> Sequence[NDArray[Any]]:
        distance, bearing = self._where_person()
        counted = np.where(self._since < 0, 0, self._age - self._since)
        return (
            np.cos(bearing), np.sin(bearing), 0.25 * distance, counted / self._minute,
            self._good / np.maximum(counted, 1),
        )  # fmt: skip


class FollowTask(RobotTask):
    """`edgebot train follow`."""

    name = room_task = "follow"
    observation: ClassVar[Any] = sight_observation
    default_steps = 2_000_000
    evaluation_episodes = 200  # its rooms take a while to lay out

    def __init__(self) -> None:
        super().__init__()
        self.settings: FollowSettings = FollowSettings()

    def batch(self, rooms: Sequence[Room], n: int, *, judged: bool, in_order: bool) -> RobotBatch:
        return FollowBatch(rooms, n, self.settings, in_order=in_order, easier=self.easier(judged))
