"""Why the wheels got what they got: the guard's reasons, in the order in which people meet them, and in words."""

from __future__ import annotations

from enum import StrEnum


class Reason(StrEnum):
    """Why the wheels got what they got. Those in `MOVING` let the wheels turn, all others are a full stop."""

    OK = "ok"
    LIMITED = "limited"  # within the drive's limits, or ramped
    OBSTACLE = "obstacle"  # forward speed cut, down to zero, before what the sonar sees
    BUMP = "bump"  # forward refused: a bumper is pressed, or does not answer
    NO_ECHO = "no_echo"  # forward refused: the echo is missing, or beyond what the sonar hears
    STUCK_RANGE = "stuck_range"  # forward refused: the sonar repeats itself to the last digit while the robot moves
    EMERGENCY_STOP = "emergency_stop"  # pressed, or its wire is broken
    TILT = "tilt"
    LOW_BATTERY = "low_battery"
    UNDER_VOLTAGE = "under_voltage"  # the computer's supply has sagged
    SENSE_NOT_FINITE = "sense_not_finite"  # a sensor says NaN or infinity
    STALE_RANGE = "stale_range"
    STALE_LIGHT = "stale_light"  # no sample, or failed ones only
    STALE_SENSE = "stale_sense"  # another fitted sense is too old
    STUCK_LIGHT = "stuck_light"  # a light sensor repeats itself while a robot that lives by light moves
    LIGHT_SIDES = "light_sides"  # left and right brighten in the wrong order while the robot turns
    WHEEL_FAULT = "wheel_fault"  # the measured wheel speeds are not those that were commanded
    STALE_FRAME = "stale_frame"  # a policy that needs the camera has no result that is young enough
    BAD_FRAME = "bad_frame"  # its pictures are frozen, black or of another size
    STALE_COMMAND = "stale_command"  # it took too long from the senses to the command
    OVERRUN = "overrun"  # the iteration took longer than its period
    LOST_LINK = "lost_link"  # nothing young enough came over a link: of who drives, or of the body that is driven
    NOT_FINITE = "not_finite"  # the wanted command is NaN or infinite
    FAULT = "fault"  # the policy, perception, the body or the guard raised an exception
    SHUTDOWN = "shutdown"


MOVING = frozenset(
    {Reason.OK, Reason.LIMITED, Reason.OBSTACLE, Reason.BUMP, Reason.NO_ECHO, Reason.STUCK_RANGE}
)
"""The reasons under which the wheels may turn."""

STOPPING = frozenset(Reason) - MOVING
"""The reasons under which both wheels are at zero."""

SENTENCES = {
    Reason.OK: "drives as wanted",
    Reason.LIMITED: "slowed to the drive's limits",
    Reason.OBSTACLE: "slowed or stopped before an obstacle",
    Reason.BUMP: "forward refused: a bumper is pressed or silent",
    Reason.NO_ECHO: "forward refused: the sonar's echo is missing",
    Reason.STUCK_RANGE: "forward refused: the sonar repeats itself to the last digit",
    Reason.EMERGENCY_STOP: "stopped by the emergency stop: pressed, latched or not read (`edgebot motors status`)",
    Reason.TILT: "stopped: the robot leans too far",
    Reason.LOW_BATTERY: "stopped: the battery is low",
    Reason.UNDER_VOLTAGE: "stopped: the computer's supply voltage is too low",
    Reason.SENSE_NOT_FINITE: "stopped: a sensor says NaN or infinity",
    Reason.STALE_RANGE: "stopped: the sonar has sent nothing new",
    Reason.STALE_LIGHT: "stopped: a light sensor has sent nothing new",
    Reason.STALE_SENSE: "stopped: a sensor has sent nothing new",
    Reason.STUCK_LIGHT: "stopped: a light sensor repeats itself to the last digit",
    Reason.LIGHT_SIDES: "stopped: the light sensors, or the motors, are left for right",
    Reason.WHEEL_FAULT: "stopped: a wheel does not turn as it is told",
    Reason.STALE_FRAME: "stopped: no picture that is young enough has been looked at",
    Reason.BAD_FRAME: "stopped: the camera's pictures are frozen, black or of another size",
    Reason.STALE_COMMAND: "stopped: it took too long from the senses to the command",
    Reason.OVERRUN: "stopped: an iteration took longer than its period",
    Reason.LOST_LINK: "stopped: nothing comes over the link",
    Reason.NOT_FINITE: "stopped: the policy wants NaN or infinity",
    Reason.FAULT: "stopped: something failed",
    Reason.SHUTDOWN: "stopped: the run has ended",
}
"""Each reason in words, for people."""
