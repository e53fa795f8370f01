"""The Pi's body: what is said when hardware or library is missing, and what is undone then."""

from __future__ import annotations

import builtins
import sys
import threading
import time

import gpiozero
import pytest
from gpiozero.pins.mock import MockFactory, MockPin, MockPWMPin

from robot.clock import VirtualClock, WallClock
from robot.errors import RobotError
from robot.open import open_body
from robot.pi.body import PiBody
from robot.pi.virtual import VirtualFactory
from robot.types import STOP, Twist, Wheels


@pytest.fixture(autouse=True)
def no_factory(monkeypatch):
    """Each test begins as a fresh process: no factory opened, none named."""
    monkeypatch.setattr(gpiozero.Device, "pin_factory", None)
    monkeypatch.setenv("GPIOZERO_PIN_FACTORY", "x")
    monkeypatch.delenv("GPIOZERO_PIN_FACTORY")


def hide(monkeypatch, name):
    real = builtins.__import__

    def find(module, *args, **kwargs):
        if module.split(".")[0] == name:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
        return real(module, *args, **kwargs)

    for module in [module for module in sys.modules if module.split(".")[0] == name]:
        monkeypatch.delitem(sys.modules, module)
    monkeypatch.setattr(builtins, "__import__", find)


def test_without_gpiozero(monkeypatch, example):
    hide(monkeypatch, "gpiozero")
    with pytest.raises(RobotError, match=r'pip install "edgebot\[pi\]"'):
        PiBody(example, WallClock(), camera=False)


def test_without_lgpio(monkeypatch, example):
    hide(monkeypatch, "lgpio")
    monkeypatch.delitem(sys.modules, "gpiozero.pins.lgpio", raising=False)
    with pytest.raises(RobotError, match="lgpio.*apt install"):
        PiBody(example, WallClock(), camera=False)


@pytest.mark.parametrize(
    "error, sentence",
    [
        (PermissionError(13, "Permission denied"), "usermod -aG gpio"),
        (RuntimeError("can not open gpiochip"), "gpiochip0"),
        (gpiozero.PinUnknownPi("unable to locate Pi revision"), "no Raspberry Pi"),
    ],
)
def test_pins_that_cannot_be_opened(monkeypatch, example, error, sentence):
    def fail():
        raise error

    monkeypatch.setattr(gpiozero.Device, "ensure_pin_factory", staticmethod(fail))
    with pytest.raises(RobotError, match=sentence) as caught:
        open_body(example, "pi", WallClock(), camera=False)
    assert "\n" not in str(caught.value)


def test_an_unknown_factory(monkeypatch, example):
    monkeypatch.setenv("GPIOZERO_PIN_FACTORY", "nosuch")
    with pytest.raises(RobotError, match="nosuch.*set GPIOZERO_PIN_FACTORY"):
        PiBody(example, WallClock(), camera=False)


def test_the_named_factory_is_used(monkeypatch, example):
    monkeypatch.setenv("GPIOZERO_PIN_FACTORY", "mock")
    monkeypatch.setenv("GPIOZERO_MOCK_PIN_CLASS", "mockpwmpin")
    with PiBody(example, WallClock(), camera=False) as body:
        assert isinstance(gpiozero.Device.pin_factory, MockFactory)
        body.drive(Wheels(0.5, 0.5))
        assert gpiozero.Device.pin_factory.pin(example.drive.left.enable_pin).state == pytest.approx(0.5)


def test_a_fault_while_opening_leaves_the_motors_low(example):
    class Witness(MockPWMPin):
        def input_with_pull(self, pull):
            if self.info.name == f"GPIO{example.range.echo_pin}":
                raise OSError("line busy")
            super().input_with_pull(pull)

    factory = MockFactory(pin_class=Witness)
    motor = [factory.pin(n) for n in (12, 17, 27)]
    threads = threading.active_count()
    with pytest.raises(RobotError, match="sonar on GPIO 20 and 21.*line busy"):
        PiBody(example, WallClock(), camera=False, factory=factory)
    assert [(p.function, p.pull, p.state) for p in motor] == [("input", "down", 0)] * 3
    assert threading.active_count() == threads


def test_a_missing_camera_leaves_the_motors_low(monkeypatch, example):
    monkeypatch.setitem(sys.modules, "picamera2", None)
    factory = MockFactory(pin_class=MockPWMPin)
    motor = [factory.pin(n) for n in (12, 17, 27)]
    with pytest.raises(RobotError, match="picamera2"):
        PiBody(example, WallClock(), factory=factory)
    assert [(p.function, p.pull, p.state) for p in motor] == [("input", "down", 0)] * 3


def test_a_factory_without_pwm_is_told(example):
    with pytest.raises(RobotError, match="PWM"):
        PiBody(example, WallClock(), camera=False, factory=MockFactory(pin_class=MockPin))


def test_a_hung_loop_loses_the_wheels_on_the_wall_clock(example):
    factory = VirtualFactory(WallClock())
    enable = factory.pin(example.drive.left.enable_pin)
    with PiBody(example, WallClock(), camera=False, factory=factory) as body:
        begin = time.monotonic()
        assert body.drive(Twist(0.2, 0.0)).left > 0.3
        assert enable.state > 0.3
        while enable.state > 0 and time.monotonic() - begin < 2:  # a loop that does not come back
            time.sleep(0.005)
        assert 0.15 < time.monotonic() - begin < 0.35
    names = {thread.name for thread in threading.enumerate()}
    assert not names & {"sonar", "light", "motor watchdog"}


def test_a_motor_pin_that_dies_in_flight_raises_and_ends_at_zero(make_rig, example):
    rig = make_rig(example)
    rig.drive(Wheels(0.5, 0.5))

    def die(state):
        if state > 0.7:
            raise OSError("line lost")

    rig.pin(example.drive.right.enable_pin).on_output = die
    with pytest.raises(OSError):
        rig.drive(Wheels(0.9, 0.9))
    assert rig.duty() == (0.0, 0.0)
    assert rig.drive(Wheels(0.4, 0.4)) == Wheels(0.4, 0.4)


def test_what_is_no_command_stops(make_rig, example):
    rig = make_rig(example)
    for nonsense in (None, "forward", (0.5, 0.5), Wheels("0.5", 0.5), Twist(None, 0.0)):
        rig.drive(Wheels(0.5, 0.5))
        with pytest.raises(ValueError):
            rig.drive(nonsense)
        assert rig.duty() == (0.0, 0.0) and rig._port.applied == STOP


def test_open_body_refuses_what_does_not_fit(example):
    with pytest.raises(RobotError, match="needs a room"):
        open_body(example, "sim", VirtualClock())
    with pytest.raises(RobotError, match="neither a room nor faults"):
        open_body(example, "pi", WallClock(), faults=["stuck"])
