"""The replay memory: what was lived through, to learn from again (Lin 1992), uniformly or by priority.

Rows are steps of N environments, so that a return over several steps is read along a column when it is sampled. What a
step led to is kept as it was before any reset: an episode that was cut has a future, one that ended has none.
Pictures have a memory of their own, `train.frame_replay`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from train.envs.batch import BatchEnv, Flags, Floats, Step

Indices = NDArray[np.int64]
LEAST = 1e-6
"""Added to each error, so that nothing is ever forgotten for good."""


@dataclass
class Batch:
    """Sampled steps, arrays of one shape (..., )."""

    observation: NDArray[Any]  # (..., size)
    action: NDArray[Any]  # (...), or (..., actions) where they are continuous
    reward: Floats  # discounted sum over the steps looked ahead
    following: NDArray[Any]  # (..., size) the observation after them
    discount: Floats  # of what follows; 0 where the episode ended
    weight: Floats  # importance, at most 1
    index: Indices  # for `reprioritize`


class Replay:
    """A ring of `size` steps.

    Args:
        env: whose steps they are.
        size: steps kept; the oldest go.
        gamma: discount per step.
        n_step: steps looked ahead (Sutton 1988), fewer where the episode ends before.
        alpha: how much priority counts (Schaul et al. 2016, https://arxiv.org/abs/1511.05952); 0: drawn uniformly.
    """

    SEEN: tuple[str, ...] = ("_observation", "_following")
    """The arrays that hold what was seen."""
    LAG = 0
    """Rows that must follow the last one looked at before a step can be sampled."""

    def __init__(self, env: BatchEnv, size: int, gamma: float, n_step: int = 1, alpha: float = 0.0) -> None:
        self._rows, self._n = max(size // env.n, n_step + self.LAG + 1), env.n
        shape = (self._rows, env.n)
        self._gamma, self._n_step, self._alpha = gamma, n_step, alpha
        self._action = np.zeros((*shape, env.actions), np.float32) if env.continuous else np.zeros(shape, np.int32)
        self._reward = np.zeros(shape, np.float32)
        self._terminated: Flags = np.zeros(shape, np.bool_)
        self._ended: Flags = np.zeros(shape, np.bool_)
        self._priority = np.zeros(shape, np.float64)  # to the power of alpha; 0: cannot be sampled (yet)
        self._highest = 1.0
        self._added = 0  # rows, ever
        self._allocate(env)

    def _allocate(self, env: BatchEnv) -> None:
        shape = (self._rows, env.n, env.observation_size)
        self._observation, self._following = np.zeros(shape, np.float32), np.zeros(shape, np.float32)

    def __len__(self) -> int:
        """Steps that can be sampled: those whose next ones, as far as they are looked at, are known too."""
        return max(0, self._added - self._oldest - self._n_step + 1 - self.LAG) * self._n

    @property
    def _oldest(self) -> int:
        """The first row, of all ever added, that can still be sampled."""
        return max(0, self._added - self._rows)

    def add(self, observation: Floats, action: NDArray[Any], step: Step) -> None:
        """Keep a step of all environments: what they saw, did, and what came of it."""
        row = self._added % self._rows
        self._action[row], self._reward[row] = action, step.reward
        self._terminated[row] = step.terminated if step.lost is None else step.terminated | step.lost
        self._ended[row] = self._terminated[row] | step.truncated
        self._priority[row] = 0.0
        self._store(row, observation, step)
        self._added += 1
        known = self._added - self._n_step - self.LAG
        if known >= 0:
            self._priority[known % self._rows] = self._highest

    def _store(self, row: int, observation: Floats, step: Step) -> None:
        self._observation[row], self._following[row] = observation, step.final_observation

    def cut(self) -> None:
        """All episodes begin anew after the last step that was added, wherever they are."""
        if self._added:
            self._ended[(self._added - 1) % self._rows] = True

    def sample(self, shape: tuple[int, ...], rng: np.random.Generator, beta: float = 1.0) -> Batch:
        """Draw steps; `beta` 1 makes up for the priorities in full, 0 not at all."""
        weight = np.ones(shape, np.float32)
        if self._alpha > 0.0:
            # A running sum over all costs less than a tree in Python, as many draws share it.
            reached = np.cumsum(self._priority.ravel())
            index = np.searchsorted(reached, rng.random(shape) * reached[-1], side="right")
            share = self._priority.ravel()[index] / reached[-1]
            weight = ((len(self) * share) ** -beta).astype(np.float32)
            weight /= weight.max()
        else:
            drawn = rng.integers(len(self), size=shape)
            index = (self._oldest + drawn // self._n) % self._rows * self._n + drawn % self._n
        return self._look_ahead(index, weight)

    def reprioritize(self, index: Indices, error: NDArray[Any]) -> None:
        """Have sampled steps drawn again in proportion to (|error|) ** alpha."""
        if self._alpha > 0.0:
            priority = (np.abs(error.ravel()).astype(np.float64) + LEAST) ** self._alpha
            self._priority.ravel()[index.ravel()] = priority
            self._highest = max(self._highest, float(priority.max()))

    def arrays(self) -> dict[str, NDArray[Any]]:
        """Everything, for a checkpoint."""
        filled = min(self._added, self._rows)
        kept = {f"replay{name}": array[:filled].copy() for name, array in self._all().items()}
        return kept | {"replay_added": np.asarray(self._added), "replay_highest": np.asarray(self._highest)}

    def load(self, arrays: dict[str, NDArray[Any]]) -> None:
        """Go back to what `arrays` told. Raises KeyError or ValueError where it does not fit."""
        self._added, self._highest = int(arrays["replay_added"]), float(arrays["replay_highest"])
        for name, array in self._all().items():
            array[: min(self._added, self._rows)] = arrays[f"replay{name}"]

    def _all(self) -> dict[str, NDArray[Any]]:
        names = (*self.SEEN, "_action", "_reward", "_terminated", "_ended", "_priority")
        return {name: getattr(self, name) for name in names}

    def _seen(self, row: Indices, column: Indices) -> NDArray[Any]:
        """What was observed at these steps."""
        return self._observation[row, column]

    def _led_to(self, row: Indices, column: Indices) -> NDArray[Any]:
        """What they led to, before any reset."""
        return self._following[row, column]

    def _look_ahead(self, index: Indices, weight: Floats) -> Batch:
        row, column = index // self._n, index % self._n
        reward = self._reward[row, column].copy()
        last = row
        discount = np.full(index.shape, self._gamma, np.float32)
        going = ~self._ended[row, column]
        for _ in range(self._n_step - 1):
            following = np.where(going, (last + 1) % self._rows, last)
            reward += np.where(going, discount * self._reward[following, column], np.float32(0.0))
            discount = np.where(going, discount * np.float32(self._gamma), discount)
            last = following
            going = going & ~self._ended[last, column]
        discount = np.where(self._terminated[last, column], np.float32(0.0), discount)
        seen, done = self._seen(row, column), self._action[row, column]
        return Batch(seen, done, reward, self._led_to(last, column), discount, weight, index)
