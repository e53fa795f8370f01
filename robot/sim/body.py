"""The simulated robot's body: the world with N = 1 behind the words of `robot.types`."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Sequence
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from robot.clock import VirtualClock
from robot.config import RobotConfig
from robot.errors import RobotError
from robot.kinematics import duties
from robot.motor_port import InProcessPort, MotorPort
from robot.motor_report import Report
from robot.sim.chain import ChainedPort
from robot.sim.faults import Fault, Kind, Part
from robot.sim.keyed import Keyed, Stream
from robot.sim.room import PersonState, Room
from robot.sim.sampling import Channel, Metronome
from robot.sim.world import World
from robot.types import STOP, Clock, Command, Frame, Reading, Senses, Wheels

WALL_TICK_S = 0.01
_MAX_BEHIND_S = 2.0
_EXTRAS = {Part.ENCODERS: 0.0, Part.TILT: 0.0, Part.BATTERY: 7.4, Part.UNDER_VOLTAGE: 0.0}
"""What the example robot does not have, and what it says where all is well."""


class SimBody:
    """A robot in a simulated room.

    On a virtual clock the world moves with the clock's ticks. On any other it catches up with `clock.now()` whenever
    someone senses or drives, and when the motor port's watchdog stops the wheels.

    Args:
        config: the robot. room: where it is. seed: of all noise. noise: False for perfect senses and motors.
        camera: whether to render frames, where the configuration has a camera. faults: what goes wrong.
        encoders: whether the wheels' speeds are measured.
        photos: of persons, whom the camera shows instead of drawn figures.
        motord: a way to the motors' process, to use and to close: the wheels then turn as its mock pins say.

    Attributes:
        world: the truth, for maps and for judging.
    """

    def __init__(
        self,
        config: RobotConfig,
        room: Room,
        clock: Clock,
        seed: int = 0,
        *,
        camera: bool = True,
        faults: Sequence[Fault] = (),
        noise: bool = True,
        encoders: bool = False,
        motord: MotorPort | None = None,
        photos: Sequence[NDArray[np.uint8]] = (),
    ) -> None:
        self.config = config
        self.clock = clock
        self.world = World(
            config, [room], seed, noise=noise, tick_s=clock.tick_s if isinstance(clock, VirtualClock) else WALL_TICK_S
        )
        self._lock = threading.RLock()  # the wall clock's watchdog is a thread
        self._closed = False
        self._pressed = False
        self._opened = clock.now()
        self._faults = tuple(faults)
        self._encoders = encoders
        self._keyed = Keyed(seed, [0])
        self._draws = 0
        self._motors = _SimMotors(self, [fault for fault in self._faults if fault.part.is_motor])
        self._open_senses(room, camera and config.camera is not None, photos)
        # The port's deadline comes before the world's tick: wheels that time out do not turn for one more.
        port = InProcessPort(self._motors, clock, config.drive.command_timeout_s)
        self._port: InProcessPort | ChainedPort = port if motord is None else ChainedPort(motord, port)
        self._remote = motord is not None
        if isinstance(clock, VirtualClock):
            clock.subscribe(self._tick)
        self._sample(self._opened)

    def _open_senses(self, room: Room, camera: bool, photos: Sequence[NDArray[np.uint8]]) -> None:
        config, start = self.config, self._opened

        def channel(part: Part) -> Channel[Reading]:
            return Channel(part, self._faults, self.chance, Reading(None, start))

        self._left, self._right = channel(Part.LIGHT_LEFT), channel(Part.LIGHT_RIGHT)
        self._range, self._switch = channel(Part.RANGE), channel(Part.EMERGENCY_STOP)
        self._bump_left, self._bump_right = channel(Part.BUMPERS), channel(Part.BUMPERS)
        named = {fault.part for fault in self._faults} | ({Part.ENCODERS} if self._encoders else set())
        self._extras = {part: (channel(part), channel(part)) for part in _EXTRAS if part in named}
        self._light_due = Metronome(config.light.rate_hz, start)
        self._range_due = Metronome(config.range.rate_hz, start)
        self._lens: Any = None
        if camera and config.camera is not None:
            from robot.sim.camera import Camera

            self._lens = Camera(config.camera, room, photos=photos)
            self._frames: Channel[Frame] = Channel(Part.CAMERA, self._faults, self.chance, None)
            self._frame_due = Metronome(config.camera.fps, start)
            self._exposed: tuple[float, Any, list[PersonState], int] | None = None

    @property
    def seconds(self) -> float:
        """Seconds that the world has lived."""
        return self.world.time

    def sense(self, look: bool = True) -> Senses:
        """The newest sample of every sense; without a frame, and without rendering one, where `look` is False.

        Raises `RobotError` after `close`.
        """
        with self._lock:
            if self._closed:
                raise RobotError("the robot is closed; open it again to sense")
            now = self.catch_up()
            look = look and self._lens is not None
            if look:
                self._develop()
            bumpers = self.config.bumpers is not None
            extras = {part: [_reading(side, now) for side in sides] for part, sides in self._extras.items()}
            none = (None, None)
            return Senses(
                stamp=now,
                light_left=_reading(self._left, now),
                light_right=_reading(self._right, now),
                range=_reading(self._range, now),
                frame=self._frames.newest(now) if look else None,
                bump_left=_reading(self._bump_left, now) if bumpers else None,
                bump_right=_reading(self._bump_right, now) if bumpers else None,
                emergency_stop=self._emergency_stop(now),
                speed_left=extras.get(Part.ENCODERS, none)[0],
                speed_right=extras.get(Part.ENCODERS, none)[1],
                tilt=extras.get(Part.TILT, none)[0],
                battery=extras.get(Part.BATTERY, none)[0],
                under_voltage=extras.get(Part.UNDER_VOLTAGE, none)[0],
            )

    def _emergency_stop(self, now: float) -> Reading | None:
        switch = _reading(self._switch, now) if self.config.emergency_stop is not None else None
        if self._remote:
            report = self._port.report()
            if report.stopped or (switch is not None and switch.value == 0.0):
                return Reading(float(report.stopped), report.stamp)
        return switch

    def motors(self) -> Report:
        """What is applied to the wheels, why, and how old it is."""
        return self._port.report()

    def drive(self, command: Command, since: float | None = None) -> Wheels:
        """Send a command to the wheels until `drive.command_timeout_s` after `since`; returns the duties applied.

        Raises:
            ValueError: the command is not finite, or no command; the wheels are at zero.
            RobotError: the body is closed.
        """
        if self._closed:
            raise RobotError("the robot is closed; open it again to drive")
        drive = self.config.drive
        until = (self.clock.now() if since is None else since) + drive.command_timeout_s
        return self._port.apply(duties(drive, command), until)

    def stop(self) -> None:
        """Wheels to zero, now. Idempotent, never raises."""
        self._port.stop()

    def close(self) -> None:
        """Wheels to zero, and leave the clock alone. Idempotent."""
        if self._closed:
            return
        self._port.close()
        self._closed = True
        if isinstance(self.clock, VirtualClock):
            self.clock.unsubscribe(self._tick)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def press_emergency_stop(self, pressed: bool = True) -> None:
        """Press (True) or release the switch, which is observed here; it cuts no motor."""
        self._pressed = pressed

    def chance(self) -> float:
        """A number within [0, 1) for a fault to strike by; repeats with the seed."""
        self._draws += 1
        return float(self._keyed.uniform(self._draws, Stream.FAULT)[0])

    def catch_up(self) -> float:
        """Let the world live until now; returns now. A body that nobody asked for long skips what it slept through."""
        now = self.clock.now()
        if isinstance(self.clock, VirtualClock):  # lives by its ticks
            return now
        with self._lock:
            tick_s = self.world.tick_s
            behind = now - self._opened - self.world.time
            if behind > _MAX_BEHIND_S:
                self._opened += behind - _MAX_BEHIND_S
            while not self._closed and self._opened + self.world.time + tick_s <= now:
                self._advance(self._opened + self.world.time + tick_s)
        return now

    def _tick(self, now: float) -> None:
        with self._lock:
            self._advance(now)

    def _advance(self, now: float) -> None:
        """One tick of the world, up to the clock's `now`."""
        self.world.set_duty(*self._motors.torque(self.world.time))
        self.world.step()
        self._sample(now)

    def _sample(self, now: float) -> None:
        world, seconds = self.world, self.world.time
        for part, (first, second) in self._extras.items():
            well = world.wheel_speed[:, 0].tolist() if part is Part.ENCODERS else (_EXTRAS[part], _EXTRAS[part])
            first.put(Reading(well[0], now), seconds, now)
            second.put(Reading(well[1], now), seconds, now)
        if self._light_due.due(now):
            left, right = world.sense_light()[:, 0]
            if any(fault.kind is Kind.SWAPPED and fault.holds(Part.LIGHT, seconds) for fault in self._faults):
                left, right = right, left
            self._left.put(Reading(float(left), now), seconds, now)
            self._right.put(Reading(float(right), now), seconds, now)
        if self._range_due.due(now):
            metres = float(world.sense_range()[0])
            self._range.put(Reading(None if np.isnan(metres) else metres, now), seconds, now)
        if self.config.bumpers is not None:
            for bump, pressed in zip((self._bump_left, self._bump_right), world.sense_bump()[:, 0], strict=True):
                bump.put(Reading(float(pressed), now), seconds, now)
        if self.config.emergency_stop is not None:
            self._switch.put(Reading(float(self._pressed), now), seconds, now)
        if self._lens is not None and self._frame_due.due(now):
            # Rendered when someone looks; an exposure that the next one overtakes never is.
            self._exposed = (now, world.pose[:, 0].copy(), world.persons(0), world.tick)

    def _develop(self) -> None:
        if self._exposed is None:
            return
        stamp, pose, persons, number = self._exposed
        self._exposed = None
        self._frames.put(Frame(self._lens.render(pose, persons, number), stamp), stamp - self._opened, stamp)


