"""Curiosity, an add-on to any algorithm: random network distillation (Burda et al. 2018, arXiv:1810.12894).

What an observation is worth besides its reward is how badly a small network foretells what another one, random and
never changed, makes of it: much where nobody has been, ever less where one often is. `Curious` wraps environments, so
no algorithm knows of it; what the task itself gave stays in `Step.earned`, and is what a run's curve shows.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from train.envs.batch import BatchEnv, Floats, Step
from train.networks import FastMLP, mlp
from train.settings import setting


@dataclass(frozen=True)
class CuriositySettings:
    """Off unless `curiosity` is more than 0."""

    curiosity: float = setting(0.0, "what it counts beside the reward; 0: none", low=0.0)
    curiosity_rate: float = setting(1e-3, "learning rate of the foretelling network, Adam's", low=0.0)
    curiosity_every: int = setting(256, "steps from one of its gradients to the next", low=1)
    curiosity_hidden: tuple[int, ...] = setting((64,), "widths of the layers, of both networks")
    curiosity_features: int = setting(32, "numbers that are foretold", low=1)


class Moments:
    """Running mean and variance of rows (Chan et al. 1979)."""

    def __init__(self, size: int) -> None:
        self.count, self.mean, self.square = 1e-4, np.zeros(size), np.full(size, 1e-4)

    def add(self, rows: NDArray[Any]) -> None:
        """(B, size)."""
        count, mean = len(rows), rows.mean(0, dtype=np.float64)
        total, delta = self.count + count, mean - self.mean
        self.square = self.square + rows.var(0, dtype=np.float64) * count + delta**2 * self.count * count / total
        self.mean, self.count = self.mean + delta * count / total, total

    @property
    def std(self) -> NDArray[np.float64]:
        return np.sqrt(self.square / self.count)

    def arrays(self) -> dict[str, NDArray[Any]]:
        return {"count": np.asarray(self.count), "mean": self.mean, "square": self.square}


class Curious:
    """`env` with a reward for what is new.

    Args:
        env: the environments; an observation that was seen before any reset counts, as it was led to.
        settings: of the curiosity.
        seed: of the two networks.
    """

    def __init__(self, env: BatchEnv, settings: CuriositySettings, seed: int) -> None:
        self.env, self.settings, self._seed = env, settings, seed
        self.n, self.actions, self.continuous = env.n, env.actions, env.continuous
        self.observation_size, self.state_size = env.observation_size, env.state_size
        seeds = (np.random.SeedSequence([seed, 4]).generate_state(2) >> 1).tolist()
        s = settings
        self._random, self._learner = (
            mlp(env.observation_size, s.curiosity_hidden, s.curiosity_features, 1.0, own, name, "relu")
            for own, name in zip(seeds, ("random", "foretelling"), strict=True)
        )
        self._fast_random, self._fast_learner = FastMLP(self._random), FastMLP(self._learner)
        self._optimizer = keras.optimizers.Adam(s.curiosity_rate)
        self._optimizer.build(self._learner.trainable_variables)
        self._seen, self._worth = Moments(env.observation_size), Moments(1)
        self._kept: list[Floats] = []

    def reset(self, seed: int) -> tuple[Floats, Floats]:
        return self.env.reset(seed)

    def step(self, actions: NDArray[Any]) -> Step:
        step = self.env.step(actions)
        met = step.final_observation
        self._seen.add(met)
        seen = np.clip((met - self._seen.mean) / (self._seen.std + 1e-8), -5.0, 5.0).astype(np.float32)
        target = self._fast_random(seen)
        surprise = np.square(self._fast_learner(seen) - target).mean(1)
        self._worth.add(surprise[:, None])
        self._kept.append(seen)
        if len(self._kept) * self.n >= self.settings.curiosity_every:
            rows = np.concatenate(self._kept)
            self._learn(rows, self._fast_random(rows))
            self._fast_learner.refresh()
            self._kept = []
        bonus = np.float32(self.settings.curiosity) * surprise / np.float32(self._worth.std[0] + 1e-8)
        step.earned, step.reward = step.reward, step.reward + bonus
        return step

    def like(self, n: int) -> Curious:
        return Curious(self.env.like(n), self.settings, self._seed)

    def close(self) -> None:
        self.env.close()

    def arrays(self) -> dict[str, NDArray[Any]]:
        """What was learnt, for a checkpoint."""
        found = {f"curiosity_{i}": np.asarray(v.numpy()) for i, v in enumerate(self._variables())}
        for name, moments in (("seen", self._seen), ("worth", self._worth)):
            found |= {f"curiosity_{name}_{key}": array for key, array in moments.arrays().items()}
        kept = np.concatenate(self._kept) if self._kept else np.empty((0, self.observation_size), np.float32)
        return found | {"curiosity_kept": kept}

    def load(self, state: dict[str, NDArray[Any]]) -> None:
        """Go back to what `arrays` told. Raises KeyError or ValueError where it does not fit."""
        for i, variable in enumerate(self._variables()):
            variable.assign(state[f"curiosity_{i}"])
        for name, moments in (("seen", self._seen), ("worth", self._worth)):
            moments.count = float(state[f"curiosity_{name}_count"])
            moments.mean, moments.square = (state[f"curiosity_{name}_{key}"] for key in ("mean", "square"))
        kept = state["curiosity_kept"]
        self._kept = list(kept.reshape(-1, self.n, self.observation_size))
        self._fast_learner.refresh()

    def _variables(self) -> list[Any]:
        return [*self._learner.trainable_variables, *self._optimizer.variables]

    @tf.function(jit_compile=True)
    def _learn(self, seen: tf.Tensor, target: tf.Tensor) -> None:
        with tf.GradientTape() as tape:
            loss = tf.reduce_mean(tf.square(self._learner(seen) - target))
        variables = self._learner.trainable_variables
        self._optimizer.apply(tape.gradient(loss, variables), variables)
