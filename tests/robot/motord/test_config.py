"""The motors' process's JSON: from a robot, flat, and each mistake one sentence."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys

import pytest

from robot.config import load as load_robot
from robot.errors import ConfigError
from robot.motord.config import load, of_robot, parse
from tests.robot.motord.harness import ROOT


def test_it_says_what_robot_toml_says():
    robot = load_robot()
    found = parse(of_robot(robot).text())
    assert found == of_robot(robot)
    assert found.left.forward_pin == robot.drive.left.forward_pin
    assert set(found.motor_pins.values()) == {v for k, v in robot.pins().items() if k.startswith("drive.")}
    assert found.emergency_stop_pin == robot.emergency_stop.pin and found.hold_s == robot.drive.command_timeout_s
    assert all(not isinstance(value, (dict, list)) for value in json.loads(found.text()).values())


def test_the_digest_tells_robots_apart():
    robot = load_robot()
    other = robot.model_copy(update={"drive": robot.drive.model_copy(update={"command_timeout_s": 0.3})})
    assert of_robot(robot).digest == of_robot(load_robot()).digest != of_robot(other).digest


@pytest.mark.parametrize(
    "change, sentence",
    [
        ({"left_forward_pin": 5}, "left_forward_pin is 5, expected a GPIO number from 9 to 27 .*pull up at boot"),
        ({"left_forward_pin": "17"}, "left_forward_pin is '17'"),
        ({"left_forward_pin": None}, "left_forward_pin is None"),
        ({"left_enable_pin": True}, "left_enable_pin is True"),
        ({"right_enable_pin": 28}, "right_enable_pin is 28"),
        ({"right_enable_pin": 17}, "GPIO 17 is given to both left_forward_pin and right_enable_pin"),
        ({"emergency_stop_pin": 27}, "GPIO 27 is given to both"),
        ({"emergency_stop_pin": -1}, "emergency_stop_pin is -1, expected a GPIO number from 0 to 27"),
        ({"hold_s": 0}, "hold_s is 0, expected a number of seconds"),
        ({"hold_s": float("nan")}, "hold_s is nan"),
        ({"hold_s": 5}, "hold_s is 5"),
        ({"hold_s": False}, "hold_s is False"),
        ({"pwm_hz": 19}, "pwm_hz is 19"),
        ({"pwm_hz": 200.5}, "pwm_hz is 200.5"),
        ({"stop": "fast"}, "stop is 'fast', expected 'coast' or 'brake'"),
        ({"name": ""}, "name is ''"),
        ({"left_foward_pin": 9}, "unknown key 'left_foward_pin', did you mean 'left_forward_pin'"),
    ],
)
def test_a_mistake_is_one_sentence(config, change, sentence):
    data = json.loads(config.text()) | change
    with pytest.raises(ConfigError, match=sentence) as caught:
        parse(json.dumps(data), "motord.json")
    assert str(caught.value).startswith("motord.json") and "edgebot motors config" in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("key", ["left_forward_pin", "hold_s", "name", "emergency_stop_pin"])
def test_a_missing_key_is_no_default(config, key):
    data = json.loads(config.text())
    del data[key]
    with pytest.raises(ConfigError, match=f"'{key}' is missing"):
        parse(json.dumps(data))


@pytest.mark.parametrize("text", ["", "{", "[]", "null", "3", "\xff".encode("latin-1"), b"\x00", "[" * 100_000])
def test_what_is_no_json_object_is_told(text):
    with pytest.raises(ConfigError, match="not valid JSON|expected one flat object"):
        parse(text)


def test_another_board_may_use_low_lines(config):
    data = json.loads(config.text()) | {"left_forward_pin": 1}
    assert parse(json.dumps(data), lowest_pin=0).left_forward_pin == 1


def test_a_missing_file_is_told(tmp_path):
    with pytest.raises(ConfigError, match=r"nowhere.json' cannot be read \(No such file.*edgebot motors config"):
        load(tmp_path / "nowhere.json")


@pytest.mark.parametrize(
    "arguments, sentence",
    [
        ([], "--config.*--help"),
        (["--config", "bad.json"], "bad.json is not valid JSON"),
        (["--config", "nowhere.json"], "cannot be read"),
        (["--config", "good.json", "--pins", "wood"], "--pins 'wood' is unknown, expected lgpio, mock, or chip:N"),
        (["--config", "good.json", "--pins", "mock", "--socket-mode", "999"], "'999' is no file mode"),
        (["--config", "good.json", "--pins", "mock", "--socket", "good.json"], "exists and is no socket"),
        (["--config", "good.json", "--pins", "mock", "--socket", "/proc/none/m.sock"], "cannot be made"),
        (["--config", "good.json", "--pins", "mock", "--socket", "x" * 200], "cannot be made|cannot be locked"),
        (["--config", "good.json", "--pins", "mock", "--socket", "a.sock", "--state", "good.json"], "latch"),
        (["--config", "good.json", "--pins", "mock", "--socket", "a.sock", "--trace", "/proc/t"], "trace"),
        (["--config", "good.json", "--trace", "x"], "are for mock pins"),
    ],
)
def test_a_mistake_ends_it_with_one_sentence_and_2(tmp_path, config, arguments, sentence):
    (tmp_path / "good.json").write_text(config.text())
    (tmp_path / "bad.json").write_text("{")
    ran = subprocess.run(
        [sys.executable, "-m", "robot.motord", *arguments], cwd=tmp_path, capture_output=True, text=True,
        env=os.environ | {"PYTHONPATH": str(ROOT)}, timeout=60,
    )  # fmt: skip
    assert ran.returncode == 2, ran.stderr
    assert ran.stderr.startswith("edgebot-motord: ") and ran.stderr.count("\n") == 1, ran.stderr
    assert re.search(sentence, ran.stderr), ran.stderr
