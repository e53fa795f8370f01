"""Robots that find their way by the sonar alone: what `approach` and `wander` share."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from train.envs.batch import Floats
from train.envs.robot import RobotBatch


class ScanningBatch(RobotBatch):
    """N robots whose observer takes the range and nothing else."""

    def _look(self, at: NDArray[np.intp] | slice) -> Floats:
        return np.zeros((0, len(range(*at.indices(self.n))) if isinstance(at, slice) else len(at)), np.float32)
