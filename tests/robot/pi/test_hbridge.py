"""The H-bridge on gpiozero's mock pins: which pin carries what, and that every way out ends low."""

from __future__ import annotations

import subprocess
import sys
import textwrap

import pytest
from gpiozero.pins.mock import MockFactory, MockPin, MockPWMPin

from robot.errors import RobotError
from robot.pi.hbridge import HBridge
from robot.types import Wheels


def build(example, bridge, stop):
    drive = example.drive.model_copy(update={"stop": stop})
    if bridge == "direction":
        left, right = (m.model_copy(update={"enable_pin": None}) for m in (drive.left, drive.right))
        drive = drive.model_copy(update={"left": left, "right": right})
    factory = MockFactory(pin_class=MockPWMPin)
    return drive, factory, HBridge(drive, factory)


def levels(factory, motor):
    enable = None if motor.enable_pin is None else factory.pin(motor.enable_pin).state
    return enable, factory.pin(motor.forward_pin).state, factory.pin(motor.backward_pin).state


def test_directions_and_duty(example, bridge, stop):
    drive, factory, driver = build(example, bridge, stop)
    for duty in (0.4, -0.7, 0.2, -0.1, 1.0, -1.0):
        driver.write(Wheels(duty, -duty))
        for motor, wanted in ((drive.left, duty), (drive.right, -duty)):
            enable, ahead, back = levels(factory, motor)
            across = ahead - back if enable is None else (ahead - back) * enable
            assert across == pytest.approx(wanted)
            assert min(ahead, back) == 0.0


def test_pwm_is_where_it_belongs(example, bridge, stop):
    drive, factory, _ = build(example, bridge, stop)
    motor = drive.left
    carriers = [motor.enable_pin] if bridge == "enable" else [motor.forward_pin, motor.backward_pin]
    assert all(factory.pin(n).frequency == drive.pwm_hz for n in carriers)


def test_lgpios_whole_percents_are_the_nearest(example, bridge):
    class Percents(MockPWMPin):
        def _set_state(self, value):
            super()._set_state(int(value * 100) / 100)  # as gpiozero's LGPIOPin does

    drive = example.drive
    if bridge == "direction":
        left, right = (m.model_copy(update={"enable_pin": None}) for m in (drive.left, drive.right))
        drive = drive.model_copy(update={"left": left, "right": right})
    factory = type("LGPIOFactory", (MockFactory,), {})(pin_class=Percents)
    driver = HBridge(drive, factory)
    for duty in (0.081, 0.089, 0.29, 0.5, 0.996, 1.0):
        driver.write(Wheels(duty, -duty))
        enable, ahead, back = levels(factory, drive.left)
        assert (ahead if enable is None else enable) == pytest.approx(duty, abs=0.00501)
    driver.close()


def test_zero_is_coasting_or_braking(example, bridge, stop):
    drive, factory, driver = build(example, bridge, stop)
    driver.write(Wheels(0.5, -0.5))
    driver.zero()
    for motor in (drive.left, drive.right):
        enable, ahead, back = levels(factory, motor)
        if stop == "coast":
            assert ahead == back == 0.0 and enable in (None, 0.0)
        else:
            assert ahead == back == 1.0 and enable in (None, 1.0)
    driver.write(Wheels(0.3, 0.3))  # and on again
    enable, ahead, back = levels(factory, drive.left)
    assert back == 0.0 and (ahead if enable is None else ahead * enable) == pytest.approx(0.3)


def test_a_reversal_passes_through_no_power(example):
    drive, factory, driver = build(example, "enable", "coast")
    driver.write(Wheels(0.8, 0.8))
    seen = []
    enable, ahead, back = (
        factory.pin(n) for n in (drive.left.enable_pin, drive.left.forward_pin, drive.left.backward_pin)
    )
    original = MockPWMPin._set_state

    def spy(pin, value):
        original(pin, value)
        seen.append((enable.state, ahead.state, back.state))

    MockPWMPin._set_state = spy
    try:
        driver.write(Wheels(-0.8, 0.8))
    finally:
        MockPWMPin._set_state = original
    assert seen[:4] == [(0.0, 1.0, 0.0), (0.0, 0.0, 0.0), (0.0, 0.0, 1.0), (0.8, 0.0, 1.0)]


