"""A loop on the simulated body, with a policy that does as told and a recorder that keeps everything."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from edge.guard import Guard
from edge.loop import Loop, Tick
from edge.types import Observation
from robot.clock import VirtualClock
from robot.config import load
from robot.sim.body import SimBody
from robot.sim.faults import Fault
from robot.sim.rooms import make_room
from robot.types import Clock, Command, Twist, Wheels

CONFIG = load()
ROOM = make_room("light", "easy", 7)
AHEAD = Twist(0.15, 0.3)


class Scripted:
    """A policy that does what it is told at each iteration."""

    name = "scripted"

    def __init__(self, act: Callable[[int, Observation], Any], needs_camera: bool = False) -> None:
        self.needs_camera = needs_camera
        self.count = 0
        self._act = act

    def act(self, observation: Observation) -> Command:
        self.count += 1
        return self._act(self.count - 1, observation)

    def reset(self) -> None:
        self.count = 0


def always(command: Any = AHEAD) -> Scripted:
    return Scripted(lambda step, observation: command)


class Notes:
    """A recorder that keeps everything, and what was on the wheels when it was called."""

    def __init__(self, body: SimBody) -> None:
        self.body, self.ticks, self.logs = body, list[Tick](), list[tuple[str, str, Wheels]]()

    def tick(self, tick: Tick) -> None:
        self.ticks.append(tick)

    def log(self, stamp: float, level: str, message: str) -> None:
        self.logs.append((level, message, on_wheels(self.body)))


def on_wheels(body: SimBody) -> Wheels:
    return body._port.applied


@contextmanager
def simulated(
    policy: Scripted, clock: Clock | None = None, faults: tuple[Fault, ...] = (), camera: bool = False, **kwargs: Any
) -> Iterator[tuple[Loop, SimBody, Notes]]:
    clock = VirtualClock(0.02) if clock is None else clock
    with SimBody(CONFIG, ROOM, clock, seed=3, camera=camera, faults=faults) as body:
        notes = Notes(body)
        guard = Guard(CONFIG, needs_camera=policy.needs_camera)
        yield Loop(body, policy, guard, clock, recorder=notes, **kwargs), body, notes


def speed(body: SimBody) -> float:
    return float(abs(body.world.wheel_speed).max())
