"""How far a robot went since its last decision, by what was commanded: for observations that carry a memory along.

Only element-wise operations, as in `edge.observation`: one robot and N see the same bits.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]

LAG_S = 0.06
"""By which wheels follow a command."""
STOP_M = 0.12
"""The guard lets no robot drive nearer to what its sonar hears; where nothing is heard, it stands."""
SONAR_M, HALF_CONE = 0.08, 0.26
"""From the robot's middle to its sonar; half of the angle that it hears, rad."""


def carried(x: Floats, y: Floats, way: Floats, turn: Floats) -> tuple[Floats, Floats]:
    """Points (..., n) m in the robots' frames, after each went `way` m ahead and turned by `turn` rad, (n,) each."""
    # Half of the turn comes before the way, half after it.
    x, y = x - way * np.cos(0.5 * turn), y - way * np.sin(0.5 * turn)
    cos, sin = np.cos(turn), np.sin(turn)
    return x * cos + y * sin, y * cos - x * sin


def turned(yaw: Floats, turn: Floats, sectors: int, turns: int = 1) -> Floats:
    """Headings (n,), in sectors of which `sectors` go all round, after turns (n,) rad; told apart within `turns`."""
    yaw, whole = yaw + turn * np.float32(1.0 / (2 * math.pi / sectors)), sectors * turns
    new: Floats = yaw - whole * np.floor(yaw * np.float32(1.0 / whole))
    return new


class Reckoning:
    """Of `n` robots that decide every `period_s`.

    Attributes:
        speed: (2, n) m/s and rad/s, as the wheels ought to have by now.
    """

    def __init__(self, n: int, period_s: float) -> None:
        self._period_s = np.float32(period_s)
        self._keep = np.float32(math.exp(-period_s / LAG_S))
        self.speed = np.zeros((2, n), np.float32)
        self._free = np.full(n, np.inf, np.float32)  # m that the guard lets it drive ahead

    def reset(self, where: NDArray[Any] | slice = slice(None)) -> None:
        """The robots that a mask or index names stand."""
        self.speed[:, where], self._free[where] = 0.0, np.inf

    def take(self, where: NDArray[np.intp], other: Reckoning) -> None:
        """What `other` knows of its robots is so for those at `where`."""
        self.speed[:, where], self._free[where] = other.speed, other._free

    def moved(self, command: Floats, range_m: Floats) -> tuple[Floats, Floats]:
        """(n,) m ahead and (n,) rad to the left since the last call.

        Args:
            command: (2, n) m/s and rad/s commanded since then.
            range_m: (n,) m, as heard now; not finite where the echo is missing.
        """
        behind = self.speed - command
        way, turn = command * self._period_s + behind * (np.float32(LAG_S) * (1 - self._keep))
        self.speed = command + behind * self._keep
        way = np.minimum(way, self._free)
        self._free = np.where(np.isfinite(range_m), np.maximum(range_m - np.float32(STOP_M), 0.0), np.float32(0.0))
        return way, turn
