"""What a light-seeking policy sees: one function for one robot and for N, in simulation and on the robot.

Two light sensors and one sonar see little of a room at a time, so the observation carries memory: running
averages of the brightness, and two vectors in the robot's frame (where it was bright, where it was free)
that leak away and are turned back by each rotation that was commanded. Only element-wise operations on
float32 rows are used, no matrix product, so a robot's observation is the same bits alone or among thousands.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]

NAME = "light"
VERSION = 1
"""Raised with every change of meaning below: a policy is refused by an observation it was not trained on."""

SONAR_FIELDS = (
    "range_near",  # 0 at the sonar .. 1 at NEAR_M and beyond; 0 where the echo is missing, as an obstacle
    "range_far",  # the same for FAR_M
    "range_valid",  # 1, or 0 where the echo is missing
    "last_v",  # the command of the last decision, as a share of V_MPS and OMEGA_RADPS
    "last_omega",
)
"""What every observation tells of the sonar and of what was commanded; `tell_sonar` writes it."""
FIELDS = (
    "light_left",  # log scale, 0 at DARK and below, 1 at full light
    "light_right",
    "contrast",  # (left - right) / (left + right), linear
    *SONAR_FIELDS,
    "trend_1s",  # brightness now minus its average over about 1 s, and 7 s, times GAIN
    "trend_7s",
    "bright_x",  # leaky vector towards the light: forward, left, times GAIN
    "bright_y",
    "free_x",  # leaky vector towards free space: forward, left
    "free_y",
)
SIZE = len(FIELDS)

DARK = 5e-3
NEAR_M, FAR_M = 0.6, 3.0
V_MPS, OMEGA_RADPS = 0.4, 2.0
AVERAGES_S = (1.0, 7.0)
LEAK_S = 4.0
GAIN = 4.0

_PER_METRE = np.array([[1.0 / NEAR_M], [1.0 / FAR_M]], np.float32)
_PER_COMMAND = np.array([[1.0 / V_MPS], [1.0 / OMEGA_RADPS]], np.float32)


def tell_sonar(rows: Floats, range_m: Floats, command: Floats) -> tuple[NDArray[np.bool_], Floats]:
    """Write `SONAR_FIELDS` to `rows` (5, n).

    Args:
        rows: of an observation.
        range_m, command: as `LightObserver.observe` has them.

    Returns:
        (n,) where there was an echo; (n,) its range in metres, 0 where there was none.
    """
    valid = np.isfinite(range_m)
    clean = np.where(valid, range_m, np.float32(0.0))
    np.multiply(clean, _PER_METRE, out=rows[:2])
    np.minimum(rows[:2], 1.0, out=rows[:2])
    rows[2] = valid
    np.multiply(command, _PER_COMMAND, out=rows[3:])
    return valid, clean


class LightObserver:
    """Builds observations, one a decision, for `n` robots; remembers what it needs between them.

    Args:
        n: robots.
        period_s: seconds from one decision to the next; the averages and leaks follow it.
    """

    def __init__(self, n: int, period_s: float) -> None:
        if not period_s > 0:
            raise ValueError(f"period_s is {period_s!r}; it must be greater than 0")
        self.n, self.period_s = n, period_s
        self._rate = np.array([[1.0 - math.exp(-period_s / tau)] for tau in AVERAGES_S], np.float32)
        self._leak = math.exp(-period_s / LEAK_S)
        self._fill = 1.0 - self._leak
        self._out = np.zeros((SIZE, n), np.float32)
        self._average = np.zeros((2, n), np.float32)
        self._vectors = np.zeros((2, 2, n), np.float32)  # x, y of each: bright, free
        self._count = np.ones(n, np.float32)  # the decision that comes next, from 1

    def reset(self, where: NDArray[Any] | slice = slice(None)) -> None:
        """Forget the past of all robots, or of those that a mask or index names."""
        self._average[:, where] = 0.0
        self._vectors[..., where] = 0.0
        self._count[where] = 1.0

    def observe(self, light: Floats, range_m: Floats, command: Floats) -> Floats:
        """The observation of this moment.

        Args:
            light: (2, n) left and right, 0..1, finite.
            range_m: (n,) metres; NaN or infinite where the echo is missing.
            command: (2, n) the v (m/s) and omega (rad/s) commanded since the last observation; zeros at first.

        Returns:
            (SIZE, n) float32 within -1..1, rows as in `FIELDS`; the same array at each call.
        """
        out = self._out
        np.multiply(np.log(np.maximum(light, DARK)), -1.0 / math.log(DARK), out=out[:2])
        out[:2] += 1.0
        left, right = out[0], out[1]
        np.divide(light[0] - light[1], light[0] + light[1] + DARK, out=out[2])
        tell_sonar(out[3:8], range_m, command)

        # The first readings are averaged evenly, else they would be compared with a dark that never was.
        level = 0.5 * (left + right)
        self._average += np.maximum(self._rate, 1.0 / self._count) * (level - self._average)
        self._count += 1.0
        np.multiply(level - self._average, GAIN, out=out[8:10])

        # What lay ahead lies to the right after a turn to the left.
        angle = command[1] * self.period_s
        cos, sin = np.cos(angle) * self._leak, np.sin(angle) * self._leak
        x, y = self._vectors
        turned = x * cos + y * sin
        self._vectors[1] = y * cos - x * sin
        turned[0] += (level - self._average[1]) * self._fill
        turned[1] += out[4] * self._fill
        self._vectors[0] = turned
        self._vectors[1, 0] += (left - right) * self._fill
        np.multiply(self._vectors[:, 0], GAIN, out=out[10:12])
        out[12:14] = self._vectors[:, 1]
        return np.clip(out, -1.0, 1.0, out=out)

    def observe_some(self, where: NDArray[np.intp], light: Floats, range_m: Floats) -> Floats:
        """The first observation after a reset, (SIZE, M), of the robots at `where` (M,); the others are left be."""
        few = LightObserver(len(where), self.period_s)
        seen = few.observe(light, range_m, np.zeros((2, len(where)), np.float32))
        for mine, theirs in zip(self.memory(), few.memory(), strict=True):
            mine[..., where] = theirs
        return seen

    def memory(self) -> tuple[Floats, ...]:
        """All that is remembered from one observation to the next, robots last; may be written to."""
        return self._average, self._vectors, self._count
