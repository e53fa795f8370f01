"""The task `approach`: go to the nearest object and come to rest 0.25 m in front of it, by one sonar.

The criterion is that of `edgebot run --policy range` (`robot.sim.verdict`): at rest with 0.25 +- 0.05 m between the
sonar and the object that was nearest at the start, along the sonar's axis, and nothing was ever touched.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from edge import thing_observation
from edge.thing_observation import ThingObserver
from robot.sim.geometry import FanCaster, rectangles
from robot.sim.room import Room
from robot.sim.verdict import GAP_M, GAP_WITHIN_M
from train.envs.batch import Flags
from train.envs.robot import TICK_S, Judged, RobotBatch, RobotSettings
from train.envs.robot_task import RobotTask
from train.envs.scanning import ScanningBatch
from train.settings import setting

REST_MPS, REST_S = 0.02, 0.5
"""A robot whose wheels are slower for so long has come to rest."""


@dataclass(frozen=True)
class ApproachSettings(RobotSettings):
    """The task's settings."""

    level: str = setting("easy", "rooms: easy or hard", among=("easy", "hard"))
    period_s: float = setting(0.1, "seconds from one decision to the next", low=TICK_S, high=2.0)
    limit_s: float = setting(45.0, "seconds after which an episode is cut", low=1.0)
    goal_reward: float = setting(5.0, "reward for success", low=0.0)
    step_cost: float = setting(0.003, "what each decision costs", low=0.0)
    found_reward: float = setting(2.0, "reward for having listened all round, until the thing is known", low=0.0)
    touch_cost: float = setting(2.0, "what touching something costs, which ends the episode", low=0.0)


class ApproachBatch(ScanningBatch):
    """N robots that look for the object nearest to them. Arguments as `RobotBatch` has them."""

    TRUTH = 6
    TWISTS = (
        (0.3, 0.0), (0.12, 0.0), (0.05, 0.0), (-0.06, 0.0), (0.0, 1.309), (0.0, -1.309), (0.0, 0.6545), (0.0, -0.6545),
        (0.2, 0.5), (0.2, -0.5), (0.0, 0.0),
    )  # fmt: skip
    """Turning by a sector of the observation, or by half of one, at each decision."""
    observation_size = thing_observation.SIZE

    def __init__(self, rooms: Sequence[Room], n: int, settings: Any, **more: Any) -> None:
        super().__init__(rooms, n, settings, **more)
        self._corner_x, self._corner_y = np.zeros((2, 5, 1, n), np.float32)
        self._box = np.zeros((6, n), np.float32)  # centre, first side's direction, half sizes
        self._ray = FanCaster(1, n, np.float32)
        self._still, self._worth = np.zeros(n, np.int64), np.zeros(n, np.float32)
        self._rest = round(REST_S / settings.period_s + 0.49)

    def _make_observer(self, n: int) -> ThingObserver:
        return ThingObserver(n, self.settings.period_s)

    def _begin(self, at: NDArray[np.intp]) -> None:
        rooms = [self._world.rooms[int(i)] for i in at]
        corners = np.array([room.obstacles[room.nearest_object] for room in rooms])  # (M, 4, 2)
        ring = np.concatenate((corners, corners[:, :1]), axis=1)
        self._corner_x[:, 0, at], self._corner_y[:, 0, at] = ring[..., 0].T, ring[..., 1].T
        boxes = rectangles(corners)
        self._box[:, at] = np.concatenate((boxes.centre, boxes.axis, boxes.half), axis=1).T
        self._still[at] = 0
        self._look_at_target()
        self._worth[at] = self._potential()[at]

    def _judge(self, touched: Flags, late: Flags) -> Judged:
        world = self._world
        before = self._worth
        self._look_at_target()
        rests = np.abs(world.wheel_speed).max(0) <= REST_MPS
        self._still = np.where(rests, self._still + 1, 0)
        self._worth = self._potential()
        untouched = world.contact_speed == 0.0
        success = self._right & untouched & (self._still >= self._rest)
        lost = ~untouched
        gained = self._worth - before - np.float32(self.settings.touch_cost) * lost
        return Judged(gained, success | lost, success)

    def _look_at_target(self) -> None:
        """Where the target is: its surface's distance from the middle, its bearing, and the gap along the axis."""
        x, y, yaw = self._world.pose
        cos, sin = np.cos(yaw), np.sin(yaw)
        cx, cy, ux, uy, long, wide = self._box
        dx, dy = x - cx, y - cy
        along, off = np.abs(dx * ux + dy * uy) - long, np.abs(dy * ux - dx * uy) - wide
        self._distance = np.hypot(np.maximum(along, 0.0), np.maximum(off, 0.0))
        self._cos, self._sin = cos * -dx + sin * -dy, cos * -dy - sin * -dx
        away = np.maximum(np.hypot(dx, dy), 1e-6)
        self._cos, self._sin = self._cos / away, self._sin / away
        inverse = np.empty((1, self.n), np.float32)
        sonar = self._world.pose[:2] + np.float32(self.config.range.x_m) * np.stack((cos, sin))
        self._ray.cast(self._corner_x, self._corner_y, sonar, cos, sin, (0.0,), inverse)
        self._gap = 1.0 / np.maximum(inverse[0], np.float32(1e-3))
        ahead = np.abs(self._gap - self._world.gap_ahead()) < 0.01  # and nothing else stands in between
        self._right = (np.abs(self._gap - GAP_M) <= GAP_WITHIN_M) & ahead

    def _potential(self) -> NDArray[np.float32]:
        """What being here is worth: to know the thing, to face it at the right distance, and to rest there."""
        assert isinstance(self._observer, ThingObserver)
        off = np.abs(self._distance - np.float32(GAP_M + self.config.range.x_m))
        # While the thing is not known to face it is chance: it must not draw the robot out of its turn.
        aside = np.where(self._observer.known, np.abs(np.arctan2(self._sin, self._cos)), np.float32(np.pi))
        rest = np.minimum(self._still / self._rest, 1.0)
        worth = self.settings.found_reward * self._observer.found - 0.3 * aside - off + self._right * (0.5 + 0.5 * rest)
        return worth.astype(np.float32)

    def _truth(self) -> Sequence[NDArray[Any]]:
        hit = self._gap < 10.0
        return (
            self._cos, self._sin, 0.25 * self._distance, hit, np.where(hit, np.minimum(self._gap, 1.0), 1.0),
            np.minimum(self._still / self._rest, 1.0),
        )  # fmt: skip


class ApproachTask(RobotTask):
    """`edgebot train approach`."""

    name, room_task = "approach", "range"
    observation: ClassVar[Any] = thing_observation
    default_steps = 8_000_000

    def __init__(self) -> None:
        super().__init__()
        self.settings: ApproachSettings = ApproachSettings()

    def batch(self, rooms: Sequence[Room], n: int, *, judged: bool, in_order: bool) -> RobotBatch:
        return ApproachBatch(rooms, n, self.settings, in_order=in_order, easier=self.easier(judged))
