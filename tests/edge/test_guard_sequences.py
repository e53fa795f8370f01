"""The guard over any sequence of senses and commands, against the contract written down once more, in plain words.

Nothing here calls the guard's own rules: what must stop the robot, how far it needs to brake and how fast a wheel may
gain speed are computed anew, from `robot.toml` alone.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import inf, isfinite, nan, radians

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge.guard import MOVING, STOPPING, Guard, Reason
from edge.limits import allowed_speed, speed_up, speed_up_one
from robot.config import load
from robot.kinematics import speed_of_duty, wheels_from_twist
from robot.types import STOP, Command, Reading, Senses, Twist, Wheels

CONFIG = load()
DRIVE, LIMITS = CONFIG.drive, CONFIG.guard
PERIOD_S = 0.02
DOUBTS = {Reason.STUCK_LIGHT, Reason.LIGHT_SIDES, Reason.WHEEL_FAULT}  # of a history; tests/edge/test_plausible.py

odd = st.sampled_from([nan, inf, -inf, -1.0, 1e308, 0.0])
age = st.sampled_from([0.0, 0.01, 0.06, 0.06, 0.06, 0.2, 0.29, 0.31, 5.0, -0.04, -1.0])


def sometimes(usual: st.SearchStrategy, rare: st.SearchStrategy) -> st.SearchStrategy:
    """Mostly what is usual: a robot that is always stopped proves little."""
    return st.integers(0, 11).flatmap(lambda number: rare if number == 0 else usual)


values = {
    "range": sometimes(st.none() | st.floats(0, 4.2), odd),
    "light_left": sometimes(st.floats(0, 1), st.none() | odd),
    "light_right": sometimes(st.floats(0, 1), st.none() | odd),
    "speed_left": sometimes(st.floats(-0.5, 0.5), st.none() | odd),
    "speed_right": sometimes(st.floats(-0.5, 0.5), st.none() | odd),
    "bump_left": sometimes(st.just(0.0), st.just(1.0) | st.none() | odd),
    "bump_right": sometimes(st.just(0.0), st.just(1.0) | st.none() | odd),
    "tilt": sometimes(st.floats(-0.5, 0.5), st.floats(-2, 2) | st.none() | odd),
    "battery": sometimes(st.floats(6.0, 9.0), st.floats(0, 9) | st.none() | odd),
    "under_voltage": sometimes(st.just(0.0), st.just(1.0) | st.none() | odd),
    "emergency_stop": sometimes(st.just(0.0), st.just(1.0) | st.none() | odd),
}
ALWAYS = ("range", "light_left", "light_right")
number = st.floats(allow_nan=True, allow_infinity=True, width=64) | st.sampled_from([1.7e308, -1.7e308, 1.0, 0.0])
command = sometimes(
    st.builds(Twist, st.floats(-0.6, 0.6), st.floats(-5, 5)) | st.builds(Wheels, st.floats(-1, 1), st.floats(-1, 1)),
    st.builds(Twist, number, number) | st.builds(Wheels, number, number),
)


@dataclass(frozen=True)
class Step:
    """One iteration; ages in seconds before it."""

    dt: float
    took: float
    readings: dict[str, tuple[float | None, float]]
    wanted: Command
    frame: float | None
    bad_frame: bool
    heard: float | None


@st.composite
def steps(draw: st.DrawFn, fitted: tuple[str, ...]) -> Step:
    return Step(
        dt=draw(sometimes(st.just(PERIOD_S), st.sampled_from([0.0, 0.001, 0.04, 0.19, 0.3, 2.0]))),
        took=draw(sometimes(st.floats(0.0, 0.019), st.floats(0.0, 0.5))),
        readings={
            name: (draw(values[name]), draw(sometimes(st.sampled_from([0.0, 0.02, 0.06]), age))) for name in fitted
        },
        wanted=draw(command),
        frame=draw(sometimes(st.floats(0.0, 0.5), st.none() | st.just(0.7))),
        bad_frame=draw(sometimes(st.just(False), st.just(True))),
        heard=draw(sometimes(st.floats(0.0, 0.15), st.none() | st.just(0.3))),
    )


@st.composite
def lives(draw: st.DrawFn) -> list[Step]:
    extra = draw(st.sets(st.sampled_from(sorted(set(values) - set(ALWAYS)))))
    return draw(st.lists(steps((*ALWAYS, *sorted(extra))), min_size=2, max_size=25))


def old(stamp: float, now: float, most: float) -> bool:
    """Whether a stamp is older than `most`, or lies in the future, where no sample can come from."""
    return not -0.05 <= now - stamp <= most


def must_stop(senses: Senses, now: float, step: Step, lit: list[float], camera: bool, link: bool) -> set[Reason]:
    """All reasons for which both wheels must be at zero, as the contract has them."""
    found = set()
    began = senses.stamp
    if now - began > DRIVE.command_timeout_s:
        found.add(Reason.STALE_COMMAND)
    if now - began > PERIOD_S + 1e-6:
        found.add(Reason.OVERRUN)
    switch = senses.emergency_stop
    if switch is not None and (switch.value != 0.0 or old(switch.stamp, now, LIMITS.sense_stale_s)):
        found.add(Reason.EMERGENCY_STOP)
    for name in values:
        reading = getattr(senses, name)
        known = name != "emergency_stop" and reading is not None and reading.value is not None
        if known and not isfinite(reading.value):
            found.add(Reason.SENSE_NOT_FINITE)
    if old(senses.range.stamp, now, CONFIG.range.stale_s):
        found.add(Reason.STALE_RANGE)
    if any(old(stamp, now, CONFIG.light.stale_s) for stamp in lit):
        found.add(Reason.STALE_LIGHT)
    for extra in (senses.tilt, senses.battery, senses.speed_left, senses.speed_right):
        if extra is not None and old(extra.stamp, now, LIMITS.sense_stale_s):
            found.add(Reason.STALE_SENSE)
    if senses.tilt is not None and not (
        senses.tilt.value is not None and abs(senses.tilt.value) <= radians(LIMITS.max_tilt_deg)
    ):
        found.add(Reason.TILT)
    if senses.battery is not None and not (
        senses.battery.value is not None and senses.battery.value >= LIMITS.min_battery_v
    ):
        found.add(Reason.LOW_BATTERY)
    supply = senses.under_voltage
    if supply is not None and (supply.value != 0.0 or old(supply.stamp, now, LIMITS.supply_stale_s)):
        found.add(Reason.UNDER_VOLTAGE)
    if camera:
        assert CONFIG.camera is not None
        if step.bad_frame:
            found.add(Reason.BAD_FRAME)
        if step.frame is None or old(began - step.frame, now, CONFIG.camera.stale_s):
            found.add(Reason.STALE_FRAME)
    if link and (step.heard is None or old(began - step.heard, now, LIMITS.link_stale_s)):
        found.add(Reason.LOST_LINK)
    if not all(isfinite(part) for part in parts(step.wanted)):
        found.add(Reason.NOT_FINITE)
    return found


def parts(wanted: Command) -> tuple[float, float]:
    return (wanted.v, wanted.omega) if isinstance(wanted, Twist) else (wanted.left, wanted.right)


def rims(given: Command) -> tuple[float, float]:
    """The speed (m/s) at which each wheel's rim settles under a command."""
    duties = wheels_from_twist(DRIVE, given) if isinstance(given, Twist) else given
    assert max(abs(duties.left), abs(duties.right)) <= 1.0
    return speed_of_duty(DRIVE, duties.left, DRIVE.gain_left), speed_of_duty(DRIVE, duties.right, DRIVE.gain_right)


