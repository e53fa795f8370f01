"""The guard: what it lets through is finite, within limits, and never drives at what it could not stop before."""

from __future__ import annotations

from math import inf, isfinite, nan, sin

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge.guard import MOVING, SENTENCES, STOPPING, Guard, Reason, Situation, decide
from edge.limits import allowed_speed, forward_limit, forward_limit_one
from robot.config import RobotConfig, load
from robot.kinematics import twist_from_wheels, wheels_from_twist
from robot.types import STOP, Command, Reading, Senses, Twist, Wheels

CONFIG = load()
NOW = 100.0

any_float = st.floats(allow_nan=True, allow_infinity=True, width=64)
any_value = st.none() | any_float
any_reading = st.builds(Reading, any_value, any_float | st.floats(NOW - 1, NOW + 0.1))
near_reading = st.builds(Reading, st.none() | st.floats(0.0, 5.0), st.floats(NOW - 0.29, NOW))
light = st.builds(Reading, st.floats(0, 1), st.floats(NOW - 0.29, NOW))
any_command = st.builds(Twist, any_float, any_float) | st.builds(Wheels, any_float, any_float)
sane_command = st.builds(Twist, st.floats(-2, 2), st.floats(-9, 9)) | st.builds(
    Wheels, st.floats(-1, 1), st.floats(-1, 1)
)
motion = st.builds(Twist, st.floats(-0.4, 0.4), st.floats(-3, 3))
any_senses = st.builds(
    Senses,
    stamp=any_float,
    light_left=any_reading,
    light_right=any_reading,
    range=any_reading,
    frame=st.none(),
    **{
        name: st.none() | any_reading
        for name in (
            "speed_left", "speed_right", "bump_left", "bump_right", "tilt", "battery", "under_voltage", "emergency_stop"
        )
    },  # fmt: skip
)


def senses(range_m: float | None = 2.0, *, at: float = NOW, **other: Reading) -> Senses:
    if range_m is not None and isfinite(range_m):
        range_m += 1e-6 * sin(1e4 * at)  # no echo is like the one before, to the last digit
    fresh = {
        "light_left": Reading(0.5, at),
        "light_right": Reading(0.5, at),
        "range": Reading(range_m, at),
        "emergency_stop": Reading(0.0, at),
    }
    return Senses(stamp=at, **(fresh | other))


def as_twist(command: Command, config: RobotConfig = CONFIG) -> Twist:
    return command if isinstance(command, Twist) else twist_from_wheels(config.drive, command)


def within_limits(command: Command) -> bool:
    drive = CONFIG.drive
    twist = as_twist(command)
    rim = abs(twist.v) + abs(twist.omega) * drive.track_m / 2
    inside = abs(twist.v) <= drive.max_v_mps + 1e-9 and abs(twist.omega) <= drive.max_omega_radps + 1e-9
    duties = wheels_from_twist(drive, command) if isinstance(command, Twist) else command
    return inside and rim <= drive.top_speed_mps + 1e-9 and max(abs(duties.left), abs(duties.right)) <= 1.0


@settings(max_examples=300, deadline=None)
@given(any_senses, any_command, any_float | st.just(NOW), any_float, st.none() | any_float, st.booleans(), motion)
def test_the_answer_is_finite_and_within_limits_for_any_numbers_at_all(
    seen: Senses, wanted: Command, now: float, sensed: float, frame: float | None, camera: bool, before: Twist
) -> None:
    at = Situation(now, sensed, frame_at=frame, needs_camera=camera, previous=before, step_s=0.02)
    command, reason = decide(CONFIG, seen, wanted, at)
    assert within_limits(command)
    assert (reason in MOVING) or command == STOP


@settings(max_examples=400, deadline=None)
@given(near_reading, light, sane_command, motion)
def test_it_never_drives_at_an_obstacle_inside_the_braking_distance(
    echo: Reading, seen: Reading, wanted: Command, before: Twist
) -> None:
    world = senses(range=echo, light_left=seen, light_right=seen)
    command, reason = decide(CONFIG, world, wanted, Situation(NOW, NOW, previous=before))
    assert reason in MOVING
    v = as_twist(command).v
    if echo.value is None:
        assert v <= 1e-12
        return
    drive, guard = CONFIG.drive, CONFIG.guard
    needs = v * (guard.reaction_s + NOW - echo.stamp) + v * v / (2 * drive.braking_mps2)
    lost = drive.max_v_mps * (NOW - echo.stamp)  # nothing measures the speed: as much as can be driven
    stops = v * guard.reaction_s + v * v / (2 * drive.braking_mps2)
    assert v <= 1e-12 or stops <= echo.value - guard.stop_gap_m - lost + 1e-9
    assert v <= 1e-12 or needs <= echo.value - guard.stop_gap_m + 1e-9


