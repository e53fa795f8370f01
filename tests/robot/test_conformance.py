"""One suite over every body: simulated; the Pi's drivers on virtual pins in a simulated room; a real robot.

The first two know the truth (where the robot is), so that signs and motion are tested on them; what a real
robot can be asked without a judge is asked of all three. The hardware runs with `pytest --hardware` on the
robot, its wheels off the ground, with EDGEBOT_ROBOT naming its robot.toml.
"""

from __future__ import annotations

import math
import os
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from robot import config
from robot.clock import VirtualClock, WallClock
from robot.errors import RobotError
from robot.kinematics import twist_from_wheels
from robot.open import open_body
from robot.sim.room import Room
from robot.types import STOP, Senses, Twist, Wheels

CORNER = np.array([[[11.0, 11.0], [11.0, 11.4], [11.4, 11.4], [11.4, 11.0]]])  # a box, clockwise, out of the way
HALL = Room(
    seed=0,
    level="easy",
    size_m=(12.0, 12.0),
    obstacles=CORNER,
    kinds=("box",),
    heights_m=np.array([0.5]),
    lamp=np.array([6.0, 8.0]),
    start=np.array([6.0, 6.0, 0.0]),
)
BUMPERS = config.Bumpers(left_pin=16, right_pin=19)


class Bench:
    """A body on the bench: time that passes, commands that are held, and the truth where there is one."""

    def __init__(self, kind: str, robot: config.RobotConfig, room: Room, camera: bool) -> None:
        self.kind, self.config = kind, robot
        self.clock: Any = WallClock() if kind == "hardware" else VirtualClock(0.02)
        backend: Any = "pi" if kind == "hardware" else kind
        place = None if kind == "hardware" else room
        self.body: Any = open_body(robot, backend, self.clock, place, seed=3, camera=camera)
        if kind == "hardware":
            self.wait(0.5)  # until each sampler has sampled

    def wait(self, seconds: float) -> Senses:
        self.clock.sleep_until(self.clock.now() + seconds)
        return self.body.sense()

    def hold(self, command: Any, seconds: float) -> Senses:
        """Drive as a loop does, 50 times a second."""
        end = self.clock.now() + seconds
        while self.clock.now() < end - 1e-9:
            self.body.drive(command)
            self.clock.sleep_until(self.clock.now() + 0.02)
        return self.body.sense()

    @property
    def pose(self) -> tuple[float, float, float]:
        x, y, yaw = (float(v) for v in self.body.world.pose[:, 0])
        return x, y, yaw

    @property
    def speed(self) -> float:
        return float(np.abs(self.body.world.wheel_speed).max())

    @property
    def applied(self) -> Wheels:
        return self.body._port.applied


Make = Callable[..., Bench]
SIMULATED = ["sim", "pins", "pins without enable pins, braking, MCP3008"]


def _bench(kind: str, room: Room, camera: bool, more: dict[str, Any]) -> Bench:
    if kind == "hardware":
        return Bench(kind, config.load(os.environ.get("EDGEBOT_ROBOT", "robot.toml")), room, camera)
    robot = config.load().model_copy(update=more)
    if kind.startswith("pins without"):
        light = robot.light.model_copy(update={"kind": "mcp3008", "left": 0, "right": 1})
        left, right = (m.model_copy(update={"enable_pin": None}) for m in (robot.drive.left, robot.drive.right))
        drive = robot.drive.model_copy(update={"left": left, "right": right, "stop": "brake"})
        robot = robot.model_copy(update={"light": light, "drive": drive})
        kind = "pins"
    return Bench(kind, robot, room, camera)


def _make(kind: str) -> Iterator[Make]:
    open_: list[Bench] = []

    def make(room: Room = HALL, camera: bool = False, **more: Any) -> Bench:
        open_.append(_bench(kind, room, camera, more))
        return open_[-1]

    yield make
    for bench in open_:
        bench.body.close()


