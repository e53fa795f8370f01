"""What a policy sees that follows one person: bearing and apparent size, remembered while out of sight, and range.

Only element-wise operations, as in `edge.observation`: one robot and N see the same bits.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge.observation import SONAR_FIELDS, tell_sonar

Floats = NDArray[np.float32]

NAME = "sight"
VERSION = 1
"""Raised with every change of meaning below."""

FIELDS = (
    "seen",  # 1, or 0 where the person is not seen now
    "cos_bearing",  # of the person as seen, or as last seen and turned by what was commanded since; 0 before the first
    "sin_bearing",
    "size",  # apparent: height over distance, a share of SIZE_MAX; the last one seen
    "growth",  # what it gained since the decision before, times GAIN; 0 unless seen at both
    "since",  # 1 while seen, leaking away with SINCE_S when not
    *SONAR_FIELDS,
)
SIZE = len(FIELDS)
SIZE_MAX, GAIN, SINCE_S = 3.0, 5.0, 2.0


class SightObserver:
    """Builds observations, one a decision, for `n` robots. Arguments as `edge.observation.LightObserver` has them."""

    def __init__(self, n: int, period_s: float) -> None:
        if not period_s > 0:
            raise ValueError(f"period_s is {period_s!r}; it must be greater than 0")
        self.n, self.period_s = n, period_s
        self._leak = np.float32(math.exp(-period_s / SINCE_S))
        self._out = np.zeros((SIZE, n), np.float32)
        self._memory = np.zeros((4, n), np.float32)  # cos, sin, size, since
        self._before: NDArray[np.bool_] = np.zeros(n, np.bool_)

    def reset(self, where: NDArray[Any] | slice = slice(None)) -> None:
        """Forget the past of all robots, or of those that a mask or index names."""
        self._memory[:, where] = 0.0
        self._before[where] = False

    def observe(self, looked: Floats, range_m: Floats, command: Floats) -> Floats:
        """The observation of this moment.

        Args:
            looked: (2, n) bearing (rad, left positive) and apparent size (height over distance); NaN where not seen.
            range_m: (n,) metres; NaN or infinite where the echo is missing.
            command: (2, n) the v (m/s) and omega (rad/s) commanded since the last observation; zeros at first.

        Returns:
            (SIZE, n) float32 within -1..1, rows as in `FIELDS`; the same array at each call.
        """
        out, memory = self._out, self._memory
        seen = np.isfinite(looked[0])
        bearing, size = np.where(seen, looked, np.float32(0.0)) * np.array([[1.0], [1.0 / SIZE_MAX]], np.float32)
        turn = command[1] * np.float32(self.period_s)
        cos, sin = np.cos(turn), np.sin(turn)
        kept_cos, kept_sin = memory[0] * cos + memory[1] * sin, memory[1] * cos - memory[0] * sin
        out[0] = seen
        out[4] = np.where(seen & self._before, (size - memory[2]) * np.float32(GAIN), np.float32(0.0))
        memory[0], memory[1] = np.where(seen, np.cos(bearing), kept_cos), np.where(seen, np.sin(bearing), kept_sin)
        np.copyto(memory[2], size, where=seen)
        memory[3] = np.where(seen, np.float32(1.0), memory[3] * self._leak)
        self._before = seen
        out[1:4], out[5] = memory[:3], memory[3]
        tell_sonar(out[6:], range_m, command)
        return np.clip(out, -1.0, 1.0, out=out)

    def observe_some(self, where: NDArray[np.intp], looked: Floats, range_m: Floats) -> Floats:
        """The first observation after a reset, (SIZE, M), of the robots at `where` (M,); the others are left be."""
        few = SightObserver(len(where), self.period_s)
        seen = few.observe(looked, range_m, np.zeros((2, len(where)), np.float32))
        self._memory[:, where], self._before[where] = few._memory, few._before
        return seen
