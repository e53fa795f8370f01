"""What cannot be true: sensors that repeat themselves, light from the wrong side, wheels that do as they like."""

from __future__ import annotations

from math import sin, tau

import numpy as np
import pytest

from edge.guard import Guard, Reason
from edge.perception.frames import FrameCheck
from edge.plausible import LightSides, Repeats, WheelCheck
from robot.clock import VirtualClock
from robot.config import load
from robot.kinematics import wheels_from_twist_batch
from robot.sim.body import SimBody
from robot.sim.rooms import make_room
from robot.sim.world import World
from robot.types import Frame, Reading, Senses, Twist

CONFIG = load()


def test_a_sensor_that_repeats_itself_is_doubted_only_where_the_robot_moves() -> None:
    moves, stands = Repeats(samples=6, way_m=0.06), Repeats(samples=6, way_m=0.06)
    found = [(moves.see(Reading(1.25, 0.1 * n), 0.02 * n), stands.see(Reading(1.25, 0.1 * n), 0.0)) for n in range(20)]
    assert [doubt for doubt, _ in found] == [False] * 5 + [True] * 15
    assert not any(doubt for _, doubt in found)
    assert not moves.see(Reading(1.2500001, 2.1), 0.5)  # another last digit is enough
    never = Repeats(samples=6, way_m=0.06)
    assert not any(never.see(Reading(None, 0.1 * n), 0.1 * n) for n in range(20))  # missing is told elsewhere
    assert not any(never.see(Reading(1.0, 5.0), 0.1 * n) for n in range(20))  # one sample, looked at often


@pytest.mark.parametrize(("level", "turning"), [("easy", 2.0), ("hard", -2.0)])
def test_exchanged_light_sensors_are_known_by_a_turn_and_right_ones_never_accused(level: str, turning: float) -> None:
    """A turn on the spot in 60 rooms; the world's own noise and shadows."""
    n, tick_s = 60, 0.02
    world = World(CONFIG, [make_room("light", level, 3000 + index) for index in range(n)], seed=2, tick_s=tick_s)
    world.set_duty(*wheels_from_twist_batch(CONFIG.drive, np.zeros(n), np.full(n, turning)))
    right, swapped = [LightSides() for _ in range(n)], [LightSides() for _ in range(n)]
    for tick in range(int(1.1 * tau / abs(turning) / tick_s)):
        world.step()
        left_light, right_light = world.sense_light()
        for index in range(n):
            a, b = (Reading(float(side[index]), tick * tick_s) for side in (left_light, right_light))
            right[index].see(a, b, turning * tick_s, 0.0)
            swapped[index].see(b, a, turning * tick_s, 0.0)
    assert not any(check.wrong for check in right)
    assert sum(check.wrong for check in swapped) > 0.75 * n  # where light comes from all sides nothing is said


def test_a_drive_is_no_turn() -> None:
    sides = LightSides()
    for tick in range(400):
        bright = 0.5 + 0.4 * sin(tick / 10)
        assert not sides.see(Reading(bright, tick), Reading(1 - bright, tick), 0.05, 0.01)


def speeds(left: float, right: float, now: float) -> Senses:
    nothing = Reading(0.5, now)
    return Senses(now, nothing, nothing, nothing, speed_left=Reading(left, now), speed_right=Reading(right, now))


def test_wheels_that_obey_are_never_accused() -> None:
    """A simulated robot with noise, whose policy wants something else all the time; also when it brakes."""
    rng = np.random.default_rng(4)
    clock = VirtualClock(0.02)
    check, wanted = WheelCheck(CONFIG), Twist(0.0, 0.0)
    with SimBody(CONFIG, make_room("light", "easy", 7), clock, seed=1, camera=False, encoders=True) as body:
        for tick in range(900):
            clock.sleep_until(0.02 * tick)
            senses = body.sense()
            assert not check.see(senses, wanted, 0.02, senses.stamp)
            if rng.random() < 0.08:
                wanted = Twist(float(rng.uniform(-0.2, 0.2)), float(rng.uniform(-2, 2)))
            body.drive(wanted)


def test_a_wheel_fault_rests_tries_again_and_is_given_up_the_third_time() -> None:
    check, stopped = WheelCheck(CONFIG), list[bool]()
    doubt = False
    for tick in range(1200):
        now = 0.02 * tick
        doubt = check.see(speeds(0.0, 0.0 if doubt else 0.3, now), Twist(0.0 if doubt else 0.3, 0.0), 0.02, now)
        stopped.append(doubt)
    starts = [tick for tick in range(1, len(stopped)) if stopped[tick] and not stopped[tick - 1]]
    assert len(starts) == 3 and check.given_up
    assert 0.4 <= 0.02 * starts[0] <= 0.7
    assert all(stopped[starts[2] :])


def test_short_stops_do_not_hide_a_dead_wheel() -> None:
    """A robot with a dead wheel turns towards this and that, and is stopped for it again and again."""
    check, told = WheelCheck(CONFIG), list[float]()
    for tick in range(150):
        now, driving = 0.02 * tick, tick % 25 < 17  # never for as long as the patience; only the living wheel follows
        if check.see(speeds(0.0, 0.25 if driving else 0.05, now), Twist(0.25 * driving, 0.0), 0.02, now):
            told.append(now)
    assert told and told[0] < 1.5


def test_the_guard_passes_a_doubt_on_only_where_it_matters() -> None:
    def dark(needs_light: bool) -> set[Reason]:
        guard, found = Guard(CONFIG, needs_light=needs_light), set()
        for tick in range(600):
            now = 10 + 0.02 * tick
            senses = Senses(now, Reading(0.0, now), Reading(0.0, now), Reading(2 + 1e-5 * sin(tick), now))
            found.add(guard.check(senses, Twist(0.0, 2.0 if tick % 200 < 100 else -2.0), now)[1])
        return found

    assert Reason.STUCK_LIGHT in dark(True)
    assert Reason.STUCK_LIGHT not in dark(False)


def image(value: int = 90, height: int = 480, width: int = 640) -> np.ndarray:
    return np.full((height, width, 3), value, np.uint8)


def test_frames_that_are_no_pictures_are_passed_over_until_one_is() -> None:
    assert CONFIG.camera is not None
    check = FrameCheck(CONFIG.camera)
    good = [Frame(image(90 + n), 0.1 * n) for n in range(3)]
    assert all(check.usable(frame) is frame and not check.problem for frame in good)
    assert check.usable(good[-1]) is good[-1]  # looked at again before the next one comes
    for bad, told in ((image(3), "black"), (image(90, 240, 320), "320 x 240"), (image(90)[..., 0], "640 x 480")):
        assert check.usable(Frame(bad, 1.0 + len(told))) is None
        assert told in check.problem
        assert check.usable(None) is None and check.problem  # nothing new: it stays as it is
        fresh = Frame(image(50 + len(told)), 50.0 + len(told))
        assert check.usable(fresh) is fresh and not check.problem


def test_the_third_equal_picture_on_end_is_a_frozen_camera() -> None:
    assert CONFIG.camera is not None
    check = FrameCheck(CONFIG.camera)
    assert [check.usable(Frame(image(80), 0.1 * n)) is not None for n in range(5)] == [True, True, False, False, False]
    other = image(80)
    other[3, 5, 1] += 1  # one bit of one pixel
    assert check.usable(Frame(other, 1.0)) is not None
    check.reset()
    assert check.usable(Frame(other, 1.1)) is not None
