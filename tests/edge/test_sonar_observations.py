"""What is remembered of one sonar: the same bits alone and among many, things and walls, points beside the way."""

from __future__ import annotations

import math

import numpy as np
import pytest

from edge import scan_observation, thing_observation
from edge.bearing_belief import OFF_RAD, BearingBelief
from edge.reckoning import HALF_CONE, SONAR_M, STOP_M
from edge.scan_observation import ScanObserver
from edge.thing_observation import SECTORS, ThingObserver
from edge.two_turns import TwoTurns, laid_over
from edge.wall_fit import before_walls

PERIOD_S = 0.1
STEP = 2 * math.pi / SECTORS / PERIOD_S  # rad/s: a sector at each decision


@pytest.mark.parametrize("kind", [ScanObserver, ThingObserver])
def test_a_robot_sees_the_same_bits_alone_and_among_many(kind: type[ScanObserver] | type[ThingObserver]) -> None:
    rng = np.random.default_rng(0)
    n, me, drives, again = 17, 8, 85, 110
    many, alone = kind(n, PERIOD_S), kind(1, PERIOD_S)
    known = False
    for step in range(150):  # all turn, later they also drive
        things = np.sin(4 * math.pi * step / SECTORS + np.arange(n)) > 0.3
        range_m = np.where(things, np.float32(2.0), np.float32(3.0))
        range_m *= rng.normal(1.0, 0.01, n).astype(np.float32)
        range_m[rng.random(n) < 0.03] = np.nan
        v = rng.choice([0.0, 0.3], n) * (drives < step < again)
        command = np.stack((v, np.where(step > drives, rng.choice([STEP, -0.4], n), STEP))).astype(np.float32)
        if step in (0, again):  # a first observation after a reset, beside others that go on
            alone.reset()
            many.reset(np.array([me]))
            seen = many.observe_some(np.array([me]), None, range_m[[me]])
            single = alone.observe(None, range_m[[me]], np.zeros((2, 1), np.float32))
            np.testing.assert_array_equal(seen, single)
            continue
        seen = many.observe(None, range_m, command)
        single = alone.observe(None, range_m[[me]], command[:, [me]])
        assert seen.dtype == np.float32 and np.abs(seen).max() <= 1.0
        np.testing.assert_array_equal(seen[:, me], single[:, 0])
        known |= bool(seen[6].max() > 0)
    assert known


def thing(seen: np.ndarray, name: str) -> float:
    return float(seen[thing_observation.FIELDS.index(name), 0])


def heard_in_room(heading: float, boxes: list[tuple[float, float]], distances: tuple[float, ...]) -> float:
    """The range, m, among four walls so far away, the first ahead at heading 0; boxes: (heading, metres)."""
    reach = math.inf
    for k, distance in enumerate(distances):
        off = abs(math.remainder(heading - k * math.pi / 2, math.tau))
        if off - HALF_CONE < 1.5:
            reach = min(reach, (distance - SONAR_M * math.cos(off)) / math.cos(max(off - HALF_CONE, 0.0)))
    for at, metres in boxes:
        if abs(math.remainder(heading - at, math.tau)) < 0.33:
            reach = min(reach, metres)
    return reach


WALLS_M = (2.9, 2.7, 1.2, 2.8)


def turned(
    observer: ThingObserver, boxes: list[tuple[float, float]], decisions: int = 2 * SECTORS + 2, rate: float = 1.0
) -> np.ndarray:
    """Turns to the left among `WALLS_M` and things, `rate` of what is commanded."""
    for k in range(decisions):
        reach = heard_in_room(k * STEP * PERIOD_S * rate, boxes, WALLS_M)
        if k % 11 == 5:
            reach = math.nan  # one echo in eleven is missing
        command = np.array([[0.0], [STEP if k else 0.0]], np.float32)
        seen = observer.observe(None, np.array([reach], np.float32), command)
    return seen


def bearing_of(seen: np.ndarray) -> float:
    return math.atan2(thing(seen, "sin_bearing"), thing(seen, "cos_bearing"))


def test_a_thing_is_known_once_all_round_is_heard_twice_and_a_wall_is_none() -> None:
    observer = ThingObserver(1, PERIOD_S)
    assert thing(turned(observer, [(1.0, 1.8), (5.0, 2.3)], SECTORS + 2), "known") == 0
    observer.reset()
    seen = turned(observer, [(1.0, 1.8), (5.0, 2.3)])
    bearing = bearing_of(seen)
    to = 1.0 - (2 * SECTORS + 1) * STEP * PERIOD_S
    assert thing(seen, "known") == 1 and abs(math.remainder(bearing - to, math.tau)) < 0.12
    assert thing(seen, "thing_far") == pytest.approx(1.8 / 3.0, abs=0.02)
    observer.reset()
    turned(observer, [(1.0, 1.8), (5.0, 2.3)], SECTORS + 2)
    seen = turned(observer, [(5.0, 2.3)], SECTORS + 1)  # the nearer one is not heard the second time
    assert thing(seen, "known") == 1 and thing(seen, "thing_far") == pytest.approx(1.8 / 3.0, abs=0.02)
    observer.reset()
    assert thing(turned(observer, []), "known") == 0


