"""What a policy must beat: driving straight on, and driving at random."""

from __future__ import annotations

import math

import numpy as np

from edge.types import Observation
from robot.config import RobotConfig
from robot.types import Twist


class StraightPolicy:
    """Straight on, for ever; where the guard refuses, it stands."""

    name = "straight"
    needs_camera = False
    done = False

    def __init__(self, config: RobotConfig) -> None:
        self._go = Twist(0.5 * config.drive.max_v_mps, 0.0)

    def act(self, observation: Observation) -> Twist:
        return self._go

    def reset(self) -> None:
        """Nothing to forget."""


class RandomPolicy:
    """A random twist, held for a random time of 0.5 to 2 s; the same seed gives the same walk."""

    name = "random"
    needs_camera = False
    done = False

    def __init__(self, config: RobotConfig, seed: int = 0) -> None:
        self._drive = config.drive
        self._seed = seed
        self._until = -math.inf
        self.reset()

    def act(self, observation: Observation) -> Twist:
        if observation.now >= self._until:
            v, omega, hold = self._rng.random(3)
            self._twist = Twist(self._drive.max_v_mps * (1.5 * v - 0.5), 2.0 * (2.0 * omega - 1.0))
            self._until = observation.now + 0.5 + 1.5 * hold
        return self._twist

    def reset(self) -> None:
        self._rng = np.random.default_rng(self._seed)
        self._until = -math.inf
        self._twist = Twist(0.0, 0.0)
