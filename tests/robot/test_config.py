"""robot.toml: what is right is read, and each mistake is one sentence that names the key, the value and the way out."""

from __future__ import annotations

import copy
import datetime
import tomllib
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from robot import config
from robot.config import RobotConfig, load, parse
from robot.errors import ConfigError

EXAMPLE: dict[str, Any] = tomllib.loads(config.EXAMPLE.read_text(encoding="utf-8"))


def changed(path: str, value: Any) -> dict[str, Any]:
    """The example with one key set, or removed where `value` is `...`."""
    data = copy.deepcopy(EXAMPLE)
    *tables, key = path.split(".")
    table = data
    for name in tables:
        table = table.setdefault(name, {})
    if value is ...:
        del table[key]
    else:
        table[key] = value
    return data


def refusal(data: dict[str, Any]) -> str:
    with pytest.raises(ConfigError) as caught:
        parse(data, "mine.toml")
    sentence = str(caught.value)
    assert sentence.startswith("mine.toml: ") and "\n" not in sentence and len(sentence) < 400
    return sentence


def test_the_example_is_a_robot_with_everything_the_issue_of_a_beginner_needs() -> None:
    robot = load()
    assert robot == parse(EXAMPLE)
    assert robot.drive.left.enable_pin is not None and robot.range.kind == "hcsr04" and robot.light.kind == "ldr"
    assert robot.camera is not None and robot.camera.kind == "picamera2" and robot.emergency_stop is not None
    assert len(set(robot.pins().values())) == len(robot.pins()) == 11


def test_it_is_frozen() -> None:
    robot = load()
    with pytest.raises(ValidationError):
        robot.drive.track_m = 2.0  # type: ignore[misc]
    with pytest.raises(ValidationError):
        robot.nam = "x"  # type: ignore[attr-defined]


def test_whole_numbers_are_numbers() -> None:
    assert parse(changed("drive.track_m", 1)).drive.track_m == 1.0


def test_an_mcp3008_brings_the_pins_of_its_bus() -> None:
    data = changed("light.kind", "mcp3008") | {"emergency_stop": {"pin": 26}}
    data["light"] |= {"left": 0, "right": 1}
    assert {9, 10, 11, 8} <= set(parse(data).pins().values())
    data["emergency_stop"] = {"pin": 10}
    assert "GPIO 10 is given to both light (SPI MOSI) and emergency_stop.pin" in refusal(data)
    data["light"]["left"] = 8
    assert "an MCP3008 has channels 0 to 7" in refusal(data)


@pytest.mark.parametrize(
    ("path", "value", "said"),
    [
        ("drive.trck_m", 0.1, "unknown key 'drive.trck_m'; did you mean 'track_m'?"),
        ("nme", "x", "unknown key 'nme'; did you mean 'name'?"),
        ("drive.left.forwardpin", 4, "unknown key 'drive.left.forwardpin'; did you mean 'forward_pin'?"),
        ("camera.hight_m", 1, "unknown key 'camera.hight_m'; did you mean 'height_m'?"),
        ("bumpers", {"lft_pin": 19, "right_pin": 16}, "unknown key 'bumpers.lft_pin'; did you mean 'left_pin'?"),
        ("wings", 2, "unknown key 'wings'; known here: name, radius_m, drive,"),
        ("drive", ..., "'drive' is missing; add the table [drive]"),
        ("drive.left", ..., "'drive.left' is missing; add the table [drive.left]"),
        ("range.echo_pin", ..., "'range.echo_pin' is missing; add a whole number (GPIO, BCM number) at least 0"),
        ("drive", 5, "'drive' is 5; expected a table of keys"),
        ("camera", [1], "'camera' is [1]; expected a table of keys"),
        ("drive.track_m", "15 cm", "'drive.track_m' is '15 cm'; expected a number (metres) more than 0 and at"),
        ("drive.track_m", True, "'drive.track_m' is true; expected a number (metres)"),
        ("drive.track_m", {"m": 1}, "'drive.track_m' is a table; expected a number (metres)"),
        ("drive.track_m", float("nan"), "'drive.track_m' is not a number; expected a number (metres)"),
        ("drive.track_m", float("inf"), "'drive.track_m' is infinite; expected a number (metres)"),
        ("drive.track_m", -0.1, "'drive.track_m' is -0.1; expected"),
        ("drive.track_m", 0, "'drive.track_m' is 0; expected"),
        ("drive.track_m", 10**400, "'drive.track_m' is 1000"),
        ("drive.max_v_mps", datetime.date(2020, 1, 1), "'drive.max_v_mps' is 2020-01-01; expected a number (metres"),
        ("drive.pwm_hz", 200.0, "'drive.pwm_hz' is 200.0; expected a whole number (hertz) at least 20 and"),
        ("drive.pwm_hz", 10**30, "'drive.pwm_hz' is 1000"),
        ("drive.stop", "slide", "'drive.stop' is 'slide'; expected one of \"brake\", \"coast\""),
        ("drive.left.forward_pin", 28, "'drive.left.forward_pin' is 28; expected a whole number (GPIO, BCM number)"),
        ("name", "", "'name' is ''; expected text of at least 1 character"),
        ("name", "x" * 400, "...; expected text of at least 1 character and of at most 64"),
        ("camera.source", 0, "'camera.source' is 0; expected text"),
        ("light.dark", 1.0, "light.bright (1.0) must be greater than light.dark (1.0)"),
        ("range.min_m", 4.5, "range.max_m (4.0) must be greater than range.min_m (4.5)"),
        ("emergency_stop.pin", 17, "GPIO 17 is given to both drive.left.forward_pin and emergency_stop.pin"),
        ("light.left", 6, "GPIO 6 is given to both light.left and light.right; each pin serves one part"),
    ],
)
def test_a_mistake_is_told(path: str, value: Any, said: str) -> None:
    assert said in refusal(changed(path, value))