def test_close_leaves_pins_low_and_pulled_down(example, bridge, stop):
    drive, factory, driver = build(example, bridge, stop)
    numbers = [
        n for m in (drive.left, drive.right) for n in (m.enable_pin, m.forward_pin, m.backward_pin) if n is not None
    ]
    pins = [factory.pin(n) for n in numbers]
    driver.write(Wheels(0.9, -0.9))
    driver.close()
    driver.close()
    for pin in pins:
        assert (pin.function, pin.pull, pin.state, pin.frequency) == ("input", "down", 0, None)
        assert pin not in factory.pins.values()  # the factory's own close, at exit, floats what it knows


def test_close_goes_low_before_anything_else(example):
    drive, factory, driver = build(example, "enable", "brake")
    driver.write(Wheels(0.9, 0.9))
    enable = factory.pin(drive.left.enable_pin)
    at_input = []
    original = MockPWMPin.input_with_pull

    def spy(pin, pull):
        at_input.append(enable.state if enable.function == "output" else 0.0)
        original(pin, pull)

    MockPWMPin.input_with_pull = spy
    try:
        driver.close()
    finally:
        MockPWMPin.input_with_pull = original
    assert at_input and not any(at_input)


def test_one_dead_pin_does_not_keep_the_others_from_zero(example, stop):
    drive, factory, driver = build(example, "enable", stop)
    driver.write(Wheels(0.9, 0.9))
    broken = factory.pin(drive.left.enable_pin)

    class Dead:
        info = broken.info

        def __setattr__(self, name, value):
            raise OSError("line lost")

    wheel = driver._wheels[0]
    wheel.pins[wheel.pins.index(broken)] = wheel._enable = Dead()
    with pytest.raises(OSError):
        driver.zero()
    enable, ahead, back = levels(factory, drive.right)
    assert enable * (ahead - back) == 0.0
    driver.close()  # never raises
    assert factory.pin(drive.left.forward_pin).state == 0


def test_a_pin_without_pwm_is_told_and_the_rest_released(example):
    factory = MockFactory(pin_class=MockPin)
    with pytest.raises(RobotError, match="no PWM"):
        HBridge(example.drive, factory)
    assert not factory.pins


END = """
    import atexit, sys
    sys.path.insert(0, {root!r})
    from gpiozero import Device
    from gpiozero.pins.mock import MockFactory, MockPWMPin
    from robot import config
    from robot.clock import WallClock
    from robot.pi.body import PiBody
    from robot.types import Wheels

    class Witness(MockPWMPin):
        def close(self):  # what floats a pin
            assert self.info.name not in motors, self.info.name + " was closed by gpiozero"
            super().close()

    Device.pin_factory = factory = MockFactory(pin_class=Witness)
    robot = config.load()
    drive = robot.drive
    motors = [f"GPIO{{n}}" for m in (drive.left, drive.right) for n in (m.enable_pin, m.forward_pin, m.backward_pin)]
    pins = [factory.pin(name) for name in motors]

    def last():  # registered before the body, hence called after its exit handler
        print([(p.function, p.pull, float(p.state)) for p in pins])

    atexit.register(last)
    body = PiBody(robot, WallClock(), camera=False)
    body.drive(Wheels(0.9, 0.9))
    assert factory.pin(drive.left.enable_pin).state > 0.8
    {end}
"""


@pytest.mark.parametrize("end", ["pass", "raise SystemExit(3)", "raise RuntimeError('fault')", "body.close()"])
def test_every_end_of_the_interpreter_is_low(end):
    from pathlib import Path

    root = str(Path(__file__).parents[3])
    code = textwrap.dedent(END).format(root=root, end=end)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.stdout.strip() == str([("input", "down", 0.0)] * 6), done.stderr
    assert "was closed by gpiozero" not in done.stderr