@pytest.fixture(params=[*SIMULATED, pytest.param("hardware", marks=pytest.mark.hardware)])
def make(request: pytest.FixtureRequest) -> Iterator[Make]:
    """Any body."""
    yield from _make(request.param)


@pytest.fixture(params=SIMULATED)
def simulate(request: pytest.FixtureRequest) -> Iterator[Make]:
    """A body in a simulated room: the truth is known."""
    yield from _make(request.param)


# Signs and motion.


@pytest.mark.parametrize(
    "wheels, ahead, turn",
    [
        (Wheels(0.5, 0.5), 1, 0),
        (Wheels(-0.5, -0.5), -1, 0),
        (Wheels(-0.5, 0.5), 0, 1),
        (Wheels(0.5, -0.5), 0, -1),
        (Wheels(0.3, 0.6), 1, 1),
    ],
)
def test_duty_moves_the_body_the_way_the_words_say(simulate, wheels, ahead, turn):
    bench = simulate()
    x, y, yaw = bench.pose
    bench.hold(wheels, 0.6)
    new_x, _, new_yaw = bench.pose
    moved, turned = new_x - x, new_yaw - yaw
    assert moved * ahead > 0.05 if ahead else abs(moved) < 0.02
    assert turned * turn > 0.2 if turn else abs(turned) < 0.1


def test_a_twist_gives_its_speed(simulate):
    bench = simulate()
    bench.hold(Twist(0.2, 0.5), 0.5)  # up to speed
    x, y, yaw = bench.pose
    bench.hold(Twist(0.2, 0.5), 1.0)
    new_x, new_y, new_yaw = bench.pose
    # Straight distance of an arc of 0.2 m over 0.5 rad; motors differ by a few percent from the calibration.
    assert math.hypot(new_x - x, new_y - y) == pytest.approx(0.4 * 2 * math.sin(0.25), rel=0.08)
    assert new_yaw - yaw == pytest.approx(0.5, abs=0.2)


@pytest.mark.parametrize("lamp, brighter", [((8.0, 7.2), "left"), ((8.0, 4.8), "right")])
def test_the_side_of_the_lamp_is_brighter(simulate, lamp, brighter):
    senses = simulate(replace(HALL, lamp=np.array(lamp))).wait(0.2)
    left, right = senses.light_left.value, senses.light_right.value
    assert min(left, right) >= 0 and max(left, right) <= 1
    assert (left > 1.2 * right) if brighter == "left" else (right > 1.2 * left)


def test_range_is_what_lies_ahead(simulate):
    bench = simulate(replace(HALL, start=np.array([10.5, 6.0, 0.0])))
    values = [bench.wait(0.1).range.value for _ in range(50)]
    good = [v for v in values if v is not None]
    # 1.5 m from the axle to the wall, less where the sonar sits; the cone takes the nearest of noisy rays.
    assert len(good) > 40 and np.median(good) == pytest.approx(1.5 - bench.config.range.x_m, abs=0.03)


def test_a_missing_echo_is_none_with_a_fresh_stamp(simulate):
    bench = simulate()  # nothing within 4 m
    for _ in range(20):
        reading = bench.wait(0.1).range
        assert reading.value is None
        assert bench.clock.now() - reading.stamp <= 1 / bench.config.range.rate_hz + 0.0201


def test_bumpers_feel_a_wall(simulate):
    bench = simulate(replace(HALL, start=np.array([11.7, 6.0, 0.0])), bumpers=BUMPERS)
    assert bench.body.sense().bump_left.value == 0.0
    senses = bench.hold(Twist(0.2, 0.0), 2.0)
    assert senses.bump_left.value == 1.0 and senses.bump_right.value == 1.0


def test_every_simulated_body_drives_the_same_way():
    ends = []
    for kind in SIMULATED[:2]:
        bench = _bench(kind, HALL, False, {})
        for command in (Twist(0.3, 0.4), Wheels(0.5, 0.2), Twist(0.0, -1.0), STOP):
            bench.hold(command, 0.5)
        ends.append(bench.pose)
        bench.body.close()
    assert ends[0] == pytest.approx(ends[1], abs=1e-5)


