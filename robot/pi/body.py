"""The body of a real robot: pins, samplers, camera, and the motor port between `drive` and the wheels."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, Self, TypeVar

from robot.clock import VirtualClock
from robot.config import RobotConfig
from robot.errors import RobotError
from robot.kinematics import duties
from robot.motor_port import InProcessPort, MotorPort
from robot.motor_report import Report
from robot.pi import gpio
from robot.pi.camera import open_camera
from robot.pi.hbridge import HBridge
from robot.pi.light import open_light
from robot.pi.pace import Pace, VirtualPace, WallPace
from robot.pi.power import Supply
from robot.pi.sampler import Sampler
from robot.pi.sonar import HcSr04
from robot.pi.switches import Switch
from robot.types import Clock, Command, Reading, Senses, Wheels

if TYPE_CHECKING:
    from gpiozero.pins import Factory

    from robot.pi.frames import FrameSource


SUPPLY_HZ = 5.0
"""Of reading the supply's alarm: a file of the kernel, which asks the firmware every two seconds itself."""


class _Part(Protocol):
    def close(self) -> None: ...


P = TypeVar("P", bound=_Part)


class PiBody:
    """A robot on a Raspberry Pi; also the same drivers on virtual pins (`robot.pi.virtual`).

    Args:
        config: what the robot is made of.
        clock: the wall clock, or a virtual one for virtual pins.
        camera: False leaves a configured camera closed.
        factory: gpiozero pins to use; None opens those of this machine.
        frames: a source of frames to use and to close; None opens the configured camera.
        motors: opens the way to the motors and to the emergency stop's input; None takes both into this process (for
            virtual pins: on a robot they have a process of their own, see `robot.open`).

    Raises:
        RobotError: a library, a pin or the camera is missing. Whatever was opened before is closed, wheels first.
    """

    def __init__(
        self,
        config: RobotConfig,
        clock: Clock,
        *,
        camera: bool = True,
        factory: Factory | None = None,
        frames: FrameSource | None = None,
        motors: Callable[[], MotorPort] | None = None,
    ) -> None:
        self.config = config
        self.clock = clock
        self._frames = frames
        self._port: MotorPort | None = None
        self._remote = motors is not None
        self._samplers: list[Sampler[Any]] = []
        self._parts: list[_Part] = []
        self._stop_switch: Switch | None = None
        self._left_bumper: Switch | None = None
        self._right_bumper: Switch | None = None
        self._closed = False
        pace: Pace = VirtualPace() if isinstance(clock, VirtualClock) else WallPace()
        try:
            factory = gpio.open_factory() if factory is None else factory
            drive = config.drive
            if motors is None:
                self._port = InProcessPort(HBridge(drive, factory), clock, drive.command_timeout_s)
            else:
                self._port = motors()
            self._open_senses(factory, pace)
            if self._frames is None and camera and config.camera is not None:
                self._frames = open_camera(config.camera, clock)
        except BaseException:
            self.close()
            raise

    def _open_senses(self, factory: Factory, pace: Pace) -> None:
        config, clock = self.config, self.clock
        stop, bumpers = config.emergency_stop, config.bumpers
        if stop is not None and not self._remote:
            self._stop_switch = self._keep(Switch(factory, stop.pin, "emergency_stop.pin", normally_closed=True))
        if bumpers is not None:
            self._left_bumper = self._keep(Switch(factory, bumpers.left_pin, "bumpers.left_pin", normally_closed=False))
            self._right_bumper = self._keep(
                Switch(factory, bumpers.right_pin, "bumpers.right_pin", normally_closed=False)
            )
        sonar = self._keep(HcSr04(config.range, factory, pace))
        light = self._keep(open_light(config.light, factory, pace))

        def take_range(stamp: float) -> Reading:
            return Reading(sonar.read(), stamp)

        def no_range(stamp: float) -> Reading:
            return Reading(None, stamp)

        def take_light(stamp: float) -> tuple[Reading, Reading]:
            left, right = light.read()
            return Reading(left, stamp), Reading(right, stamp)

        def no_light(stamp: float) -> tuple[Reading, Reading]:
            return Reading(None, stamp), Reading(None, stamp)

        # The samplers come last, so that none runs when a pin fails.
        self._range = Sampler("sonar", take_range, no_range, config.range.rate_hz, clock)
        self._samplers.append(self._range)
        self._light = Sampler("light", take_light, no_light, config.light.rate_hz, clock)
        self._samplers.append(self._light)
        supply = Supply()
        self._supply: Sampler[Reading] | None = None
        if supply.path is not None:  # a Raspberry Pi
            self._supply = Sampler(
                "supply", lambda stamp: Reading(supply.read(), stamp), no_range, SUPPLY_HZ, clock
            )
            self._samplers.append(self._supply)

    def sense(self) -> Senses:
        """The newest sample of every sense. Never blocks. Raises `RobotError` after `close`."""
        if self._closed:
            raise RobotError("the robot is closed; open it again to sense")
        now = self.clock.now()
        left, right = self._light.newest
        bump_left, bump_right = self._left_bumper, self._right_bumper
        return Senses(
            stamp=now,
            light_left=left,
            light_right=right,
            range=self._range.newest,
            frame=self._frames.newest() if self._frames is not None else None,
            bump_left=bump_left.read(now) if bump_left is not None else None,
            bump_right=bump_right.read(now) if bump_right is not None else None,
            emergency_stop=self._emergency_stop(now),
            under_voltage=self._supply.newest if self._supply is not None else None,
        )

    def _emergency_stop(self, now: float) -> Reading | None:
        """What the motors' process says, with its stamp; or the switch itself."""
        if self._remote and self._port is not None:
            report = self._port.report()
            fitted = self.config.emergency_stop is not None or report.stopped
            return Reading(1.0 if report.stopped else 0.0, report.stamp) if fitted else None
        return self._stop_switch.read(now) if self._stop_switch is not None else None

    def motors(self) -> Report:
        """What is applied to the wheels, why, and how old it is. Raises `RobotError` after `close`."""
        if self._closed or self._port is None:
            raise RobotError("the robot is closed; open it again")
        return self._port.report()

    def drive(self, command: Command, since: float | None = None) -> Wheels:
        """Send a command to the wheels until `drive.command_timeout_s` after `since`; returns the duties applied.

        Raises:
            ValueError: the command is not finite, or no command; the wheels are at zero.
            MotorsLost: the motors' process does not answer; it stops the wheels.
            RobotError: the body is closed.
        """
        if self._closed or self._port is None:
            raise RobotError("the robot is closed; open it again to drive")
        drive = self.config.drive
        until = (self.clock.now() if since is None else since) + drive.command_timeout_s
        return self._port.apply(duties(drive, command), until)

    def acknowledge(self) -> None:
        """Release the emergency stop's latch, where the motors' process holds one.

        Raises:
            RobotError: the switch is still pressed, or the process does not answer.
        """
        if isinstance(path := getattr(self._port, "path", None), Path):
            from robot.motord.client import ask
            from robot.motord.protocol import Kind

            ask(path, Kind.ACKNOWLEDGE)

    def stop(self) -> None:
        """Wheels to zero, now. Idempotent, never raises."""
        if self._port is not None:
            self._port.stop()

    def close(self) -> None:
        """Wheels to zero, then give back motors, sensors and camera. Idempotent."""
        if self._closed:
            return
        self._closed = True
        if self._port is not None:
            self._port.close()
        for sampler in self._samplers:
            sampler.close()
        for part in self._parts:
            part.close()
        if self._frames is not None:
            self._frames.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def _keep(self, part: P) -> P:
        self._parts.append(part)
        return part
