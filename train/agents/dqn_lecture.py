"""Deep Q-learning as the lecture sets it: all goes by episodes, which one environment plays one after the other.

Epsilon falls with the episode; after the 50th, one gradient follows each. The network learns from its own guesses
unless `--fixed-targets` says otherwise, and every other switch of `train.agents.dqn` can be tried on it too.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from train.agents.dqn import DQN, DQNSettings
from train.envs.batch import BatchEnv
from train.learner import Iteration
from train.settings import setting


@dataclass(frozen=True)
class LectureDQNSettings(DQNSettings):
    """The lecture's."""

    envs: int = setting(1, "one, whose episodes follow one another", low=1, high=1)
    episodes: int = setting(600, "the run ends after so many, or its steps", low=1)
    max_steps: int = setting(200, "an episode is left after so many", low=1)
    replay: int = setting(2_000, "steps remembered", low=1)
    learning_starts: int = setting(50, "episodes before the first gradient", low=1)
    train_every: int = setting(1, "episodes from one round of gradients to the next", low=1)
    gradient_steps: int = setting(1, "gradients in a round", low=1)
    iteration: int = setting(1, "episodes that are told of together", low=1, high=1)
    batch: int = setting(32, "steps per gradient", low=1)
    gamma: float = setting(0.95, "discount per step", low=0.0, high=1.0)
    learning_rate: float = setting(0.01, "the optimiser's, at the start", low=0.0)
    learning_rate_end: float = setting(1.0, "share of it left at the last episode", low=0.0, high=1.0)
    optimizer: str = setting("nadam", "adam or nadam", among=("adam", "nadam"))
    max_grad_norm: float = setting(1e9, "gradients are scaled down to this global norm", low=1e-6)
    epsilon_end: float = setting(0.01, "share of random actions in the end; 1 at the start", low=0.0, high=1.0)
    epsilon_share: float = setting(5 / 6, "share of all episodes after which it would be 0", low=1e-6, high=1.0)
    fixed_targets: bool = setting(False, "value the future by a copy that stands still")
    # By Huber's all values grew without end: what an episode's last step says of its error was outvoted.
    loss: str = setting("square", "of an error: huber, beyond 1 its size, or square", among=("huber", "square"))
    n_step: int = setting(1, "steps of rewards before the guess", low=1, high=100)
    hidden: tuple[int, ...] = setting((32, 32), "widths of the layers")
    activation: str = setting("elu", "of the layers: relu, elu or tanh", among=("relu", "elu", "tanh"))


class LectureDQN(DQN):
    """The learner."""

    Settings = LectureDQNSettings
    default_steps = 600 * 200

    def __init__(self, env: BatchEnv, settings: LectureDQNSettings, seed: int) -> None:
        super().__init__(env, settings, seed)
        self.episode = 0

    def learn(self, env: BatchEnv, total_steps: int) -> Iterator[Iteration]:
        """Iterate, an episode each, until all are played or `total_steps` environment steps are done."""
        s = self.settings
        while self.episode < s.episodes and self.steps < total_steps:
            rng = np.random.default_rng([self.seed, 2, self.episode])
            share = self.episode / s.episodes
            report = Iteration(self.steps)
            self._play(env, rng, share, report)
            self.episode += 1
            due = self.episode > s.learning_starts and self.episode % s.train_every == 0
            if due and len(self.replay) >= s.batch:
                report.losses = dict(zip(self.LOSSES, self.update(share, rng), strict=True))
                self.refresh()
            self.steps = report.steps
            yield report

    def state(self) -> dict[str, NDArray[Any]]:
        """As DQN's, and the count of episodes, none of which outlives an iteration."""
        return super().state() | {"episode": np.asarray(self.episode)}

    def load(self, state: dict[str, NDArray[Any]], env: BatchEnv) -> None:
        """Go back to what `state` told. Raises KeyError or ValueError where it does not fit these settings."""
        super().load(state, env)
        self.episode = int(state["episode"])

    def _play(self, env: BatchEnv, rng: np.random.Generator, share: float, report: Iteration) -> None:
        """One episode, remembered."""
        seen, _ = env.reset(int(rng.integers(2**31)))
        length, earned = 0, 0.0
        while length < self.settings.max_steps:
            chosen = self.explore(seen, rng, share)
            step = env.step(chosen)
            self.replay.add(seen, chosen, step)
            length += 1
            earned += float((step.reward if step.earned is None else step.earned)[0])
            if step.terminated[0] or step.truncated[0]:
                break
            seen = step.observation
        self.replay.cut()
        report.steps += length
        report.returns, report.lengths = [earned], [length]
        report.successes = [] if step.success is None else [bool(step.success[0])]

    def _epsilon(self, share: float) -> float:
        return max(1.0 - share / self.settings.epsilon_share, self.settings.epsilon_end)