# What drive() says and does.


def test_drive_returns_what_was_applied(make):
    bench = make()
    drive = bench.config.drive
    assert bench.body.drive(Wheels(0.25, -0.5)) == Wheels(0.25, -0.5) == bench.applied
    assert bench.body.drive(Wheels(2.0, -1.0)) == Wheels(1.0, -0.5)  # saturated, the ratio kept
    slow = bench.body.drive(Twist(0.01, 0.0))
    assert drive.dead_band_duty < slow.left < drive.dead_band_duty + 0.1  # over the dead band
    fast = bench.body.drive(Twist(100.0, 0.0))
    assert twist_from_wheels(drive, fast).v <= drive.max_v_mps + 1e-9
    assert bench.body.drive(Twist(0.0, 0.0)) == STOP == bench.applied


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("form", [Wheels, Twist])
def test_what_is_not_finite_stops_then_raises(make, bad, form):
    bench = make()
    for command in (form(bad, 0.1), form(0.1, bad), form(bad, bad)):
        bench.body.drive(Wheels(0.3, 0.3))
        assert bench.applied == Wheels(0.3, 0.3)
        with pytest.raises(ValueError, match="stopped"):
            bench.body.drive(command)
        assert bench.applied == STOP
    assert bench.body.drive(Wheels(0.3, 0.3)) == Wheels(0.3, 0.3)  # it goes on living


def test_wheels_stop_without_a_fresh_command(make):
    bench = make()
    bench.hold(Wheels(0.4, 0.4), 0.3)
    assert bench.applied == Wheels(0.4, 0.4)
    bench.wait(bench.config.drive.command_timeout_s + 0.03)
    assert bench.applied == STOP
    if bench.kind != "hardware":
        bench.wait(0.5)
        assert bench.speed < 0.005
        rest = bench.pose
        bench.wait(1.0)
        assert bench.pose == pytest.approx(rest, abs=1e-3)


def test_stop_may_be_repeated_and_acts_at_once(make):
    bench = make()
    bench.body.stop()
    bench.body.drive(Wheels(0.4, 0.4))
    for _ in range(3):
        assert bench.body.stop() is None
        assert bench.applied == STOP


# What sense() says.


def test_stamps_are_monotonic_and_fresh_and_never_ahead(make):
    bench = make()
    robot, before = bench.config, None
    for _ in range(200):
        senses = bench.wait(0.02)
        now = bench.clock.now()
        allowed = 0.0201 if bench.kind != "hardware" else 0.1
        for name, rate in (("range", robot.range.rate_hz), ("light_left", robot.light.rate_hz)):
            reading = getattr(senses, name)
            assert reading.stamp <= senses.stamp <= now
            assert senses.stamp - reading.stamp <= 1 / rate + allowed
            if before is not None:
                assert reading.stamp >= getattr(before, name).stamp
        before = senses


def test_sensors_are_not_read_faster_than_their_rate(make):
    bench = make()
    seconds = 4.0
    samples: dict[str, dict[float, Any]] = {"range": {}, "light_left": {}, "light_right": {}}
    for _ in range(round(seconds / 0.005)):
        bench.clock.sleep_until(bench.clock.now() + (0.005 if bench.kind == "hardware" else 0.02))
        senses = bench.body.sense()
        for name, seen in samples.items():
            reading = getattr(senses, name)
            assert seen.setdefault(reading.stamp, reading.value) == reading.value  # a sample does not change
        if bench.kind != "hardware" and bench.clock.now() >= seconds:
            break
    robot = bench.config
    rates = {"range": robot.range.rate_hz, "light_left": robot.light.rate_hz, "light_right": robot.light.rate_hz}
    for name, rate in rates.items():
        assert 0.5 * rate * seconds <= len(samples[name]) <= rate * seconds + 2


