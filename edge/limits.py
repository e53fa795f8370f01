"""How fast a robot may go: obstacle, turning and acceleration, for one robot (floats) and for N (arrays) alike.

The guard applies these to the robot it watches, and the batched training environments to theirs, so
that a policy learns under the very rules that will hold it.
"""

from __future__ import annotations

from math import inf, isfinite, isnan, sqrt
from typing import Any, overload

import numpy as np
from numpy.typing import NDArray

from robot.config import RobotConfig

Array = NDArray[Any]


@overload
def allowed_speed(
    range_m: float | None, age_s: float, config: RobotConfig, speed_mps: float | None = None
) -> float: ...
@overload
def allowed_speed(
    range_m: Array, age_s: Array | float, config: RobotConfig, speed_mps: Array | None = None
) -> Array: ...
def allowed_speed(
    range_m: float | Array | None,
    age_s: float | Array,
    config: RobotConfig,
    speed_mps: float | Array | None = None,
) -> float | Array:
    """The highest forward speed (m/s) that still stops `guard.stop_gap_m` before what the sonar sees.

    A body at speed v that is told to brake travels v reaction + v^2 / (2 braking). The way that is free for it is
    range - stop_gap, less what was driven since the reading was taken.

    * Where no speed is measured, that was as much as can be driven: `drive.max_v_mps` for the age of the reading.
    * Where it is, v counts for that time too, and for the wheels' lag, for they follow a falling speed late; and a
      robot whose measured speed u needs more way than there is, u (reaction + age) + u^2 / (2 braking), gets none.

    Args:
        range_m: metres along the sonar's axis; None, NaN or infinite, a missing echo, counts as an obstacle: 0.
        age_s: how long ago the reading was taken. NaN counts as an obstacle.
        config: the robot.
        speed_mps: how fast it drives forward, measured; None where nothing measures it.

    Returns:
        m/s, at most `drive.max_v_mps`, never negative nor NaN; an array in the dtype of `range_m` where that is one.
    """
    braking, top = config.drive.braking_mps2, config.drive.max_v_mps
    gap, reaction = config.guard.stop_gap_m, config.guard.reaction_s
    age: Any
    free: Any
    if isinstance(range_m, np.ndarray):
        age = np.maximum(age_s, 0.0)
        lost, delay = (top * age, reaction) if speed_mps is None else (0.0, reaction + age + config.drive.lag_s)
        free = np.clip(range_m - gap - lost, 0.0, 1e4)  # beyond it nothing changes but an overflow
        speed = braking * (np.sqrt(delay * delay + free * (2.0 / braking)) - delay)
        # Written so that NaN fails the comparison: fmin and fmax would pass over it and drive on.
        clear = (speed > 0.0) & np.isfinite(range_m)
        if speed_mps is not None:
            driven = np.maximum(speed_mps, 0.0)
            clear &= driven * (reaction + age) + driven * driven / (2.0 * braking) <= free
        return np.where(clear, np.minimum(speed, top), 0.0).astype(range_m.dtype, copy=False)
    age = float(age_s)
    if range_m is None or not isfinite(range_m) or isnan(age):
        return 0.0
    age = max(age, 0.0)
    if speed_mps is None:
        free, delay = max(range_m - gap - top * age, 0.0), reaction
    else:
        free, delay = max(range_m - gap, 0.0), reaction + age + config.drive.lag_s
        driven = max(float(speed_mps), 0.0)
        if not driven * (reaction + age) + driven * driven / (2.0 * braking) <= free:
            return 0.0
    return min(braking * (sqrt(delay * delay + free * (2.0 / braking)) - delay), top) if free > 0.0 else 0.0


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


def speed_up(
    v: Array, omega: Array, before_v: Array, before_omega: Array, step: float, allowed: Array, config: RobotConfig
) -> tuple[Array, Array]:
    """Hold N wanted motions to what the wheels may gain since the last command: starts are ramped, stops are not.

    Each wheel's speed may grow in size by at most `step`, and shrink at once; a wheel that turns round starts from
    zero. Where holding each wheel by itself would drive further forward or back than wanted (a turn on the spot, of
    which one wheel already runs), or turn faster than it may, both are slowed by the same share instead.

    Args:
        v, omega: wanted, m/s and rad/s, as `forward_limit` gives them. before_v, before_omega: the last command's.
        step: m/s that a wheel may gain, acceleration times time; greater than 0.
        allowed: forward, as `forward_limit` got it.
        config: the robot.
    """
    half = 0.5 * config.drive.track_m
    cap = np.where(allowed > 0.0, config.drive.max_omega_radps, config.guard.turn_only_radps)
    turn, turned = half * omega, half * before_omega
    left, right, old_left, old_right = v - turn, v + turn, before_v - turned, before_v + turned
    most_left = step + np.where(left * old_left > 0.0, np.abs(old_left), 0.0)
    most_right = step + np.where(right * old_right > 0.0, np.abs(old_right), 0.0)
    over = np.maximum(np.abs(left) / most_left, np.abs(right) / most_right)
    left, right = np.clip(left, -most_left, most_left), np.clip(right, -most_right, most_right)
    new_v, new_turn = 0.5 * (left + right), 0.5 * (right - left)
    apart = (new_v >= np.minimum(v, 0.0)) & (new_v <= np.maximum(v, 0.0)) & (np.abs(new_turn) <= half * cap)
    share = 1.0 / np.maximum(over, 1.0)
    apart &= over > 1.0
    return np.where(apart, new_v, share * v), np.where(apart, new_turn / half, share * omega)


def speed_up_one(
    v: float, omega: float, before_v: float, before_omega: float, step: float, allowed: float, config: RobotConfig
) -> tuple[float, float]:
    """`speed_up` for one robot; a `step` of 0 lets no wheel gain anything."""
    half = 0.5 * config.drive.track_m
    cap = config.drive.max_omega_radps if allowed > 0.0 else config.guard.turn_only_radps
    turn, turned = half * omega, half * before_omega
    left, right, old_left, old_right = v - turn, v + turn, before_v - turned, before_v + turned
    most_left = step + (abs(old_left) if left * old_left > 0.0 else 0.0)
    most_right = step + (abs(old_right) if right * old_right > 0.0 else 0.0)
    if abs(left) <= most_left and abs(right) <= most_right:
        return v, omega
    near_left = max(-most_left, min(left, most_left))
    near_right = max(-most_right, min(right, most_right))
    new_v, new_turn = 0.5 * (near_left + near_right), 0.5 * (near_right - near_left)
    if min(v, 0.0) <= new_v <= max(v, 0.0) and abs(new_turn) <= half * cap:
        return new_v, new_turn / half
    share = min(most_left / abs(left) if left else inf, most_right / abs(right) if right else inf)
    return v * share, omega * share