@settings(deadline=None)
@given(near_reading, sane_command)
def test_turning_and_backing_off_are_left_where_forward_is_refused(echo: Reading, wanted: Command) -> None:
    close = senses(range=Reading(min(echo.value or 0.1, 0.12), echo.stamp))
    free, held = Guard(CONFIG), Guard(CONFIG)
    for step in range(40):  # long enough for both ramps to end
        now = NOW + 0.02 * step
        loose, _ = free.check(senses(at=now), wanted, now)
        tight, _ = held.check(senses(close.range.value, at=now), wanted, now)
    cap = CONFIG.guard.turn_only_radps
    assert as_twist(tight).v == pytest.approx(min(as_twist(loose).v, 0.0), abs=1e-6)
    assert as_twist(tight).omega == pytest.approx(float(np.clip(as_twist(loose).omega, -cap, cap)), abs=1e-6)


@pytest.mark.parametrize(
    ("reason", "change"),
    [
        (Reason.EMERGENCY_STOP, {"emergency_stop": Reading(1.0, NOW)}),
        (Reason.EMERGENCY_STOP, {"emergency_stop": Reading(None, NOW)}),
        (Reason.EMERGENCY_STOP, {"emergency_stop": Reading(nan, NOW)}),
        (Reason.EMERGENCY_STOP, {"emergency_stop": Reading(0.0, NOW - 1)}),
        (Reason.SENSE_NOT_FINITE, {"range": Reading(nan, NOW)}),
        (Reason.SENSE_NOT_FINITE, {"range": Reading(inf, NOW)}),
        (Reason.SENSE_NOT_FINITE, {"light_left": Reading(nan, NOW)}),
        (Reason.SENSE_NOT_FINITE, {"battery": Reading(nan, NOW)}),
        (Reason.STALE_RANGE, {"range": Reading(1.0, NOW - 0.31)}),
        (Reason.STALE_RANGE, {"range": Reading(1.0, nan)}),
        (Reason.STALE_RANGE, {"range": Reading(1.0, NOW + 5)}),
        (Reason.STALE_RANGE, {"range": Reading(None, NOW - 0.31)}),
        (Reason.STALE_LIGHT, {"light_right": Reading(0.5, NOW - 0.31)}),
        (Reason.STALE_SENSE, {"speed_left": Reading(0.0, NOW - 0.31)}),
        (Reason.TILT, {"tilt": Reading(-0.7, NOW)}),
        (Reason.TILT, {"tilt": Reading(None, NOW)}),
        (Reason.LOW_BATTERY, {"battery": Reading(5.9, NOW)}),
        (Reason.LOW_BATTERY, {"battery": Reading(None, NOW)}),
        (Reason.UNDER_VOLTAGE, {"under_voltage": Reading(1.0, NOW)}),
        (Reason.UNDER_VOLTAGE, {"under_voltage": Reading(None, NOW)}),
        (Reason.UNDER_VOLTAGE, {"under_voltage": Reading(0.0, NOW - 1.1)}),
        (Reason.STALE_LIGHT, {"light_left": Reading(None, NOW)}),
    ],
)
@pytest.mark.parametrize("wanted", [Twist(0.3, 0.5), Twist(-0.3, 0.0), Twist(0.0, 1.0), Wheels(1.0, 0.2)])
def test_each_stop_reason_stops_both_wheels(reason: Reason, change: dict[str, Reading], wanted: Command) -> None:
    assert reason in STOPPING
    assert Guard(CONFIG).check(senses(**change), wanted, NOW) == (STOP, reason)


@pytest.mark.parametrize("wanted", [Twist(nan, 0.0), Twist(0.1, inf), Wheels(nan, 0.2), Wheels(0.1, -inf)])
def test_a_command_that_is_not_finite_stops_and_the_next_one_drives_again(wanted: Command) -> None:
    guard = Guard(CONFIG)
    assert guard.check(senses(), wanted, NOW) == (STOP, Reason.NOT_FINITE)
    command, reason = guard.check(senses(at=NOW + 0.02), Twist(0.2, 0.0), NOW + 0.02)
    assert reason in MOVING
    assert as_twist(command).v > 0


@pytest.mark.parametrize("wanted", [Wheels(0.0, 1.7e308), Wheels(-1.7e308, 1.7e308), Wheels(1.7e308, 1.7e308)])
def test_duties_whose_speeds_no_float_can_hold_are_brought_within_limits(wanted: Wheels) -> None:
    given, reason = Guard(CONFIG).check(senses(), wanted, now=NOW)
    assert reason is Reason.LIMITED
    assert isinstance(given, Wheels) and abs(given.left) <= 1.0 and abs(given.right) <= 1.0
    assert given != STOP


