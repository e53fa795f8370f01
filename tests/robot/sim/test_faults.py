"""Faults strike the part that they name, as they name it, from their start to their end."""

from __future__ import annotations

import math

import numpy as np
import pytest

from robot import config
from robot.clock import VirtualClock
from robot.errors import RobotError
from robot.sim.body import SimBody
from robot.sim.faults import Fault
from robot.sim.rooms import make_room
from robot.types import Wheels

ROBOT = config.load()
ROOM = make_room("light", "easy", 5)
SENSES = ["light_left", "light_right", "range", "emergency_stop"]


def watch(*faults, until=3.0, seed=0, spin=True, **options):
    """Senses each 20 ms of a robot that turns on the spot; {time: Senses}."""
    clock = VirtualClock()
    with SimBody(ROBOT, ROOM, clock, seed=seed, faults=faults, camera=False, **options) as body:
        log = {}
        for i in range(1, round(until / 0.02) + 1):
            if spin:
                body.drive(Wheels(-0.4, 0.4))
            clock.sleep_until(i * 0.02)
            log[round(i * 0.02, 2)] = body.sense()
        return log


HEALTHY = watch()


@pytest.mark.parametrize("part", SENSES)
def test_a_dropout_gives_no_value_with_a_fresh_stamp_and_ends(part):
    log = watch(Fault(part, "dropout", 1.0, 2.0))
    for t, senses in log.items():
        reading = getattr(senses, part)
        # A tenth of a second for the sonar to take its next sample after the fault's end.
        if 1.1 < t < 2.0:
            assert reading.value is None and senses.stamp - reading.stamp < 0.1
        elif t < 0.98 or t > 2.1:
            assert reading == getattr(HEALTHY[t], part)


def test_a_dropout_may_strike_now_and_then_and_repeats_with_the_seed():
    fault = Fault("light_left", "dropout", probability=0.3)
    first, again, other = (watch(fault, seed=s) for s in (0, 0, 1))
    lost = [senses.light_left.value is None for senses in first.values()]
    assert 0.15 < np.mean(lost) < 0.45
    assert lost == [senses.light_left.value is None for senses in again.values()]
    assert lost != [senses.light_left.value is None for senses in other.values()]
    assert all(senses.light_right.value is not None for senses in first.values())


@pytest.mark.parametrize("part", ["light_left", "light_right", "range"])
def test_a_stuck_sense_repeats_its_last_value_with_fresh_stamps(part):
    log = watch(Fault(part, "stuck", 1.0, 2.0))
    held = [getattr(senses, part) for t, senses in log.items() if 1.1 < t < 1.98]
    assert len({reading.value for reading in held}) == 1
    assert len({reading.stamp for reading in held}) > 10
    assert held[0].value == getattr(log[0.98], part).value
    assert getattr(log[2.5], part) == getattr(HEALTHY[2.5], part)


@pytest.mark.parametrize("part", ["light_left", "light_right", "range"])
def test_a_sense_that_was_always_stuck_repeats_its_first_sample(part):
    log = watch(Fault(part, "stuck"))
    held = [getattr(senses, part) for t, senses in log.items() if t > 0.2]
    assert len({reading.value for reading in held}) == 1
    assert len({reading.stamp for reading in held}) > 10


@pytest.mark.parametrize("part", ["light", "range"])
def test_nan_is_handed_out_as_it_is(part):
    log = watch(Fault(part, "nan", 1.0))
    senses = log[2.0]
    readings = [senses.range] if part == "range" else [senses.light_left, senses.light_right]
    assert all(math.isnan(reading.value) for reading in readings)
    assert not math.isnan((senses.light_left if part == "range" else senses.range).value or 0.0)


@pytest.mark.parametrize("part", SENSES)
def test_a_disconnected_sense_grows_old(part):
    log = watch(Fault(part, "disconnect", 1.0, 2.0))
    assert 0.9 < log[1.98].stamp - getattr(log[1.98], part).stamp < 1.1
    assert getattr(log[1.98], part).stamp <= 1.0
    assert getattr(log[2.5], part) == getattr(HEALTHY[2.5], part)


def test_a_delayed_sense_comes_late_with_its_true_stamp():
    log = watch(Fault("range", "delay", value=0.3))
    for t, senses in log.items():
        if t > 0.5:
            assert 0.3 - 1e-6 <= senses.stamp - senses.range.stamp < 0.3 + 0.08
            assert senses.light_left == HEALTHY[t].light_left
    stamps = {senses.range.stamp: senses.range.value for senses in HEALTHY.values()}
    assert all(stamps[s.range.stamp] == s.range.value for t, s in log.items() if t > 0.5)