@pytest.mark.parametrize("rate", [0.95, 1.04])
def test_a_robot_that_turns_more_or_less_than_reckoned_finds_the_thing_and_its_bearing(rate: float) -> None:
    observer, boxes = ThingObserver(1, PERIOD_S), [(1.0, 1.8), (5.0, 2.3)]
    seen = turned(observer, boxes, rate=rate)
    to = 1.0 - (2 * SECTORS + 1) * STEP * PERIOD_S * rate
    assert thing(seen, "known") == 1 and thing(seen, "thing_far") == pytest.approx(1.8 / 3.0, abs=0.02)
    assert abs(math.remainder(bearing_of(seen) - to, math.tau)) < 0.12
    observer.reset()
    assert thing(turned(observer, [], rate=rate), "known") == 0


def two_turns(rate: float, boxes: list[tuple[float, float]], first: float = 0.0) -> TwoTurns:
    """Both turns to the left, the newest range straight ahead, as a robot whose heading is `first` hears it."""
    reckoned = np.arange(1 - 2 * SECTORS, 1, dtype=np.float32)
    headings = first + reckoned * rate * 2 * math.pi / SECTORS
    range_m = np.array([heard_in_room(float(h), boxes, WALLS_M) for h in headings], np.float32)
    return laid_over(range_m.reshape(2, SECTORS, 1), reckoned.reshape(2, SECTORS, 1))


def test_two_turns_are_laid_over_each_other_and_fill_each_others_gaps() -> None:
    boxes = [(1.0, 1.8), (5.0, 2.3)]
    for rate in (0.94, 1.0, 1.05):
        heard = two_turns(rate, boxes)
        bearing = (np.arange(SECTORS)[:, None] + heard.off) * 2 * math.pi / SECTORS
        told = [[heard_in_room(float(b), boxes, WALLS_M) for b in turn[:, 0]] for turn in bearing]
        off = np.abs(np.array(told) - heard.range_m[..., 0])
        assert np.median(off) < 0.03 and np.isfinite(heard.range_m).all()
    range_m = np.full((2, SECTORS, 1), 2.0, np.float32)
    range_m[0, 3], range_m[1, 5], range_m[:, 7] = np.inf, np.inf, np.inf
    again = np.stack((np.arange(-SECTORS, 0), np.arange(SECTORS)))[..., None].astype(np.float32)
    heard = laid_over(range_m, again)
    assert np.isinf(heard.range_m[:, 7]).all() and np.isinf(heard.range_m).sum() == 2


def test_a_box_before_a_wall_stands_out_of_the_walls_that_fit_and_an_empty_room_has_none() -> None:
    for first in (0.0, 0.3, 1.0):
        assert not len(before_walls(two_turns(1.02, [], first)).robot)
        found = before_walls(two_turns(1.02, [(0.1, 2.4)], first))  # 0.5 m before the wall ahead
        assert len(found.robot) == 2 and found.range_m == pytest.approx(2.4, abs=0.01)
        for heading in found.heading:
            assert abs(math.remainder(heading * 2 * math.pi / SECTORS + first - 0.1, math.tau)) < 0.12


def test_walls_fit_one_robot_as_they_fit_many() -> None:
    rng = np.random.default_rng(1)
    rooms = [two_turns(1.0, [(0.1, 2.2)], first) for first in rng.uniform(0.0, 6.0, 9).tolist()]
    noise = [rng.normal(1.0, 0.01, (2, SECTORS, 1)).astype(np.float32) for _ in rooms]
    alone = [TwoTurns(room.range_m * by, room.off) for room, by in zip(rooms, noise, strict=True)]
    many = before_walls(TwoTurns(*(np.concatenate(parts, -1) for parts in zip(*alone, strict=True))))
    for k, room in enumerate(alone):
        single = before_walls(room)
        mine = many.robot == k
        assert len(single.robot) and mine.sum() == len(single.robot)
        for one, among in zip(single[1:], many[1:], strict=True):
            np.testing.assert_array_equal(one, among[mine])


def test_a_thing_that_is_not_there_any_more_is_put_aside_and_given_up() -> None:
    observer = ThingObserver(1, PERIOD_S)
    seen = turned(observer, [(0.0, 1.8)])
    seen = turned(observer, [])  # and it is gone
    looked, beside = 0, 0.0
    while thing(seen, "known") and looked < 300:  # look where it is thought to be
        bearing = bearing_of(seen)
        looked += 1
        beside = max(beside, thing(seen, "left") + thing(seen, "right"))
        omega = min(max(bearing / PERIOD_S, -STEP), STEP)
        seen = observer.observe(None, np.array([2.9], np.float32), np.array([[0.0], [omega]], np.float32))
    assert 0.5 * thing_observation.LOST_S < looked * PERIOD_S <= thing_observation.LOST_S + 1.0 and beside > 0.9
    seen = observer.observe(None, np.array([2.9], np.float32), np.zeros((2, 1), np.float32))
    assert thing(seen, "known") == 0 and thing(seen, "heard") < 0.1  # all round has to be heard again


