"""How fast a robot may go: obstacle, turning and ramp, for one robot (floats) and for N (arrays) alike.

The guard applies these to the robot it watches, and the batched training environments to theirs, so
that a policy learns under the very rules that will hold it.
"""

from __future__ import annotations

from math import copysign, isfinite, isnan, sqrt
from typing import Any, overload

import numpy as np
from numpy.typing import NDArray

from robot.config import RobotConfig

Array = NDArray[Any]


@overload
def allowed_speed(range_m: float | None, age_s: float, config: RobotConfig) -> float: ...
@overload
def allowed_speed(range_m: Array, age_s: Array | float, config: RobotConfig) -> Array: ...
def allowed_speed(range_m: float | Array | None, age_s: float | Array, config: RobotConfig) -> float | Array:
    """The highest forward speed (m/s) that still stops `guard.stop_gap_m` before what the sonar sees.

    A body at speed v that is told to brake travels v (reaction + age) + v^2 / (2 braking); the way that is
    free is range - stop_gap. Solved for v, and at most `drive.max_v_mps`.

    Args:
        range_m: metres along the sonar's axis; None, NaN or infinite, a missing echo, counts as an obstacle: 0.
        age_s: how long ago the reading was taken. NaN counts as an obstacle.
        config: the robot.

    Returns:
        m/s, never negative nor NaN; an array in the dtype of `range_m` where that is one.
    """
    braking, top = config.drive.braking_mps2, config.drive.max_v_mps
    gap, reaction = config.guard.stop_gap_m, config.guard.reaction_s
    delay: Any
    free: Any
    if isinstance(range_m, np.ndarray):
        delay = reaction + np.maximum(age_s, 0.0)
        free = np.clip(range_m - gap, 0.0, 1e4)  # beyond it nothing changes but an overflow
        speed = braking * (np.sqrt(delay * delay + free * (2.0 / braking)) - delay)
        # Written so that NaN fails the comparison: fmin and fmax would pass over it and drive on.
        clear = (speed > 0.0) & np.isfinite(range_m)
        return np.where(clear, np.minimum(speed, top), 0.0).astype(range_m.dtype, copy=False)
    age = float(age_s)
    if range_m is None or not isfinite(range_m) or isnan(age):
        return 0.0
    delay = reaction + max(age, 0.0)
    free = max(range_m - gap, 0.0)
    return min(braking * (sqrt(delay * delay + free * (2.0 / braking)) - delay), top)


def forward_limit(v: Array, omega: Array, allowed: Array, config: RobotConfig) -> tuple[Array, Array]:
    """Hold N wanted motions (v m/s, omega rad/s) to `allowed` forward; backing off and turning stay free.

    Where forward is refused altogether the turning speed is at most `guard.turn_only_radps`: one cone
    does not see what the robot's flanks sweep.
    """
    cap = config.guard.turn_only_radps
    return np.minimum(v, allowed), np.where(allowed > 0.0, omega, np.clip(omega, -cap, cap))


def forward_limit_one(v: float, omega: float, allowed: float, config: RobotConfig) -> tuple[float, float]:
    """`forward_limit` for one robot."""
    if not allowed > 0.0:
        cap = config.guard.turn_only_radps
        omega = min(max(omega, -cap), cap)
    return min(v, allowed), omega


def ramp(wanted: Array, previous: Array, step: float) -> Array:
    """Let N values grow in size by at most `step`, while they may shrink to zero at once."""
    limit = np.where(wanted * previous > 0.0, np.abs(previous), 0.0) + step
    return np.clip(wanted, -limit, limit)


def ramp_one(wanted: float, previous: float, step: float) -> float:
    """`ramp` for one robot."""
    limit = step + (abs(previous) if wanted * previous > 0.0 else 0.0)
    return copysign(min(abs(wanted), limit), wanted)
