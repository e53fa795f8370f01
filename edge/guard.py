"""The guard: from what a policy wants to what is safe, and the reason.

It stands outside every policy and only decides; the motor port acts. `decide` is a pure function; a
`Guard` remembers nothing but its last answer, from which starts are ramped.

The wheels are stopped, whatever is wanted, on: the emergency stop, a tilt, a low battery, a sense or a
command that is not finite, a sense, frame or command that is too old. Forward alone is refused before an
obstacle (a missing echo is one) and on a pressed bumper; turning and backing off stay allowed there, or
a robot in a corner would never come out.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from math import inf, isfinite, radians

from edge.limits import allowed_speed, forward_limit, forward_limit_one, ramp, ramp_one
from robot.config import RobotConfig
from robot.kinematics import limit_twist, twist_from_wheels, wheels_from_twist
from robot.types import STOP, Command, Reading, Senses, Twist

__all__ = [
    "MOVING", "SENTENCES", "STOPPING", "Guard", "Reason", "Situation", "allowed_speed", "decide", "forward_limit",
    "forward_limit_one", "ramp", "ramp_one",
]  # fmt: skip

SOON_S = 0.05
"""A stamp may lie this far ahead of the guard's `now` (a sampler's thread was quicker), and no further."""

FIRST_STEP_S = 0.02
"""What the first command after a halt may ramp by."""


class Reason(StrEnum):
    """Why the wheels got what they got. Those in `MOVING` let the wheels turn, all others are a full stop."""

    OK = "ok"
    LIMITED = "limited"  # within the drive's limits, or ramped
    OBSTACLE = "obstacle"  # forward speed cut, down to zero, before what the sonar sees
    BUMP = "bump"  # forward refused: a bumper is pressed, or does not answer
    NO_ECHO = "no_echo"  # forward refused: the last echo is missing
    EMERGENCY_STOP = "emergency_stop"  # pressed, or its wire is broken
    TILT = "tilt"
    LOW_BATTERY = "low_battery"
    SENSE_NOT_FINITE = "sense_not_finite"  # a sensor says NaN or infinity
    STALE_RANGE = "stale_range"
    STALE_LIGHT = "stale_light"
    STALE_SENSE = "stale_sense"  # another fitted sense is too old
    STALE_FRAME = "stale_frame"  # a policy that needs the camera has no result that is young enough
    STALE_COMMAND = "stale_command"  # it took too long from the senses to the command
    NOT_FINITE = "not_finite"  # the wanted command is NaN or infinite
    FAULT = "fault"  # the policy, perception, the recording or the body failed
    SHUTDOWN = "shutdown"


MOVING = frozenset({Reason.OK, Reason.LIMITED, Reason.OBSTACLE, Reason.BUMP, Reason.NO_ECHO})
"""The reasons under which the wheels may turn."""

SENTENCES = {
    Reason.OK: "drives as wanted",
    Reason.LIMITED: "slowed to the drive's limits",
    Reason.OBSTACLE: "slowed or stopped before an obstacle",
    Reason.BUMP: "forward refused: a bumper is pressed or silent",
    Reason.NO_ECHO: "forward refused: the sonar's echo is missing",
    Reason.EMERGENCY_STOP: "stopped: the emergency stop is pressed, or its wire is broken",
    Reason.TILT: "stopped: the robot leans too far",
    Reason.LOW_BATTERY: "stopped: the battery is low",
    Reason.SENSE_NOT_FINITE: "stopped: a sensor says NaN or infinity",
    Reason.STALE_RANGE: "stopped: the sonar has sent nothing new",
    Reason.STALE_LIGHT: "stopped: a light sensor has sent nothing new",
    Reason.STALE_SENSE: "stopped: a sensor has sent nothing new",
    Reason.STALE_FRAME: "stopped: no picture that is young enough has been looked at",
    Reason.STALE_COMMAND: "stopped: it took too long from the senses to the command",
    Reason.NOT_FINITE: "stopped: the policy wants NaN or infinity",
    Reason.FAULT: "stopped: something failed",
    Reason.SHUTDOWN: "stopped: the run has ended",
}
"""Each reason in words, for people."""

STOPPING = frozenset(Reason) - MOVING
"""The reasons under which both wheels are at zero."""

_HALT = Twist(0.0, 0.0)


@dataclass(frozen=True, slots=True)
class Situation:
    """What else the guard must know of the iteration that it judges; stamps are the clock's seconds."""

    now: float
    sensed_at: float  # when the iteration took its senses: what is wanted is no younger
    frame_at: float | None = None  # exposure of the frame behind the newest detections
    needs_camera: bool = False
    previous: Twist = _HALT  # the last answer, for the ramp
    step_s: float = FIRST_STEP_S  # since the last answer


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
        asked = twist_from_wheels(config.drive, wanted)
    safe, reason = _safe_motion(config, senses, asked, at)
    if safe == asked:
        return wanted, reason  # untouched: the very command, without a rounding through the other form
    if isinstance(wanted, Twist):
        return safe, reason
    return wheels_from_twist(config.drive, safe), reason


