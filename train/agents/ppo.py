"""Proximal policy optimisation (Schulman et al. 2017, https://arxiv.org/abs/1707.06347), clipped objective.

One iteration: N environments act for T steps in NumPy on copied weights; advantages by GAE; then one
compiled TensorFlow function runs all epochs over all minibatches. The critic may see more than the policy
(asymmetric actor-critic, Pinto et al. 2018, https://arxiv.org/abs/1710.06542). Everything follows from
(seed, steps), so a run repeats bit for bit on one machine and resumes to the same numbers.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from train.envs.batch import BatchEnv, Flags, Floats
from train.episodes import Episodes
from train.gae import gae
from train.heads import Categorical, Head
from train.learner import Iteration
from train.networks import FastMLP, mlp
from train.settings import setting


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


@dataclass
class Rollout:
    """T steps of N environments, each array (T, N, ...)."""

    observation: Floats
    state: Floats
    action: NDArray[Any]
    log_prob: Floats
    reward: Floats
    terminated: Flags
    truncated: Flags
    value: Floats
    next_value: Floats  # the critic at the state each step led to, before resets


class PPO:
    """The learner."""

    Settings = PPOSettings
    default_steps = None
    LOSSES = ("policy_loss", "value_loss", "entropy", "approx_kl", "clip_fraction")

    def __init__(self, env: BatchEnv, settings: PPOSettings, seed: int) -> None:
        self.settings, self.seed, self.steps = settings, seed, 0
        self.head: Head = Categorical(env.actions)
        # Keras takes 32-bit seeds; the two networks must not start alike.
        actor_seed, critic_seed = np.random.SeedSequence([seed, 1]).generate_state(2).tolist()
        s = settings
        self.policy = mlp(env.observation_size, s.hidden, self.head.size, 0.01, actor_seed >> 1, "policy")
        self.critic = mlp(env.state_size, s.hidden, 1, 1.0, critic_seed >> 1, "critic")
        self._variables = self.policy.trainable_variables + self.critic.trainable_variables
        self._optimizer = keras.optimizers.Adam(s.learning_rate, epsilon=1e-5, global_clipnorm=s.max_grad_norm)
        self._optimizer.build(self._variables)
        self._fast_actor, self._fast_critic = FastMLP(self.policy), FastMLP(self.critic)
        self._episodes = Episodes(env, seed)

    def learn(self, env: BatchEnv, total_steps: int) -> Iterator[Iteration]:
        """Iterate until `total_steps` environment steps are done; learning rate and entropy anneal towards it."""
        s = self.settings
        while self.steps < total_steps:
            self._episodes.ready(env, self.steps)
            report = Iteration(self.steps + env.n * s.horizon)
            rng = np.random.default_rng([self.seed, 2, self.steps])
            rollout = self._collect(env, rng, report)
            advantage, target = gae(
                rollout.reward, rollout.value, rollout.next_value, rollout.terminated, rollout.truncated, s.gamma, s.lam
            )
            left = 1.0 - self.steps / total_steps
            report.losses = self._update(rollout, advantage, target, rng, left)
            self.steps = report.steps
            yield report

    def greedy(self, observation: Floats) -> NDArray[Any]:
        """The likeliest action for each row."""
        return self.head.mode(self._fast_actor(observation))

    def weights(self) -> list[NDArray[Any]]:
        """The policy's weights."""
        return [np.asarray(weight) for weight in self.policy.get_weights()]

    def set_policy(self, weights: list[NDArray[Any]]) -> None:
        """Act with these policy weights from now on."""
        self.policy.set_weights(weights)
        self._fast_actor.refresh()

    def state(self) -> dict[str, NDArray[Any]]:
        """Weights, optimiser, and how the environments came to where they are, as named arrays for a checkpoint."""
        arrays = {f"weight_{i}": np.asarray(v.numpy()) for i, v in enumerate(self._variables)}
        arrays |= {f"optimizer_{i}": np.asarray(v.numpy()) for i, v in enumerate(self._optimizer.variables)}
        return arrays | {"steps": np.asarray(self.steps)} | self._episodes.arrays()

    def load(self, state: dict[str, NDArray[Any]], env: BatchEnv) -> None:
        """Go back to what `state` told; `env` plays its episodes again.

        Raises KeyError or ValueError where the arrays do not fit these settings.
        """
        for i, variable in enumerate(self._variables):
            variable.assign(state[f"weight_{i}"])
        for i, variable in enumerate(self._optimizer.variables):
            variable.assign(state[f"optimizer_{i}"])
        self._refresh()
        self._episodes.load(state, env)
        self.steps = int(state["steps"])

    def _collect(self, env: BatchEnv, rng: np.random.Generator, report: Iteration) -> Rollout:
        t, n = self.settings.horizon, env.n
        episodes = self._episodes
        observations = np.empty((t, n, env.observation_size), np.float32)
        states = np.empty((t + 1, n, env.state_size), np.float32)
        actions = np.empty((t, n), np.int32)
        log_probs, rewards = np.empty((2, t, n), np.float32)
        terminated, truncated = np.empty((2, t, n), np.bool_)
        cut_states: list[Floats] = []
        for i in range(t):
            observations[i], states[i] = episodes.observation, episodes.state
            actions[i], log_probs[i] = self.head.sample(self._fast_actor(observations[i]), rng)
            step = episodes.step(env, actions[i], report)
            rewards[i], terminated[i], truncated[i] = step.reward, step.terminated, step.truncated
            cut_states.append(step.final_state[truncated[i]])
        states[t] = episodes.state
        values = self._fast_critic(states.reshape(-1, env.state_size)).reshape(t + 1, n)
        next_values = values[1:].copy()
        if truncated.any():  # boolean indexing goes step by step, as `cut_states` does
            next_values[truncated] = self._fast_critic(np.concatenate(cut_states))[:, 0]
        return Rollout(
            observations, states[:t], actions, log_probs, rewards, terminated, truncated, values[:t], next_values
        )

    def _update(
        self, rollout: Rollout, advantage: Floats, target: Floats, rng: np.random.Generator, left: float
    ) -> dict[str, float]:
        s = self.settings
        steps = advantage.size
        size = min(s.minibatch, steps)
        # (epochs * minibatches, size): each epoch a new shuffle; a remainder smaller than a minibatch sits it out.
        order = np.concatenate([rng.permutation(steps)[: steps // size * size] for _ in range(s.epochs)])
        rate = s.learning_rate * (s.learning_rate_end + (1.0 - s.learning_rate_end) * left)
        self._optimizer.learning_rate.assign(rate)
        means = self._optimise(
            rollout.observation.reshape(steps, -1),
            rollout.state.reshape(steps, -1),
            rollout.action.reshape(steps),
            rollout.log_prob.reshape(steps),
            advantage.reshape(steps),
            target.reshape(steps),
            order.reshape(-1, size).astype(np.int32),
            np.float32(s.entropy * left),
        )
        self._refresh()
        return dict(zip(self.LOSSES, means.numpy().tolist(), strict=True)) | {"learning_rate": rate}

    @tf.function(jit_compile=True)
    def _optimise(
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
        sums = tf.zeros(len(self.LOSSES))
        for rows in order:
            a = tf.gather(advantage, rows)
            a = (a - tf.reduce_mean(a)) / (tf.math.reduce_std(a) + 1e-8)
            old, taken, goal = tf.gather(log_prob, rows), tf.gather(action, rows), tf.gather(target, rows)
            x, y = tf.gather(observation, rows), tf.gather(state, rows)
            with tf.GradientTape() as tape:
                outputs = self.policy(x)
                change = self.head.log_prob(outputs, taken) - old
                ratio = tf.exp(change)
                surrogate = tf.minimum(ratio * a, tf.clip_by_value(ratio, 1 - s.clip, 1 + s.clip) * a)
                policy_loss = -tf.reduce_mean(surrogate)
                value_loss = tf.reduce_mean(tf.square(self.critic(y)[:, 0] - goal))
                entropy = tf.reduce_mean(self.head.entropy(outputs))
                loss = policy_loss + s.value * value_loss - entropy_weight * entropy
            self._optimizer.apply(tape.gradient(loss, self._variables), self._variables)
            # Schulman's estimator of the divergence: never negative, little variance.
            divergence = tf.reduce_mean(ratio - 1.0 - change)
            clipped = tf.reduce_mean(tf.cast(tf.abs(ratio - 1.0) > s.clip, tf.float32))
            sums += tf.stack([policy_loss, value_loss, entropy, divergence, clipped])
        return sums / tf.cast(tf.shape(order)[0], tf.float32)

    def _refresh(self) -> None:
        self._fast_actor.refresh()
        self._fast_critic.refresh()
