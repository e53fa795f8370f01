"""A Gymnasium environment that shows pictures as a task: what `train.tasks` makes of it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge.errors import UsageError
from train.envs.batch import BatchEnv
from train.envs.frames import FrameBatch, Game, settings_for
from train.evaluation import Act


class FrameTask:
    """Any registered Gymnasium environment whose observation is a picture, Atari's games among them."""

    default_steps = 1_000_000
    evaluation_episodes = 30
    film_fps = 15.0
    continuous = False

    def __init__(self, name: str, evaluation_seeds: int) -> None:
        self.name, self._seeds = name, evaluation_seeds
        self.settings = settings_for(name)

    def training(self, n: int) -> BatchEnv:
        return FrameBatch(self.name, n, self.settings)

    def choosing(self) -> tuple[BatchEnv, int]:
        return FrameBatch(self.name, 10, self.settings, learning=False), self._seeds - 1

    def evaluation(self, episodes: int, seed: int) -> Iterator[tuple[BatchEnv, int]]:
        size = 10
        for first in range(0, episodes, size):
            n = min(size, episodes - first)
            yield FrameBatch(self.name, n, self.settings, learning=False), self._seeds + seed * 10_000 + first

    def film(self, act: Act, episode: int, seed: int) -> Iterator[NDArray[np.uint8]]:
        game = Game(self.name, self.settings, render_mode="rgb_array")
        seen: Any = np.repeat(game.reset(self._seeds + seed * 10_000 + episode)[..., None], self.settings.stack, 2)
        try:
            done = False
            while not done:
                frame = game.env.render()
                if not isinstance(frame, np.ndarray):
                    raise UsageError(f"{self.name} renders no pictures; leave out --video")
                yield frame
                (action,) = game.interface.act(act(seen.reshape(1, -1)))
                newest, _, _, terminated, truncated = game.step(action)
                seen = np.concatenate((seen[..., 1:], newest[..., None]), 2)
                done = terminated or truncated
        finally:
            game.env.close()

    def manifest(self) -> dict[str, Any]:
        return {}
