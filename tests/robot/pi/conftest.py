"""A world of a few settable numbers, and a Pi's body on virtual pins in it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from robot import config
from robot.clock import VirtualClock
from robot.pi.rig import VirtualRig


class ScriptedWorld:
    """Says what it is told to; remembers the duties."""

    def __init__(self, tick_s: float = 0.02) -> None:
        self.tick_s = tick_s
        self.tick = 0
        self.pose = np.zeros((3, 1))
        self.duty = (0.0, 0.0)
        self.range_m = 1.0
        self.light = [0.3, 0.7]
        self.bump = [False, False]

    @property
    def time(self) -> float:
        return self.tick * self.tick_s

    def set_duty(self, left: float, right: float) -> None:
        self.duty = (left, right)

    def step(self, ticks: int = 1) -> None:
        self.tick += ticks

    def sense_light(self) -> Any:
        return np.array(self.light)[:, None]

    def sense_range(self) -> Any:
        return np.array([self.range_m])

    def sense_bump(self) -> Any:
        return np.array(self.bump)[:, None]

    def persons(self, i: int) -> list[Any]:
        return []


@pytest.fixture
def example() -> config.RobotConfig:
    return config.load()


@pytest.fixture
def make_rig() -> Iterator[Any]:
    """make_rig(config) -> a VirtualRig in a ScriptedWorld, closed when the test ends."""
    rigs = []

    def make(robot: config.RobotConfig) -> VirtualRig:
        clock = VirtualClock(0.02)
        rigs.append(VirtualRig(robot, None, clock, world=ScriptedWorld(clock.tick_s)))
        return rigs[-1]

    yield make
    for rig in rigs:
        rig.close()


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """`bridge`: with enable pins and without; `stop`: both ways of standing."""
    if "bridge" in metafunc.fixturenames:
        metafunc.parametrize("bridge", ["enable", "direction"])
    if "stop" in metafunc.fixturenames:
        metafunc.parametrize("stop", ["coast", "brake"])
