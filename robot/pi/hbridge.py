"""Two motors on an H-bridge: duties to pins, and pins that are low on every way out.

With an enable pin (L298N, TB6612) the direction pins are switched and the enable pin carries the PWM;
without (DRV8833) the PWM is on the direction pin. Coasting is all low, braking both direction pins high
(L298N datasheet, table of input functions; DRV8833 datasheet, table 2).
"""

from __future__ import annotations

import atexit
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Protocol

from robot.pi import gpio
from robot.types import Wheels

if TYPE_CHECKING:
    from gpiozero.pins import Factory


class Motor(Protocol):
    """The pins of one wheel's motor (BCM numbers)."""

    @property
    def forward_pin(self) -> int: ...

    @property
    def backward_pin(self) -> int: ...

    @property
    def enable_pin(self) -> int | None: ...


class Wiring(Protocol):
    """What the bridge has to know: `robot.config.Drive` is one, and so is the motors' process's configuration."""

    @property
    def left(self) -> Motor: ...

    @property
    def right(self) -> Motor: ...

    @property
    def pwm_hz(self) -> int: ...

    @property
    def stop(self) -> str: ...  # "coast" or "brake"


class _Wheel:
    def __init__(self, factory: Factory, motor: Motor, name: str, pwm_hz: int, brake: bool) -> None:
        self._brake = brake
        self.pins: list[Any] = []
        numbers = {"enable_pin": motor.enable_pin, "forward_pin": motor.forward_pin, "backward_pin": motor.backward_pin}
        pins: dict[str, Any] = {}
        try:
            for key, number in numbers.items():  # the enable pin first: low, it keeps the others from mattering
                if number is None:
                    continue
                pin = pins[key] = gpio.take(factory, number, f"drive.{name}.{key}")
                self.pins.append(pin)
                with gpio.telling(f"GPIO {number} (drive.{name}.{key}) as a motor output"):
                    pin.output_with_state(False)
                    if key == "enable_pin" or motor.enable_pin is None:
                        pin.frequency = pwm_hz
                        pin.state = 0.0
        except BaseException:
            self.release()
            gpio.forget(factory, self.pins)
            raise
        self._enable: Any = pins.get("enable_pin")
        self._ahead, self._back = pins["forward_pin"], pins["backward_pin"]
        self._sign = 0
        # gpiozero hands lgpio whole percents, rounded down: half a percent makes that the nearest one, without
        # which the slowest duties would fall back into the dead band.
        self._half_step = 0.005 if type(factory).__name__ == "LGPIOFactory" else 0.0

    def write(self, duty: float) -> None:
        if duty == 0.0:
            self.zero()
            return
        sign, size = (1, duty) if duty > 0 else (-1, -duty)
        size = min(1.0, size + self._half_step)
        on, off = (self._ahead, self._back) if sign > 0 else (self._back, self._ahead)
        if self._enable is None:
            off.state = 0.0
            on.state = size
            return
        if sign != self._sign:
            self._enable.state = 0.0  # neither a short brake nor a kick on the way to the other direction
            off.state = False
            on.state = True
            self._sign = sign
        self._enable.state = size

    def zero(self) -> None:
        self._sign = 0
        if not self._brake:
            self.low()
        elif self._enable is None:
            self._ahead.state = self._back.state = 1.0
        else:
            self._enable.state = 0.0
            self._ahead.state = self._back.state = True
            self._enable.state = 1.0

    def low(self) -> None:
        """Every pin low; all are tried before the first failure is raised."""
        failure: Exception | None = None
        for pin in self.pins:
            try:
                pin.state = 0
            except Exception as error:
                failure = failure or error
        if failure:
            raise failure

    def release(self) -> None:
        """Low, PWM off, and back to an input held low by its pull-down. Never raises."""
        for pin in self.pins:  # low before anything else
            for act in (_low, _end_pwm, _low):
                _try(act, pin)
        for pin in self.pins:
            _try(_hold_down, pin)


class HBridge:
    """A `MotorDriver` over gpiozero pins.

    It never calls gpiozero's `close()` on a motor pin, for that floats it: on the way out the pins go low,
    then become inputs with pull-downs, and the factory forgets them.

    Raises:
        RobotError: a pin cannot be used as an output with PWM; those taken before are low and released.
    """

    def __init__(self, drive: Wiring, factory: Factory) -> None:
        self._factory = factory
        self._closed = False
        self._wheels: list[_Wheel] = []
        brake = drive.stop == "brake"
        try:
            for name, motor in (("left", drive.left), ("right", drive.right)):
                self._wheels.append(_Wheel(factory, motor, name, drive.pwm_hz, brake))
        except BaseException:
            self.close()
            raise
        # Registered after gpiozero's own exit handler, hence called before it.
        atexit.register(self.close)

    def write(self, wheels: Wheels) -> None:
        """Apply the duties, each within -1..1."""
        left, right = self._wheels
        left.write(wheels.left)
        right.write(wheels.right)

    def zero(self) -> None:
        """Both wheels off. Where a pin fails the other wheel is still tried; then the failure is raised."""
        failure: Exception | None = None
        for wheel in self._wheels:
            try:
                wheel.zero()
            except Exception as error:
                failure = failure or error
        if failure:
            raise failure

    def close(self) -> None:
        """Pins low, then inputs held low. Idempotent, never raises."""
        if self._closed:
            return
        self._closed = True
        for wheel in self._wheels:
            wheel.release()
            gpio.forget(self._factory, wheel.pins)
        atexit.unregister(self.close)


def _try(act: Any, pin: Any) -> None:
    with suppress(Exception):  # on the way out every pin gets its turn
        act(pin)


def _low(pin: Any) -> None:
    pin.state = 0


def _end_pwm(pin: Any) -> None:
    pin.frequency = None


def _hold_down(pin: Any) -> None:
    pin.input_with_pull("down")