def test_a_command_from_old_senses_is_refused() -> None:
    late = NOW + CONFIG.drive.command_timeout_s + 0.01
    assert Guard(CONFIG).check(senses(at=late), Twist(0.2, 0), late, sensed_at=NOW)[1] is Reason.STALE_COMMAND
    assert Guard(CONFIG).check(senses(at=NOW), Twist(0.2, 0), NOW, sensed_at=nan)[1] is Reason.STALE_COMMAND


def test_a_policy_that_needs_the_camera_stands_until_it_sees() -> None:
    assert CONFIG.camera is not None
    guard = Guard(CONFIG, needs_camera=True)
    assert guard.check(senses(), Twist(0.2, 0), NOW) == (STOP, Reason.STALE_FRAME)
    old = NOW - CONFIG.camera.stale_s - 0.01
    assert guard.check(senses(), Twist(0.2, 0), NOW, frame_at=old) == (STOP, Reason.STALE_FRAME)
    assert guard.check(senses(), Twist(0.2, 0), NOW, frame_at=NOW - 0.2)[1] in MOVING


def test_an_iteration_that_took_longer_than_its_period_is_an_overrun() -> None:
    def after(seconds: float) -> Reason:
        now = NOW + seconds
        return Guard(CONFIG).check(senses(at=now), Twist(0.2, 0), now, sensed_at=NOW, period_s=0.02)[1]

    assert after(0.0) in MOVING
    assert after(0.02) in MOVING
    assert after(0.021) is Reason.OVERRUN
    assert after(0.19) is Reason.OVERRUN
    assert after(0.21) is Reason.STALE_COMMAND


def test_whoever_drives_over_a_link_must_be_heard() -> None:
    def heard(at: float | None) -> Reason:
        return Guard(CONFIG, needs_link=True).check(senses(), Twist(0.2, 0), NOW, link_at=at)[1]

    assert heard(None) is Reason.LOST_LINK
    assert heard(NOW - CONFIG.guard.link_stale_s - 0.001) is Reason.LOST_LINK
    assert heard(NOW + 1.0) is Reason.LOST_LINK  # a stamp of another clock
    assert heard(NOW - 0.1) in MOVING
    assert Guard(CONFIG).check(senses(), Twist(0.2, 0), NOW)[1] in MOVING


def test_pictures_to_go_by_are_needed_where_the_camera_is() -> None:
    for needs, found in ((True, Reason.BAD_FRAME), (False, Reason.LIMITED)):
        guard = Guard(CONFIG, needs_camera=needs)
        assert guard.check(senses(), Twist(0.2, 0), NOW, frame_at=NOW - 0.1, bad_frame=True)[1] is found


def test_after_the_shutdown_nothing_drives_until_a_run_begins() -> None:
    guard = Guard(CONFIG)
    guard.shutdown()
    assert guard.check(senses(), Twist(0.2, 0.0), NOW) == (STOP, Reason.SHUTDOWN)
    guard.begin()
    assert guard.check(senses(), Twist(0.2, 0.0), NOW)[1] in MOVING


def test_a_light_sample_that_fails_is_forgiven_for_as_long_as_an_old_one_is() -> None:
    guard = Guard(CONFIG)
    assert guard.check(senses(), Twist(0.0, 0.5), NOW)[1] in MOVING
    for late, found in ((0.1, MOVING), (0.29, MOVING), (0.31, {Reason.STALE_LIGHT}), (0.5, {Reason.STALE_LIGHT})):
        now = NOW + late
        assert guard.check(senses(at=now, light_left=Reading(None, now)), Twist(0.0, 0.5), now)[1] in found
    assert guard.check(senses(at=NOW + 0.6), Twist(0.0, 0.5), NOW + 0.6)[1] in MOVING


def test_a_missing_echo_refuses_forward_while_it_is_the_newest() -> None:
    guard = Guard(CONFIG)
    for step in range(40):
        now = NOW + 0.05 * step
        command, reason = guard.check(senses(2.0 if step % 2 else None, at=now), Twist(0.2, 0.0), now)
        assert (as_twist(command).v > 0) == (step % 2 == 1)
        assert (reason is Reason.NO_ECHO) == (step % 2 == 0)


@pytest.mark.parametrize("bad", [nan, inf, 0.0, 0.1, 99.0])
def test_forward_needs_two_good_echoes_on_end(bad: float) -> None:
    guard = Guard(CONFIG)
    for step, value in enumerate((2.0, 2.0, bad, 2.0, 2.0)):
        now = NOW + 0.05 * step
        command, reason = guard.check(senses(value, at=now), Twist(0.2, 0.0), now)
        assert (as_twist(command).v > 0) == (step not in (2, 3)), reason
    alternating = Guard(CONFIG)
    for step in range(2, 40):
        now = NOW + 0.05 * step
        command, reason = alternating.check(senses(2.0 if step % 2 else bad, at=now), Twist(0.2, 0.0), now)
        assert as_twist(command).v <= 0.0


