"""Any registered Gymnasium environment with a flat observation and discrete actions, N of them at once."""

from __future__ import annotations

import difflib
import math
from typing import Any

import gymnasium
import numpy as np
from numpy.typing import NDArray

from edge.errors import UsageError
from train.algorithms import ALGORITHMS
from train.envs.batch import Flags, Floats, Step


def make_one(task: str, **kwargs: Any) -> gymnasium.Env[Any, Any]:
    """`gymnasium.make`, with its many errors as one sentence. Raises `UsageError`."""
    try:
        # The passive checker doubles the time of a step; it belongs to those who write environments.
        return gymnasium.make(task, disable_env_checker=True, **kwargs)
    except gymnasium.error.DependencyNotInstalled as error:
        raise UsageError(f"task {task!r} needs a package that is not installed ({error}); install it first") from None
    except (gymnasium.error.Error, ModuleNotFoundError) as error:
        near = difflib.get_close_matches(task, list(gymnasium.registry), n=1)
        hint = f"did you mean {near[0]!r}?" if near else "give light, detector or a Gymnasium id such as CartPole-v1"
        raise UsageError(f"unknown task {task!r} ({type(error).__name__}); {hint}") from None


class GymBatch:
    """N copies of one Gymnasium environment, stepped one after the other."""

    def __init__(self, task: str, n: int) -> None:
        self.n = n
        first = make_one(task)
        observations, actions = first.observation_space, first.action_space
        if not isinstance(actions, gymnasium.spaces.Discrete):
            raise UsageError(
                f"task {task!r} has actions {actions}, which no algorithm here drives; "
                f"{', '.join(ALGORITHMS)} drive discrete ones, as CartPole-v1 has"
            )
        if not isinstance(observations, gymnasium.spaces.Box):
            raise UsageError(f"task {task!r} observes {observations}; the algorithms need a Box, as CartPole-v1 has")
        self._first_action = int(actions.start)
        self.actions = int(actions.n)
        self.observation_size = self.state_size = math.prod(observations.shape)
        self._envs = [first, *(make_one(task) for _ in range(n - 1))]

    def reset(self, seed: int) -> tuple[Floats, Floats]:
        seeds = np.random.SeedSequence(seed).generate_state(self.n).tolist()
        rows = [env.reset(seed=seed)[0] for env, seed in zip(self._envs, seeds, strict=True)]
        observation = self._rows(rows)
        return observation, observation

    def step(self, actions: NDArray[Any]) -> Step:
        reward = np.empty(self.n, np.float32)
        terminated: Flags = np.empty(self.n, np.bool_)
        truncated: Flags = np.empty(self.n, np.bool_)
        last, now = [], []
        for i, (env, action) in enumerate(zip(self._envs, actions.tolist(), strict=True)):
            row, reward[i], terminated[i], truncated[i], _ = env.step(action + self._first_action)
            last.append(row)
            if terminated[i] or truncated[i]:
                row, _ = env.reset()
            now.append(row)
        final = self._rows(last)
        observation = self._rows(now) if (terminated | truncated).any() else final
        return Step(observation, observation, final, reward, terminated, truncated)

    def close(self) -> None:
        for env in self._envs:
            env.close()

    def _rows(self, rows: list[Any]) -> Floats:
        return np.array(rows, np.float32).reshape(self.n, -1)
