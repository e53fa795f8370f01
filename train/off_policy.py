"""What learners from a replay memory share: rounds of acting and of gradients, and their checkpoint.

N environments act for some steps in NumPy on copied weights, then one compiled function makes all gradient steps on the
minibatches drawn for it. Everything follows from (seed, steps), so a run repeats and resumes to the same numbers.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from train.envs.batch import BatchEnv, Floats
from train.episodes import Episodes
from train.frame_replay import FrameReplay
from train.learner import Iteration
from train.replay import Replay


class OffPolicy(ABC):
    """A learner with a memory; `explore` and `update` are the algorithm.

    Args:
        env: the environments.
        settings: has `replay`, `learning_starts`, `train_every`, `iteration`, `batch` and `gamma`.
        seed: everything random follows from it.
        n_step, alpha: of the memory, see `Replay`.
    """

    Settings: ClassVar[type]
    LOSSES: ClassVar[tuple[str, ...]]
    """The names of what `update` returns."""

    def __init__(self, env: BatchEnv, settings: Any, seed: int, n_step: int = 1, alpha: float = 0.0) -> None:
        self.settings, self.seed, self.steps = settings, seed, 0
        memory = FrameReplay if hasattr(env, "frame_shape") else Replay
        self.replay = memory(env, settings.replay, settings.gamma, n_step, alpha)
        self._episodes = Episodes(env, seed)

    @abstractmethod
    def explore(self, seen: Floats, rng: np.random.Generator, share: float) -> NDArray[Any]:
        """Actions to learn from; `share` of all steps was done when the round began."""

    @abstractmethod
    def update(self, share: float, rng: np.random.Generator) -> list[float]:
        """One round of gradients; the means of `LOSSES`. `share` of all steps is done."""

    @abstractmethod
    def everything(self) -> list[Any]:
        """All variables that learning changes."""

    @abstractmethod
    def refresh(self) -> None:
        """Have the NumPy side know what was learnt."""

    def learn(self, env: BatchEnv, total_steps: int) -> Iterator[Iteration]:
        """Iterate until `total_steps` environment steps are done; schedules run towards them."""
        s = self.settings
        acts = -(-s.train_every // env.n)
        rounds = max(1, s.iteration // (acts * env.n))
        while self.steps < total_steps:
            if self._episodes.ready(env, self.steps):
                self.replay.cut()
            report, losses = Iteration(self.steps), []
            rng = np.random.default_rng([self.seed, 2, self.steps])
            for _ in range(rounds):
                began = self.steps / total_steps
                for _ in range(acts):
                    seen = self._episodes.observation
                    chosen = self.explore(seen, rng, began)
                    self.replay.add(seen, chosen, self._episodes.step(env, chosen, report))
                    self.steps += env.n
                if self.steps >= s.learning_starts and len(self.replay) >= s.batch:
                    losses.append(self.update(self.steps / total_steps, rng))
                    self.refresh()
            report.steps = self.steps
            if losses:
                report.losses = dict(zip(self.LOSSES, np.mean(losses, 0).tolist(), strict=True))
            yield report

    def state(self) -> dict[str, NDArray[Any]]:
        """Networks, optimisers, memory, and how the environments came to where they are."""
        arrays = {f"variable_{i}": np.asarray(v.numpy()) for i, v in enumerate(self.everything())}
        return arrays | {"steps": np.asarray(self.steps)} | self.replay.arrays() | self._episodes.arrays()

    def load(self, state: dict[str, NDArray[Any]], env: BatchEnv) -> None:
        """Go back to what `state` told. Raises KeyError or ValueError where it does not fit these settings."""
        for i, variable in enumerate(self.everything()):
            variable.assign(state[f"variable_{i}"])
        self.refresh()
        self.replay.load(state)
        self._episodes.load(state, env)
        self.steps = int(state["steps"])
