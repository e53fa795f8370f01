"""From a wanted motion of the body to the duty of each wheel, and back.

A motor at duty d settles at the rim speed

    sign(d) * gain * top_speed * max(0, |d| - dead_band) / (1 - dead_band),

the straight line through the end of the dead band and full speed that DC gear motors follow closely
(Siegwart, Nourbakhsh, Scaramuzza: Introduction to Autonomous Mobile Robots, 2011, section 3.2, has the
differential drive). `duty_of_speed` inverts it: that is the dead-band and gain compensation.

Scalars take plain Python (about a microsecond), N robots take the `_batch` forms: the same formulas.
Numbers that are not finite stay so, that the motor port may refuse them.
"""

from __future__ import annotations

from contextlib import suppress
from math import copysign
from typing import TYPE_CHECKING, Any

from robot.types import Command, Twist, Wheels

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from robot.config import Drive

STILL = 1e-3
"""Wanted speeds below this share of a wheel's top speed are zero: a motor would only hum at the dead band's edge."""


def duty_of_speed(drive: Drive, speed: float, gain: float) -> float:
    """The duty at which a wheel of this `gain` settles at rim `speed` (m/s). Not saturated."""
    share = speed / (drive.top_speed_mps * gain)
    if abs(share) < STILL:
        return 0.0
    return copysign(drive.dead_band_duty + (1.0 - drive.dead_band_duty) * abs(share), share)


def speed_of_duty(drive: Drive, duty: float, gain: float) -> float:
    """The rim speed (m/s) at which a wheel of this `gain` settles at `duty` (-1..1)."""
    over = abs(duty) - drive.dead_band_duty
    if over <= 0:
        return 0.0
    return copysign(over / (1.0 - drive.dead_band_duty) * drive.top_speed_mps * gain, duty)


def limit_twist(drive: Drive, twist: Twist) -> Twist:
    """Scale v and omega together to within max_v and max_omega, so that the path keeps its curvature."""
    over = max(abs(twist.v) / drive.max_v_mps, abs(twist.omega) / drive.max_omega_radps)
    if over <= 1.0:
        return twist
    return Twist(twist.v / over, twist.omega / over)


def wheels_from_twist(drive: Drive, twist: Twist) -> Wheels:
    """The duties that move the body as `twist` says, within the drive's limits.

    Where a limit or a motor saturates, both wheels slow down together: the curvature is kept.
    """
    twist = limit_twist(drive, twist)
    half = 0.5 * drive.track_m * twist.omega
    left, right = twist.v - half, twist.v + half
    top = drive.top_speed_mps
    over = max(abs(left) / (top * drive.gain_left), abs(right) / (top * drive.gain_right))
    if over > 1.0:
        left, right = left / over, right / over
    return saturate(Wheels(duty_of_speed(drive, left, drive.gain_left), duty_of_speed(drive, right, drive.gain_right)))


def twist_from_wheels(drive: Drive, wheels: Wheels) -> Twist:
    """The steady motion of the body at these duties."""
    left = speed_of_duty(drive, wheels.left, drive.gain_left)
    right = speed_of_duty(drive, wheels.right, drive.gain_right)
    return Twist(0.5 * (left + right), (right - left) / drive.track_m)


def saturate(wheels: Wheels) -> Wheels:
    """Duties within -1..1, both scaled by the same factor where one is beyond."""
    over = max(abs(wheels.left), abs(wheels.right))
    if over <= 1.0:
        return wheels
    return Wheels(wheels.left / over, wheels.right / over)


def duties(drive: Drive, command: Command) -> Wheels:
    """A command of either form as duties for a motor port; what is no command stays so, for the port to refuse."""
    wheels: Any = command
    with suppress(TypeError, AttributeError):
        wheels = wheels_from_twist(drive, command) if isinstance(command, Twist) else saturate(command)
    return wheels  # type: ignore[no-any-return]


def duty_of_speed_batch(drive: Drive, speed: NDArray[Any], gain: NDArray[Any] | float) -> NDArray[Any]:
    """`duty_of_speed` over arrays."""
    import numpy as np

    share = speed / (drive.top_speed_mps * gain)
    size = np.abs(share)
    duty = np.copysign(drive.dead_band_duty + (1.0 - drive.dead_band_duty) * size, share)
    return np.where(size < STILL, np.zeros_like(duty), duty)


def speed_of_duty_batch(drive: Drive, duty: NDArray[Any], gain: NDArray[Any] | float) -> NDArray[Any]:
    """`speed_of_duty` over arrays."""
    import numpy as np

    over = np.maximum(np.abs(duty) - drive.dead_band_duty, 0.0)
    return np.copysign(over / (1.0 - drive.dead_band_duty) * drive.top_speed_mps * gain, duty)


def wheels_from_twist_batch(drive: Drive, v: NDArray[Any], omega: NDArray[Any]) -> tuple[NDArray[Any], NDArray[Any]]:
    """`wheels_from_twist` for N robots: v, omega (N,) -> duties left, right (N,), in the dtype given."""
    import numpy as np

    over = np.maximum(np.maximum(np.abs(v) / drive.max_v_mps, np.abs(omega) / drive.max_omega_radps), 1.0)
    v, half = v / over, 0.5 * drive.track_m * (omega / over)
    left, right = v - half, v + half
    top = drive.top_speed_mps
    over = np.maximum(np.abs(left) / (top * drive.gain_left), np.abs(right) / (top * drive.gain_right))
    over = np.maximum(over, 1.0)
    left = duty_of_speed_batch(drive, left / over, drive.gain_left)
    right = duty_of_speed_batch(drive, right / over, drive.gain_right)
    over = np.maximum(np.maximum(np.abs(left), np.abs(right)), 1.0)
    return left / over, right / over


def twist_from_wheels_batch(drive: Drive, left: NDArray[Any], right: NDArray[Any]) -> tuple[NDArray[Any], NDArray[Any]]:
    """`twist_from_wheels` for N robots: duties (N,) -> v, omega (N,)."""
    slow = speed_of_duty_batch(drive, left, drive.gain_left)
    fast = speed_of_duty_batch(drive, right, drive.gain_right)
    return 0.5 * (slow + fast), (fast - slow) / drive.track_m
