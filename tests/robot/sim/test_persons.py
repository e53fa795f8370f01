"""Walking persons: where they are is a plain function of how far they walked, and they wait for robots."""

from __future__ import annotations

import math

import numpy as np
import pytest

from robot import config
from robot.sim.maps import PERSON_RADIUS_M
from robot.sim.room import Person, Room
from robot.sim.world import World

ROBOT = config.load()
WAY = np.array([(1.0, 1.0), (3.0, 1.0), (3.0, 2.0)])


def room_with(*persons, start=(2.0, 4.0, 0.0)):
    return Room(
        0, "easy", (4.0, 5.0), np.zeros((0, 4, 2)), (), np.zeros(0), np.array([3.5, 4.5]), np.array(start), persons
    )  # fmt: skip


def walker(speed=0.5):
    return Person(WAY, 0.0, speed, 1.7, 5)


def test_a_walker_goes_there_and_back_along_the_way():
    world = World(ROBOT, [room_with(walker())], noise=False, dtype=np.float64)
    expected = {
        2.0: (2.0, 1.0, 0.0),
        5.0: (3.0, 1.5, math.pi / 2),
        8.0: (3.0, 1.0, -math.pi / 2),
        9.0: (2.5, 1.0, math.pi),
    }
    for seconds, (x, y, yaw) in expected.items():
        world.step(round((seconds - world.time) / world.tick_s))
        person = world.persons(0)[0]
        assert (person.x, person.y) == pytest.approx((x, y), abs=0.02)
        if seconds != 8.0:  # at the corner either leg's direction will do
            assert abs(math.remainder(person.yaw - yaw, math.tau)) < 1e-6
    world.step(round((12.0 + 4.0 - world.time) / world.tick_s))
    assert (world.persons(0)[0].x, world.persons(0)[0].y) == pytest.approx((3.0, 1.0), abs=0.02)
    assert world.persons(0)[0].look == 5 and world.persons(0)[0].height_m == 1.7


def test_a_walker_on_a_round_does_not_turn_back():
    room = room_with(Person(WAY, 0.0, 0.5, 1.7, 5, round=True), Person(WAY + [0.0, 2.0], 0.0, 0.5, 1.7, 5))
    world = World(ROBOT, [room], noise=False, dtype=np.float64)
    world.step(150)  # 1.5 m
    assert world.persons(0)[0].x == pytest.approx(2.5) and world.persons(0)[0].yaw == 0.0
    world.step(200)  # 3.5 m: half a metre into the way from the last corner to the first
    person, other = world.persons(0)
    slope = math.atan2(-1, -2)
    assert (person.x, person.y) == pytest.approx((3 + 0.5 * math.cos(slope), 2 + 0.5 * math.sin(slope)))
    assert person.yaw == pytest.approx(slope)
    assert (other.x, other.y) == pytest.approx((3.0, 3.5))  # who turns back meanwhile
    world.step(round((3 + math.sqrt(5) - 3.5 + 0.2) / 0.01))  # the whole round and 0.2 m
    assert (world.persons(0)[0].x, world.persons(0)[0].y) == pytest.approx((1.2, 1.0), abs=0.01)


def test_the_gait_moves_with_the_way_and_a_standing_person_stands():
    standing = Person(np.array([[1.0, 3.0]]), 0.7, 0.0, 1.8, 1)
    world = World(ROBOT, [room_with(walker(), standing)], noise=False)
    phases = []
    for _ in range(20):
        world.step(5)
        phases.append(world.persons(0)[0].phase)
        still = world.persons(0)[1]
        assert (still.x, still.y, still.phase) == (1.0, 3.0, 0.0) and still.yaw == pytest.approx(0.7)
    assert len(set(phases)) == 20 and min(phases) >= 0 and max(phases) < math.tau


