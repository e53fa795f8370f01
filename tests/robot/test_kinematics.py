"""Twist to wheels and back: signs, limits, curvature, compensation, scalar against batch."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from robot import config, kinematics
from robot.types import Twist, Wheels

DRIVE = config.load().drive
UNEVEN = DRIVE.model_copy(update={"gain_left": 0.9, "gain_right": 1.2, "dead_band_duty": 0.15})
speeds = st.floats(-2, 2)


def test_signs():
    forward = kinematics.wheels_from_twist(DRIVE, Twist(0.2, 0.0))
    assert forward.left == forward.right > 0
    left = kinematics.wheels_from_twist(DRIVE, Twist(0.0, 1.0))
    assert left.left < 0 < left.right
    assert kinematics.wheels_from_twist(DRIVE, Twist(0.0, 0.0)) == Wheels(0.0, 0.0)


def test_dead_band_is_stepped_over():
    slow = kinematics.wheels_from_twist(DRIVE, Twist(0.005, 0.0))
    assert DRIVE.dead_band_duty < slow.left < DRIVE.dead_band_duty + 0.02


def test_full_speed_is_full_duty():
    assert kinematics.duty_of_speed(DRIVE, DRIVE.top_speed_mps, 1.0) == pytest.approx(1.0)
    assert kinematics.speed_of_duty(DRIVE, 1.0, 1.0) == pytest.approx(DRIVE.top_speed_mps)
    assert kinematics.speed_of_duty(DRIVE, DRIVE.dead_band_duty, 1.0) == 0.0


@given(v=speeds, omega=st.floats(-10, 10))
@pytest.mark.parametrize("drive", [DRIVE, UNEVEN])
def test_limits_hold_and_curvature_is_kept(drive, v, omega):
    wheels = kinematics.wheels_from_twist(drive, Twist(v, omega))
    assert abs(wheels.left) <= 1.0 and abs(wheels.right) <= 1.0
    got = kinematics.twist_from_wheels(drive, wheels)
    assert abs(got.v) <= drive.max_v_mps + 1e-9 and abs(got.omega) <= drive.max_omega_radps + 1e-9
    # Same direction on the (v, omega) plane, up to what one wheel's standstill threshold hides.
    hidden = kinematics.STILL * drive.top_speed_mps * 1.2
    assert abs(got.v * omega - v * got.omega) <= hidden * (abs(omega) + 2 * abs(v) / drive.track_m) + 1e-9
    assert got.v * v >= -hidden * abs(v) and got.omega * omega >= -2 * hidden / drive.track_m * abs(omega)


@given(v=st.floats(0.05, 0.3), omega=st.floats(-0.5, 0.5))
def test_round_trip(v, omega):
    got = kinematics.twist_from_wheels(UNEVEN, kinematics.wheels_from_twist(UNEVEN, Twist(v, omega)))
    assert got.v == pytest.approx(v, abs=2e-3) and got.omega == pytest.approx(omega, abs=1e-2)


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_not_finite_stays_so(bad):
    for twist in (Twist(bad, 0.0), Twist(0.0, bad), Twist(bad, bad)):
        wheels = kinematics.wheels_from_twist(DRIVE, twist)
        assert not (math.isfinite(wheels.left) and math.isfinite(wheels.right))


@pytest.mark.parametrize("drive", [DRIVE, UNEVEN])
def test_batch_is_the_same_maths(drive):
    rng = np.random.default_rng(3)
    v, omega = rng.uniform(-1, 1, 500), rng.uniform(-6, 6, 500)
    v[:20] = 0.0
    omega[10:30] = 0.0
    left, right = kinematics.wheels_from_twist_batch(drive, v, omega)
    back_v, back_omega = kinematics.twist_from_wheels_batch(drive, left, right)
    for i in range(len(v)):
        one = kinematics.wheels_from_twist(drive, Twist(float(v[i]), float(omega[i])))
        assert (one.left, one.right) == pytest.approx((left[i], right[i]), abs=1e-12)
        twist = kinematics.twist_from_wheels(drive, one)
        assert (twist.v, twist.omega) == pytest.approx((back_v[i], back_omega[i]), abs=1e-12)


def test_batch_keeps_float32():
    left, right = kinematics.wheels_from_twist_batch(DRIVE, np.float32([0.1, 3]), np.float32([0.1, -9]))
    assert left.dtype == right.dtype == np.float32
    v, _ = kinematics.twist_from_wheels_batch(DRIVE, left, right)
    assert v.dtype == np.float32


def test_wheels_beyond_full_keep_their_ratio():
    assert kinematics.saturate(Wheels(2.0, -1.0)) == Wheels(1.0, -0.5)
    assert kinematics.saturate(Wheels(0.2, -0.1)) == Wheels(0.2, -0.1)