def _stop_reason(config: RobotConfig, senses: Senses, at: Situation) -> Reason | None:
    """The first reason for a full stop. Comparisons are written so that NaN fails them too."""
    now, guard = at.now, config.guard
    # First, since an iteration that hung makes every sense look old, and they are not to blame.
    if not _age(at.sensed_at, now) <= config.drive.command_timeout_s:
        return Reason.STALE_COMMAND
    switch = senses.emergency_stop
    if switch is not None and not (_fresh(switch, now, guard.sense_stale_s) and switch.value == 0.0):
        return Reason.EMERGENCY_STOP
    for reading in _fitted(senses):
        if reading.value is not None and not isfinite(reading.value):
            return Reason.SENSE_NOT_FINITE
    if not _fresh(senses.range, now, config.range.stale_s):
        return Reason.STALE_RANGE
    if not all(_fresh(light, now, config.light.stale_s) for light in (senses.light_left, senses.light_right)):
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
    if at.needs_camera:
        stale_s = 0.0 if config.camera is None else config.camera.stale_s
        if at.frame_at is None or not _age(at.frame_at, now) <= stale_s:
            return Reason.STALE_FRAME
    return None


def _safe_motion(config: RobotConfig, senses: Senses, asked: Twist, at: Situation) -> tuple[Twist, Reason]:
    """Limits, obstacle and ramp, in this order: each can only take speed away."""
    drive = config.drive
    limited = limit_twist(drive, asked)
    # Wheel space: where a wheel would have to turn faster than it can, both slow down and the path stays.
    half = 0.5 * drive.track_m * limited.omega
    over = max(
        abs(limited.v - half) / (drive.top_speed_mps * drive.gain_left),
        abs(limited.v + half) / (drive.top_speed_mps * drive.gain_right),
    )
    v, omega = (limited.v / over, limited.omega / over) if over > 1.0 else (limited.v, limited.omega)

    reason, allowed = Reason.OBSTACLE, 0.0
    if any(bump is not None and not _free(bump, at.now, config) for bump in (senses.bump_left, senses.bump_right)):
        reason = Reason.BUMP
    elif senses.range.value is None:
        reason = Reason.NO_ECHO
    else:
        allowed = allowed_speed(senses.range.value, _age(senses.range.stamp, at.now), config)
    free_v, free_omega = forward_limit_one(v, omega, allowed, config)
    if (free_v, free_omega) == (v, omega):
        reason = Reason.OK

    # Where the body's motion is ramped, v and omega each: turning back and forth costs no forward speed.
    step = drive.max_accel_mps2 * at.step_s
    safe = Twist(
        ramp_one(free_v, at.previous.v, step), ramp_one(free_omega, at.previous.omega, step / (0.5 * drive.track_m))
    )
    if reason is Reason.OK and safe != asked:
        reason = Reason.LIMITED
    return safe, reason


def _fitted(senses: Senses) -> tuple[Reading, ...]:
    found = (
        senses.range, senses.light_left, senses.light_right, senses.speed_left, senses.speed_right,
        senses.bump_left, senses.bump_right, senses.tilt, senses.battery,
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


class Guard:
    """`decide` for one robot, iteration after iteration.

    Args:
        config: the robot.
        needs_camera: the policy lives by detections, so that a frame that is too old is a full stop.
    """

    def __init__(self, config: RobotConfig, needs_camera: bool = False) -> None:
        self.config = config
        self.needs_camera = needs_camera
        self._previous = _HALT
        self._at: float | None = None

    def check(
        self,
        senses: Senses,
        wanted: Command,
        now: float,
        *,
        sensed_at: float | None = None,
        frame_at: float | None = None,
    ) -> tuple[Command, Reason]:
        """The safe command at `now`, and the reason.

        Args:
            senses: what the body perceived.
            wanted: what the policy asks for.
            now: the clock's time at the moment of acting, after the policy.
            sensed_at: when this iteration began; `senses.stamp` where it is not given.
            frame_at: exposure of the frame behind the detections that the policy saw, None without any.
        """
        since = FIRST_STEP_S if self._at is None else now - self._at
        if not 0.0 <= since <= self.config.drive.command_timeout_s:
            self.halted()  # a pause so long that the motor port has stopped the wheels by itself
            since = FIRST_STEP_S
        situation = Situation(
            now=now,
            sensed_at=senses.stamp if sensed_at is None else sensed_at,
            frame_at=frame_at,
            needs_camera=self.needs_camera,
            previous=self._previous,
            step_s=since,
        )
        command, reason = decide(self.config, senses, wanted, situation)
        self._at = now
        self._previous = command if isinstance(command, Twist) else twist_from_wheels(self.config.drive, command)
        return command, reason

    def halted(self) -> None:
        """The wheels were stopped past the guard: the next start is ramped from zero."""
        self._previous = _HALT
        self._at = None