def check_way_ahead(v: float, omega: float, senses: Senses, echoes: list[Reading], now: float) -> None:
    """`v` (m/s) leaves the gap free after braking, by each of the last two echoes; turning is slow where it is none."""
    speeds = [r.value for r in (senses.speed_left, senses.speed_right) if r is not None and r.value is not None]
    measured = max(sum(speeds) / 2, 0.0) if len(speeds) == 2 else None
    blocked = any(
        bump is not None and (bump.value != 0.0 or old(bump.stamp, now, LIMITS.sense_stale_s))
        for bump in (senses.bump_left, senses.bump_right)
    )
    for back, echo in enumerate(reversed(echoes[-2:])):
        if back and echo.value is None:
            continue  # it was an obstacle in its time; the newest echo tells where it is now
        if echo.value is None or not isfinite(echo.value) or echo.value > CONFIG.range.max_m + 1e-6:
            blocked = True
            continue
        free, since = echo.value - LIMITS.stop_gap_m, max(now - echo.stamp, 0.0)
        if now - echo.stamp < -0.05:
            blocked = True
        braking = v * LIMITS.reaction_s + v * v / (2 * DRIVE.braking_mps2)
        lost = (DRIVE.max_v_mps if measured is None else v) * since
        assert v <= 1e-9 or braking + lost <= free + 1e-6, "it drives at what it cannot stop before"
        if measured is not None:
            needs = measured * (LIMITS.reaction_s + since) + measured * measured / (2 * DRIVE.braking_mps2)
            assert v <= 1e-9 or needs <= free + 1e-6, "it is too fast to stop before it, and drives on"
        blocked |= free <= 0.0
    if blocked:
        assert v <= 1e-9
        assert abs(omega) <= LIMITS.turn_only_radps + 1e-6


