"""What a reactive policy remembers: where it has been (dead reckoning), and where echoes came from.

One sonar sees neither the robot's flanks nor what it has just driven past. The remedy is a short memory:
each echo is kept as points on its arc, in a frame that the wheels' own motion carries along, and is
dropped when a later echo has looked through it or when it has grown old. (The idea is that of the
histogram grid of Borenstein and Koren, "The vector field histogram", 1991, without the grid.)
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from robot.config import RobotConfig
from robot.kinematics import twist_from_wheels
from robot.types import Reading, Senses, Wheels

Array = NDArray[np.float64]


def wrap(angle: float) -> float:
    """The same angle within -pi..pi."""
    return math.remainder(angle, math.tau)


class Whereabouts:
    """The pose (x, y, yaw; m, rad) since `reset`, by dead reckoning.

    It integrates encoder speeds where the robot has them, else what the duties should give after the
    motors' lag. Good for seconds, not for minutes: a wheel 5 % too fast turns the frame by some degrees
    a metre.
    """

    HISTORY = 64  # poses kept, so that a sample is placed where the robot was when it was taken

    def __init__(self, config: RobotConfig) -> None:
        self._drive = config.drive
        self.reset()

    def reset(self) -> None:
        self.x = self.y = self.yaw = self.v = self.omega = 0.0
        self.turned = 0.0  # rad, the sum of all turning regardless of its direction
        self.driven = 0.0  # m, the same for driving
        self._now: float | None = None
        self._past: list[tuple[float, float, float, float]] = []

    def update(self, now: float, applied: Wheels, senses: Senses) -> None:
        """Move on to `now`; `applied` is what the wheels had since the last call."""
        dt = 0.0 if self._now is None else max(0.0, now - self._now)
        self._now = now
        wanted = twist_from_wheels(self._drive, applied)
        keep = math.exp(-dt / self._drive.lag_s) if self._drive.lag_s > 0 else 0.0
        left, right = _value(senses.speed_left), _value(senses.speed_right)
        if left is not None and right is not None:
            v, omega = (left + right) / 2, (right - left) / self._drive.track_m
        else:
            v = wanted.v + (self.v - wanted.v) * keep
            omega = wanted.omega + (self.omega - wanted.omega) * keep
        step, turn = (self.v + v) / 2 * dt, (self.omega + omega) / 2 * dt
        self.x += step * math.cos(self.yaw + turn / 2)
        self.y += step * math.sin(self.yaw + turn / 2)
        self.yaw += turn
        self.turned += abs(turn)
        self.driven += abs(step)
        self.v, self.omega = v, omega
        self._past.append((now, self.x, self.y, self.yaw))
        if len(self._past) > self.HISTORY:
            del self._past[0]

    def at(self, stamp: float) -> tuple[float, float, float]:
        """The pose at an earlier time, as far back as the history goes."""
        past = self._past
        for i in range(len(past) - 1, 0, -1):
            if past[i - 1][0] <= stamp:
                (t0, *a), (t1, *b) = past[i - 1], past[i]
                share = min(1.0, (stamp - t0) / (t1 - t0)) if t1 > t0 else 1.0
                x, y, yaw = (p + (q - p) * share for p, q in zip(a, b, strict=True))
                return x, y, yaw
        return past[0][1:] if past else (self.x, self.y, self.yaw)

    def bearing_to(self, x: float, y: float) -> float:
        """Bearing (rad, left positive) of a remembered place, seen from here."""
        return wrap(math.atan2(y - self.y, x - self.x) - self.yaw)

    def distance_to(self, x: float, y: float) -> float:
        """Distance (m) of a remembered place from here."""
        return math.hypot(x - self.x, y - self.y)


class EchoMemory:
    """Points where echoes came from, in the frame of `Whereabouts`; a ring buffer."""

    SIZE = 384
    ARC = 5  # points on the arc of one echo

    def __init__(self, config: RobotConfig, keep_s: float = 20.0, reach_m: float = 1.5) -> None:
        self._sensor_x = config.range.x_m
        self._half = math.radians(config.range.half_cone_deg)
        self._fan = np.linspace(-0.8, 0.8, self.ARC) * self._half
        self._keep_s, self._reach_m = keep_s, reach_m
        self.points: Array = np.zeros((2, self.SIZE))
        self._stamps = np.full(self.SIZE, -np.inf)
        self._next = 0

    def reset(self) -> None:
        self._stamps[:] = -np.inf
        self._next = 0

    def add(self, pose: tuple[float, float, float], distance: float, stamp: float) -> None:
        """Remember the echo at `distance` (m), heard at `pose`; forget what it has looked through."""
        x, y, yaw = pose
        x, y = x + self._sensor_x * math.cos(yaw), y + self._sensor_x * math.sin(yaw)
        dx, dy = self.points[0] - x, self.points[1] - y
        along = dx * math.cos(yaw) + dy * math.sin(yaw)
        across = dy * math.cos(yaw) - dx * math.sin(yaw)
        inside = np.abs(across) < along * math.tan(self._half)
        seen_through = inside & (along * along + across * across < max(0.0, distance - 0.08) ** 2)
        self._stamps[seen_through] = -np.inf
        if distance > self._reach_m:
            return
        at = (self._next + np.arange(self.ARC)) % self.SIZE
        self._next = (self._next + self.ARC) % self.SIZE
        self.points[0, at] = x + distance * np.cos(yaw + self._fan)
        self.points[1, at] = y + distance * np.sin(yaw + self._fan)
        self._stamps[at] = stamp

    def bump(self, pose: tuple[float, float, float], bearing: float, radius: float, stamp: float) -> None:
        """Remember that the body touched something at `bearing`."""
        at = self._next
        self._next = (self._next + 1) % self.SIZE
        self.points[0, at] = pose[0] + radius * math.cos(pose[2] + bearing)
        self.points[1, at] = pose[1] + radius * math.sin(pose[2] + bearing)
        self._stamps[at] = stamp

    def forget(self, place: tuple[float, float], radius: float) -> None:
        """Forget what was heard within `radius` (m) of a place: whoever was there has moved."""
        dx, dy = self.points[0] - place[0], self.points[1] - place[1]
        self._stamps[dx * dx + dy * dy < radius * radius] = -np.inf

    def free(
        self, pose: tuple[float, float, float], directions: Array, radii: Sequence[float], now: float
    ) -> list[Array]:
        """How far (m, at most the reach) discs of `radii` can go straight on in each direction (rad, body frame)."""
        fresh = self._stamps > now - self._keep_s
        dx, dy = self.points[0, fresh] - pose[0], self.points[1, fresh] - pose[1]
        beside = dx * dx + dy * dy < (self._reach_m + max(radii)) ** 2
        if not beside.any():
            return [np.full(directions.shape, self._reach_m) for _ in radii]
        dx, dy = dx[beside], dy[beside]
        angle = directions[:, None] + pose[2]
        cos, sin = np.cos(angle), np.sin(angle)
        along = dx * cos + dy * sin
        across = dy * cos - dx * sin
        across *= across
        found = []
        for radius in radii:
            reach = radius * radius - across
            hit = np.flatnonzero((reach > 0) & (along > 0))
            # A point that is already nearer than the radius blocks only the ways that come still nearer.
            free = np.full(along.shape, self._reach_m)
            free.flat[hit] = np.maximum(along.flat[hit] - np.sqrt(reach.flat[hit]), 0.0)
            found.append(np.minimum(free.min(axis=1), self._reach_m))
        return found


class Fresh:
    """Tells a new sample of a sense from the one seen before."""

    def __init__(self) -> None:
        self._stamp = -math.inf

    def reset(self) -> None:
        self._stamp = -math.inf

    def new(self, reading: Reading) -> bool:
        """Whether `reading` was taken after the last one that was asked about."""
        if reading.stamp > self._stamp:
            self._stamp = reading.stamp
            return True
        return False


def finite(reading: Reading | None) -> float | None:
    """The value of a reading, or None where it failed or is not a number."""
    return _value(reading)


def _value(reading: Reading | None) -> float | None:
    if reading is None or reading.value is None or not math.isfinite(reading.value):
        return None
    return reading.value
