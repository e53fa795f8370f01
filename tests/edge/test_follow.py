"""Following: the filter over a person's place and speed, their colours, and the policy behind somebody who walks."""

from __future__ import annotations

import math

import numpy as np
import pytest

from edge.errors import UsageError
from edge.guard import Guard
from edge.loop import Loop
from edge.perception.appearance import Look, look, unlike
from edge.policies import make
from edge.policies.crowd import Crowd
from edge.policies.follow import FollowPolicy
from edge.policies.someone import Seen
from edge.policies.walker import Walker
from edge.policies.watch import Watch
from edge.types import Detection
from robot.clock import VirtualClock
from robot.config import load
from robot.sim.body import SimBody
from robot.sim.following import Following
from robot.sim.rooms import make_room
from tests.edge.test_policies import BoxesByTruth

CONFIG = load()


def test_a_walkers_place_and_speed_are_found_from_bearings_and_few_distances() -> None:
    rng = np.random.default_rng(0)
    person = Walker((0.0, 0.0, 0.0), 1.5, 0.3, 0.0, 0.0)
    speeds = []
    for step in range(1, 101):
        now = 0.1 * step
        x, y = 1.2 + 0.2 * now, 0.1 * now
        robot = (0.15 * now, 0.0, 0.05 * math.sin(now))
        person.predict(now)
        dx, dy = x - robot[0], y - robot[1]
        person.see_bearing(robot, math.atan2(dy, dx) - robot[2] + rng.normal(0, 0.03), 0.04)
        if step % 5 == 0:
            person.see_distance(robot, math.hypot(dx, dy) + rng.normal(0, 0.05), 0.06)
        person.seen_at = now
        speeds.append(person.state[2:].copy())
    assert person.state[:2] == pytest.approx((x, y), abs=0.08)
    assert np.mean(speeds[40:], axis=0) == pytest.approx((0.2, 0.1), abs=0.05)
    assert 0 < person.spread(robot) < 0.1
    before = person.state.copy()
    person.predict(10.4)  # goes on for a moment, then less and less
    assert person.state[0] - before[0] == pytest.approx(0.4 * before[2], abs=0.02)
    for step in range(60):
        person.predict(10.5 + 0.1 * step)
    assert math.hypot(*person.state[2:]) < 0.1 * math.hypot(*before[2:])
    assert person.spread(robot) > 0.5


ROWS = np.array([20.0, 45.0, 60.0, 90.0])  # of the heights that `look` wants, in the pictures below


def test_colours_tell_two_apart_under_another_light_and_where_parts_are_cut() -> None:
    def picture(top: tuple[int, int, int], trousers: tuple[int, int, int], light: float) -> np.ndarray:
        image = np.full((120, 60, 3), 128 * light, np.uint8)
        image[10:55, 15:45], image[55:110, 15:45] = (np.array(cloth) * light for cloth in (top, trousers))
        return image

    red, blue, grey = (200, 40, 40), (40, 60, 200), (90, 90, 90)
    box = (10.0, 5.0, 40.0, 110.0)
    found = [look(picture(top, trousers, light), box, ROWS)
             for top, trousers in ((red, blue), (blue, red), (red, grey))
             for light in (1.0, 0.9)]  # fmt: skip
    looks = [one for one in found if one is not None]
    assert len(looks) == len(found)

    def apart(one: Look, other: Look) -> float:
        told = unlike(one, other)
        assert told is not None
        return told

    for i, one in enumerate(looks):
        for j, other in enumerate(looks):
            assert (apart(one, other) < 0.4) == (i // 2 == j // 2)
    behind = picture(red, blue, 1.0)
    behind[55:110, 25:35] = 128  # the wall between the legs, which is beside them too, counts for nothing
    told = look(behind, box, ROWS)
    assert told is not None and apart(told, looks[0]) == pytest.approx(0.0, abs=0.01)
    cut = look(picture(red, blue, 1.0), (10.0, 56.0, 40.0, 60.0), ROWS)  # only the legs are seen
    assert cut is not None and cut.trunk is None
    assert apart(cut, looks[0]) == pytest.approx(0.0, abs=0.01) and apart(cut, looks[2]) > 0.9
    assert look(picture(red, blue, 1.0), (500.0, 0.0, 60.0, 120.0), ROWS) is None


def test_near_the_rim_feet_tell_the_distance_and_an_echo_must_fit_the_box() -> None:
    camera = CONFIG.camera
    assert camera is not None
    watch, crowd = Watch(camera), Crowd()

    def seen(bottom: float, width: float) -> Seen:
        item = Detection("person", 0.9, (320 - width / 2, 0.0, width, bottom), 0.0)
        return watch.seen((item,), None, crowd, (0.0, 0.0, 0.0), 0.0)[0]

    near, cut = seen(0.96 * camera.height_px, 200.0), seen(float(camera.height_px), 240.0)
    assert near.sight.distance == pytest.approx(1.6, abs=0.1)
    assert cut.sight.distance is None and cut.sight.at_most < 1.7
    for what, fits in ((near, (1.4, 1.8)), (cut, (0.4, 0.8, 1.2))):  # at 0.4 m they may be no more than legs
        for heard in (0.4, 0.8, 1.4, 1.8, 2.5):
            assert watch.echo([what], heard, 0.0, 0.26).able == (heard in (*fits, 1.4),)
    assert watch.echo([near], 1.6, 0.4, 0.26).able == (True,) and watch.echo([near], 1.6, 0.7, 0.26).able == (False,)
    assert watch.echo([near], 1.6, 0.0, 0.26).free == 1.0  # a thing may stand before their feet
    assert watch.echo([cut], 0.8, 0.0, 0.26).free < 0.2 and watch.echo([cut], 0.8, 0.4, 0.26).free > 0.5


def test_a_policy_for_each_choice() -> None:
    assert make("follow:largest", CONFIG).name == "follow:largest"
    assert make("follow:2", CONFIG).task == "follow"  # type: ignore[attr-defined]
    with pytest.raises(UsageError, match="'tallest' cannot be chosen"):
        make("follow:tallest", CONFIG)
    with pytest.raises(UsageError, match="needs a camera"):
        make("follow", CONFIG.model_copy(update={"camera": None}))


def test_the_robot_stays_behind_a_person_who_walks() -> None:
    # Without pictures nobody has clothes to be told by: a room where no other walks close behind the person.
    room, policy, clock = make_room("follow", "easy", 5), FollowPolicy(CONFIG), VirtualClock(0.02)
    good: list[bool] = []
    with SimBody(CONFIG, room, clock, seed=5, camera=False) as body:
        judge = Following(body.world)
        loop = Loop(body, policy, Guard(CONFIG, True), clock, perception=BoxesByTruth(body, room))
        summary = loop.run(24.0, on_tick=lambda tick: good.append(judge.look()))
    assert summary.policy_faults == 0, summary.message
    assert sum(good[600:]) >= 0.9 * len(good[600:]) and summary.distance_m > 1.5
    assert "followed number" in policy.note
