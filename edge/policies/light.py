"""The light policy: turn to the brighter side, drive there, stop at the lamp.

A Braitenberg vehicle (Braitenberg, "Vehicles", 1984) with two additions: it steers round what the sonar has
met, and it remembers how bright each heading was, so that in a shadow it goes where light was seen.
"""

from __future__ import annotations

import math
from collections import deque

import numpy as np
from numpy.typing import NDArray

from edge.policies.memory import Fresh, finite, wrap
from edge.policies.steering import Steering
from edge.types import Observation
from robot.config import RobotConfig
from robot.types import Twist

Array = NDArray[np.float64]

STILL = Twist(0.0, 0.0)


def _illuminance(reading: float) -> float:
    """What falls on an LDR in a voltage divider that reads `reading` (0..1), in units of what gives one half."""
    reading = min(max(reading, 0.0), 0.99)
    return reading / (1.0 - reading)


def _bearing_table(angle: float) -> tuple[Array, Array]:
    """Contrast (left - right) / (left + right) of two sensors that look `angle` outward, by the light's bearing.

    An LDR takes about ((1 + cos) / 2)^2 of light from the side (data sheet of the GL55 series).
    """
    bearings = np.linspace(-1.9, 1.9, 77)
    left, right = ((0.5 + 0.5 * np.cos(bearings - side)) ** 2 for side in (angle, -angle))
    return (left - right) / (left + right), bearings


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
        ring = np.concatenate([faded[-2:], faded, faded[:2]])
        index = int(np.argmax(np.convolve(ring, np.ones(5), "valid")))
        return (index + 0.5) / self.BINS * math.tau, float(faded[index])


class LightPolicy:
    """Look once about, then follow the light."""

    name = "light"
    needs_camera = False
    needs_light = True

    LOOK_RADPS = 2.5
    NEAR = 0.945  # reading of the brighter side at which the lamp is reached
    BRIGHT = 0.85  # reading from which it slows down

    def __init__(self, config: RobotConfig) -> None:
        self._config = config
        self._angle = math.radians(config.light.angle_deg)
        self._contrasts, self._bearings = _bearing_table(self._angle)
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
        self._brighter = 0.0  # reading of the brighter side
        self._goal = 0.0  # heading to go, in the frame of the steering's whereabouts
        self._done = False

    def act(self, observation: Observation) -> Twist:
        steering, senses = self._steering, observation.senses
        steering.observe(observation)
        left, right = finite(senses.light_left), finite(senses.light_right)
        if self._fresh.new(senses.light_left) and left is not None and right is not None:
            self._light.append((left, right))
            yaw = steering.here.at(senses.light_left.stamp)[2]
            self._seen.add(yaw + self._angle, _illuminance(left), observation.now)
            self._seen.add(yaw - self._angle, _illuminance(right), observation.now)
            left, right = (sum(side) / len(self._light) for side in zip(*self._light, strict=True))
            self._brighter = max(left, right)
            self._goal = steering.here.yaw + self._bearing(_illuminance(left), _illuminance(right), observation.now)
            self._done = self._done or self._brighter >= self.NEAR
        if self._done or not self._light:
            return STILL
        if self._looking:
            if steering.here.turned < math.tau:
                return Twist(0.0, self.LOOK_RADPS)
            self._looking = False
        slow = min(1.0, max(0.0, (self._brighter - self.BRIGHT) / (self.NEAR - self.BRIGHT)))
        speed = self._config.drive.max_v_mps * (1.0 - 0.7 * slow)
        return steering.towards(wrap(self._goal - steering.here.yaw), observation.now, speed)

    def _bearing(self, left: float, right: float, now: float) -> float:
        """Where the light comes from: by contrast, or by memory where it was much brighter elsewhere."""
        heading, value = self._seen.best(now)
        if max(left, right) < 0.7 * value:
            return wrap(heading - self._steering.here.yaw)
        contrast = (left - right) / max(left + right, 1e-6)
        return float(np.interp(contrast, self._contrasts, self._bearings))
