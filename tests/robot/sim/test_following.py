"""Following is judged for a whole minute, by the distance to one person who must be ahead."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np
import pytest

from robot.clock import VirtualClock
from robot.config import load
from robot.sim.body import SimBody
from robot.sim.following import APPROACH_S, FOLLOW_S, Following
from robot.sim.room import PersonState
from robot.sim.rooms import make_room


@dataclass
class Stage:
    """A world of which only the truth is there: one robot, two persons."""

    time: float = 0.0
    pose: np.ndarray = field(default_factory=lambda: np.zeros((3, 1)))
    contact_speed: np.ndarray = field(default_factory=lambda: np.zeros(1))
    at: tuple[float, float] = (1.2, 0.0)

    def persons(self, index: int) -> list[PersonState]:
        return [PersonState(*self.at, 0.0, 0.0, 1.7, 1), PersonState(1.2, 0.0, 0.0, 0.0, 1.7, 2)]


def watch(stage: Stage, judge: Following, seconds: float, at: tuple[float, float]) -> None:
    stage.at = at
    for _ in range(round(seconds / 0.1)):
        judge.look()
        stage.time += 0.1


@pytest.mark.parametrize(("away", "success"), [(5.0, True), (7.0, False)])
def test_nine_tenths_of_the_minute_are_needed(away: float, success: bool) -> None:
    stage = Stage()
    judge = Following(stage)  # type: ignore[arg-type]
    watch(stage, judge, 10.0, (2.5, 0.0))  # the approach does not count
    watch(stage, judge, 30.0, (1.5, 0.0))
    watch(stage, judge, away, (1.7, 0.0))
    watch(stage, judge, FOLLOW_S - 30.0 - away - 1.0, (0.9, 0.3))
    assert not judge.verdict().success  # the minute is not over
    watch(stage, judge, 1.5, (0.9, 0.3))
    assert judge.over and judge.share == pytest.approx(1.0 - away / FOLLOW_S, abs=0.01)
    assert judge.verdict().success is success


def test_one_who_is_beside_the_robot_or_comes_too_late_is_not_followed() -> None:
    for at in ((0.0, 1.2), (1.2 * math.cos(0.6), 1.2 * math.sin(0.6)), (0.7, 0.0)):
        stage = Stage()
        judge = Following(stage)  # type: ignore[arg-type]
        watch(stage, judge, APPROACH_S + FOLLOW_S + 1.0, at)
        assert judge.over and judge.share == 0.0 and not judge.verdict().success


def test_where_nobody_walks_nobody_is_followed() -> None:
    clock = VirtualClock(0.02)
    with SimBody(load(), make_room("light", "easy", 7), clock, seed=0, camera=False) as body:
        judge = Following(body.world)
        assert not judge.look() and not judge.verdict().success
