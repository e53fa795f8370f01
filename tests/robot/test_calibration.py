"""`calibration.toml` beside a robot.toml: taken wherever that is read, or refused in one sentence."""

from __future__ import annotations

import pytest

from robot import calibration
from robot.clock import VirtualClock
from robot.config import EXAMPLE, load
from robot.errors import ConfigError
from robot.kinematics import wheels_from_twist
from robot.open import open_body
from robot.sim.rooms import make_room
from robot.types import Twist

VALUES = {
    "drive": {"gain_left": 1.1, "gain_right": 0.9, "dead_band_duty": 0.12, "braking_mps2": 0.8, "top_speed_mps": 0.45},
    "range": {"offset_m": 0.02},
    "light": {"dark": 0.1, "bright": 0.8},
}


@pytest.fixture
def place(tmp_path):
    path = tmp_path / "robot.toml"
    path.write_text(EXAMPLE.read_text())
    return path


def write(place, robot="example", values=VALUES):
    (place.parent / calibration.NAME).write_text(calibration.text(robot, "2026-11-26", values))


def test_it_lies_over_robot_toml(place):
    before = load(place)
    write(place)
    found = load(place)
    assert (found.drive.gain_left, found.drive.braking_mps2, found.range.offset_m, found.light.bright) == (
        1.1, 0.8, 0.02, 0.8,
    )  # fmt: skip
    assert found.pins() == before.pins() and found.drive.track_m == before.drive.track_m
    assert calibration.tables(place) == VALUES


def test_the_simulated_body_has_the_measured_motors(place):
    write(place)
    config = load(place)
    body = open_body(config, "sim", VirtualClock(0.02), make_room("light", "easy", 1), camera=False)
    motors = body.world.motors
    assert motors.dead_band[0, 0] == pytest.approx(0.12) and motors.braking_mps2 == 0.8
    assert motors.gain[0, 0] / motors.gain[1, 0] == pytest.approx(1.1 / 0.9, rel=0.12)
    assert wheels_from_twist(config.drive, Twist(0.2, 0)) != wheels_from_twist(load().drive, Twist(0.2, 0))


def test_the_offset_is_added_by_the_sonars_driver(place):
    readings = {}
    for offset in (0.0, 0.05):
        config = load(place)
        config = config.model_copy(update={"range": config.range.model_copy(update={"offset_m": offset})})
        body = open_body(config, "pins", VirtualClock(0.02), make_room("light", "easy", 1), camera=False)
        # The rig's echo comes that much too early, as a sensor's with such an offset; the driver makes up for it.
        body.clock.sleep_until(0.5)
        readings[offset] = body.sense().range.value
    assert readings[0.05] == pytest.approx(readings[0.0], abs=1e-6)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ('robot = "other"\n', "measured on 'other'"),
        ("[drive]\ngain_left = 1.0\n", "measured on None"),
        ('robot = "example"\n[drive]\ngain_lef = 1.0\n', "did you mean 'gain_left'"),
        ('robot = "example"\n[drive]\ntrack_m = 1.0\n', "drive.track_m"),
        ('robot = "example"\n[motor]\nx = 1.0\n', "unknown key 'motor'"),
        ('robot = "example"\ndrive = 3\n', "unknown key 'drive'"),
        ('robot = "example"\n[drive]\ngain_left = 9.0\n', "drive.gain_left"),
        ('robot = "example"\n[light]\ndark = 0.9\nbright = 0.2\n', "light.bright"),
        ("robot = \n", "not valid TOML"),
    ],
)
def test_what_does_not_fit_is_one_sentence(place, text, why):
    (place.parent / calibration.NAME).write_text(text)
    with pytest.raises(ConfigError, match=why) as caught:
        load(place)
    assert "calibration.toml" in str(caught.value) and "\n" not in str(caught.value)


def test_a_name_with_quotes_survives(place):
    place.write_text(EXAMPLE.read_text().replace('"example"', '"the \\"quick\\" one"'))
    write(place, 'the "quick" one')
    assert load(place).drive.gain_left == 1.1


def test_it_is_found_beside_what_a_link_leads_to(place, tmp_path):
    write(place)
    link = tmp_path / "etc" / "robot.toml"
    link.parent.mkdir()
    link.symlink_to(place)
    assert load(link).drive.gain_left == 1.1
