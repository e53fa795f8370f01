"""The sensors' drivers on virtual pins: exact readings, and None where there is none."""

from __future__ import annotations

import math
import threading
import time

import pytest

from robot import config
from robot.clock import VirtualClock, WallClock
from robot.pi.light import LdrPair, Mcp3008Pair, calibrated
from robot.pi.pace import VirtualPace, WallPace
from robot.pi.sampler import Sampler
from robot.pi.sonar import HcSr04
from robot.pi.virtual import VirtualFactory
from robot.types import Reading


def later(rig, seconds=0.2):
    rig.clock.sleep_until(rig.clock.now() + seconds)
    return rig.sense()


@pytest.mark.parametrize("metres", [0.02, 0.05, 0.5, 1.234, 3.99, 4.0])
def test_range_is_exact(make_rig, example, metres):
    rig = make_rig(example)
    rig.world.range_m = metres
    assert later(rig).range.value == pytest.approx(metres, abs=1e-6)


@pytest.mark.parametrize("metres", [math.nan, 0.01, 4.2, 7.0])
def test_no_echo_or_out_of_range_is_none(make_rig, example, metres):
    rig = make_rig(example)
    assert later(rig).range.value == pytest.approx(1.0)
    rig.world.range_m = metres
    reading = later(rig).range
    assert reading.value is None and reading.stamp > 0.3


def test_a_cut_echo_wire_is_none_and_heals(make_rig, example):
    rig = make_rig(example)
    rig.silence_sonar()
    assert later(rig).range.value is None
    rig.silence_sonar(False)
    assert later(rig).range.value == pytest.approx(1.0)


def test_an_echo_pin_stuck_high_is_none(make_rig, example):
    rig = make_rig(example)
    rig.pin(example.range.echo_pin).level = lambda: True
    assert later(rig).range.value is None


@pytest.mark.parametrize("kind", ["ldr", "mcp3008"])
@pytest.mark.parametrize("dark, bright", [(0.0, 1.0), (0.2, 0.8)])
def test_light(make_rig, example, kind, dark, bright):
    light = {"kind": kind, "dark": dark, "bright": bright}
    if kind == "mcp3008":
        light |= {"left": 0, "right": 5}
    robot = example.model_copy(update={"light": example.light.model_copy(update=light)})
    rig = make_rig(robot)
    step = 1e-6 if kind == "ldr" else 0.5 / 1023 / (bright - dark) + 1e-9
    for left, right in ((0.0, 1.0), (0.25, 0.75), (0.9, 0.1), (1.0, 0.0)):
        rig.world.light = [left, right]
        senses = later(rig)
        assert senses.light_left.value == pytest.approx(left, abs=step)
        assert senses.light_right.value == pytest.approx(right, abs=step)


def test_calibration_stays_in_its_bounds(example):
    light = example.light.model_copy(update={"dark": 0.3, "bright": 0.6})
    assert [calibrated(light, raw) for raw in (0.0, 0.3, 0.45, 0.6, 1.0)] == pytest.approx([0, 0, 0.5, 1, 1])


def test_a_converter_that_does_not_answer_is_none(make_rig, example):
    light = example.light.model_copy(update={"kind": "mcp3008", "left": 0, "right": 1})
    rig = make_rig(example.model_copy(update={"light": light}))
    assert later(rig).light_left.value == pytest.approx(0.3, abs=1e-3)
    rig._virtual.spi_answer = None
    senses = later(rig)
    assert senses.light_left.value is None and senses.light_right.value is None


def test_bumpers_and_stop_switch(make_rig, example):
    robot = example.model_copy(update={"bumpers": config.Bumpers(left_pin=16, right_pin=19)})
    rig = make_rig(robot)
    senses = rig.sense()
    assert (senses.bump_left.value, senses.bump_right.value, senses.emergency_stop.value) == (0.0, 0.0, 0.0)
    rig.world.bump = [True, False]
    rig.press_emergency_stop()  # no tick passes: switches are read when asked
    senses = rig.sense()
    assert (senses.bump_left.value, senses.bump_right.value, senses.emergency_stop.value) == (1.0, 0.0, 1.0)


def test_a_switch_that_cannot_be_read_is_none(make_rig, example):
    rig = make_rig(example)

    def lost():
        raise OSError("line lost")

    rig.pin(example.emergency_stop.pin).level = lost
    assert rig.sense().emergency_stop.value is None


def test_what_a_robot_does_not_have_is_no_field(make_rig, example):
    rig = make_rig(example.model_copy(update={"emergency_stop": None}))
    senses = rig.sense()
    assert senses.emergency_stop is senses.bump_left is senses.speed_left is senses.battery is None


