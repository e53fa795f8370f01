"""A task of the robot as `edgebot train` takes it: rooms for training, choosing and evaluation, films, manifest."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from edge import observation
from robot.sim.room import Room
from robot.sim.rooms import EVALUATION_SEEDS, RoomPool
from train.envs.batch import BatchEnv
from train.envs.robot import ROOMS, RobotBatch
from train.evaluation import Act


class RobotTask(ABC):
    """One task; `settings` may be replaced before it is used."""

    name: ClassVar[str]
    room_task: ClassVar[str]
    """Whose rooms it takes, of `robot.sim.rooms.TASKS`."""
    observation: ClassVar[Any] = observation
    """The module that says what is observed: NAME, VERSION and SIZE."""
    default_steps: ClassVar[int]
    evaluation_episodes = ROOMS
    film_fps = 10.0
    settings: Any

    def __init__(self) -> None:
        self._pools: dict[tuple[str, int, int], RoomPool] = {}  # rooms take longer to make than to drive in

    @abstractmethod
    def batch(self, rooms: Sequence[Room], n: int, *, judged: bool, in_order: bool) -> RobotBatch:
        """`n` robots in `rooms`; `judged` asks for evaluation's criterion where training's is another."""

    @property
    def continuous(self) -> bool:
        return bool(self.settings.continuous)

    def training(self, n: int) -> BatchEnv:
        return self.batch(self.rooms(), n, judged=False, in_order=False)

    def choosing(self) -> tuple[BatchEnv, int]:
        rooms = self.rooms()
        return self.batch(rooms, len(rooms), judged=True, in_order=True), 1

    def rooms(self) -> RoomPool:
        """Training's."""
        return self.pool(0, self.settings.rooms)

    def easier(self, judged: bool) -> RoomPool | None:
        """Easy rooms for a curriculum to begin with, where it is asked for; never for what is judged."""
        return self.pool(0, self.settings.rooms, "easy") if self.settings.curriculum and not judged else None

    def pool(self, start: int, count: int, level: str | None = None) -> RoomPool:
        """`count` rooms from seed `start` on, made when first used; of the settings' level unless told otherwise."""
        key = (level or self.settings.level, start, count)
        if key not in self._pools:
            self._pools[key] = RoomPool(self.room_task, key[0], range(start, start + count))
        return self._pools[key]

    def evaluation(self, episodes: int, seed: int) -> Iterator[tuple[BatchEnv, int]]:
        for first in range(0, episodes, ROOMS):
            count = min(ROOMS, episodes - first)
            start = evaluation_seed(seed) + first
            yield self.batch(self.pool(start, count), count, judged=True, in_order=True), start

    def film(self, act: Act, episode: int, seed: int) -> Iterator[NDArray[np.uint8]]:
        import cv2

        from train.envs.robot_env import RobotEnv
        from train.tasks import film

        room = evaluation_seed(seed) + episode
        env = RobotEnv(self.name, "rgb_array", **asdict(self.settings))
        side = 480
        for frame in film(env, act, seed, {"room_seed": room}):  # rooms differ in size, a video's frames do not
            scale = side / max(frame.shape[:2])
            small = cv2.resize(frame, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
            square = np.full((side, side, 3), 255, np.uint8)
            top, left = (side - small.shape[0]) // 2, (side - small.shape[1]) // 2
            square[top : top + small.shape[0], left : left + small.shape[1]] = small
            yield square

    def observed(self) -> dict[str, Any]:
        """What the manifest says of the observation."""
        kind = self.observation
        return {
            "name": kind.NAME, "version": kind.VERSION, "size": kind.SIZE, "period_s": self.settings.period_s
        }  # fmt: skip

    def manifest(self) -> dict[str, Any]:
        env = self.batch(self.rooms(), 1, judged=False, in_order=False)
        return {
            "kind": "policy",
            "name": self.name,
            "observation": self.observed(),
            "actions": env.controls.told(),
            "provenance": {"environment": asdict(self.settings)},
        }


def evaluation_seed(seed: int) -> int:
    """The first room of evaluation number `seed`."""
    return EVALUATION_SEEDS + seed * 100_000
