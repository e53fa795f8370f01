"""What every generated room promises, over many seeds."""

from __future__ import annotations

import math

import numpy as np
import pytest

from robot.errors import RobotError
from robot.sim.geometry import distance_to_rectangles, rectangles, sees, separation
from robot.sim.maps import MARGIN_M, PERSON_RADIUS_M, ROBOT_RADIUS_M, free_space, geodesic, nodes
from robot.sim.rooms import EVALUATION_SEEDS, LEVELS, TASKS, RoomPool, make_room

COUNT = {task: 20 if task == "follow" else 60 for task in TASKS}  # the ways round a room take a while to find
ROOMS = {
    (task, level): [make_room(task, level, seed) for seed in range(EVALUATION_SEEDS, EVALUATION_SEEDS + COUNT[task])]
    for task in TASKS
    for level in LEVELS
}
ALL = [pytest.param(rooms, id=" ".join(key)) for key, rooms in ROOMS.items()]


@pytest.mark.parametrize("rooms", ALL)
def test_size_obstacles_and_start(rooms):
    for room in rooms:
        small, large = sorted(room.size_m)
        assert small >= 3 and large >= 4
        assert len(room.obstacles) >= 5
        assert 4 + 4 * len(room.obstacles) >= 24
        assert len(room.kinds) == len(room.obstacles) == len(room.heights_m)
        assert math.dist(room.start[:2], room.goal) >= 2.0
        inside = (room.obstacles >= 0).all() and (room.obstacles <= np.array(room.size_m)).all()
        assert inside
        free = free_space(room, np.array([room.start[:2], room.lamp]))
        assert free[0] > ROBOT_RADIUS_M + MARGIN_M and free[1] > 0.25
        shapes = rectangles(room.obstacles)
        limit = 0.22 if room.level == "easy" else 0.5
        assert shapes.half.max() <= limit + 1e-9 and shapes.half.min() >= 0.08
        apart = separation(shapes, shapes)[~np.eye(len(shapes.half), dtype=bool)]
        assert apart.min() >= 2 * (ROBOT_RADIUS_M + MARGIN_M) - 1e-9


@pytest.mark.parametrize("rooms", ALL)
def test_every_goal_can_be_reached_by_the_robots_width_and_a_margin(rooms):
    for room in rooms[:30]:
        grid = nodes(room.size_m)
        free = free_space(room, grid)
        way = geodesic(free, grid, room.start[:2], ROBOT_RADIUS_M + MARGIN_M)
        stand = np.isfinite(way) & (free >= ROBOT_RADIUS_M + MARGIN_M)

        def reached(goal, near, grid=grid, stand=stand):
            return (stand & (np.hypot(*(np.moveaxis(grid, -1, 0) - goal[:, None, None])) <= near)).any()

        if room.task in ("light", "demo"):
            assert reached(room.lamp, 0.4)
        if room.task in ("person", "demo", "follow"):
            assert reached(room.persons[0].waypoints[0], 1.2)
        if room.task in ("range", "demo"):
            box = rectangles(room.obstacles[[room.nearest_object]])
            near = distance_to_rectangles(grid, box)[..., 0] <= 0.35
            assert (stand & near).any()


def test_the_lamp_is_hidden_at_the_start_in_enough_hard_rooms():
    rooms = [make_room("light", "hard", seed) for seed in range(300)]
    hidden = np.mean([not sees(room.lamp, room.start[None, :2], room.obstacles)[0] for room in rooms])
    assert 0.4 <= hidden <= 0.65


def test_headings_are_uniform():
    yaw = np.sort([room.start[2] for (task, _), rooms in ROOMS.items() for room in rooms if task != "follow"])
    expected = np.linspace(-math.pi, math.pi, len(yaw))
    # Kolmogorov and Smirnov, at one in a thousand.
    assert np.abs(yaw - expected).max() / (2 * math.pi) < 1.95 / math.sqrt(len(yaw))


