"""A Pi's body on virtual pins, wired to a simulated room: the real drivers drive there, without threads or sleeps.

What the program writes to the H-bridge's pins turns the simulated motors; what the room sends back comes as
echo pulses, charge times or converter words, switch levels and rendered frames.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from robot.clock import VirtualClock
from robot.config import Motor, RobotConfig
from robot.pi.body import PiBody
from robot.pi.frames import Grabber
from robot.pi.sonar import SPEED_OF_SOUND_MPS
from robot.pi.virtual import VirtualFactory, VirtualPin
from robot.sim.room import Room
from robot.types import Frame

if TYPE_CHECKING:
    from gpiozero.pins import Factory

    from robot.pi.pace import Pace

ECHO_DELAY_S = 0.00045  # eight periods of 40 kHz and the module's own time, before the pulse begins
NO_ECHO_S = 0.038  # the pulse of an HC-SR04 that hears nothing


class RigWorld(Protocol):
    """What the rig needs of a world; `robot.sim.world.World` with one robot is one."""

    @property
    def time(self) -> float: ...

    tick: int
    pose: Any  # (3, 1)

    def set_duty(self, left: Any, right: Any) -> None: ...

    def step(self, ticks: int = 1) -> None: ...

    def sense_light(self) -> Any: ...

    def sense_range(self) -> Any: ...

    def sense_bump(self) -> Any: ...

    def persons(self, i: int) -> Sequence[Any]: ...


class VirtualRig(PiBody):
    """A `PiBody` in a simulated room.

    Args:
        camera: whether frames are rendered. noise: of the simulated sensors and motors.
        world: the world to use; None makes one of `room`. Its truth is at `.world`.

    Besides a body's verbs, `press_emergency_stop(True)` opens its switch, `silence_sonar(True)` cuts the echo
    wire, and `pin(n)` shows a pin.
    """

    def __init__(
        self,
        config: RobotConfig,
        room: Room | None,
        clock: VirtualClock,
        seed: int = 0,
        *,
        camera: bool = True,
        noise: bool = True,
        world: RigWorld | None = None,
    ) -> None:
        if not isinstance(clock, VirtualClock):
            raise TypeError("virtual pins live in virtual time; give a VirtualClock")
        if world is None:
            from robot.sim.world import World

            assert room is not None, "a rig needs a room or a world"
            world = World(config, [room], seed, tick_s=clock.tick_s, noise=noise)
        self.world = world
        self._config = config
        self._virtual = VirtualFactory(clock)
        self._pins: dict[int, VirtualPin] = {}
        self._pressed = self._silent = False
        self._light_time = -1.0
        self._light_now: Any = None
        self._room = room if camera and config.camera is not None else None
        self._wire(config)
        super().__init__(config, clock, camera=False, factory=self._virtual)

    def pin(self, number: int) -> VirtualPin:
        """The virtual pin GPIO `number`."""
        if number not in self._pins:  # gpiozero's own way to a pin takes 30 us
            self._pins[number] = self._virtual.pin(number)
        return self._pins[number]

    def press_emergency_stop(self, pressed: bool = True) -> None:
        """Open (True) or close the normally-closed switch."""
        self._pressed = pressed

    def silence_sonar(self, silent: bool = True) -> None:
        """Cut the echo's wire: no pulse at all, as against the long pulse of a sensor that hears nothing."""
        self._silent = silent

    def close(self) -> None:
        """Close the body and let go of the clock. Idempotent."""
        super().close()
        if isinstance(self.clock, VirtualClock):
            self.clock.unsubscribe(self._advance)

    def duty(self) -> tuple[float, float]:
        """What the H-bridge gives the motors now, from the levels of its pins."""
        return self._wheel(self._config.drive.left), self._wheel(self._config.drive.right)

    def _open_senses(self, factory: Factory, pace: Pace) -> None:
        # A tick goes: the motor port's deadline, then the world, then what samples it.
        clock = self.clock
        assert isinstance(clock, VirtualClock)
        clock.subscribe(self._advance)
        super()._open_senses(factory, pace)
        if self._room is not None:
            self._frames = self._frames_of(self._room, clock)

    def _wire(self, config: RobotConfig) -> None:
        self.pin(config.range.trigger_pin).on_output = self._trigger
        if config.light.kind == "ldr":
            self.pin(config.light.left).charge_s = lambda: self._charge(0)
            self.pin(config.light.right).charge_s = lambda: self._charge(1)
        else:
            self._virtual.spi_answer = self._convert
        if config.emergency_stop is not None:
            self.pin(config.emergency_stop.pin).level = lambda: self._pressed
        if config.bumpers is not None:
            self.pin(config.bumpers.left_pin).level = lambda: not self.world.sense_bump()[0, 0]
            self.pin(config.bumpers.right_pin).level = lambda: not self.world.sense_bump()[1, 0]

    def _advance(self, now: float) -> None:
        left, right = self.duty()
        self.world.set_duty(left, right)
        self.world.step()

    def _wheel(self, motor: Motor) -> float:
        ahead, back = self.pin(motor.forward_pin), self.pin(motor.backward_pin)
        if "input" in (ahead.function, back.function):
            return 0.0
        across = float(ahead.state) - float(back.state)
        return across if motor.enable_pin is None else across * self._enabled(motor.enable_pin)

    def _enabled(self, number: int) -> float:
        pin = self.pin(number)
        return float(pin.state) if pin.function == "output" else 0.0

    def _trigger(self, state: float) -> None:
        if state or self._silent:  # the falling edge starts the burst
            return
        metres = float(self.world.sense_range()[0])
        there = max(0.0, metres - self._config.range.offset_m)
        width = NO_ECHO_S if np.isnan(metres) else 2 * there / SPEED_OF_SOUND_MPS
        self.pin(self._config.range.echo_pin).pulse(ECHO_DELAY_S, width)

    def _raw(self, side: int) -> float:
        light = self._config.light
        if self._light_time != self.world.time:  # both sides of one moment come from one look at the world
            self._light_time, self._light_now = self.world.time, self.world.sense_light()[:, 0]
        return light.dark + float(self._light_now[side]) * (light.bright - light.dark)

    def _charge(self, side: int) -> float | None:
        limit = self._config.light.charge_time_limit_s
        seconds = (1.0 - self._raw(side)) * limit
        return seconds if seconds < limit else None

    def _convert(self, words: list[int]) -> list[int]:
        """An MCP3008's answer: start bit, single-ended flag and channel come in, ten bits go out."""
        channel = (words[-2] >> 4) & 0b111
        side = {self._config.light.left: 0, self._config.light.right: 1}[channel]
        word = round(min(1.0, max(0.0, self._raw(side))) * 1023)
        return [0, word >> 8, word & 0xFF]

    def _frames_of(self, room: Room, clock: VirtualClock) -> Grabber:
        from robot.sim.camera import Camera

        config = self._config.camera
        assert config is not None
        lens = Camera(config, room)

        def expose() -> Frame:
            world = self.world
            return Frame(lens.render(world.pose[:, 0], world.persons(0), world.tick), clock.now())

        return Grabber(expose, lambda: None, clock, config.fps, paced=True)
