"""Plays the one who stands beside a simulated robot: sees its wheels, moves it and covers its sensors."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from edge.hil.bench import Bench
from edge.hil.operator import SIDES, Hand, Safe, Saw, Scene
from robot.clock import VirtualClock
from robot.sim.room import Person, Room

SIZE_M = 6.0
STARTED_M = 0.004  # of a rim's way: about what an eye sees of a marked wheel
ROOM = Room(
    seed=0,
    level="easy",
    size_m=(SIZE_M, SIZE_M),
    obstacles=np.array([[[5.6, 5.6], [5.6, 5.9], [5.9, 5.9], [5.9, 5.6]]]),  # clockwise, out of the way
    kinds=("box",),
    heights_m=np.array([0.5]),
    lamp=np.array([3.0, 5.0]),
    start=np.array([3.0, 3.0, 0.0]),
    persons=(Person(waypoints=np.array([[0.8, 3.0]]), yaw=0.0, speed_mps=0.0, height_m=1.75, look=3),),
)
"""A room with a wall to measure by, a lamp and a person."""


class Player:
    """An `Operator` who knows the truth; give it its bench before the first question.

    Args:
        hears: False plays one who does not answer a confirmation with yes.
    """

    def __init__(self, hears: bool = True) -> None:
        self.bench: Bench | None = None
        self.log: list[str] = []  # what was asked
        self._hears = hears
        self._way = np.zeros(2)
        self._seen: Any = None

    def confirm(self, what: Safe) -> bool:
        self.log.append(what.name)
        return self._hears

    def set_up(self, scene: Scene) -> None:
        self.log.append(scene.hand)
        config, world = self._bench.config, self._world
        wall = SIZE_M - config.range.x_m - scene.value
        if scene.hand in (Hand.PRESS, Hand.RELEASE):
            self._bench.body.press_emergency_stop(scene.hand is Hand.PRESS)  # type: ignore[attr-defined]
        elif scene.hand in (Hand.TARGET, Hand.RUNWAY):
            self._put(wall, 2.0, 0.0)
        elif scene.hand is Hand.PERSON:
            self._put(0.8 + scene.value, 3.0, math.pi)
        elif scene.hand is Hand.UNCOVER:
            world.cover = None
        else:
            self._put(3.0, 4.5, math.pi / 2)
            left = scene.hand in (Hand.COVER_LEFT, Hand.COVER_BOTH)
            right = scene.hand in (Hand.COVER_RIGHT, Hand.COVER_BOTH)
            world.cover = np.array([[0.0 if left else 1.0], [0.0 if right else 1.0]], world.dtype)

    def attend(self, words: str) -> None:
        self._put(3.0, 3.0, 0.0)
        self._way[:] = 0
        clock = self._bench.clock
        assert isinstance(clock, VirtualClock)
        if self._seen is not self._bench.body:  # a body that was opened anew comes before us in each tick
            clock.unsubscribe(self._look)
            clock.subscribe(self._look)
            self._seen = self._bench.body

    def saw(self) -> Saw:
        return Saw(*(int(np.sign(way)) if abs(way) > 0.01 else 0 for way in self._way))

    def turning(self, side: str) -> bool:
        return bool(abs(self._way[SIDES.index(side)]) > STARTED_M)

    def turns(self, side: str) -> float:
        round_m = 2 * math.pi * self._bench.config.drive.wheel_radius_m
        return round(4 * abs(float(self._way[SIDES.index(side)])) / round_m) / 4  # counted by a mark: to a quarter

    @property
    def _bench(self) -> Bench:
        assert self.bench is not None
        return self.bench

    @property
    def _world(self) -> Any:
        return self._bench.body.world  # type: ignore[attr-defined]

    def _put(self, x: float, y: float, yaw: float) -> None:
        self._world.pose[:, 0] = x, y, yaw

    def _look(self, now: float) -> None:
        world = self._world
        self._way += world.wheel_speed[:, 0] * world.tick_s
