"""The words that body and mind speak: commands down, senses up.

Units follow REP-103: metre, second, radian, volt; x forward, y left, yaw
counter-clockwise. Stamps are monotonic seconds of the body's `Clock`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, Self

if TYPE_CHECKING:  # the motors' process imports this module and needs no numpy
    import numpy as np
    from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class Twist:
    """A wanted motion of the body: `v` in m/s forward, `omega` in rad/s to the left."""

    v: float
    omega: float


@dataclass(frozen=True, slots=True)
class Wheels:
    """The duty of each wheel, -1..1, positive forward."""

    left: float
    right: float


Command = Twist | Wheels

STOP = Wheels(0.0, 0.0)


@dataclass(frozen=True, slots=True)
class Reading:
    """One sample of one sensor: a value, or None where the sensor failed, and when it was taken."""

    value: float | None
    stamp: float


@dataclass(frozen=True, slots=True)
class Frame:
    """One camera image: uint8, height x width x 3, RGB, and when it was exposed."""

    image: NDArray[np.uint8]
    stamp: float


@dataclass(frozen=True, slots=True)
class Senses:
    """All that a body perceives at one moment; each sense bears its own stamp.

    Light is 0 (dark) to 1 (the brightest that the sensor tells apart), range is in metres along
    the sonar's axis. What a robot does not have is None (the field), what failed is a Reading of
    None, and a body that has not taken its first sample yet gives a Reading of None too.
    """

    stamp: float
    light_left: Reading
    light_right: Reading
    range: Reading
    frame: Frame | None = None
    speed_left: Reading | None = None  # m/s at the wheel's rim, from an encoder
    speed_right: Reading | None = None
    bump_left: Reading | None = None  # 1.0 pressed, 0.0 free
    bump_right: Reading | None = None
    tilt: Reading | None = None  # rad from upright
    battery: Reading | None = None  # volt
    under_voltage: Reading | None = None  # 1.0 the computer's own supply is too low, 0.0 it is not
    emergency_stop: Reading | None = None  # 1.0 pressed (or its wire broken), 0.0 released


class Clock(Protocol):
    """What time it is. Nothing else in the project asks."""

    def now(self) -> float:
        """Monotonic seconds."""

    def sleep_until(self, t: float) -> None:
        """Return at `t`, at once when it has passed."""


class Body(Protocol):
    """A robot's body, real or simulated. A context manager: leaving it stops and closes it."""

    clock: Clock

    def sense(self) -> Senses:
        """The newest sample of every sense. Never blocks."""

    def drive(self, command: Command, since: float | None = None) -> Wheels:
        """Send a command to the wheels and return the duties that were really applied.

        Args:
            command: what the wheels shall do, for `drive.command_timeout_s` at most.
            since: when that time began (the clock's seconds), now where it is not given. A loop gives the time of
                the senses behind the command, so that one held up on its way, as in a process that was suspended,
                has expired when it arrives: the wheels are then at zero, and zero is returned.

        Raises:
            ValueError: the command is not finite; the wheels are at zero before it is raised.
        """

    def stop(self) -> None:
        """Wheels to zero, now. Idempotent, never raises."""

    def close(self) -> None:
        """Stop, then give back pins, threads and camera. Idempotent."""

    def __enter__(self) -> Self: ...

    def __exit__(self, *exc: object) -> None: ...
