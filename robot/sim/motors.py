"""Motors with dead band, gain, lag and saturation, and the arc that two wheels drive, over N robots."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from robot.config import Drive
from robot.sim.keyed import Keyed, Stream

Floats = NDArray[np.floating]

MISMATCH = 0.02
"""Standard deviation of a wheel's gain that calibration did not find."""


@dataclass
class Motors:
    """What each robot's motors are like; arrays may be written to, to vary them from robot to robot.

    `gain`, `dead_band` (2, N), left and right; `lag_s` (N,).
    """

    top_speed_mps: float
    braking_mps2: float
    gain: Floats
    dead_band: Floats
    lag_s: Floats

    @classmethod
    def of(cls, drive: Drive, n: int, dtype: type[np.floating]) -> Motors:
        """N motors as the configuration says."""
        gain = np.empty((2, n), dtype)
        gain[0], gain[1] = drive.gain_left, drive.gain_right
        return cls(
            drive.top_speed_mps,
            drive.braking_mps2,
            gain,
            np.full((2, n), drive.dead_band_duty, dtype),
            np.full(n, drive.lag_s, dtype),
        )

    def vary(self, drive: Drive, keyed: Keyed, tick: int, where: NDArray[np.intp]) -> None:
        """Give the robots at `where` a mismatch of their own."""
        base = np.array([[drive.gain_left], [drive.gain_right]], self.gain.dtype)
        self.gain[:, where] = base * (1 + MISMATCH * keyed.normals(tick, Stream.MOTOR_GAIN, where))

    def target(self, duty: Floats) -> Floats:
        """(2, N) rim speed that each wheel settles at, m/s: a straight line from the dead band's edge to full duty."""
        size = np.maximum(np.abs(duty) - self.dead_band, 0)
        size /= 1 - self.dead_band
        size *= self.gain
        size *= self.top_speed_mps
        return np.copysign(size, duty)

    def decay(self, dt: float) -> Floats:
        """(N,) share of the way to its target that a wheel goes in `dt`."""
        return 1 - np.exp(-dt / np.maximum(self.lag_s, 1e-6))

    def step(self, speed: Floats, target: Floats, decay: Floats, dt: float) -> None:
        """Advance rim speeds (2, N) by `dt`, in place.

        A first-order lag; a wheel slows down no faster than the body's measured braking.
        """
        change = target - speed
        change *= decay
        limit = self.braking_mps2 * dt
        held = np.clip(change, -limit, limit)
        np.copyto(change, held, where=change * speed < 0)
        speed += change


def drive_arc(pose: Floats, before: Floats, after: Floats, track_m: float, dt: float) -> Floats:
    """The pose (3, N) after `dt` of rim speeds that went from `before` to `after` (2, N): an exact circular arc.

    Siegwart, Nourbakhsh and Scaramuzza, "Introduction to Autonomous Mobile Robots" (2011), 5.2.4, with the chord in
    place of the arc's length. Yaw stays within -pi..pi, where float32 is finest.
    """
    mean = before + after
    way = (mean[0] + mean[1]) * (0.25 * dt)
    half_turn = (mean[1] - mean[0]) * (0.25 * dt / track_m)
    safe = np.where(np.abs(half_turn) < 1e-5, half_turn.dtype.type(1e-5), half_turn)
    way *= np.sin(safe) / safe
    course = pose[2] + half_turn
    moved = np.empty_like(pose)
    moved[0] = pose[0] + way * np.cos(course)
    moved[1] = pose[1] + way * np.sin(course)
    yaw = course + half_turn
    moved[2] = yaw - float(2 * np.pi) * np.rint(yaw * float(0.5 / np.pi))
    return moved