def test_a_thing_found_off_where_reckoning_had_it_tells_of_the_bend_in_the_way() -> None:
    belief, one = BearingBelief(1), np.array([0])
    belief.begin(one)
    for _ in range(20):
        belief.move(np.array([0.03], np.float32), np.zeros(1, np.float32))
    assert abs(belief.bend()[0]) < 1e-3
    deviation = float(np.sqrt((belief.bearing() * OFF_RAD**2).sum()))
    assert 0.12 < deviation < 0.25  # 0.1 rad at first, and 0.6 m of bends of about 0.2 rad/m
    belief.fix(one, np.array([0.2], np.float32))
    bend, off = belief.bend()[0], belief.centre()[0]
    assert 0.05 < bend < 0.3 and 0.1 < off < 0.2
    belief.begin(one)  # another thing: its bearing is new, the robot's wheels are not
    assert belief.bend()[0] == pytest.approx(bend, abs=1e-3) and belief.share.sum() == pytest.approx(1.0, abs=1e-5)
    belief.reset(slice(None))
    assert abs(belief.bend()[0]) < 1e-6


def test_what_the_cone_swept_is_known_to_be_free_until_it_is_long_ago() -> None:
    def free(observer: ScanObserver, range_m: float, v: float, omega: float) -> np.ndarray:
        seen = observer.observe(None, np.array([range_m], np.float32), np.array([[v], [omega]], np.float32))[:, 0]
        flags = [value for name, value in zip(scan_observation.FIELDS, seen, strict=True) if name.startswith("free_")]
        return np.array(flags, bool).reshape(2 * scan_observation.SIDE + 1, len(scan_observation.RINGS_M))

    ahead = scan_observation.SIDE
    observer = ScanObserver(1, 0.2)
    seen = free(observer, 0.33, 0.0, 0.0)  # from the sonar, 0.08 m ahead of the middle
    assert seen[ahead].tolist() == [True, True, False] and seen.sum() == 2
    for _ in range(4):
        seen = free(observer, 2.0, 0.0, -1.5)
    assert seen[ahead : ahead + 4, 1:].all() and not seen[: ahead - 1].any()  # it turned right; so much is to the left
    for _ in range(scan_observation.LOOKS):
        seen = free(observer, 0.02, 0.0, 0.0)
    assert not seen.any()


def test_a_point_goes_past_as_the_robot_drives_and_is_gone_when_heard_through() -> None:
    def near(observer: ScanObserver, range_m: float, v: float, omega: float) -> np.ndarray:
        command = np.array([[v], [omega]], np.float32)
        return observer.observe(None, np.array([range_m], np.float32), command)[-scan_observation.SECTORS :, 0].copy()

    observer = ScanObserver(1, 0.2)
    assert not near(observer, 3.0, 0.0, 0.0).any()
    seen = near(observer, 0.5, 0.0, 0.0)
    assert seen[0] > 0.3 and not seen[4:-4].any()
    for _ in range(4):  # turn right by 0.8 rad: what was ahead is now ahead to the left
        seen = near(observer, 3.0, 0.0, -1.0)
    assert seen[2:5].max() > 0.3
    for _ in range(8):
        seen = near(observer, 3.0, 0.3, 0.0)
    assert seen[6:10].max() > 0.3 and not seen[:4].any()  # beside it, and a little behind
    observer.reset()
    near(observer, 0.5, 0.0, 0.0)
    assert not near(observer, 3.0, 0.0, 0.0)[0]


def test_reckoning_lags_as_wheels_do_and_stops_where_the_guard_does() -> None:
    from edge.reckoning import Reckoning

    reckoning = Reckoning(1, 0.2)
    ahead = np.array([[0.3], [0.0]], np.float32)
    way, _ = reckoning.moved(ahead, np.array([0.2], np.float32))
    assert 0.6 * 0.06 < way[0] < 0.06
    way, _ = reckoning.moved(ahead, np.array([np.nan], np.float32))
    assert way[0] == pytest.approx(0.06, abs=1e-3)
    way, _ = reckoning.moved(2 * ahead, np.array([np.nan], np.float32))
    assert way[0] == 0  # nothing was heard
    reckoning.moved(ahead, np.array([STOP_M + 0.01], np.float32))
    assert reckoning.moved(ahead, np.array([1.0], np.float32))[0][0] == pytest.approx(0.01)