@pytest.mark.parametrize("pin", range(9))
@pytest.mark.parametrize("key", ["forward_pin", "backward_pin", "enable_pin"])
def test_motor_pins_that_pull_up_at_boot_are_refused(pin: int, key: str) -> None:
    sentence = refusal(changed(f"drive.right.{key}", pin))
    assert f"'drive.right.{key}' is {pin}: a motor pin must be GPIO 9 to 27, since GPIO 0-8 pull up at boot" in sentence


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"\xff\xfe", "(not UTF-8 text)"),
        (b"name =", "is not valid TOML (Invalid value"),
        (b"name = 1\nname = 2", "is not valid TOML ("),
        (b"a = " + b"[" * 100_000, "is not valid TOML ("),
        (b"a = " + b"9" * 5000, "is not valid TOML ("),
        (b"", "'drive' is missing"),
    ],
)
def test_a_file_that_is_no_robot_toml_is_told(content: bytes, said: str, tmp_path: Path) -> None:
    path = tmp_path / "robot.toml"
    path.write_bytes(content)
    with pytest.raises(ConfigError) as caught:
        load(path)
    assert said in str(caught.value) and str(path) in str(caught.value) and "\n" not in str(caught.value)


def test_a_file_that_cannot_be_read_is_told(tmp_path: Path) -> None:
    for path, why in ((tmp_path, "Is a directory"), (tmp_path / "no.toml", "No such file"), ("a\0b", "null byte")):
        with pytest.raises(ConfigError, match=why) as caught:
            load(path)
        assert "give the path of a robot.toml" in str(caught.value) and "\n" not in str(caught.value)


def every_path(data: dict[str, Any], prefix: str = "") -> list[str]:
    paths = []
    for key, value in data.items():
        paths.append(prefix + key)
        if isinstance(value, dict):
            paths += every_path(value, f"{prefix}{key}.")
    return paths


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.dates() | st.binary(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=5,
)


@settings(deadline=None)
@given(path=st.sampled_from(every_path(EXAMPLE)), value=VALUES)
def test_any_value_is_taken_or_told_in_one_sentence(path: str, value: Any) -> None:
    try:
        robot = parse(changed(path, value), "mine.toml")
    except ConfigError as error:
        assert "\n" not in str(error) and str(error).startswith("mine.toml: ")
        assert path.split(".")[-1] in str(error) or path.split(".")[0] in str(error)
    else:
        assert isinstance(robot, RobotConfig)


@settings(deadline=None)
@given(data=VALUES | st.dictionaries(st.sampled_from(list(EXAMPLE)), VALUES))
def test_any_document_is_taken_or_told_in_one_sentence(data: Any) -> None:
    try:
        parse(data, "mine.toml")
    except ConfigError as error:
        assert "\n" not in str(error)


@settings(deadline=None)
@given(
    path=st.sampled_from([p for p in every_path(EXAMPLE) if isinstance(p, str) and "." in p]),
    drop=st.integers(0, 30),
)
def test_a_misspelt_key_names_the_right_one(path: str, drop: int) -> None:
    table, _, key = path.rpartition(".")
    wrong = key[: drop % len(key)] + key[drop % len(key) + 1 :]
    data = changed(path, ...)
    inside: Any = data
    for name in table.split("."):
        inside = inside[name]
    if len(key) < 5 or wrong in inside:
        return
    inside[wrong] = 1
    sentence = refusal(data)
    assert f"unknown key '{table}.{wrong}'; did you mean " in sentence
