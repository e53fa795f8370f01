"""The process on gpiozero's own lgpio driver: what it does to the lines, in which order, and what it refuses."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from robot.errors import RobotError
from robot.motor_report import Cause, Flag, Switch
from robot.motord.client import MotordPort, ask
from robot.types import Wheels
from tests.robot.motord.harness import PATIENCE_S, ROOT, wait

FAKE = Path(__file__).with_name("fake_lgpio")
WHY = "a bench with pull-downs"


class Real:
    """The process on the fake library's lines."""

    def __init__(self, folder, config, *arguments, **environment):
        (folder / "m.json").write_text(config.text())
        self.folder, self.log, self.socket = folder, folder / "calls.txt", folder / "m.sock"
        self.command = [sys.executable, "-m", "robot.motord", "--config", "m.json", "--socket", str(self.socket)]
        self.command += arguments
        self.environment = os.environ | {
            "PYTHONPATH": f"{FAKE}{os.pathsep}{ROOT}", "FAKE_LGPIO_LOG": str(self.log),
        } | environment  # fmt: skip
        self.environment.pop("LG_WD", None)

    def run(self):
        return subprocess.run(
            self.command, cwd=self.folder, env=self.environment, capture_output=True, text=True, timeout=PATIENCE_S
        )

    def __enter__(self):
        self.process = subprocess.Popen(
            self.command, cwd=self.folder, env=self.environment, stderr=subprocess.PIPE, text=True
        )
        wait(lambda: self.socket.exists() or self.process.poll() is not None, "a start")
        assert self.process.poll() is None, self.process.stderr.read()
        return self

    def __exit__(self, *exc):
        self.process.kill()
        self.process.communicate()

    def calls(self):
        return [line.split() for line in self.log.read_text().splitlines()] if self.log.exists() else []


def test_a_chips_lines_driven_and_left_low_and_pulled_down(tmp_path, config):
    with Real(tmp_path, config, "--pins", "chip:0", "--firmware-unchecked", WHY) as real:
        port = MotordPort(real.socket)
        assert port.apply(Wheels(0.5, -0.5), time.monotonic() + 0.2) == Wheels(0.5, -0.5)
        report = port.report()
        assert Flag.UNCHECKED in report.flags and Flag.MOCK not in report.flags
        assert report.switch is Switch.RELEASED
        calls = real.calls()
        assert calls[0] == ["open", "0", str(tmp_path)]  # lgpio's pipe goes where this process may write
        pins = {str(pin) for pin in config.motor_pins.values()}
        outputs = [call for call in calls if call[0] == "output"]
        assert {call[1] for call in outputs} == pins and all(call[2] == "0" for call in outputs)
        assert ["pwm", "12", "200", "50"] in calls and ["write", "17", "1"] in calls and ["write", "24", "1"] in calls
        before = len(calls)
        real.process.send_signal(signal.SIGTERM)
        assert real.process.wait(PATIENCE_S) == 0
        assert "WARNING" in real.process.stderr.read()
        last = real.calls()[before:]
    for pin in pins:
        mine = [call for call in last if call[1:2] == [pin]]
        released = next(i for i, call in enumerate(mine) if call[0] == "input")
        low = [call for call in mine[:released] if call in (["write", pin, "0"], ["pwm", pin, "200", "0"])]
        assert low, f"GPIO {pin} is low before it is an input"
        assert mine[-1] == ["input", pin, "64"], f"GPIO {pin} ends pulled down"  # 64: SET_PULL_DOWN
    assert ["close"] not in last  # gpiozero's close() would float the pins


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_no_way_out_floats_a_pin(tmp_path, config, number):
    with Real(tmp_path, config, "--pins", "chip:0", "--firmware-unchecked", WHY) as real:
        before = len(real.calls())
        real.process.send_signal(number)
        real.process.wait(PATIENCE_S)
        floated = [call for call in real.calls()[before:] if call[0] == "input" and call[2] == "128"]
    assert not floated


def test_the_emergency_stops_wire_is_watched(tmp_path, config):
    with Real(tmp_path, config, "--pins", "chip:0", "--firmware-unchecked", WHY, FAKE_LGPIO_OPEN="26") as real:
        report = ask(real.socket)
        assert (report.switch, report.cause) == (Switch.PRESSED, Cause.EMERGENCY_STOP)
        assert ["input", "26", "32"] in real.calls()  # pulled up, so that an open wire reads as pressed


