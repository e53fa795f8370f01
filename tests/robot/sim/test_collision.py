"""Robots never end up inside anything, slide along what they graze, and tell how hard they hit."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from robot import config
from robot.sim.geometry import clearance, corners_of, rectangles
from robot.sim.room import Person, Room
from robot.sim.rooms import make_room
from robot.sim.world import World

ROBOT = config.load()


def room_with(boxes=(), start=(2.0, 2.0, 0.0), persons=(), size=(4.0, 5.0)):
    boxes = np.array(boxes, dtype=float).reshape(-1, 5)
    return Room(
        0, "easy", size, corners_of(boxes[:, :2], boxes[:, 2:4], boxes[:, 4]), ("box",) * len(boxes),
        np.full(len(boxes), 0.6), np.array([3.5, 4.5]), np.array(start, dtype=float), tuple(persons),
    )  # fmt: skip


@given(
    seed=st.integers(0, 10_000),
    level=st.sampled_from(["easy", "hard"]),
    duties=st.lists(st.tuples(st.floats(-1, 1), st.floats(-1, 1)), min_size=1, max_size=12),
    full=st.booleans(),
)
@settings(deadline=None, max_examples=25)
def test_a_disc_is_never_left_inside_a_wall_or_box(seed, level, duties, full):
    room = make_room("light", level, seed)
    world = World(ROBOT, [room] * 4, seed=seed)
    world.pose[2] += np.array([0, 1.5, 3.0, 4.5], np.float32)
    shapes = rectangles(room.obstacles)
    for left, right in duties:
        world.set_duty(1.0 if full else left, 0.9 if full else right)
        for _ in range(12):
            world.step(5)
            free = clearance(world.pose[:2].T.astype(float), room.size_m, shapes)
            assert free.min() >= ROBOT.radius_m - 2e-6


def test_driving_straight_into_a_wall_stops_there_at_the_full_closing_speed():
    world = World(ROBOT, [room_with()], noise=False, dtype=np.float64)
    world.set_duty(1.0, 1.0)
    world.step(300)
    assert world.pose[0, 0] == pytest.approx(4 - ROBOT.radius_m, abs=1e-4)
    assert world.pose[1, 0] == pytest.approx(2.0, abs=1e-6)
    assert world.contact[0]
    assert world.contact_speed[0] == pytest.approx(0.5, abs=1e-3)
    assert world.contact_bearing[0] == pytest.approx(0.0, abs=1e-6)


def test_a_grazing_robot_slides_along_and_its_contact_is_slow():
    angle = 0.08
    world = World(ROBOT, [room_with(start=(3.8, 1.0, math.pi / 2 - angle))], noise=False, dtype=np.float64)
    world.set_duty(1.0, 1.0)
    world.step(250)
    assert world.pose[1, 0] > 3.2  # went on along the wall
    assert world.pose[0, 0] == pytest.approx(4 - ROBOT.radius_m, abs=1e-4)
    assert world.contact_speed[0] == pytest.approx(0.5 * math.sin(angle), rel=0.02)
    assert world.contact_bearing[0] == pytest.approx(-math.pi / 2 + angle, abs=1e-3)


def test_a_box_is_slid_round_and_a_wedge_holds():
    # Two boxes with a gap narrower than the robot: it goes in as far as it fits, and stays.
    boxes = [(3.0, 2.2, 0.3, 0.1, 0.0), (3.0, 1.8, 0.3, 0.1, 0.0)]
    world = World(ROBOT, [room_with(boxes)], noise=False, dtype=np.float64)
    world.set_duty(1.0, 1.0)
    world.step(400)
    shapes = rectangles(room_with(boxes).obstacles)
    assert clearance(world.pose[:2].T, (4.0, 5.0), shapes)[0] >= ROBOT.radius_m - 1e-9
    assert 2.5 < world.pose[0, 0] < 2.7
    assert world.contact[0]


def test_persons_are_solid():
    person = Person(np.array([[3.0, 2.0]]), 0.0, 0.0, 1.7, 1)
    world = World(ROBOT, [room_with(persons=[person])], noise=False, dtype=np.float64)
    assert world.sense_range()[0] == pytest.approx(1.0 - 0.18 - ROBOT.range.x_m)
    world.set_duty(1.0, 1.0)
    world.step(200)
    away = math.hypot(world.pose[0, 0] - 3.0, world.pose[1, 0] - 2.0)
    assert away >= ROBOT.radius_m + 0.18 - 1e-9
    assert world.contact_speed[0] > 0.3


def test_a_robot_that_touches_nothing_has_no_contact():
    world = World(ROBOT, [room_with(start=(0.5, 2.0, 0.0))], noise=False)
    world.set_duty(0.6, 0.6)
    world.step(100)
    assert not world.contact[0] and world.contact_speed[0] == 0 and np.isnan(world.contact_bearing[0])


def test_contact_is_of_now_and_contact_speed_is_the_worst_since_the_reset():
    room = room_with(start=(3.7, 2.0, 0.0))
    world = World(ROBOT, [room], noise=False)
    world.set_duty(1.0, 1.0)
    world.step(80)
    worst = float(world.contact_speed[0])
    world.set_duty(-1.0, -1.0)
    world.step(60)
    assert not world.contact[0] and world.contact_speed[0] == worst > 0.2
    world.reset([0], [room])
    assert world.contact_speed[0] == 0


def test_bumpers_feel_the_front_before_the_body_touches():
    bumpers = {"left_pin": 7, "right_pin": 8}
    data = ROBOT.model_dump(exclude_none=True) | {"bumpers": bumpers}
    robot = config.parse(data)
    reach = robot.radius_m + robot.bumpers.reach_m
    headings = {"ahead": 0.0, "left": -0.8, "right": 0.8, "behind": math.pi, "left flank": -1.5}
    near = [room_with(start=(4 - reach + 0.005, 2.0, yaw)) for yaw in headings.values()]
    pressed = dict(zip(headings, World(robot, near, noise=False).sense_bump().T.tolist(), strict=True))
    assert pressed == {
        "ahead": [True, True], "left": [True, False], "right": [False, True], "behind": [False, False],
        "left flank": [True, False],
    }  # fmt: skip
    far = World(robot, [room_with(start=(4 - reach - 0.005, 2.0, 0.0))], noise=False)
    assert not far.sense_bump().any()
    box = World(robot, [room_with([(2.24, 2.1, 0.1, 0.1, 0.7)])], noise=False)
    assert not box.contact[0] and box.sense_bump()[:, 0].tolist() == [True, False]
