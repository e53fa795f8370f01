"""The task `wander`: cover ground and touch nothing, by one sonar.

Ground is told in squares of `SQUARE_M`; an episode succeeds where at least `SQUARES` of them were entered by the end of
its time and nothing was hit faster than `robot.sim.verdict.TOUCH_MPS`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from edge import scan_observation
from edge.scan_observation import ScanObserver
from robot.sim.room import Room
from robot.sim.verdict import TOUCH_MPS
from train.envs.batch import Flags
from train.envs.robot import Judged, RobotBatch, RobotSettings
from train.envs.robot_task import RobotTask
from train.envs.scanning import ScanningBatch
from train.settings import setting

SQUARE_M = 0.5
SQUARES = 16
_SIDE = 16  # squares along each side of the memory: rooms are shorter than 8 m


@dataclass(frozen=True)
class WanderSettings(RobotSettings):
    """The task's settings."""

    level: str = setting("easy", "rooms: easy or hard", among=("easy", "hard"))
    square_reward: float = setting(0.1, "reward for each square that is entered for the first time", low=0.0)
    touch_cost: float = setting(2.0, "what hitting something costs, which ends the episode", low=0.0)
    step_cost: float = setting(0.0, "what each decision costs", low=0.0)
    goal_reward: float = setting(1.0, "reward for success", low=0.0)


class WanderBatch(ScanningBatch):
    """N robots that wander about. Arguments as `RobotBatch` has them."""

    TRUTH = 2
    observation_size = scan_observation.SIZE
    TWISTS = ((0.3, 0.0), (0.15, 0.0), (0.2, 1.2), (0.2, -1.2), (0.0, 1.5), (0.0, -1.5))

    def __init__(self, rooms: Sequence[Room], n: int, settings: Any, **more: Any) -> None:
        super().__init__(rooms, n, settings, **more)
        self._entered = np.zeros((n, _SIDE * _SIDE), np.bool_)

    def _make_observer(self, n: int) -> ScanObserver:
        return ScanObserver(n, self.settings.period_s)

    def _begin(self, at: NDArray[np.intp]) -> None:
        self._entered[at] = False
        self._entered[at, self._square()[at]] = True

    def _judge(self, touched: Flags, late: Flags) -> Judged:
        here, everyone = self._square(), np.arange(self.n)
        new = ~self._entered[everyone, here]
        self._entered[everyone, here] = True
        hit = self._world.contact_speed > TOUCH_MPS
        success = late & ~hit & (self._entered.sum(1) >= SQUARES)
        gained = np.float32(self.settings.square_reward) * new - np.float32(self.settings.touch_cost) * hit
        return Judged(gained.astype(np.float32), hit, success)

    def _square(self) -> NDArray[np.intp]:
        column, row = np.clip(self._world.pose[:2] / SQUARE_M, 0, _SIDE - 1).astype(np.intp)
        return row * _SIDE + column

    def _truth(self) -> Sequence[NDArray[Any]]:
        return self._entered.sum(1) / SQUARES, self._age / self._limit


class WanderTask(RobotTask):
    """`edgebot train wander`."""

    name, room_task = "wander", "light"
    observation: ClassVar[Any] = scan_observation
    default_steps = 3_000_000

    def __init__(self) -> None:
        super().__init__()
        self.settings: WanderSettings = WanderSettings()

    def batch(self, rooms: Sequence[Room], n: int, *, judged: bool, in_order: bool) -> RobotBatch:
        return WanderBatch(rooms, n, self.settings, in_order=in_order, easier=self.easier(judged))
