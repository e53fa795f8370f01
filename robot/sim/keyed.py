"""Random numbers that depend on (seed, robot, tick, stream) and on nothing else.

A counter-based generator (Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", SC 2011): each
number is a hash of its key, so that robot 37 of a thousand draws the same numbers alone, and asking
twice gives the same answer. The hash is the finaliser of splitmix64 (Steele, Lea and Flood, OOPSLA 2014).
"""

from __future__ import annotations

from enum import IntEnum

import numpy as np
from numpy.typing import ArrayLike, NDArray

_MASK = (1 << 64) - 1
_GOLDEN = 0x9E3779B97F4A7C15  # 2**64 / golden ratio, splitmix64's increment
_STREAM = 0xD1B54A32D192ED03
_ROBOT = 0x8CB92BA72F3D8DD7


class Stream(IntEnum):
    """What a number is for; two uses never share a stream."""

    LIGHT = 1
    RANGE = 2
    DROPOUT = 3
    MOTOR_GAIN = 4
    MOTOR_LAG = 5
    FAULT = 6


def _mix(h: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """splitmix64's finaliser, in place."""
    h ^= h >> np.uint64(30)
    h *= np.uint64(0xBF58476D1CE4E5B9)
    h ^= h >> np.uint64(27)
    h *= np.uint64(0x94D049BB133111EB)
    h ^= h >> np.uint64(31)
    return h


class Keyed:
    """Draws for N robots at once.

    Args:
        seed: any integer.
        robot_ids: (N,) integers; a robot's numbers depend on its id, not on its place in the array.
    """

    def __init__(self, seed: int, robot_ids: ArrayLike) -> None:
        ids = np.array(robot_ids, dtype=np.int64, ndmin=1).astype(np.uint64)
        keys = ids * np.uint64(_ROBOT)
        keys += _mix(np.array([seed & _MASK], dtype=np.uint64))
        self._keys = _mix(keys)
        self._ids = ids

    def bits(self, tick: int, stream: int, where: NDArray[np.intp] | slice = slice(None)) -> NDArray[np.uint64]:
        """64 random bits for each robot (or those at `where`)."""
        counter = (tick * _GOLDEN + (stream + 1) * _STREAM) & _MASK
        return _mix(self._keys[where] + np.uint64(counter))

    def uniform(self, tick: int, stream: int, where: NDArray[np.intp] | slice = slice(None)) -> NDArray[np.float32]:
        """Uniform on [0, 1), float32, one for each robot."""
        return _unit(self.bits(tick, stream, where) >> np.uint64(40))

    def normals(self, tick: int, stream: int, where: NDArray[np.intp] | slice = slice(None)) -> NDArray[np.float32]:
        """(2, N) independent standard normal numbers, float32 (Box and Muller 1958)."""
        bits = self.bits(tick, stream, where)
        radius = np.sqrt(np.float32(-2) * np.log(_unit(bits >> np.uint64(40)) + np.float32(2**-25)))
        angle = _unit(bits & np.uint64(0xFFFFFF)) * np.float32(2 * np.pi)
        return np.stack((radius * np.cos(angle), radius * np.sin(angle)))


def _unit(bits24: NDArray[np.uint64]) -> NDArray[np.float32]:
    # 24 bits are what a float32 holds: the conversion is exact and never rounds up to 1.
    return bits24.astype(np.float32) * np.float32(2**-24)
