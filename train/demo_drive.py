"""The demo's drive: one robot, one room, three goals after one another; what was seen and done is kept for the film."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from edge.goal import Goal
from edge.guard import Guard
from edge.loop import Loop, Tick
from edge.perception.runner import make_perception
from edge.policies import make
from edge.recordings.recorder import Recorder
from edge.summary import Summary
from edge.types import Detection, Policy
from robot.clock import VirtualClock
from robot.config import RobotConfig
from robot.sim.body import SimBody
from robot.sim.room import PersonState, Room
from robot.sim.verdict import TOUCH_MPS, Verdict, judge
from robot.sim.world import World
from robot.types import Twist

TASKS = ("light", "range", "person")
LIMIT_S = {"light": 45.0, "range": 60.0, "person": 90.0}
PAUSE_S = 1.0  # the robot stands at each goal, so that the film shows it
TICK_S = 0.02


@dataclass(frozen=True, slots=True)
class Shot:
    """One moment of the film: a frame of the camera, and all that is told beside it."""

    task: str
    time: float
    jpeg: NDArray[np.uint8]  # the frame, compressed: a thousand raw ones are a gigabyte
    stamp: float  # when it was exposed
    pose: tuple[float, float, float]
    persons: tuple[PersonState, ...]
    light: tuple[float, float]
    echo: float | None
    speed: tuple[float, float]  # m/s, rad/s, as commanded
    reason: str
    reached: bool  # whether this leg's goal has been reached


@dataclass(frozen=True)
class Leg:
    """One goal: how it ended, judged by the world's truth, and what the loop's stages cost."""

    task: str
    policy: str
    verdict: Verdict
    seconds: float
    summary: Summary
    path: NDArray[np.float64]  # (K, 2) m


@dataclass
class Drive:
    """The whole drive."""

    room: Room
    legs: list[Leg] = field(default_factory=list)
    shots: list[Shot] = field(default_factory=list)
    seen: dict[float, tuple[Detection, ...]] = field(default_factory=dict)  # by the stamp of the frame

    @property
    def success(self) -> bool:
        """Whether every goal was reached."""
        return len(self.legs) == len(TASKS) and all(leg.verdict.success for leg in self.legs)


def drive(
    config: RobotConfig,
    room: Room,
    light_model: Path,
    recording: Path,
    seed: int,
    told: Callable[[str, float], None] = lambda task, seconds: None,
) -> Drive:
    """Drive to the lamp by the learned policy, to the nearest object, and to a person; ends where a goal is missed.

    Args:
        light_model: the converted policy.
        recording: where the MCAP file goes.
        told: called with the task and the seconds it has taken so far, at each frame.

    Raises:
        RobotError: the body cannot be opened.
        EdgeError: the model or the recording cannot.
    """
    clock = VirtualClock(TICK_S)
    result = Drive(room)
    metadata = {"policy": "demo", "seed": str(seed), "room_task": room.task, "room_seed": str(room.seed)}
    perception = make_perception(config, clock)
    with SimBody(config, room, clock, seed=seed, camera=True) as body:
        world = body.world

        def pose() -> tuple[float, float, float]:
            x, y, yaw = world.pose[:, 0].tolist()
            return x, y, yaw

        attachments = {"robot.json": config.model_dump_json(indent=2).encode()}
        with Recorder(recording, metadata, attachments, pose=pose, wait=True, overwrite=True) as recorder:
            for task in TASKS:
                policy = make(light_model if task == "light" else task, config)
                world.contact_speed[:] = 0.0  # each leg answers for its own
                guard = Guard.of(config, policy)
                loop = Loop(body, policy, guard, clock, perception=perception, recorder=recorder)
                perception.latencies = {name: type(latency)() for name, latency in perception.latencies.items()}
                film = _Film(result, task, world.persons, pose, clock.now(), told)
                began = clock.now()
                done = partial(_is_done, policy, Goal(world, task) if task == "light" else None)
                summary = loop.run(LIMIT_S[task], done, film)
                clock.sleep_until(clock.now() + PAUSE_S / 2)
                verdict = any_object(world) if task == "range" else judge(world, task)
                film.rest(body, clock, PAUSE_S / 2, verdict.success)
                path = np.array(film.path)
                result.legs.append(Leg(task, policy.name, verdict, clock.now() - began - PAUSE_S, summary, path))
                if not verdict.success:
                    break
    perception.close()
    return result


def _is_done(policy: Policy, lamp: Goal | None) -> bool:
    """Whether the policy says so, or, for one that cannot tell that it is there, the world."""
    return bool(getattr(policy, "done", False)) or (lamp is not None and lamp())


def any_object(world: World) -> Verdict:
    """How a range run ended that may go to any object: beside the lamp two are often about equally near."""
    if world.contact_speed[0] <= TOUCH_MPS:
        world.contact_speed[:] = 0.0  # leaning on what the leg before has met is no touch of this one's
    verdicts = [judge(world, "range", target=target) for target in range(len(world.rooms[0].obstacles))]
    return max(verdicts, key=lambda verdict: (verdict.success, -verdict.measure))


class _Film:
    """Takes a shot at each new frame, and a point of the path at each tick."""

    def __init__(
        self,
        drive: Drive,
        task: str,
        persons: Callable[[int], list[PersonState]],
        pose: Callable[[], tuple[float, float, float]],
        began: float,
        told: Callable[[str, float], None],
    ) -> None:
        self.path: list[tuple[float, float]] = []
        self._drive, self._task, self._persons, self._pose = drive, task, persons, pose
        self._began, self._told = began, told
        self._last = drive.shots[-1].stamp if drive.shots else -1.0

    def __call__(self, tick: Tick) -> None:
        x, y, _ = self._pose()
        if not self.path or (x - self.path[-1][0]) ** 2 + (y - self.path[-1][1]) ** 2 > 1e-4:
            self.path.append((x, y))
        if tick.detections is not None:
            self._drive.seen[tick.detections.stamp] = tick.detections.items
        frame = tick.senses.frame
        if frame is None or frame.stamp <= self._last:
            return
        self._last = frame.stamp
        command = tick.command
        twist = command if isinstance(command, Twist) else Twist(0.0, 0.0)
        self._shoot(
            frame.image, frame.stamp, tick.now, tick.senses.light_left.value, tick.senses.light_right.value,
            tick.senses.range.value, (twist.v, twist.omega), str(tick.reason), False,
        )  # fmt: skip
        self._told(self._task, tick.now - self._began)

    def rest(self, body: SimBody, clock: VirtualClock, seconds: float, reached: bool) -> None:
        """Keep filming the standing robot."""
        end = clock.now() + seconds
        while clock.now() < end - 1e-9:
            clock.sleep_until(clock.now() + 0.1)
            senses = body.sense()
            if senses.frame is not None and senses.frame.stamp > self._last:
                self._last = senses.frame.stamp
                self._shoot(
                    senses.frame.image, senses.frame.stamp, clock.now(), senses.light_left.value,
                    senses.light_right.value, senses.range.value, (0.0, 0.0), "ok", reached,
                )  # fmt: skip

    def _shoot(
        self, image: NDArray[np.uint8], stamp: float, now: float, left: float | None, right: float | None,
        echo: float | None, speed: tuple[float, float], reason: str, reached: bool,
    ) -> None:  # fmt: skip
        _, jpeg = cv2.imencode(".jpg", image[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 92])
        self._drive.shots.append(
            Shot(
                self._task, now, jpeg, stamp, self._pose(), tuple(self._persons(0)), (left or 0.0, right or 0.0), echo,
                speed, reason, reached,
            )  # fmt: skip
        )