def test_every_reason_has_its_sentence() -> None:
    assert set(SENTENCES) == set(Reason) == MOVING | STOPPING
    assert all((reason in STOPPING) == text.startswith("stopped") for reason, text in SENTENCES.items())


def test_a_bumper_refuses_forward_only() -> None:
    for bump in (Reading(1.0, NOW), Reading(None, NOW), Reading(0.0, NOW - 1)):
        command, reason = Guard(CONFIG).check(senses(bump_left=bump), Twist(0.3, 1.0), NOW)
        assert (as_twist(command).v, reason) == (0.0, Reason.BUMP)
        assert as_twist(command).omega > 0
        assert as_twist(Guard(CONFIG).check(senses(bump_left=bump), Twist(-0.3, 0.0), NOW)[0]).v < 0
    assert Guard(CONFIG).check(senses(bump_left=Reading(0.0, NOW)), Twist(0.3, 0.0), NOW)[1] is not Reason.BUMP


def test_starts_are_ramped_and_stops_are_not() -> None:
    guard, step = Guard(CONFIG), CONFIG.drive.max_accel_mps2 * 0.02
    speeds = []
    for tick in range(15):
        now = NOW + 0.02 * tick
        speeds.append(as_twist(guard.check(senses(at=now), Twist(0.3, 0.0), now)[0]).v)
    assert speeds[0] == pytest.approx(step)
    assert max(np.diff(speeds)) <= step + 1e-9
    assert speeds[-1] == 0.3
    assert guard.check(senses(at=NOW + 0.3), Twist(0.0, 0.0), NOW + 0.3) == (Twist(0.0, 0.0), Reason.OK)
    assert as_twist(guard.check(senses(at=NOW + 0.32), Twist(0.3, 0.0), NOW + 0.32)[0]).v == pytest.approx(step)


def test_a_turn_of_sign_goes_through_zero() -> None:
    guard = Guard(CONFIG)
    for tick in range(20):
        guard.check(senses(at=NOW + 0.02 * tick), Twist(0.3, 0.0), NOW + 0.02 * tick)
    after = as_twist(guard.check(senses(at=NOW + 0.4), Twist(-0.3, 0.0), NOW + 0.4)[0]).v
    assert -CONFIG.drive.max_accel_mps2 * 0.02 - 1e-9 <= after < 0


def test_a_safe_command_passes_untouched() -> None:
    guard = Guard(CONFIG)
    for wanted in (Twist(0.01, 0.02), Wheels(0.0, 0.0)):
        assert guard.check(senses(), wanted, NOW) == (wanted, Reason.OK)


def test_the_gaps_that_policies_aim_for_are_allowed() -> None:
    """`range` ends 0.25 m before the sonar and `person` at 1.2 m: the guard must let both get there."""
    assert allowed_speed(0.25, 0.1, CONFIG) > 0.3
    assert allowed_speed(1.2, 0.1, CONFIG) == CONFIG.drive.max_v_mps
    assert allowed_speed(CONFIG.guard.stop_gap_m, 0.0, CONFIG) == 0.0


@settings(deadline=None)
@given(
    st.lists(st.tuples(any_float | st.floats(0, 4), st.floats(0, 1) | st.just(nan)), min_size=1, max_size=20),
    st.sampled_from([np.float32, np.float64]),
)
def test_arrays_and_scalars_agree_on_the_allowed_speed(pairs: list[tuple[float, float]], dtype: type) -> None:
    with np.errstate(over="ignore"):
        range_m, age = np.array(pairs, dtype=dtype).T.copy()
    many = allowed_speed(range_m, age, CONFIG)
    assert many.dtype == dtype
    assert np.all((many >= 0) & (many <= np.float32(CONFIG.drive.max_v_mps) + 1e-6))
    one = [allowed_speed(float(r), float(a), CONFIG) for r, a in zip(range_m, age, strict=True)]
    np.testing.assert_allclose(many, one, atol=2e-5)
    assert allowed_speed(None, 0.0, CONFIG) == 0.0


@settings(deadline=None)
@given(st.floats(-1, 1), st.floats(-5, 5), st.floats(0, 0.4))
def test_arrays_and_scalars_agree_on_the_forward_limit(v: float, omega: float, allowed: float) -> None:
    many = forward_limit(np.array([v]), np.array([omega]), np.array([allowed]), CONFIG)
    assert forward_limit_one(v, omega, allowed, CONFIG) == (many[0][0], many[1][0])
