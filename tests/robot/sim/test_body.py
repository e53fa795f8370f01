"""The simulated body: stamps, rates, deadlines, both clocks."""

from __future__ import annotations

import math
import time

import numpy as np
import pytest

from robot import config
from robot.clock import VirtualClock, WallClock
from robot.errors import RobotError
from robot.sim.body import SimBody
from robot.sim.rooms import make_room
from robot.types import STOP, Twist, Wheels

ROBOT = config.load()
ROOM = make_room("light", "easy", 5)


def virtual(**changes):
    clock = VirtualClock()
    return clock, SimBody(ROBOT, ROOM, clock, **({"camera": False} | changes))


def test_each_sense_is_sampled_at_its_own_rate_with_the_true_time():
    clock, body = virtual()
    with body:
        stamps = {"light_left": set(), "light_right": set(), "range": set()}
        for i in range(1, 501):
            clock.sleep_until(i * 0.01)
            senses = body.sense()
            assert senses.stamp == clock.now()
            for name, seen in stamps.items():
                reading = getattr(senses, name)
                seen.add(reading.stamp)
                rate = ROBOT.range.rate_hz if name == "range" else ROBOT.light.rate_hz
                assert 0 <= senses.stamp - reading.stamp <= 1 / rate + 0.01
        assert len(stamps["light_left"]) == pytest.approx(5 * ROBOT.light.rate_hz, abs=2)
        assert len(stamps["range"]) == pytest.approx(5 * ROBOT.range.rate_hz, abs=2)


def test_senses_are_those_of_the_world_at_the_stamp():
    clock, body = virtual(seed=3)
    with body:
        body.drive(Twist(0.2, 0.4))
        for i in range(1, 40):
            clock.sleep_until(i * 0.01)
            if i % 10 == 0:
                body.drive(Twist(0.2, 0.4))
            senses, world = body.sense(), body.world
            if senses.light_left.stamp == clock.now():
                assert [senses.light_left.value, senses.light_right.value] == world.sense_light()[:, 0].tolist()
            if senses.range.stamp == clock.now():
                truth = float(world.sense_range()[0])
                assert senses.range.value == (None if math.isnan(truth) else truth)


def test_drive_returns_what_is_applied_and_the_wheels_obey():
    clock, body = virtual(noise=False)
    with body:
        applied = body.drive(Twist(0.25, 0.0))
        for i in range(1, 60):
            clock.sleep_until(i * 0.01)
            applied = body.drive(Twist(0.25, 0.0))
        assert applied.left == pytest.approx(applied.right) and 0.4 < applied.left < 0.7
        np.testing.assert_allclose(body.world.wheel_speed[:, 0], 0.25, atol=0.001)
        assert body.drive(Wheels(2.0, 1.0)) == Wheels(1.0, 0.5)


def test_without_a_fresh_command_the_wheels_stop_at_the_deadline():
    clock, body = virtual(noise=False)
    with body:
        body.drive(Wheels(0.8, 0.8))
        clock.sleep_until(ROBOT.drive.command_timeout_s - 0.01)
        fast = body.world.wheel_speed[0, 0]
        assert fast > 0.3
        clock.sleep_until(ROBOT.drive.command_timeout_s + 0.05)
        assert body.world.wheel_speed[0, 0] < fast
        clock.sleep_until(1.5)
        assert abs(body.world.wheel_speed[0, 0]) < 1e-3


@pytest.mark.parametrize("command", [Twist(math.nan, 0.0), Twist(0.1, math.inf), Wheels(math.nan, 0.5), None, 3])
def test_what_is_no_finite_command_stops_the_wheels_and_is_refused(command):
    clock, body = virtual()
    with body:
        body.drive(Wheels(0.8, 0.8))
        clock.sleep_until(0.1)
        with pytest.raises(ValueError, match="stopped"):
            body.drive(command)
        before = float(body.world.wheel_speed[0, 0])
        clock.sleep_until(0.15)
        assert body.world.wheel_speed[0, 0] < before


def test_a_closed_body_says_so_and_leaves_the_clock_alone():
    clock, body = virtual()
    body.drive(Wheels(0.5, 0.5))
    clock.sleep_until(0.05)
    body.close()
    body.close()
    body.stop()
    ticks = body.world.tick
    clock.sleep_until(0.3)
    assert body.world.tick == ticks
    for call in (body.sense, lambda: body.drive(STOP)):
        with pytest.raises(RobotError, match="closed"):
            call()


def test_the_same_seed_gives_the_same_life_and_another_another():
    def life(seed):
        clock, body = virtual(seed=seed)
        with body:
            for i in range(1, 150):
                body.drive(Twist(0.3, math.sin(i / 20)))
                clock.sleep_until(i * 0.02)
            senses = body.sense()
            return body.world.pose[:, 0].tolist(), senses.light_left, senses.range

    assert life(1) == life(1)
    assert life(1) != life(2)


def test_what_is_fitted_is_sensed_and_what_is_not_is_none():
    clock, body = virtual()
    with body:
        clock.sleep_until(0.05)
        assert body.sense().emergency_stop.value == 0.0
        body.press_emergency_stop()
        clock.sleep_until(0.1)
        assert body.sense().emergency_stop.value == 1.0
        assert body.sense().bump_left is None and body.sense().frame is None
    fitted = config.parse(
        ROBOT.model_dump(exclude_none=True, exclude={"emergency_stop"}) | {"bumpers": {"left_pin": 7, "right_pin": 8}}
    )
    with SimBody(fitted, ROOM, clock, camera=False) as other:
        clock.sleep_until(0.2)
        assert other.sense().bump_left.value == 0.0 and other.sense().emergency_stop is None


def test_frames_come_at_the_cameras_rate_and_only_when_wanted():
    clock, body = virtual(camera=True)
    with body:
        stamps, images = [], []
        for i in range(1, 51):
            clock.sleep_until(i * 0.02)
            frame = body.sense().frame
            if not stamps or frame.stamp != stamps[-1]:
                stamps.append(frame.stamp)
                images.append(frame.image)
        np.testing.assert_allclose(np.diff(stamps), 1 / ROBOT.camera.fps, atol=0.011)
        assert images[0].shape == (ROBOT.camera.height_px, ROBOT.camera.width_px, 3) and images[0].dtype == np.uint8
        assert images[0] is not images[1]


def test_the_clock_may_have_run_before():
    clock = VirtualClock()
    clock.sleep_until(7.0)
    with SimBody(ROBOT, ROOM, clock, camera=False) as body:
        clock.sleep_until(7.5)
        assert body.world.time == pytest.approx(0.5)
        assert body.sense().range.stamp == pytest.approx(7.5, abs=0.08)


def test_on_the_wall_clock_the_world_keeps_up_and_the_watchdog_stops_it():
    with SimBody(ROBOT, ROOM, WallClock(), camera=False, noise=False) as body:
        begin = time.monotonic()
        while time.monotonic() - begin < 0.3:
            body.drive(Wheels(0.6, 0.6))
            time.sleep(0.02)
        senses = body.sense()
        assert body.world.time == pytest.approx(senses.stamp - begin, abs=0.1)
        assert body.world.wheel_speed[0, 0] > 0.15
        time.sleep(ROBOT.drive.command_timeout_s + 0.4)
        now = body.sense()
        assert abs(body.world.wheel_speed[0, 0]) < 0.02
        assert now.stamp - now.range.stamp < 0.15
