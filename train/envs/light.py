"""The task `light`: find the lamp in a room full of obstacles, with two light sensors and one sonar."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from robot.config import RobotConfig, load
from robot.sim.maps import CELL_M
from robot.sim.room import Room
from robot.sim.world import World
from train.envs.batch import Flags, Floats
from train.envs.foresight import Foreseeable
from train.envs.robot import Judged, RobotBatch, RobotSettings
from train.envs.robot_task import RobotTask
from train.settings import setting

TWISTS = ((0.4, 0.0), (0.3, 1.5), (0.3, -1.5), (0.0, 2.0), (0.0, -2.0))
"""Ahead, two arcs, and turning on the spot to either side."""
GOAL_M = 0.5
"""An evaluated episode succeeds within this distance of the lamp."""
CLEAR_M = 0.2
"""How clear of everything a curriculum places a robot."""
DONE_M = 0.45
"""A robot that drives by itself stops where the light says that it is as near as this."""


@dataclass(frozen=True)
class LightSettings(RobotSettings):
    """The task's settings."""

    goal_m: float = setting(
        0.35, "distance to the lamp at which training ends an episode; nearer than 0.5", low=0.1, high=GOAL_M
    )


class LightBatch(Foreseeable, RobotBatch):
    """N robots that look for their lamps. Arguments as `RobotBatch` has them.

    Args:
        goal_m: within this distance of the lamp an episode ends in success.
    """

    TRUTH, TWISTS = 5, TWISTS

    def __init__(
        self,
        rooms: Sequence[Room],
        n: int,
        settings: Any,
        *,
        goal_m: float,
        config: RobotConfig | None = None,
        in_order: bool = False,
        easier: Sequence[Room] | None = None,
    ) -> None:
        self._goal_m = goal_m
        self._way = np.zeros(n, np.float32)
        super().__init__(rooms, n, settings, config=config, in_order=in_order, easier=easier)

    def like(self, n: int) -> LightBatch:
        kind = type(self)
        return kind(self._rooms, n, self.settings, goal_m=self._goal_m, config=self.config, easier=self._easier)

    def _start(self, at: NDArray[np.intp]) -> None:
        """Under a curriculum nearer to the lamp, at any heading (Florensa et al. 2017, arXiv:1707.05300)."""
        world = self._world
        if self._easier is None or self.share >= 1.0:
            return
        for i in at.tolist():
            maps = world.rooms[i].maps
            least = self._goal_m + 0.3
            most = least + 0.3 + 8.0 * self.share
            fit = np.argwhere((maps.geodesic >= least) & (maps.geodesic <= most) & (maps.clearance >= CLEAR_M))
            if len(fit):
                row, column = fit[int(self._rng.integers(len(fit)))]
                world.pose[:, i] = CELL_M * column, CELL_M * row, self._rng.uniform(-np.pi, np.pi)

    def _begin(self, at: NDArray[np.intp]) -> None:
        self._way[at] = self._geodesic()[at]

    def _parts(self) -> list[NDArray[Any]]:
        return [*super()._parts(), self._way]

    def _judge(self, touched: Flags, late: Flags) -> Judged:
        before, self._way = self._way, self._geodesic()
        near = self._world.lamp_distance() <= self._goal_m
        return Judged(before - self._way, near, near)

    def _geodesic(self) -> Floats:
        return self._world.geodesic_distance().astype(np.float32)

    def _truth(self) -> Sequence[NDArray[Any]]:
        world = self._world
        bearing = world.lamp_bearing()
        return np.cos(bearing), np.sin(bearing), 0.25 * world.lamp_distance(), 0.25 * self._way, world.contact


class LightTask(RobotTask):
    """`edgebot train light`."""

    name = room_task = "light"
    default_steps = 1_200_000
    of = LightBatch

    def __init__(self) -> None:
        super().__init__()
        self.settings: LightSettings = LightSettings()

    def batch(self, rooms: Sequence[Room], n: int, *, judged: bool, in_order: bool) -> RobotBatch:
        goal_m = GOAL_M if judged else self.settings.goal_m
        easier = self.easier(judged)
        return self.of(rooms, n, self.settings, goal_m=goal_m, in_order=in_order, easier=easier)

    def observed(self) -> dict[str, Any]:
        return super().observed() | {"done_light": self._light_at(DONE_M)}

    def _light_at(self, distance: float) -> float:
        """What the brighter sensor reads at most, in 99 of 100 cases, `distance` m from a lamp that it sees."""
        rooms = [room for room in self.rooms()[:60] for _ in range(12)]
        world = World(load(), rooms, noise=False)
        rng = np.random.default_rng(0)
        from_lamp, off = rng.uniform(-np.pi, np.pi, len(rooms)), rng.uniform(-0.6, 0.6, len(rooms))
        lamps = np.array([room.lamp for room in rooms]).T
        away = distance * np.stack((np.cos(from_lamp), np.sin(from_lamp)))
        world.pose[:2], world.pose[2] = lamps + away, from_lamp + np.pi + off
        return round(float(np.quantile(world.sense_light().max(0), 0.99)), 4)