class _SimMotors:
    """The motor driver that turns the simulated wheels, with their faults."""

    def __init__(self, body: SimBody, faults: Sequence[Fault]) -> None:
        self._body = body
        self._faults = faults
        self._duty = STOP
        self._stuck: dict[Part, float] = {}
        self._past: deque[tuple[float, Wheels]] = deque(maxlen=8192)

    def write(self, wheels: Wheels) -> None:
        # The world lives up to now under the old duties before the new ones count.
        self._body.catch_up()
        seconds = self._body.world.time
        for fault in self._faults:
            if fault.kind is Kind.DROPOUT and fault.holds(fault.part, seconds):
                lost = self._body.chance() < fault.probability
                if lost:
                    wheels = Wheels(
                        self._duty.left if fault.part is not Part.MOTOR_RIGHT else wheels.left,
                        self._duty.right if fault.part is not Part.MOTOR_LEFT else wheels.right,
                    )
        self._set(wheels)

    def zero(self) -> None:
        self._body.catch_up()
        self._set(STOP)

    def close(self) -> None:
        self._set(STOP)

    def _set(self, wheels: Wheels) -> None:
        self._duty = wheels
        self._past.append((self._body.world.time, wheels))

    def torque(self, seconds: float) -> tuple[float, float]:
        """The duties that reach the wheels, `seconds` after opening."""
        if not self._faults:
            return self._duty.left, self._duty.right
        return self._one(Part.MOTOR_LEFT, seconds), self._one(Part.MOTOR_RIGHT, seconds)

    def _one(self, part: Part, seconds: float) -> float:
        faults = [fault for fault in self._faults if fault.holds(part, seconds)]
        late = sum(fault.value for fault in faults if fault.kind is Kind.DELAY)
        wheels = self._duty
        if late:
            wheels = next((w for t, w in reversed(self._past) if t <= seconds - late + 1e-9), STOP)
        swapped = any(fault.kind is Kind.SWAPPED for fault in faults)
        duty = wheels.left if (part is Part.MOTOR_LEFT) != swapped else wheels.right
        if any(fault.kind is Kind.STUCK for fault in faults):
            duty = self._stuck.setdefault(part, duty)
        else:
            self._stuck.pop(part, None)
        for fault in faults:
            if fault.kind in (Kind.DEAD, Kind.DISCONNECT):
                duty = 0.0
            elif fault.kind is Kind.WEAK:
                duty *= fault.value
            elif fault.kind is Kind.REVERSED:
                duty = -duty
        return duty


def _reading(channel: Channel[Reading], now: float) -> Reading:
    newest = channel.newest(now)
    assert newest is not None  # a channel of readings begins with one
    return newest
