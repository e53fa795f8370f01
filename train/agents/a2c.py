"""Advantage actor-critic, synchronous (Mnih et al. 2016, https://arxiv.org/abs/1602.01783, without the first A).

One iteration: N environments act for a few steps (`train.actor_critic`); advantages by n-step returns (GAE with
lambda 1 by default); then one gradient step over all of them, by RMSprop as the paper has it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from train.actor_critic import GraphActorCritic, Rollout, flat
from train.envs.batch import BatchEnv
from train.gae import gae
from train.learner import Iteration
from train.settings import setting


@dataclass(frozen=True)
class A2CSettings:
    """The hyper-parameters; the defaults solve CartPole-v1."""

    envs: int = setting(16, "N, environments (or robots) stepped together", low=1)
    horizon: int = setting(8, "steps of each environment per gradient (the paper's t_max)", low=1)
    iteration: int = setting(2_048, "steps that are told of together", low=1)
    learning_rate: float = setting(2e-3, "RMSprop's, at the start", low=0.0)
    learning_rate_end: float = setting(0.0, "share of it left at the last step (linear by steps)", low=0.0, high=1.0)
    gamma: float = setting(0.99, "discount per step", low=0.0, high=1.0)
    lam: float = setting(1.0, "lambda of GAE: 1 is the paper's n-step return", low=0.0, high=1.0)
    entropy: float = setting(0.01, "weight of the entropy bonus", low=0.0)
    value: float = setting(0.5, "weight of the critic's loss", low=0.0)
    normalize: bool = setting(False, "advantages of a gradient less their mean, over their spread")
    max_grad_norm: float = setting(0.5, "gradients are scaled down to this global norm", low=1e-6)
    hidden: tuple[int, ...] = setting((64, 64), "widths of the tanh layers, of policy and critic each")


class A2C(GraphActorCritic):
    """The learner."""

    Settings = A2CSettings
    LOSSES = ("policy_loss", "value_loss", "entropy")

    def __init__(self, env: BatchEnv, settings: A2CSettings, seed: int) -> None:
        rmsprop = keras.optimizers.RMSprop(
            settings.learning_rate, rho=0.99, epsilon=1e-5, global_clipnorm=settings.max_grad_norm
        )
        super().__init__(env, settings, seed, rmsprop)

    def learn(self, env: BatchEnv, total_steps: int) -> Iterator[Iteration]:
        """Iterate until `total_steps` environment steps are done; many gradients are told of together."""
        together: list[Iteration] = []
        for report in super().learn(env, total_steps):
            together.append(report)
            if self.steps >= total_steps or len(together) * env.n * self.settings.horizon >= self.settings.iteration:
                yield _joined(together)
                together = []

    def update(self, rollout: Rollout, rng: np.random.Generator, left: float) -> dict[str, float]:
        s = self.settings
        advantage, target = gae(
            rollout.reward, rollout.value, rollout.next_value, rollout.terminated, rollout.truncated, s.gamma, s.lam
        )
        if s.normalize:
            advantage = (advantage - advantage.mean()) / (advantage.std() + np.float32(1e-8))
        rate = s.learning_rate * (s.learning_rate_end + (1.0 - s.learning_rate_end) * left)
        self._optimizer.learning_rate.assign(rate)
        arrays: list[NDArray[Any]] = [rollout.observation, rollout.state, rollout.action, advantage, target]
        means = self._optimise(*map(flat, arrays))
        return dict(zip(self.LOSSES, means.numpy().tolist(), strict=True))

    @tf.function(jit_compile=True, autograph=False)
    def _optimise(
        self, observation: tf.Tensor, state: tf.Tensor, action: tf.Tensor, advantage: tf.Tensor, target: tf.Tensor
    ) -> tf.Tensor:
        """One gradient step; returns `LOSSES`."""
        s = self.settings
        weights = self._networks.split()
        with tf.GradientTape() as tape:
            tape.watch(weights)
            outputs, value = self._outputs(weights, observation, state)
            policy_loss = -tf.reduce_mean(self.head.log_prob(outputs, action) * advantage)
            value_loss = tf.reduce_mean(tf.square(value - target))
            entropy = tf.reduce_mean(self.head.entropy(outputs))
            loss = policy_loss + s.value * value_loss - s.entropy * entropy
        self._descend(tape, loss, weights)
        self._networks.publish()
        return tf.stack([policy_loss, value_loss, entropy])


def _joined(reports: list[Iteration]) -> Iteration:
    """Several iterations as one: what ended in any of them, and the means of their losses."""
    joined = Iteration(reports[-1].steps)
    for report in reports:
        joined.take_episodes(report)
    names = reports[0].losses
    joined.losses = {name: float(np.mean([report.losses[name] for report in reports])) for name in names}
    return joined
