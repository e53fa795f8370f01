"""What is safe, decided: a pure function of senses, wanted command and situation to a command and the reason.

The wheels are stopped, whatever is wanted, on every reason of `STOPPING`. Forward alone is refused before an
obstacle (a missing echo is one) and on a pressed bumper; turning, slowly, and backing off stay allowed there, or a
robot in a corner would never come out.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import inf, isfinite, radians

from edge.limits import allowed_speed, forward_limit_one, speed_up_one
from edge.reasons import STOPPING, Reason
from robot.config import RobotConfig
from robot.kinematics import limit_twist, saturate, twist_from_wheels, wheels_from_twist
from robot.types import STOP, Command, Reading, Senses, Twist

SOON_S = 0.05
"""A stamp may lie this far ahead of the guard's `now` (a sampler's thread was quicker), and no further."""

FIRST_STEP_S = 0.02
"""What the first command after a halt may ramp by."""

SLACK_S = 1e-6
"""Sums of periods are not exact."""

HALT = Twist(0.0, 0.0)


@dataclass(frozen=True, slots=True)
class Situation:
    """What else the guard must know of the iteration that it judges; stamps are the clock's seconds."""

    now: float
    sensed_at: float  # when the iteration took its senses: what is wanted is no younger
    period_s: float = inf  # of the loop: what took longer is an overrun
    frame_at: float | None = None  # exposure of the frame behind the newest detections
    needs_camera: bool = False
    bad_frame: bool = False  # the newest frame is no picture to go by
    link_at: float | None = None  # when the newest message came from whoever drives over a link
    needs_link: bool = False
    previous: Twist = HALT  # the last answer, for the ramp
    step_s: float = FIRST_STEP_S  # since the last answer
    echo_before: Reading | None = None  # the sonar's last sample but one
    lit_at: tuple[float, float] = (-inf, -inf)  # when left and right light were last measured, for failed samples
    doubt: Reason | None = None  # what `edge.plausible` says
    shutdown: bool = False


def decide(config: RobotConfig, senses: Senses, wanted: Command, at: Situation) -> tuple[Command, Reason]:
    """The safe command and the reason. Pure; never raises for any number, finite or not.

    A `Twist` is answered by a `Twist`, `Wheels` by `Wheels`, a full stop by `STOP`. The answer is finite,
    within `max_v_mps`, `max_omega_radps` and the wheels' top speed.
    """
    stop = _stop_reason(config, senses, at)
    if stop is not None:
        return STOP, stop
    if isinstance(wanted, Twist):
        if not (isfinite(wanted.v) and isfinite(wanted.omega)):
            return STOP, Reason.NOT_FINITE
        asked = wanted
    else:
        if not (isfinite(wanted.left) and isfinite(wanted.right)):
            return STOP, Reason.NOT_FINITE
        # Brought within -1..1 first: duties that are finite may be so large that their speeds are not.
        asked = twist_from_wheels(config.drive, within := saturate(wanted))
    safe, reason = _safe_motion(config, senses, asked, at)
    if safe == asked:  # the very command, without a rounding through the other form
        if isinstance(wanted, Twist) or within is wanted:
            return wanted, reason
        return within, Reason.LIMITED if reason is Reason.OK else reason
    if isinstance(wanted, Twist):
        return safe, reason
    return wheels_from_twist(config.drive, safe), reason


def _stop_reason(config: RobotConfig, senses: Senses, at: Situation) -> Reason | None:
    """The first reason for a full stop. Comparisons are written so that NaN fails them too."""
    now, guard = at.now, config.guard
    if at.shutdown:
        return Reason.SHUTDOWN
    # Early, since an iteration that hung makes every sense look old, and they are not to blame.
    took = _age(at.sensed_at, now)
    if not took <= config.drive.command_timeout_s:
        return Reason.STALE_COMMAND
    switch = senses.emergency_stop
    if switch is not None and not (_fresh(switch, now, guard.sense_stale_s) and switch.value == 0.0):
        return Reason.EMERGENCY_STOP
    if not took <= at.period_s + SLACK_S:
        return Reason.OVERRUN
    if at.needs_link and (at.link_at is None or not _age(at.link_at, now) <= guard.link_stale_s):
        return Reason.LOST_LINK
    for reading in _fitted(senses):
        if reading.value is not None and not isfinite(reading.value):
            return Reason.SENSE_NOT_FINITE
    if not _fresh(senses.range, now, config.range.stale_s):
        return Reason.STALE_RANGE
    for light, lit_at in zip((senses.light_left, senses.light_right), at.lit_at, strict=True):
        if not _age(light.stamp if light.value is not None else lit_at, now) <= config.light.stale_s:
            return Reason.STALE_LIGHT
    for extra in (senses.tilt, senses.battery, senses.speed_left, senses.speed_right):
        if extra is not None and not _fresh(extra, now, guard.sense_stale_s):
            return Reason.STALE_SENSE
    if senses.tilt is not None and (
        senses.tilt.value is None or not abs(senses.tilt.value) <= radians(guard.max_tilt_deg)
    ):
        return Reason.TILT
    if senses.battery is not None and (
        senses.battery.value is None or not senses.battery.value >= guard.min_battery_v
    ):
        return Reason.LOW_BATTERY
    supply = senses.under_voltage  # sampled slowly: the kernel itself asks every two seconds only
    if supply is not None and not (_fresh(supply, now, guard.supply_stale_s) and supply.value == 0.0):
        return Reason.UNDER_VOLTAGE
    if at.doubt in STOPPING:
        return at.doubt
    if at.needs_camera:
        if at.bad_frame:
            return Reason.BAD_FRAME
        stale_s = 0.0 if config.camera is None else config.camera.stale_s
        if at.frame_at is None or not _age(at.frame_at, now) <= stale_s:
            return Reason.STALE_FRAME
    return None