def test_camera_faults():
    def frames(*faults):
        clock = VirtualClock()
        with SimBody(ROBOT, ROOM, clock, faults=faults) as body:
            log = []
            for i in range(1, 61):
                body.drive(Wheels(-0.4, 0.4))
                clock.sleep_until(i * 0.02)
                log.append((clock.now(), body.sense().frame))
            return log

    lost = frames(Fault("camera", "disconnect", 0.5))
    assert lost[-1][1].stamp <= 0.5
    stuck = frames(Fault("camera", "stuck", 0.5))
    assert stuck[-1][1].stamp > 1.0
    assert np.array_equal(stuck[-1][1].image, stuck[40][1].image)
    assert not np.array_equal(lost[5][1].image, lost[20][1].image)
    late = frames(Fault("camera", "delay", value=0.2))
    assert all(frame is None or now - frame.stamp >= 0.2 - 1e-6 for now, frame in late)
    assert late[-1][1] is not None
    assert frames(Fault("camera", "dropout"))[-1][1] is None


def wheel_speeds(*faults, at=(0.9, 1.9, 2.9), duty=(0.6, 0.6)):
    clock = VirtualClock()
    speeds = []
    with SimBody(ROBOT, ROOM, clock, camera=False, noise=False, faults=faults) as body:
        for moment in at:
            while clock.now() < moment - 1e-9:
                body.drive(Wheels(*duty))
                clock.sleep_until(clock.now() + 0.02)
            speeds.append(body.world.wheel_speed[:, 0].tolist())
    return speeds


STEADY = (0.6 - 0.08) / 0.92 * 0.5


@pytest.mark.parametrize(
    ("kind", "options", "expected"),
    [
        ("dead", {}, 0.0),
        ("disconnect", {}, 0.0),
        ("reversed", {}, -STEADY),
        ("weak", {"value": 0.5}, (0.3 - 0.08) / 0.92 * 0.5),
    ],
)
def test_motor_faults(kind, options, expected):
    before, during, after = wheel_speeds(Fault("motor_left", kind, 1.0, 2.0, **options))
    assert before == pytest.approx([STEADY, STEADY], abs=1e-3)
    assert during == pytest.approx([expected, STEADY], abs=1e-3)
    assert after == pytest.approx([STEADY, STEADY], abs=1e-3)
    both = wheel_speeds(Fault("motors", kind, 1.0, 2.0, **options))[1]
    assert both == pytest.approx([expected, expected], abs=1e-3)


def test_a_stuck_motor_does_not_stop():
    clock = VirtualClock()
    with SimBody(ROBOT, ROOM, clock, camera=False, noise=False, faults=[Fault("motors", "stuck", 0.5, 2.0)]) as body:
        for i in range(30):
            body.drive(Wheels(-0.4, 0.4))
            clock.sleep_until(i * 0.02)
        body.stop()
        clock.sleep_until(1.9)
        assert body.world.wheel_speed[1, 0] == pytest.approx((0.4 - 0.08) / 0.92 * 0.5, abs=1e-3)
        clock.sleep_until(3.0)
        assert abs(body.world.wheel_speed[1, 0]) < 1e-3


def test_commands_may_act_late():
    clock = VirtualClock()
    with SimBody(ROBOT, ROOM, clock, camera=False, noise=False, faults=[Fault("motors", "delay", value=0.3)]) as body:
        for i in range(1, 26):
            body.drive(Wheels(0.6, 0.6))
            clock.sleep_until(i * 0.02)
            moved = body.world.wheel_speed[0, 0] > 0
            assert moved == (clock.now() > 0.3 + 1e-9)


def test_lost_commands_leave_the_last_duty():
    clock = VirtualClock()
    with SimBody(ROBOT, ROOM, clock, camera=False, noise=False, faults=[Fault("motors", "dropout", 0.4)]) as body:
        for i in range(1, 50):
            body.drive(Wheels(0.6, 0.6) if i <= 20 else Wheels(-0.6, -0.6))
            clock.sleep_until(i * 0.02)
        assert body.world.wheel_speed[0, 0] == pytest.approx(STEADY, abs=1e-3)


@pytest.mark.parametrize(
    ("arguments", "hint"),
    [
        (("sonar", "nan"), "range"),
        (("range", "broken"), "dropout"),
        (("range", "dead"), "motors"),
        (("camera", "nan"), "camera"),
        (("motors", "nan"), "motors"),
        (("range", "nan", 3.0, 2.0), "start"),
        (("range", "nan", -1.0), "start"),
        (("range", "delay"), "delay"),
        (("motors", "weak", 0.0, 1.0, 1.5), "weak"),
        (("range", "dropout", 0.0, 1.0, 0.0, math.nan), "probability"),
    ],
)
def test_a_fault_that_makes_no_sense_is_refused(arguments, hint):
    with pytest.raises(RobotError, match=hint):
        Fault(*arguments)
