"""Soft actor-critic (Haarnoja et al. 2018, https://arxiv.org/abs/1812.05905), with automatic temperature.

The policy is a normal distribution squashed by tanh; two critics, of whose copies the smaller value is believed; the
temperature follows the entropy to its target, minus the number of actions. The rounds are those of `train.off_policy`.
The policy that is kept is the mean, squashed.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from train.envs.batch import BatchEnv, Floats
from train.networks import FastMLP, mlp
from train.off_policy import OffPolicy
from train.settings import setting

LOG_STD = (-5.0, 2.0)
"""Bounds of the policy's width, as in the authors' own code."""


@dataclass(frozen=True)
class SACSettings:
    """The hyper-parameters; the defaults solve Pendulum-v1."""

    envs: int = setting(1, "N, environments (or robots) stepped together", low=1)
    replay: int = setting(100_000, "steps remembered", low=1)
    learning_starts: int = setting(500, "steps at random before the first gradient", low=1)
    train_every: int = setting(8, "steps from one round of gradients to the next", low=1)
    gradient_steps: int = setting(8, "gradients in a round", low=1)
    iteration: int = setting(1_000, "steps that are told of together", low=1)
    batch: int = setting(256, "steps per gradient", low=1)
    gamma: float = setting(0.99, "discount per step", low=0.0, high=1.0)
    learning_rate: float = setting(1e-3, "Adam's, of policy, critics and temperature", low=0.0)
    tau: float = setting(0.01, "how far the critics' copies follow with each gradient", low=0.0, high=1.0)
    hidden: tuple[int, ...] = setting((64, 64), "widths of the relu layers, of policy and critics each")


class SAC(OffPolicy):
    """The learner."""

    Settings = SACSettings
    default_steps = 20_000
    LOSSES = ("policy_loss", "critic_loss", "entropy", "temperature")

    def __init__(self, env: BatchEnv, settings: SACSettings, seed: int) -> None:
        super().__init__(env, settings, seed)
        s, inputs, self.actions = settings, env.observation_size, env.actions
        seeds = (np.random.SeedSequence([seed, 1]).generate_state(3) >> 1).tolist()

        def network(size: int, outputs: int, seed: int, name: str) -> keras.Sequential:
            return mlp(size, s.hidden, outputs, 1.0, seed, name, "relu", "glorot_uniform")

        self.actor = network(inputs, 2 * self.actions, seeds[0], "actor")  # means and logs of widths
        self.policy = mlp(inputs, s.hidden, self.actions, 1.0, 0, "policy", "relu", "glorot_uniform", "tanh")
        self.critics = [network(inputs + self.actions, 1, seed, f"critic_{i}") for i, seed in enumerate(seeds[1:])]
        self.targets = [network(inputs + self.actions, 1, seed, f"target_{i}") for i, seed in enumerate(seeds[1:])]
        self._log_temperature = tf.Variable(0.0, name="log_temperature")
        self._critic_variables = [v for critic in self.critics for v in critic.trainable_variables]
        self._target_variables = [v for target in self.targets for v in target.trainable_variables]
        self._optimizers = [keras.optimizers.Adam(s.learning_rate) for _ in range(3)]
        learnt = (self.actor.trainable_variables, self._critic_variables, [self._log_temperature])
        for optimizer, variables in zip(self._optimizers, learnt, strict=True):
            optimizer.build(variables)
        self._fast = FastMLP(self.actor)
        self._kept: FastMLP | None = None

    def greedy(self, observation: Floats) -> NDArray[Any]:
        """The squashed mean for each row."""
        if self._kept is not None:
            return self._kept(observation)
        return np.tanh(self._fast(observation)[:, : self.actions])

    def weights(self) -> list[NDArray[Any]]:
        """The policy's weights: those of the actor, without the widths."""
        *rest, kernel, bias = (np.asarray(weight) for weight in self.actor.get_weights())
        return [*rest, kernel[:, : self.actions].copy(), bias[: self.actions].copy()]

    def set_policy(self, weights: list[NDArray[Any]]) -> None:
        """Act with these policy weights from now on."""
        self.policy.set_weights(weights)
        self._kept = FastMLP(self.policy)

    def everything(self) -> list[Any]:
        learnt = [*self.actor.trainable_variables, *self._critic_variables, *self._target_variables]
        return [*learnt, self._log_temperature, *(v for o in self._optimizers for v in o.variables)]

    def refresh(self) -> None:
        self._fast.refresh()

    def explore(self, seen: Floats, rng: np.random.Generator, share: float) -> Floats:
        """At random at first, then as the policy is uncertain."""
        if self.steps < self.settings.learning_starts:
            return rng.uniform(-1.0, 1.0, (len(seen), self.actions)).astype(np.float32)
        outputs = self._fast(seen)
        mean, log_std = outputs[:, : self.actions], np.clip(outputs[:, self.actions :], *LOG_STD)
        return np.tanh(mean + np.exp(log_std) * rng.standard_normal(mean.shape, np.float32))

    def update(self, share: float, rng: np.random.Generator) -> list[float]:
        """One round of gradients."""
        s = self.settings
        batch = self.replay.sample((s.gradient_steps, s.batch), rng)
        noise = rng.standard_normal((2, s.gradient_steps, s.batch, self.actions), np.float32)
        means: list[float] = self._optimise(
            batch.observation, batch.action, batch.reward, batch.following, batch.discount, noise
        ).numpy().tolist()  # fmt: skip
        return means

    def _draw(self, observation: tf.Tensor, noise: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Actions (B, actions) and the logs of their densities (B,), differentiable."""
        mean, log_std = tf.split(self.actor(observation), 2, 1)
        log_std = tf.clip_by_value(log_std, *LOG_STD)
        z = mean + tf.exp(log_std) * noise
        density = -0.5 * tf.square(noise) - log_std - 0.5 * math.log(2 * math.pi)
        # log(1 - tanh(z)^2), without its cancellation far out (the paper's appendix C)
        squash = 2.0 * (math.log(2.0) - z - tf.nn.softplus(-2.0 * z))
        return tf.tanh(z), tf.reduce_sum(density - squash, 1)

    @tf.function(jit_compile=True)
    def _optimise(
        self,
        observation: tf.Tensor,
        action: tf.Tensor,
        reward: tf.Tensor,
        following: tf.Tensor,
        discount: tf.Tensor,
        noise: tf.Tensor,
    ) -> tf.Tensor:
        """All gradient steps of a round; returns the mean of each of `LOSSES`."""
        s = self.settings
        of_actor, of_critics, of_temperature = self._optimizers
        sums = tf.zeros(len(self.LOSSES))
        for k in tf.range(s.gradient_steps):
            seen, temperature = observation[k], tf.exp(self._log_temperature)
            next_action, next_log_prob = self._draw(following[k], noise[0, k])
            future = _least(self.targets, following[k], next_action) - temperature * next_log_prob
            goal = reward[k] + discount[k] * future
            pair = tf.concat([seen, action[k]], 1)
            with tf.GradientTape() as tape:
                critic_loss = tf.add_n([tf.reduce_mean(tf.square(c(pair)[:, 0] - goal)) for c in self.critics])
            of_critics.apply(tape.gradient(critic_loss, self._critic_variables), self._critic_variables)
            with tf.GradientTape() as tape:
                drawn, log_prob = self._draw(seen, noise[1, k])
                actor_loss = tf.reduce_mean(temperature * log_prob - _least(self.critics, seen, drawn))
            variables = self.actor.trainable_variables
            of_actor.apply(tape.gradient(actor_loss, variables), variables)
            # Its own gradient: the temperature rises while the policy is surer than its target, -actions, allows.
            surplus = -tf.reduce_mean(log_prob) + float(self.actions)
            of_temperature.apply([temperature * surplus], [self._log_temperature])
            for target, variable in zip(self._target_variables, self._critic_variables, strict=True):
                target.assign_add(s.tau * (variable - target))
            sums += tf.stack([actor_loss, critic_loss, -tf.reduce_mean(log_prob), temperature])
        return sums / float(s.gradient_steps)


def _least(critics: list[keras.Sequential], observation: tf.Tensor, action: tf.Tensor) -> tf.Tensor:
    """(B,) the smaller of two critics' values."""
    pair = tf.concat([observation, action], 1)
    return tf.minimum(*(critic(pair)[:, 0] for critic in critics))
