"""Proximal policy optimisation (Schulman et al. 2017, https://arxiv.org/abs/1707.06347), clipped objective.

One iteration: N environments act for T steps (`train.actor_critic`); advantages by GAE; then one TensorFlow function
runs all epochs over all minibatches.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import keras
import numpy as np
import tensorflow as tf

from train.actor_critic import ActorCritic, Rollout, flat
from train.envs.batch import BatchEnv
from train.gae import gae
from train.learner import Iteration
from train.settings import setting

COMPILE_FROM = 500_000
"""In a run of so many steps XLA, which makes an update a third faster, earns the two seconds that it compiles."""


@dataclass(frozen=True)
class PPOSettings:
    """The hyper-parameters, named as in the paper; the defaults solve CartPole-v1."""

    envs: int = setting(16, "N, environments (or robots) stepped together", low=1)
    horizon: int = setting(128, "T, steps of each environment per iteration", low=1)
    epochs: int = setting(8, "K, passes over the collected steps per iteration", low=1)
    minibatch: int = setting(512, "M, steps per gradient", low=1)
    learning_rate: float = setting(2e-3, "Adam's, at the start", low=0.0)
    learning_rate_end: float = setting(0.05, "share of it left at the last step (linear by steps)", low=0.0, high=1.0)
    gamma: float = setting(0.99, "discount per step", low=0.0, high=1.0)
    lam: float = setting(0.95, "lambda of GAE: 0 trusts the critic, 1 the rewards", low=0.0, high=1.0)
    clip: float = setting(0.2, "epsilon: how far a probability may move per iteration", low=0.0)
    entropy: float = setting(0.005, "weight of the entropy bonus at the start; 0 at the last step", low=0.0)
    value: float = setting(0.5, "weight of the critic's loss", low=0.0)
    max_grad_norm: float = setting(0.5, "gradients are scaled down to this global norm", low=1e-6)
    hidden: tuple[int, ...] = setting((64, 64), "widths of the tanh layers, of policy and critic each")


class PPO(ActorCritic):
    """The learner."""

    Settings = PPOSettings
    LOSSES = ("policy_loss", "value_loss", "entropy", "approx_kl", "clip_fraction")

    def __init__(self, env: BatchEnv, settings: PPOSettings, seed: int) -> None:
        adam = keras.optimizers.Adam(settings.learning_rate, epsilon=1e-5, global_clipnorm=settings.max_grad_norm)
        super().__init__(env, settings, seed, adam)
        # Without AutoGraph, which would take most of the time until the first update to read the code.
        self._plain, self._compiled = (
            tf.function(self._epochs, autograph=False, jit_compile=compiled) for compiled in (False, True)
        )

    def learn(self, env: BatchEnv, total_steps: int) -> Iterator[Iteration]:
        """Iterate until `total_steps` environment steps are done; schedules run towards them."""
        self._optimise = self._compiled if total_steps >= COMPILE_FROM else self._plain
        return super().learn(env, total_steps)

    def update(self, rollout: Rollout, rng: np.random.Generator, left: float) -> dict[str, float]:
        s = self.settings
        advantage, target = gae(
            rollout.reward, rollout.value, rollout.next_value, rollout.terminated, rollout.truncated, s.gamma, s.lam
        )
        steps = advantage.size
        size = min(s.minibatch, steps)
        # (epochs * minibatches, size): each epoch a new shuffle; a remainder smaller than a minibatch sits it out.
        order = np.concatenate([rng.permutation(steps)[: steps // size * size] for _ in range(s.epochs)])
        rate = s.learning_rate * (s.learning_rate_end + (1.0 - s.learning_rate_end) * left)
        self._optimizer.learning_rate.assign(rate)
        means = self._optimise(
            flat(rollout.observation),
            flat(rollout.state),
            flat(rollout.action),
            self.head.logs(flat(rollout.outputs), flat(rollout.action)),
            flat(advantage),
            flat(target),
            order.reshape(-1, size).astype(np.int32),
            np.float32(s.entropy * left),
        )
        return dict(zip(self.LOSSES, means.numpy().tolist(), strict=True)) | {"learning_rate": rate}

    def _epochs(
        self,
        observation: tf.Tensor,
        state: tf.Tensor,
        action: tf.Tensor,
        log_prob: tf.Tensor,
        advantage: tf.Tensor,
        target: tf.Tensor,
        order: tf.Tensor,
        entropy_weight: tf.Tensor,
    ) -> tf.Tensor:
        """All gradient steps of one iteration; returns the mean of each of `LOSSES`."""
        s = self.settings

        def descend(sums: tf.Tensor, rows: tf.Tensor) -> tf.Tensor:
            a = tf.gather(advantage, rows)
            a = (a - tf.reduce_mean(a)) / (tf.math.reduce_std(a) + 1e-8)
            old, taken, goal = tf.gather(log_prob, rows), tf.gather(action, rows), tf.gather(target, rows)
            x, y = tf.gather(observation, rows), tf.gather(state, rows)
            weights = self._networks.split()
            with tf.GradientTape() as tape:
                tape.watch(weights)
                outputs, value = self._outputs(weights, x, y)
                change = self.head.log_prob(outputs, taken) - old
                ratio = tf.exp(change)
                surrogate = tf.minimum(ratio * a, tf.clip_by_value(ratio, 1 - s.clip, 1 + s.clip) * a)
                policy_loss = -tf.reduce_mean(surrogate)
                value_loss = tf.reduce_mean(tf.square(value - goal))
                entropy = tf.reduce_mean(self.head.entropy(outputs))
                loss = policy_loss + s.value * value_loss - entropy_weight * entropy
            self._descend(tape, loss, weights)
            # Schulman's estimator of the divergence: never negative, little variance.
            divergence = tf.reduce_mean(ratio - 1.0 - change)
            clipped = tf.reduce_mean(tf.cast(tf.abs(ratio - 1.0) > s.clip, tf.float32))
            return sums + tf.stack([policy_loss, value_loss, entropy, divergence, clipped])

        sums = tf.foldl(descend, order, tf.zeros(len(self.LOSSES)), parallel_iterations=1)
        self._networks.publish()
        return sums / tf.cast(tf.shape(order)[0], tf.float32)