def test_sampling_rate_and_stamps(make_rig, example):
    rig = make_rig(example)
    stamps = set()
    for _ in range(500):  # 10 s
        rig.clock.sleep_until(rig.clock.now() + 0.02)
        senses = rig.sense()
        stamps.add(senses.range.stamp)
        assert 0 <= senses.stamp - senses.range.stamp <= 1 / example.range.rate_hz + 0.0201
        assert 0 <= senses.stamp - senses.light_left.stamp <= 1 / example.light.rate_hz + 0.0201
    assert len(stamps) == pytest.approx(10 * example.range.rate_hz, abs=2)


def test_a_reading_takes_microseconds_and_no_thread(make_rig, example):
    import threading

    before = threading.active_count()
    rig = make_rig(example)
    begin = time.process_time()  # this process's own: the machine may be busy
    rig.clock.sleep_until(20.0)
    assert time.process_time() - begin < 2.0
    assert threading.active_count() == before


def test_gpiozeros_distance_sensor_is_never_used():
    from pathlib import Path

    import robot.pi

    for file in Path(robot.pi.__file__).parent.glob("*.py"):
        code = [line.split("#")[0] for line in file.read_text().splitlines()]
        assert not any("DistanceSensor(" in line or "import DistanceSensor" in line for line in code), file


# On the wall clock, with the same drivers: threads, and real waits for an echo that does not come.


def test_sonar_on_the_wall_clock(example):
    factory = VirtualFactory(WallClock())
    sonar = HcSr04(example.range, factory, WallPace())
    echo = factory.pin(example.range.echo_pin)
    trigger = factory.pin(example.range.trigger_pin)
    trigger.on_output = lambda high: None if high else echo.pulse(0.0005, 2 * 0.8 / 343.2)
    assert sonar.read() == pytest.approx(0.8, abs=1e-3)
    trigger.on_output = None
    begin = time.perf_counter()
    assert sonar.read() is None
    assert time.perf_counter() - begin < 0.15
    sonar.close()


def test_dark_ldrs_on_the_wall_clock_are_bounded(example):
    factory = VirtualFactory(WallClock())
    pair = LdrPair(example.light, factory, WallPace())
    for number in (example.light.left, example.light.right):
        factory.pin(number).charge_s = lambda: None
    begin = time.perf_counter()
    assert pair.read() == (0.0, 0.0)
    assert time.perf_counter() - begin < 0.1
    pair.close()


def test_an_ldr_brighter_than_the_detection_is_bright(example):
    factory = VirtualFactory(VirtualClock())
    pair = LdrPair(example.light, factory, VirtualPace())
    for number in (example.light.left, example.light.right):
        factory.pin(number).level = lambda: True  # high before anybody listens
    assert pair.read() == (1.0, 1.0)


def test_mcp3008_words(example):
    light = example.light.model_copy(update={"kind": "mcp3008", "left": 3, "right": 7})
    factory = VirtualFactory(VirtualClock())
    asked = []

    def chip(words):
        asked.append(words)
        return [0, 0b10, 0xFF] if (words[1] >> 4) & 7 == 3 else [0, 0, 0]

    factory.spi_answer = chip
    assert Mcp3008Pair(light, factory).read() == (pytest.approx(0x2FF / 1023), 0.0)
    # Datasheet figure 6-1: start bit, then single-ended and the channel, then don't care.
    assert [(w[0] & 1, w[1] >> 4) for w in asked] == [(1, 0b1011), (1, 0b1111)]


def test_sampler_thread_keeps_the_newest_and_fails_honestly():
    values = [1.0, 2.0]
    seen = threading.Event()  # on a busy machine this thread may look only seconds later

    def take(stamp):
        if not values:
            seen.wait(5)
            raise OSError("a sensor that fails")
        return Reading(values.pop(0), stamp)

    sampler = Sampler("test", take, lambda stamp: Reading(None, stamp), 50.0, WallClock())
    deadline = time.monotonic() + 5
    while sampler.newest.value != 2.0 and time.monotonic() < deadline:
        time.sleep(0.002)
    assert sampler.newest.value == 2.0
    good = sampler.newest.stamp
    seen.set()
    while sampler.newest.value is not None and time.monotonic() < deadline:
        time.sleep(0.002)
    assert sampler.newest.value is None and sampler.newest.stamp > good
    sampler.close()
    sampler.close()


def test_sense_does_not_wait_for_a_sensor_that_hangs(example, make_rig):
    import threading

    free = threading.Event()
    sampler = Sampler("hung", lambda stamp: free.wait(5) or 1, lambda stamp: None, 20.0, WallClock())
    try:
        begin = time.perf_counter()
        assert sampler.newest is None
        assert time.perf_counter() - begin < 0.01
    finally:
        free.set()
        sampler.close()