@settings(max_examples=120, deadline=None)
@given(lives(), st.booleans(), st.booleans())
def test_any_life(life: list[Step], camera: bool, link: bool) -> None:
    guard = Guard(CONFIG, needs_camera=camera, needs_light=True, needs_link=link)
    now, before, at = 1000.0, (0.0, 0.0), None
    lit = [-inf, -inf]
    echoes: list[Reading] = []
    for step in life:
        began = now + step.dt
        now = began + step.took
        readings = {name: Reading(value, began - back) for name, (value, back) in step.readings.items()}
        senses = Senses(stamp=began, **readings)
        lit = [
            seen if reading.value is None else reading.stamp
            for seen, reading in zip(lit, (senses.light_left, senses.light_right), strict=True)
        ]
        if echoes and senses.range.stamp == echoes[-1].stamp:
            echoes.pop()  # a stamp is one sample's: drawn twice, the newer counts
        echoes.append(senses.range)
        given_, reason = guard.check(
            senses, step.wanted, now, sensed_at=began, period_s=PERIOD_S,
            frame_at=None if step.frame is None else began - step.frame, bad_frame=step.bad_frame,
            link_at=None if step.heard is None else began - step.heard,
        )  # fmt: skip

        # Zero within the same iteration on any reason, and moving again as soon as none is left.
        why = must_stop(senses, now, step, lit, camera, link)
        if why:
            assert given_ == STOP
            assert reason in why | DOUBTS
        else:
            assert reason in MOVING | DOUBTS
        assert (reason in STOPPING) == (given_ == STOP and reason not in MOVING)

        # Finite, and within the limits of the body and of each wheel.
        left, right = rims(given_)
        v, omega = (left + right) / 2, (right - left) / DRIVE.track_m
        assert isfinite(left) and isfinite(right)
        assert abs(v) <= DRIVE.max_v_mps + 1e-6 and abs(omega) <= DRIVE.max_omega_radps + 1e-6
        assert max(abs(left), abs(right)) <= DRIVE.top_speed_mps + 1e-6

        # Each wheel gains no more than its acceleration allows, and starts from zero where it turns round.
        since = PERIOD_S if at is None or not 0.0 <= now - at <= DRIVE.command_timeout_s else now - at
        if at is not None and not 0.0 <= now - at <= DRIVE.command_timeout_s:
            before = (0.0, 0.0)
        for had, has in zip(before, (left, right), strict=True):
            gained = abs(has) - (abs(had) if had * has > 0 else 0.0)
            assert gained <= DRIVE.max_accel_mps2 * since + 1e-3 * DRIVE.top_speed_mps + 1e-6
        if reason in MOVING:
            check_way_ahead(v, omega, senses, echoes, now)
        at, before = now, (left, right)


