"""The tilted pinhole: projections there and back, and what the frames of reference promise."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from robot import config
from robot.pinhole import Pinhole


def example(tilt_deg: float = 15.0, width: int = 640, height: int = 480) -> Pinhole:
    return Pinhole(width, height, math.radians(66), 0.05, 0.25, math.radians(tilt_deg))


def test_reads_the_configuration() -> None:
    camera = config.load().camera
    assert camera is not None
    pinhole = Pinhole.from_config(camera)
    assert (pinhole.width, pinhole.height, pinhole.x, pinhole.z) == (640, 480, camera.x_m, camera.height_m)
    small = Pinhole.from_config(camera, 320, 240)
    point = [2.0, 0.3, 0.5]
    np.testing.assert_allclose(small.project(point)[0] * 2, pinhole.project(point)[0])


def test_the_field_of_view_is_as_wide_as_it_says() -> None:
    pinhole = example(0.0)
    left, right = pinhole.bearing([[0.0, 240.0], [640.0, 240.0]])
    assert left == pytest.approx(math.radians(33)) and right == pytest.approx(-math.radians(33))


def test_left_is_positive_and_left_in_the_image() -> None:
    pixel, depth = example().project([2.0, 0.5, 0.3])
    assert pixel[0] < 320 and depth > 0
    assert example().bearing(pixel) == pytest.approx(math.atan2(0.5, 2.0 - 0.05))


def test_up_is_up_and_tilt_lifts_the_view() -> None:
    low, high = example().project([[2.0, 0.0, 0.2], [2.0, 0.0, 1.2]])[0]
    assert high[1] < low[1]
    middle = np.array([320.0, 240.0])
    assert example(15.0).elevation(middle) == pytest.approx(math.radians(15))
    assert example(0.0).project([5.0, 0.0, 0.25])[0] == pytest.approx(middle)
    # The floor at infinity lies on the horizon.
    far, _ = example().project([1e7, 0.0, 0.0])
    assert far[1] == pytest.approx(example().horizon, abs=1e-3)


@given(
    tilt=st.floats(-50, 50),
    ahead=st.floats(0.3, 8),
    left=st.floats(-3, 3),
    up=st.floats(0, 2.5),
)
def test_a_ray_through_a_projection_hits_the_point(tilt: float, ahead: float, left: float, up: float) -> None:
    pinhole = example(tilt)
    pixel, depth = pinhole.project([ahead, left, up])
    if depth <= 1e-3:
        assert depth > 1e-9 or np.isnan(pixel).all()
        return
    lens = np.array([pinhole.x, 0, pinhole.z])
    direction = np.array([ahead, left, up]) - lens
    np.testing.assert_allclose(pinhole.ray(pixel), direction / np.linalg.norm(direction), atol=1e-7)


@given(tilt=st.floats(-30, 30), ahead=st.floats(0.4, 6), left=st.floats(-2, 2))
def test_floor_points_come_back(tilt: float, ahead: float, left: float) -> None:
    pinhole = example(tilt)
    pixel, depth = pinhole.project([ahead, left, 0.0])
    if depth <= 1e-3:
        return
    np.testing.assert_allclose(pinhole.floor_point(pixel), [ahead, left], rtol=1e-6, atol=1e-6)
    assert pinhole.floor_distance(pixel) == pytest.approx(math.hypot(ahead - pinhole.x, left))


def test_above_the_horizon_is_no_floor() -> None:
    pinhole = example()
    assert np.isnan(pinhole.floor_point([320.0, pinhole.horizon - 1])).all()
    assert np.isfinite(pinhole.floor_point([320.0, pinhole.horizon + 1])).all()


def test_poses_move_the_camera() -> None:
    pinhole = example()
    pose = (1.0, 2.0, math.pi / 2)  # looks along the world's y
    ahead, _ = pinhole.project([1.0, 4.0, 0.25], pose)
    own, _ = pinhole.project([2.0, 0.0, 0.25])
    np.testing.assert_allclose(ahead, own)
    behind, depth = pinhole.project([1.0, 0.0, 0.25], pose)
    assert depth < 0 and np.isnan(behind).all()
