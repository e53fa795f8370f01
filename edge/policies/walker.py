"""Where somebody who walks is believed to be, and how fast they go: an extended Kalman filter on the floor.

State: x, y (m) and their rates (m/s) in the frame of dead reckoning; the rates drift like white noise in acceleration.
What is measured is a distance or a bearing, one number at a time, from where the robot was when it measured.
"""

from __future__ import annotations

import math

import numpy as np

from edge.policies.memory import wrap

Pose = tuple[float, float, float]

ACCELERATION = 0.3  # m/s^2, standard deviation of what a walker does unforeseen, over a second
FASTEST_MPS = 1.0  # nobody whom a robot can follow, and nobody who passes indoors
HALF_LIFE_S = 0.5  # while their distance is not measured, by so much time half of the speed is believed to be gone


class Walker:
    """One person. Begins at rest `distance` m from `pose` at `bearing`."""

    def __init__(self, pose: Pose, distance: float, spread: float, bearing: float, now: float) -> None:
        angle = pose[2] + bearing
        self.state = np.array([pose[0] + distance * math.cos(angle), pose[1] + distance * math.sin(angle), 0.0, 0.0])
        self.covariance = np.diag([spread**2 + 0.01, spread**2 + 0.01, 0.09, 0.09])
        self.now = now
        self.seen_at = self.ranged_at = now  # in any way, and so that their distance was measured

    def predict(self, now: float) -> None:
        """Let them walk on until `now`."""
        dt = now - self.now
        if dt <= 0:
            return
        self.now = now
        step = np.eye(4)
        step[0, 2] = step[1, 3] = dt
        if now - self.ranged_at > 0.5:  # a bearing alone does not tell how fast they come or go
            step[2, 2] = step[3, 3] = 0.5 ** (dt / HALF_LIFE_S)
        self.state = step @ self.state
        noise = ACCELERATION**2 * dt
        q = np.zeros((4, 4))
        q[[0, 1], [0, 1]] = noise * dt * dt / 3
        q[[0, 1, 2, 3], [2, 3, 0, 1]] = noise * dt / 2
        q[[2, 3], [2, 3]] = noise
        self.covariance = step @ self.covariance @ step.T + q

    def seen_from(self, pose: Pose, ago: float = 0.0) -> tuple[float, float]:
        """Distance (m) and bearing (rad) from a pose, `ago` seconds before now; negative for what is to come."""
        dx, dy = self.state[:2] - ago * self.state[2:] - pose[:2]
        return float(math.hypot(dx, dy)), wrap(math.atan2(dy, dx) - pose[2])

    def leaving(self, pose: Pose) -> float:
        """How fast they go away from a pose, m/s."""
        _, bearing = self.seen_from(pose)
        angle = pose[2] + bearing
        return float(self.state[2] * math.cos(angle) + self.state[3] * math.sin(angle))

    def spread(self, pose: Pose) -> float:
        """Standard deviation of their distance from a pose, m."""
        return self._spread(self._line(pose, 0.0)[0])

    def bearing_spread(self, pose: Pose) -> float:
        """Standard deviation of their bearing from a pose, rad."""
        return self._spread(self._across(pose, 0.0))

    def see_distance(self, pose: Pose, distance: float, spread: float, ago: float = 0.0) -> None:
        """Take in a distance (m) measured from `pose` `ago` seconds before now, with its standard deviation."""
        line, known = self._line(pose, ago)
        self._take(line, distance - known, spread)
        self.ranged_at = self.now

    def bound_distance(self, pose: Pose, least: float, most: float, spread: float, ago: float = 0.0) -> None:
        """Take in that the distance lies between two bounds (m), with the standard deviation of these."""
        line, known = self._line(pose, ago)
        if not least <= known <= most:
            self._take(line, min(max(known, least), most) - known, spread)

    def see_bearing(self, pose: Pose, bearing: float, spread: float, ago: float = 0.0) -> None:
        """Take in a bearing (rad), likewise."""
        self._take(self._across(pose, ago), wrap(bearing - self.seen_from(pose, ago)[1]), spread)

    def _line(self, pose: Pose, ago: float) -> tuple[np.ndarray, float]:
        """How a distance from `pose` changes with the state, and the distance."""
        offset = self.state[:2] - ago * self.state[2:] - pose[:2]
        distance = float(math.hypot(*offset))
        unit = offset / max(distance, 1e-6)
        return np.concatenate((unit, -ago * unit)), distance

    def _across(self, pose: Pose, ago: float) -> np.ndarray:
        """How a bearing from `pose` changes with the state."""
        along, distance = self._line(pose, ago)
        return np.array([-along[1], along[0], -along[3], along[2]]) / max(distance, 0.2)

    def _spread(self, row: np.ndarray) -> float:
        return math.sqrt(max(0.0, float(row @ self.covariance @ row)))

    def _take(self, row: np.ndarray, wrong: float, spread: float) -> None:
        gain = self.covariance @ row
        gain /= float(row @ gain) + spread**2
        self.state = self.state + gain * wrong
        self.covariance = self.covariance - np.outer(gain, row @ self.covariance)
        self.covariance = (self.covariance + self.covariance.T) / 2
        speed = float(math.hypot(self.state[2], self.state[3]))
        if speed > FASTEST_MPS:
            self.state[2:] *= FASTEST_MPS / speed
