"""Robots that find their way by the sonar alone: what `approach` and `wander` share."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from edge import scan_observation
from edge.scan_observation import ScanObserver
from train.envs.batch import Floats
from train.envs.robot import RobotBatch
from train.envs.robot_task import RobotTask


class ScanningBatch(RobotBatch):
    """N robots whose observation is `edge.scan_observation`."""

    observation_size = scan_observation.SIZE

    def _make_observer(self, n: int) -> ScanObserver:
        return ScanObserver(n, self.settings.period_s)

    def _look(self, at: NDArray[np.intp] | slice) -> Floats:
        return np.zeros((0, len(range(*at.indices(self.n))) if isinstance(at, slice) else len(at)), np.float32)


class ScanningTask(RobotTask):
    """A task of such robots."""

    observation: ClassVar[Any] = scan_observation