def test_sense_does_not_wait(make):
    bench = make()
    bench.wait(0.2)
    times = []
    for _ in range(200):
        now = bench.clock.now()
        begin = time.perf_counter()
        bench.body.sense()
        times.append(time.perf_counter() - begin)
        if bench.kind != "hardware":
            assert bench.clock.now() == now  # no virtual time goes by
    assert np.median(times) < 0.002


def test_values_are_in_their_ranges(make):
    bench = make()
    for _ in range(50):
        senses = bench.wait(0.04)
        for reading in (senses.light_left, senses.light_right):
            assert reading.value is not None and 0 <= reading.value <= 1
        metres = senses.range.value
        assert metres is None or bench.config.range.min_m <= metres <= bench.config.range.max_m


def test_what_is_not_fitted_is_no_field(make):
    bench = make()
    senses = bench.body.sense()
    assert senses.frame is None  # opened without the camera
    assert (senses.bump_left is None) == (bench.config.bumpers is None)
    assert senses.speed_left is senses.speed_right is senses.tilt is senses.battery is None


def test_the_emergency_stop_is_seen(simulate):
    bench = simulate()
    assert bench.wait(0.1).emergency_stop.value == 0.0
    bench.body.press_emergency_stop()
    senses = bench.wait(0.04)
    assert senses.emergency_stop.value == 1.0 and bench.clock.now() - senses.emergency_stop.stamp < 0.05
    bench.body.press_emergency_stop(False)
    assert bench.wait(0.04).emergency_stop.value == 0.0


def test_the_emergency_stop_is_released_at_rest(make):
    bench = make()
    if bench.config.emergency_stop is not None:
        assert bench.wait(0.1).emergency_stop.value == 0.0


def test_frames(make):
    bench = make(camera=True)
    camera = bench.config.camera
    bench.wait(0.5)
    stamps = []
    for _ in range(30):
        senses = bench.wait(0.02)
        frame = senses.frame
        assert frame.image.shape == (camera.height_px, camera.width_px, 3) and frame.image.dtype == np.uint8
        age = senses.stamp - frame.stamp
        assert 0 <= age <= 1 / camera.fps + (0.0201 if bench.kind != "hardware" else 0.3)
        stamps.append(frame.stamp)
        if len(stamps) == 1:
            kept, copy = frame.image, frame.image.copy()
    assert stamps == sorted(stamps)
    assert len(set(stamps)) == pytest.approx(0.6 * camera.fps, abs=2)
    assert np.array_equal(kept, copy)  # a frame handed out is not written to again


def test_bodies_see_the_same_pictures():
    frames = []
    for kind in SIMULATED[:2]:
        bench = _bench(kind, HALL, True, {})
        frames.append(bench.hold(Twist(0.2, 0.8), 0.6).frame)
        bench.body.close()
    assert frames[0].stamp == frames[1].stamp
    # To the last bit but for where the way driven differs by rounding.
    assert np.mean(frames[0].image != frames[1].image) < 0.01


# The end.


def test_use_after_close(make):
    bench = make()
    bench.body.drive(Wheels(0.4, 0.4))
    for _ in range(3):
        bench.body.close()
    assert bench.applied == STOP
    for use in (bench.body.sense, lambda: bench.body.drive(STOP)):
        with pytest.raises(RobotError, match="closed"):
            use()
    bench.body.stop()
    if bench.kind != "hardware":
        ticks, pose = bench.body.world.tick, bench.pose
        bench.clock.sleep_until(bench.clock.now() + 1.0)
        assert bench.body.world.tick == ticks and bench.pose == pose  # nothing of it hangs on the clock


def test_leaving_the_context_stops(make):
    bench = make()
    with pytest.raises(KeyError), bench.body as body:
        body.drive(Wheels(0.4, 0.4))
        raise KeyError
    assert bench.applied == STOP
    with pytest.raises(RobotError):
        bench.body.sense()


def test_a_body_can_be_opened_again(make):
    make().body.close()
    assert make().body.drive(Wheels(0.3, 0.3)) == Wheels(0.3, 0.3)
