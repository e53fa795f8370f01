"""Identity tasks: batched environments that a sound update learns in seconds, and a broken one never."""

from __future__ import annotations

from typing import Any

import numpy as np

from train.envs.batch import Step


class Echo:
    """Shows one of `actions` symbols; naming it earns 1. An episode is ten symbols long."""

    def __init__(self, n: int, actions: int = 4) -> None:
        self.n, self.continuous = n, False
        self.actions = self.observation_size = self.state_size = actions

    def reset(self, seed: int) -> tuple[Any, Any]:
        self._rng = np.random.default_rng(seed)
        self._left = np.full(self.n, 10)
        seen = self._show()
        return seen, seen

    def step(self, actions: Any) -> Step:
        reward = self._earned(actions)
        self._left -= 1
        terminated = self._left == 0
        self._left[terminated] = 10
        seen = self._show()
        return Step(seen, seen, seen, reward, terminated, np.zeros(self.n, bool))

    def _earned(self, actions: Any) -> Any:
        return (actions == self._symbol).astype(np.float32)

    def like(self, n: int) -> Echo:
        return Echo(n, self.actions)

    def close(self) -> None: ...

    def _show(self) -> Any:
        self._symbol = self._rng.integers(self.actions, size=self.n)
        return np.eye(self.actions, dtype=np.float32)[self._symbol]


class Follow(Echo):
    """Shows two numbers within -0.8..0.8; an action earns 1 less its mean distance from them. Ten to an episode."""

    def __init__(self, n: int) -> None:
        super().__init__(n, 2)
        self.continuous = True

    def _earned(self, actions: Any) -> Any:
        return (1.0 - np.abs(np.clip(actions, -1.0, 1.0) - self._symbol).mean(1)).astype(np.float32)

    def like(self, n: int) -> Follow:
        return Follow(n)

    def _show(self) -> Any:
        self._symbol = self._rng.uniform(-0.8, 0.8, (self.n, 2)).astype(np.float32)
        return self._symbol