@settings(max_examples=80, deadline=None)
@given(st.data())
def test_a_body_that_obeys_late_and_brakes_as_measured_never_comes_nearer_than_the_gap(data: st.DataObject) -> None:
    """The worst body that `robot.toml` allows: deaf for `reaction_s`, then slowing at `braking_mps2`, no quicker.

    It drives at a wall. Its sonar hears the wall's true distance, up to 0.25 s late; the policy wants anything.
    """
    measured = data.draw(st.booleans(), label="encoders")
    distance, speed, now = data.draw(st.floats(0.4, 3.0)), 0.0, 50.0
    guard = Guard(CONFIG)
    orders = [0.0] * round(LIMITS.reaction_s / PERIOD_S)
    past = [(now, distance)]
    heard = past[0]
    for _ in range(150):
        now += PERIOD_S
        if data.draw(st.integers(0, 3)) == 0:
            back = data.draw(st.integers(0, 12))
            heard = max(heard, past[max(len(past) - 1 - back, 0)])
        echo = Reading(heard[1], heard[0])
        wheels = {name: Reading(speed, now) for name in ("speed_left", "speed_right")} if measured else {}
        senses = Senses(now, Reading(0.4, now), Reading(0.4, now), echo, **wheels)
        wanted = Twist(data.draw(st.sampled_from([0.4, 0.4, 0.4, 0.2, 0.05, -0.1])), 0.0)
        given_, _ = guard.check(senses, wanted, now)
        orders.append(sum(rims(given_)) / 2)
        order = max(orders.pop(0), 0.0)  # backing off would only help
        speed = order if order >= speed else max(order, speed - DRIVE.braking_mps2 * PERIOD_S)
        distance -= speed * PERIOD_S
        past.append((now, distance))
        assert distance >= LIMITS.stop_gap_m - 0.012  # one period's way, of steps that are not infinitely small


@settings(deadline=None)
@given(
    st.lists(
        st.tuples(
            st.floats(-0.4, 0.4), st.floats(-3, 3), st.floats(-0.4, 0.4), st.floats(-3, 3), st.sampled_from([0.0, 0.3])
        ),
        min_size=1,
        max_size=12,
    ),
    st.floats(0.001, 0.2),
)
def test_arrays_and_scalars_agree_on_speeding_up(cases: list[tuple[float, ...]], step: float) -> None:
    v, omega, before_v, before_omega, allowed = np.array(cases).T.copy()
    v = np.minimum(v, allowed)
    cap = np.where(allowed > 0, DRIVE.max_omega_radps, LIMITS.turn_only_radps)
    omega = np.clip(omega, -cap, cap)
    many = speed_up(v, omega, before_v, before_omega, step, allowed, CONFIG)
    for index in range(len(cases)):
        one = speed_up_one(
            float(v[index]), float(omega[index]), float(before_v[index]), float(before_omega[index]), step,
            float(allowed[index]), CONFIG,
        )  # fmt: skip
        assert one == pytest.approx((many[0][index], many[1][index]), abs=1e-9)
        assert min(v[index], 0.0) - 1e-12 <= one[0] <= max(v[index], 0.0) + 1e-12
        assert abs(one[1]) <= cap[index] + 1e-9


@settings(deadline=None)
@given(st.floats(0, 4), st.floats(0, 0.3), st.floats(0, 0.6))
def test_a_measured_speed_decides_over_the_braking_distance(metres: float, since: float, speed: float) -> None:
    free = metres - LIMITS.stop_gap_m
    found = allowed_speed(metres, since, CONFIG, speed)
    many = allowed_speed(np.array([metres]), np.array([since]), CONFIG, np.array([speed]))
    assert float(many[0]) == pytest.approx(found, abs=1e-9)
    if speed * (LIMITS.reaction_s + since) + speed * speed / (2 * DRIVE.braking_mps2) > free + 1e-9:
        assert found == 0.0
    assert found * (LIMITS.reaction_s + since) + found * found / (2 * DRIVE.braking_mps2) <= max(free, 0.0) + 1e-9
    assert allowed_speed(3.0, 0.0, CONFIG, 0.4) == DRIVE.max_v_mps


def test_what_is_not_measured_counts_as_the_top_speed() -> None:
    """The same reading, older: what could have been driven since is taken off, slow as the robot may have been."""
    fresh, aged = (allowed_speed(0.3, seconds, CONFIG) for seconds in (0.0, 0.25))
    assert 0.0 < aged < fresh == DRIVE.max_v_mps
    free = 0.3 - LIMITS.stop_gap_m - DRIVE.max_v_mps * 0.25
    assert aged * LIMITS.reaction_s + aged**2 / (2 * DRIVE.braking_mps2) == pytest.approx(free)
