"""A policy in a room on virtual time, with everything that its wheels were given written down.

The runtime is the product's own: loop, guard, perception, simulated body. Only the detector is replaced, by one that
reads the boxes of persons from the world's truth: what a network sees is tested elsewhere.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from edge.guard import Guard
from edge.loop import Loop, Tick
from edge.perception.geometry import CameraGeometry
from edge.perception.runner import SyncPerception
from edge.policies import make
from edge.summary import Summary
from edge.types import Detection, Policy
from robot.clock import VirtualClock
from robot.config import RobotConfig, load
from robot.kinematics import twist_from_wheels
from robot.sim.body import SimBody
from robot.sim.faults import Fault
from robot.sim.rooms import make_room
from robot.types import STOP, Wheels

PERIOD_S = 0.02
MODEL = Path(__file__).parents[1] / "edge" / "data" / "light_policy.tflite"
POLICIES = ("light", "range", "person", "follow", "learned")
SEEDS = {"light": 7, "range": 3, "person": 5, "follow": 5, "learned": 7}


def _config() -> RobotConfig:
    config = load()
    assert config.camera is not None
    camera = config.camera.model_copy(update={"width_px": 160, "height_px": 120})  # a small picture is a quick one
    return config.model_copy(update={"camera": camera})


CONFIG = _config()


class TruthEye:
    """A detector that knows where the persons are."""

    def __init__(self) -> None:
        self.body: SimBody | None = None
        assert CONFIG.camera is not None
        self.geometry = CameraGeometry(CONFIG.camera)

    def detect(self, image: np.ndarray) -> tuple[Detection, ...]:
        assert self.body is not None and CONFIG.camera is not None
        world = self.body.world
        found = []
        for x, y, width, height, visible in self.body._lens.person_boxes(world.pose[:, 0], world.persons(0)):
            if visible > 0.4 and width > 2:
                box, size = (x, y, width, height), (CONFIG.camera.width_px, CONFIG.camera.height_px)
                bearing, tall = self.geometry.bearing(box, *size), self.geometry.apparent_height(box, *size)
                found.append(Detection("person", 0.9, box, bearing, tall))
        return tuple(found)


@dataclass
class Scene:
    """What a fault may be put into before the loop runs."""

    clock: VirtualClock
    body: SimBody
    policy: Policy
    loop: Loop
    eye: TruthEye | None


@dataclass
class Life:
    """What came of it; times are the clock's seconds, which begin at 0."""

    given: list[tuple[float, Wheels]]  # each duty that the motors were given, and when
    ticks: list[Tick]
    summary: Summary
    speeds: list[tuple[float, float, float]]  # the world's truth: time, rim speed left and right

    def wheels(self, start: float, end: float) -> list[tuple[float, Wheels]]:
        """What was on the wheels from `start` until before `end`, with the stamps at which it was given."""
        stamps = [stamp for stamp, _ in self.given]
        first = max(bisect_right(stamps, start + 1e-9) - 1, 0)
        return [(max(stamp, start), wheels) for stamp, wheels in self.given[first:] if stamp < end - 1e-9]


_room = cache(lambda task, seed: make_room(task, "easy", seed))


def forward(wheels: Wheels) -> float:
    """The speed (m/s) at which the body goes forward under these duties."""
    return twist_from_wheels(CONFIG.drive, wheels).v


def live(
    name: str,
    seconds: float,
    faults: Sequence[Fault] = (),
    prepare: Callable[[Scene], None] = lambda scene: None,
    *,
    camera: bool = False,
    render: bool = False,
    encoders: bool = False,
    config: RobotConfig = CONFIG,
) -> Life:
    """Run a policy, by its name in `POLICIES`, for `seconds` in its room, with these faults.

    `camera` opens one for a policy that needs none. Pictures are drawn where `render` says so, and are any pattern
    else: drawing takes longer than all the rest.
    """
    policy = make(MODEL if name == "learned" else name, config)
    task = "light" if name == "learned" else name
    clock = VirtualClock(PERIOD_S)
    looks = policy.needs_camera or camera
    eye = TruthEye() if looks else None
    given: list[tuple[float, Wheels]] = [(0.0, STOP)]
    ticks: list[Tick] = []
    speeds: list[tuple[float, float, float]] = []
    room = _room(task, SEEDS[name])
    with SimBody(config, room, clock, seed=3, camera=looks, faults=faults, encoders=encoders) as body:
        perception: Any = None
        if eye is not None:
            assert config.camera is not None
            eye.body = body
            if not render:
                body._lens.render = _pattern
            perception = SyncPerception(eye, config.camera.latency_s, config.camera.stale_s)
        spy_on(body, given)
        loop = Loop(body, policy, Guard.of(config, policy), clock, perception=perception)
        prepare(Scene(clock, body, policy, loop, eye))

        def note(tick: Tick) -> None:
            ticks.append(tick)
            left, right = body.world.wheel_speed[:, 0].tolist()
            speeds.append((clock.now(), left, right))

        summary = loop.run(seconds, on_tick=note)
    return Life(given, ticks, summary, speeds)


def spy_on(body: SimBody, given: list[tuple[float, Wheels]]) -> None:
    """Write down what the motors' driver, the last part before the wheels, is told."""
    motors, clock = body._motors, body.clock
    write, zero = motors.write, motors.zero

    def told_to_write(wheels: Wheels) -> None:
        given.append((clock.now(), wheels))
        write(wheels)

    def told_to_stop() -> None:
        given.append((clock.now(), STOP))
        zero()

    motors.write, motors.zero = told_to_write, told_to_stop  # type: ignore[method-assign]


def _pattern(pose: Any, persons: Any, step: int) -> np.ndarray:
    """A picture of the right size, bright, and never the same twice."""
    assert CONFIG.camera is not None
    ramp = np.arange(CONFIG.camera.width_px * 3, dtype=np.int64).reshape(1, -1, 3)
    return np.repeat((ramp + step) % 251, CONFIG.camera.height_px, axis=0).astype(np.uint8)