def test_a_walker_waits_while_a_robot_is_in_the_way_and_then_goes_on():
    room = room_with(Person(WAY, 0.0, 0.5, 1.7, 5, round=True), start=(2.0, 1.0, math.pi / 2))
    world = World(ROBOT, [room], noise=False, dtype=np.float64)

    def gap() -> float:
        person = world.persons(0)[0]
        return math.hypot(person.x - 2.0, person.y - 1.0) - PERSON_RADIUS_M - ROBOT.radius_m

    world.step(150)
    assert 0.24 < gap() < 0.27
    world.step(350)  # stuck, they come as near as they can pass
    assert 0.09 < gap() < 0.12
    assert world.contact_speed[0] == 0
    world.set_duty(1.0, 1.0)
    world.step(150)
    world.set_duty(0.0, 0.0)
    world.step(100)
    assert world.persons(0)[0].x > 2.5
    assert world.contact_speed[0] == 0


def test_a_walker_to_and_fro_turns_round_before_a_robot_that_does_not_go_away():
    world = World(ROBOT, [room_with(walker(), start=(2.0, 1.0, math.pi / 2))], noise=False, dtype=np.float64)
    world.step(90)  # there after 0.9 s
    assert world.persons(0)[0].x == pytest.approx(1.46, abs=0.02) and world.persons(0)[0].yaw == 0.0
    world.step(40)  # has waited for a second, and walks since one
    assert world.persons(0)[0].x == pytest.approx(1.1, abs=0.1) and abs(world.persons(0)[0].yaw) > 3.1
    world.step(80)
    assert world.persons(0)[0].x == pytest.approx(1.46, abs=0.02) and world.contact_speed[0] == 0


def test_who_inches_on_before_a_robot_that_gives_way_loses_patience_too():
    world = World(ROBOT, [room_with(walker(), start=(2.0, 1.0, 0.0))], noise=False, dtype=np.float64)
    yaw = []
    for _ in range(30):
        world.pose[0] += 0.005  # it creeps away at 0.05 m/s
        world.step(5)
        yaw.append(abs(world.persons(0)[0].yaw))
    assert max(yaw) > 3.1


def test_nobody_walks_through_another() -> None:
    ways = [WAY, WAY[::-1].copy(), np.array([(2.0, 0.4), (2.0, 2.4)])]
    room = room_with(*(Person(way, 0.0, 0.6, 1.7, 5) for way in ways))
    world = World(ROBOT, [room], noise=False, dtype=np.float64)
    came = set()
    for _ in range(1500):
        world.step(2)
        people = world.persons(0)
        for i, one in enumerate(people):
            came.add((i, round(one.x), round(one.y)))
            for other in people[:i]:
                assert math.hypot(one.x - other.x, one.y - other.y) > 2 * PERSON_RADIUS_M + 0.2
    assert {(0, 2, 1), (1, 3, 2), (2, 2, 2)} <= came  # and all of them go on


def test_a_walker_never_walks_into_a_robot_that_drives_about():
    rng = np.random.default_rng(0)
    rooms = [
        room_with(walker(0.9), start=(*rng.uniform((0.5, 2.5), (3.5, 4.5)), rng.uniform(-3, 3))) for _ in range(64)
    ]
    world = World(ROBOT, rooms, seed=1)
    for _ in range(60):
        world.set_duty(rng.uniform(-0.5, 1, 64), rng.uniform(-0.5, 1, 64))
        for _ in range(10):
            world.step()
            for i in range(64):
                person = world.persons(i)[0]
                away = math.hypot(person.x - world.pose[0, i], person.y - world.pose[1, i])
                assert away >= PERSON_RADIUS_M + ROBOT.radius_m - 1e-5


def test_a_person_is_heard_by_the_sonar_and_shades_the_lamp():
    person = Person(np.array([[2.75, 4.25]]), 0.0, 0.0, 1.7, 1)
    start = (2.0, 4.0, math.atan2(0.25, 0.75))
    without, with_ = (
        World(ROBOT, [room_with(*p, start=start)], noise=False, dtype=np.float64) for p in ((), (person,))
    )
    distance = math.hypot(0.75, 0.25) - PERSON_RADIUS_M - ROBOT.range.x_m
    assert with_.sense_range()[0] == pytest.approx(distance, abs=1e-6)
    assert with_.gap_ahead()[0] == pytest.approx(distance, abs=1e-6)
    shaded, open_ = (reading / (1 - reading) for reading in (with_.sense_light(), without.sense_light()))
    assert (shaded < 0.6 * open_).all()  # in illuminance; the walls by the lamp still shine past the person