def test_a_pin_that_fails_stops_both_wheels_and_is_told(tmp_path, config):
    with Real(
        tmp_path, config, "--pins", "chip:0", "--firmware-unchecked", WHY, FAKE_LGPIO_BROKEN="23"
    ) as real:  # the right wheel's
        port = MotordPort(real.socket)
        assert port.apply(Wheels(0.5, 0.5), time.monotonic() + 0.2) == Wheels(0.0, 0.0)
        assert port.report().cause is Cause.PIN_FAILED
        assert real.calls()[-1][-1] == "0" and ["write", "17", "0"] in real.calls()[-8:]
        assert port.apply(Wheels(0.5, 0.0), time.monotonic() + 0.2) == Wheels(0.5, 0.0)  # it lives on


def test_pins_low_only(tmp_path, config):
    ran = Real(tmp_path, config, "--pins", "chip:0", "--pins-low").run()
    assert ran.returncode == 0, ran.stderr
    calls = Real(tmp_path, config).calls()
    for pin in config.motor_pins.values():
        mine = [call for call in calls if call[1:2] == [str(pin)]]
        assert ["output", str(pin), "0"] in mine and mine[-1] == ["input", str(pin), "64"]
    assert ["close"] not in calls and not (tmp_path / "m.sock").exists()


# The firmware's settings.


def pi(root, text="dtparam=strict_gpiod\ngpio=12,13,17,23,24,27=op,dl\n", persist="N"):
    for name, content in {
        "boot/firmware/config.txt": text,
        "proc/device-tree/model": "Raspberry Pi 4 Model B Rev 1.4\0",
        "sys/module/pinctrl_bcm2835/parameters/persist_gpio_outputs": persist,
    }.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(content)
    return str(root)


def test_with_the_settings_it_starts_and_says_nothing_of_them(tmp_path, config):
    with Real(tmp_path, config, "--pins", "chip:0", "--root", pi(tmp_path / "root")) as real:
        assert Flag.UNCHECKED not in ask(real.socket).flags


@pytest.mark.parametrize(
    "text, persist, sentence",
    [
        ("dtparam=strict_gpiod\n", "N", "nothing holds GPIO 12, 13, 17, 23, 24, 27 low while the Pi boots"),
        ("dtparam=strict_gpiod\ngpio=12,13,17,23,24=op,dl\n", "N", "nothing holds GPIO 27 low"),
        ("gpio=0-27=op,dl\n", "Y", "no strict_gpiod"),
        ("dtparam=strict_gpiod\ngpio=0-27=op,dl\n", "Y", "set but not in force: run `.*sudo reboot`"),
    ],
)
def test_without_the_settings_it_touches_no_pin(tmp_path, config, text, persist, sentence):
    real = Real(tmp_path, config, "--pins", "chip:0", "--root", pi(tmp_path / "root", text, persist))
    ran = real.run()
    assert ran.returncode == 2 and ran.stderr.count("\n") == 1, ran.stderr
    assert re.search(sentence, ran.stderr) and "--firmware-unchecked WHY" in ran.stderr
    assert real.calls() == [] and not real.socket.exists()


def test_an_empty_reason_waives_nothing(tmp_path, config):
    assert Real(tmp_path, config, "--pins", "chip:0", "--firmware-unchecked", "").run().returncode == 2
    with Real(tmp_path, config, "--pins", "chip:0", EDGEBOT_FIRMWARE_UNCHECKED=WHY) as real:
        assert Flag.UNCHECKED in ask(real.socket).flags


def test_a_laptop_is_told_that_it_is_no_pi(tmp_path, config):
    ran = Real(tmp_path, config, "--root", str(tmp_path)).run()
    assert ran.returncode == 2 and "no Raspberry Pi" in ran.stderr
    ran = Real(tmp_path, config, "--firmware-unchecked", WHY, "--root", str(tmp_path)).run()
    assert ran.returncode == 2 and "no Raspberry Pi" in ran.stderr  # by gpiozero's word


def test_without_lgpio_it_says_what_to_install(tmp_path, config):
    real = Real(tmp_path, config, "--pins", "chip:0", "--firmware-unchecked", WHY)
    (tmp_path / "none").mkdir()
    (tmp_path / "none" / "lgpio.py").write_text("raise ImportError('no such library')")
    real.environment["PYTHONPATH"] = f"{tmp_path / 'none'}{os.pathsep}{ROOT}"
    ran = real.run()
    assert ran.returncode == 2 and "python3-lgpio" in ran.stderr


def test_a_sim_never_moves_real_wheels(tmp_path, config):
    from robot.clock import WallClock
    from robot.config import load
    from robot.open import open_body
    from robot.sim.rooms import make_room

    with (
        Real(tmp_path, config, "--pins", "chip:0", "--firmware-unchecked", WHY) as real,
        pytest.raises(RobotError, match="has real pins, which a simulated robot must not move"),
    ):
        open_body(load(), "sim", WallClock(), make_room("light", "easy", 1), motord=real.socket)
