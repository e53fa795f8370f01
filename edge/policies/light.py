"""The light policy: turn to the brighter side, drive there, stop at the lamp.

A Braitenberg vehicle (Braitenberg, "Vehicles", 1984) with two additions: it steers round what the sonar has
met, and it remembers how bright each heading was, so that in a shadow it goes where light was seen.
"""

from __future__ import annotations

import math
from collections import deque

import numpy as np

from edge.policies.memory import Fresh, finite, wrap
from edge.policies.steering import Steering
from edge.types import Observation
from robot.config import RobotConfig
from robot.types import Twist

STILL = Twist(0.0, 0.0)


class Brightness:
    """How bright each heading was when a sensor last looked there, fading with time."""

    BINS = 36

    def __init__(self, fade_s: float) -> None:
        self._fade_s = fade_s
        self._value = np.zeros(self.BINS)
        self._stamp = np.full(self.BINS, -np.inf)

    def reset(self) -> None:
        self._value[:] = 0.0
        self._stamp[:] = -np.inf

    def add(self, heading: float, value: float, stamp: float) -> None:
        """A sensor that looked at `heading` (rad) measured `value` (0..1)."""
        index = int(math.floor(heading / math.tau * self.BINS)) % self.BINS
        self._value[index] = value
        self._stamp[index] = stamp

    def best(self, now: float) -> tuple[float, float]:
        """The heading that was brightest, and its value, faded."""
        faded = self._value * np.exp(-(now - self._stamp) / self._fade_s)
        # A sensor's lobe is broad: its neighbours vote too, which also steadies against noise.
        voted = sum(np.roll(faded, shift) for shift in (-2, -1, 0, 1, 2))
        index = int(np.argmax(voted))
        return (index + 0.5) / self.BINS * math.tau, float(faded[index])


class LightPolicy:
    """Look once about, then follow the light."""

    name = "light"
    needs_camera = False

    LOOK_RADPS = 2.5
    NEAR = 0.9  # brightness of the brighter side at which the lamp is reached
    GAIN = 1.2  # rad of bearing per unit of contrast

    def __init__(self, config: RobotConfig) -> None:
        self._config = config
        self._angle = math.radians(config.light.angle_deg)
        self._steering = Steering(config)
        self._seen = Brightness(fade_s=6.0)
        self._fresh = Fresh()
        self.reset()

    @property
    def done(self) -> bool:
        """Whether the policy has arrived and stands."""
        return self._done

    def reset(self) -> None:
        self._steering.reset()
        self._seen.reset()
        self._fresh.reset()
        self._light: deque[tuple[float, float]] = deque(maxlen=3)
        self._looking = True
        self._done = False
        self._bright_for = 0

    def act(self, observation: Observation) -> Twist:
        steering, senses = self._steering, observation.senses
        steering.observe(observation)
        left, right = finite(senses.light_left), finite(senses.light_right)
        if self._fresh.new(senses.light_left) and left is not None and right is not None:
            self._light.append((left, right))
            yaw = steering.here.at(senses.light_left.stamp)[2]
            self._seen.add(yaw + self._angle, left, observation.now)
            self._seen.add(yaw - self._angle, right, observation.now)
            self._bright_for = self._bright_for + 1 if max(left, right) >= self.NEAR else 0
        if self._bright_for >= 3:
            self._done = True
        if self._done or not self._light:
            return STILL
        if self._looking:
            if steering.here.turned < math.tau:
                return Twist(0.0, self.LOOK_RADPS)
            self._looking = False
        left, right = (sum(side) / len(self._light) for side in zip(*self._light, strict=True))
        heading, value = self._seen.best(observation.now)
        contrast = (left - right) / max(left + right, 1e-6)
        bearing = self.GAIN * contrast
        if max(left, right) < 0.7 * value:
            bearing = wrap(heading - steering.here.yaw)  # it was brighter elsewhere
        return steering.towards(bearing, observation.now, self._config.drive.max_v_mps)