def _safe_motion(config: RobotConfig, senses: Senses, asked: Twist, at: Situation) -> tuple[Twist, Reason]:
    """Limits, obstacle and acceleration, in this order: each can only take speed away."""
    drive = config.drive
    limited = limit_twist(drive, asked)
    # Wheel space: where a wheel would have to turn faster than it can, both slow down and the path stays.
    half = 0.5 * drive.track_m * limited.omega
    over = max(
        abs(limited.v - half) / (drive.top_speed_mps * drive.gain_left),
        abs(limited.v + half) / (drive.top_speed_mps * drive.gain_right),
    )
    v, omega = (limited.v / over, limited.omega / over) if over > 1.0 else (limited.v, limited.omega)

    allowed, reason = _ahead(config, senses, at)
    free_v, free_omega = forward_limit_one(v, omega, allowed, config)
    if (free_v, free_omega) == (v, omega):
        reason = Reason.OK
    before, step = at.previous, drive.max_accel_mps2 * at.step_s
    safe = Twist(*speed_up_one(free_v, free_omega, before.v, before.omega, step, allowed, config))
    if reason is Reason.OK and safe != asked:
        reason = Reason.LIMITED
    return safe, reason


def _ahead(config: RobotConfig, senses: Senses, at: Situation) -> tuple[float, Reason]:
    """How fast forward may be (m/s), and what would be to blame for it."""
    if any(bump is not None and not _free(bump, at.now, config) for bump in (senses.bump_left, senses.bump_right)):
        return 0.0, Reason.BUMP
    if at.doubt is Reason.STUCK_RANGE:
        return 0.0, Reason.STUCK_RANGE
    speed = _forward_speed(config, senses, at)
    allowed = inf
    if senses.range.value is None:
        return 0.0, Reason.NO_ECHO
    for echo in (senses.range, at.echo_before):  # an echo that leaps away is not believed at once: both count
        if echo is not None and echo.value is not None:
            if not echo.value <= config.range.max_m + 1e-6:
                return 0.0, Reason.NO_ECHO
            allowed = min(allowed, allowed_speed(echo.value, _age(echo.stamp, at.now), config, speed))
    return allowed, Reason.OBSTACLE


def _forward_speed(config: RobotConfig, senses: Senses, at: Situation) -> float | None:
    """Measured, m/s, and what may have been gained since; None where a wheel's speed is not known."""
    left, right = senses.speed_left, senses.speed_right
    if left is None or right is None or left.value is None or right.value is None:
        return None
    measured = 0.5 * (left.value + right.value)
    return max(measured, min(at.previous.v, measured + config.drive.max_accel_mps2 * at.step_s), 0.0)


def _fitted(senses: Senses) -> tuple[Reading, ...]:
    found = (
        senses.range, senses.light_left, senses.light_right, senses.speed_left, senses.speed_right,
        senses.bump_left, senses.bump_right, senses.tilt, senses.battery, senses.under_voltage,
    )  # fmt: skip
    return tuple(reading for reading in found if reading is not None)


def _age(stamp: float, now: float) -> float:
    """Seconds since `stamp`; a stamp that lies in the future, as after a mixed-up clock, is infinitely old."""
    age = now - stamp
    return max(age, 0.0) if age >= -SOON_S else inf


def _fresh(reading: Reading, now: float, stale_s: float) -> bool:
    return _age(reading.stamp, now) <= stale_s


def _free(bump: Reading, now: float, config: RobotConfig) -> bool:
    return _fresh(bump, now, config.guard.sense_stale_s) and bump.value == 0.0
