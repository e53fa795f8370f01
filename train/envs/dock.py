"""The task `dock`: the lamp stands in another room, behind a door, and nothing but reaching it earns anything."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from robot.sim.dock_rooms import WALLS
from train.envs.batch import Flags
from train.envs.light import LightBatch, LightSettings, LightTask
from train.envs.robot import Judged
from train.settings import setting


@dataclass(frozen=True)
class DockSettings(LightSettings):
    """The task's settings: a sparse reward."""

    level: str = setting("easy", "rooms: easy, hard, or far: three in a row", among=tuple(WALLS))
    goal_reward: float = setting(1.0, "reward for reaching the lamp", low=0.0)
    step_cost: float = setting(0.0, "what each decision costs", low=0.0)
    contact_cost: float = setting(0.0, "what touching something costs, per decision", low=0.0)


class DockBatch(LightBatch):
    """N robots that look for the lamp next door. Arguments as `LightBatch` has them."""

    def _judge(self, touched: Flags, late: Flags) -> Judged:
        judged = super()._judge(touched, late)
        return judged._replace(gained=np.zeros_like(judged.gained))


class DockTask(LightTask):
    """`edgebot train dock`."""

    name = room_task = "dock"
    default_steps = 2_000_000
    of = DockBatch

    def __init__(self) -> None:
        super().__init__()
        self.settings = DockSettings()