@pytest.mark.parametrize("level", LEVELS)
def test_the_nearest_object_is_clear_of_walls_and_others_and_plainly_the_nearest(level):
    for room in ROOMS["range", level]:
        shapes = rectangles(room.obstacles)
        gaps = np.sort(distance_to_rectangles(room.start[None, :2], shapes)[0])
        assert gaps[1] - gaps[0] >= 0.3
        corners = room.obstacles.reshape(-1, 2)
        to_walls = min(corners.min(), (np.array(room.size_m) - corners).min())
        assert to_walls >= 0.5 - 1e-9
        assert gaps[0] < 4.0  # a sonar can hear it
        nearest = room.obstacles[room.nearest_object].mean(axis=0)
        np.testing.assert_allclose(room.goal, nearest)


def test_persons_stand_where_asked_and_only_there():
    for (task, _), rooms in ROOMS.items():
        if task == "follow":  # there they walk
            continue
        for room in rooms:
            assert len(room.persons) == (1 if task in ("person", "demo") else 0)
            for person in room.persons:
                assert person.speed_mps == 0 and len(person.waypoints) == 1
                at = person.waypoints[0]
                assert distance_to_rectangles(at, rectangles(room.obstacles)).min() >= PERSON_RADIUS_M
                assert math.dist(at, room.start[:2]) >= 2
    assert {kind for room in ROOMS["person", "easy"] for kind in room.kinds} == {"box", "chair", "coat_stand", "plant"}


def test_walkers_walk_clear_of_obstacles():
    rooms = [make_room("person", "easy", seed, walkers=2) for seed in range(10)]
    for room in rooms + [room for level in LEVELS for room in ROOMS["follow", level][:10]]:
        assert len(room.persons) == 3
        for walker in room.persons:
            for a, leg in zip(walker.waypoints, walker.legs, strict=False):
                line = a + np.linspace(0, 1, 50)[:, None] * leg
                assert distance_to_rectangles(line, rectangles(room.obstacles)).min() > PERSON_RADIUS_M


@pytest.mark.parametrize("level", LEVELS)
def test_the_person_to_follow_walks_round_and_away_from_the_robot_that_sees_them(level):
    for room in ROOMS["follow", level]:
        leader = room.persons[0]
        assert leader.round and 0.15 <= leader.speed_mps <= 0.3 and len(leader.legs) == len(leader.waypoints) >= 5
        to = leader.waypoints[0] - room.start[:2]
        assert 2.0 <= np.hypot(*to) <= 2.6 and to @ leader.legs[0] > 0
        assert abs(math.remainder(math.atan2(to[1], to[0]) - room.start[2], math.tau)) < 0.35
        assert sees(room.start[:2], leader.waypoints[0][None], room.obstacles)[0]


def same(a, b):
    return (
        a.size_m == b.size_m
        and np.array_equal(a.obstacles, b.obstacles)
        and np.array_equal(a.start, b.start)
        and np.array_equal(a.lamp, b.lamp)
        and a.kinds == b.kinds
        and a.decor == b.decor
    )


def test_a_room_depends_on_its_seed_only_and_each_seed_gives_another():
    pool = RoomPool("light", "hard", range(40, 80))
    drawn = pool.draw(10, np.random.default_rng(0))
    assert all(same(room, make_room("light", "hard", room.seed)) for room in drawn)
    assert pool[3] is pool[3] and pool[3].seed == 43
    assert [room.seed for room in pool[2:5]] == [42, 43, 44]
    assert len({tuple(room.start) for room in pool}) == 40


@pytest.mark.parametrize(
    ("task", "level", "seed", "hint"),
    [("lamp", "easy", 0, "light"), ("light", "mild", 0, "hard"), ("light", "easy", -1, "-1")],
)
def test_what_cannot_be_made_is_said(task, level, seed, hint):
    with pytest.raises(RobotError, match=hint):
        make_room(task, level, seed)
