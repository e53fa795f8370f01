"""What actor-critic learners share: policy, critic, the steps they collect, and their checkpoint.

N environments act for T steps in NumPy on copied weights. The critic may see more than the policy (asymmetric
actor-critic, Pinto et al. 2018, https://arxiv.org/abs/1710.06542). Everything follows from (seed, steps), so a run
repeats bit for bit on one machine and resumes to the same numbers.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, ClassVar

import keras
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from train.envs.batch import BatchEnv, Flags, Floats
from train.episodes import Episodes
from train.flat import FlatWeights
from train.heads import head_for
from train.learner import Iteration
from train.networks import FastMLP, NetworkPolicy, mlp, tanh_mlp


@dataclass
class Rollout:
    """T steps of N environments, each array (T, N, ...)."""

    observation: Floats
    state: Floats
    action: NDArray[Any]
    outputs: Floats  # of the policy's network
    reward: Floats
    terminated: Flags
    truncated: Flags
    value: Floats
    next_value: Floats  # the critic at the state each step led to, before resets


class ActorCritic(NetworkPolicy, ABC):
    """A learner with a policy and a critic of one shape; `update` is the algorithm.

    Args:
        env: the environments.
        settings: has `envs`, `horizon`, `hidden` and `value`.
        seed: everything random follows from it.
    """

    Settings: ClassVar[type]
    default_steps: ClassVar[int | None] = None

    def __init__(self, env: BatchEnv, settings: Any, seed: int) -> None:
        self.settings, self.seed, self.steps = settings, seed, 0
        self.head = head_for(env)
        # Keras takes 32-bit seeds; the two networks must not start alike.
        actor_seed, critic_seed = np.random.SeedSequence([seed, 1]).generate_state(2).tolist()
        hidden = settings.hidden
        self.policy = mlp(env.observation_size, hidden, self.head.size, 0.01, actor_seed >> 1, "policy")
        self.critic = mlp(env.state_size, hidden, 1, 1.0, critic_seed >> 1, "critic")
        self._fast_critic = FastMLP(self.critic)
        self._act_with(self.policy, env.continuous)
        self._episodes = Episodes(env, seed)

    @abstractmethod
    def update(self, rollout: Rollout, rng: np.random.Generator, left: float) -> dict[str, float]:
        """Learn from `rollout`; `left` is the share of all steps still to come. Returns the means of the losses."""

    @abstractmethod
    def learnt(self) -> dict[str, NDArray[Any]]:
        """Weights and optimiser, as named arrays of their own."""

    @abstractmethod
    def _restore(self, state: dict[str, NDArray[Any]]) -> None:
        """Have what `learnt` gave. Raises KeyError or ValueError where it does not fit."""

    @abstractmethod
    def _refresh(self) -> None:
        """Act with what was learnt."""

    def learn(self, env: BatchEnv, total_steps: int) -> Iterator[Iteration]:
        """Iterate until `total_steps` environment steps are done; schedules run towards them."""
        while self.steps < total_steps:
            self._episodes.ready(env, self.steps)
            report = Iteration(self.steps + env.n * self.settings.horizon)
            rng = np.random.default_rng([self.seed, 2, self.steps])
            report.losses = self.update(self._collect(env, rng, report), rng, 1.0 - self.steps / total_steps)
            self._refresh()
            self.steps = report.steps
            yield report

    def state(self) -> dict[str, NDArray[Any]]:
        """Weights, optimiser, and how the environments came to where they are, as named arrays for a checkpoint."""
        return self.learnt() | {"steps": np.asarray(self.steps)} | self._episodes.arrays()

    def take(self, learnt: dict[str, NDArray[Any]]) -> None:
        """Go on from what `learnt` gave, here or of another learner with these settings, in the episodes at hand.

        Raises KeyError or ValueError where the arrays do not fit.
        """
        self._restore(learnt)
        self._refresh()

    def load(self, state: dict[str, NDArray[Any]], env: BatchEnv) -> None:
        """Go back to what `state` told; `env` plays its episodes again.

        Raises KeyError or ValueError where the arrays do not fit these settings.
        """
        self.take(state)
        self._episodes.load(state, env)
        self.steps = int(state["steps"])

    def _collect(self, env: BatchEnv, rng: np.random.Generator, report: Iteration) -> Rollout:
        t, n = self.settings.horizon, env.n
        episodes = self._episodes
        observations = np.empty((t, n, env.observation_size), np.float32)
        states = np.empty((t + 1, n, env.state_size), np.float32)
        actions: NDArray[Any]
        actions = np.empty((t, n, env.actions), np.float32) if env.continuous else np.empty((t, n), np.int32)
        rewards = np.empty((t, n), np.float32)
        outputs = np.empty((t, n, self.head.size), np.float32)
        noise = self.head.noise(rng, outputs.shape)
        terminated, truncated = np.empty((2, t, n), np.bool_)
        cut_states: list[Floats] = []
        for i in range(t):
            observations[i], states[i] = episodes.observation, episodes.state
            actions[i], outputs[i] = self._choose(observations[i], noise[i])
            step = episodes.step(env, actions[i], report)
            rewards[i], terminated[i], truncated[i] = step.reward, step.terminated, step.truncated
            cut_states.append(step.final_state[truncated[i]])
        states[t] = episodes.state
        values = self._fast_critic(states.reshape(-1, env.state_size)).reshape(t + 1, n)
        next_values = values[1:].copy()
        if truncated.any():  # boolean indexing goes step by step, as `cut_states` does
            next_values[truncated] = self._fast_critic(np.concatenate(cut_states))[:, 0]
        return Rollout(
            observations, states[:t], actions, outputs, rewards, terminated, truncated, values[:t], next_values
        )

    def _choose(self, observation: Floats, noise: Floats) -> tuple[NDArray[Any], Floats]:
        """Actions to learn from, (N,) or (N, actions), and the policy's outputs, (N, size)."""
        outputs = self._fast(observation)
        return self.head.draw(outputs, noise), outputs


class GraphActorCritic(ActorCritic):
    """One that learns by TensorFlow's gradients. Arguments as `ActorCritic` has them.

    Args:
        optimizer: of both networks and what the head learns.
    """

    def __init__(self, env: BatchEnv, settings: Any, seed: int, optimizer: keras.optimizers.Optimizer) -> None:
        super().__init__(env, settings, seed)
        self._split = len(self.policy.trainable_variables)
        self._networks = FlatWeights([*self.policy.trainable_variables, *self.critic.trainable_variables])
        self._variables = [self._networks.row, *self.head.variables]
        self._optimizer = optimizer
        self._optimizer.build(self._variables)

    def _outputs(
        self, weights: list[tf.Tensor], observation: tf.Tensor, state: tf.Tensor
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """What policy (B, size) and critic (B,) say, of `FlatWeights.split`'s weights."""
        return tanh_mlp(weights[: self._split], observation), tanh_mlp(weights[self._split :], state)[:, 0]

    def _descend(self, tape: tf.GradientTape, loss: tf.Tensor, weights: list[tf.Tensor]) -> None:
        """One step of the optimiser."""
        gradients = tape.gradient(loss, [*weights, *self.head.variables])
        networks, others = gradients[: len(weights)], gradients[len(weights) :]
        self._optimizer.apply([self._networks.join(networks), *others], self._variables)

    def learnt(self) -> dict[str, NDArray[Any]]:
        arrays = {f"weight_{i}": np.asarray(v.numpy()) for i, v in enumerate(self._variables)}
        return arrays | {f"optimizer_{i}": np.asarray(v.numpy()) for i, v in enumerate(self._optimizer.variables)}

    def _restore(self, state: dict[str, NDArray[Any]]) -> None:
        for i, variable in enumerate(self._variables):
            variable.assign(state[f"weight_{i}"])
        for i, variable in enumerate(self._optimizer.variables):
            variable.assign(state[f"optimizer_{i}"])
        self._networks.publish()

    def _refresh(self) -> None:
        weights = self._networks.arrays()
        self._fast.copy(weights[: self._split])
        self._fast_critic.copy(weights[self._split :])
        self.head.refresh()


def flat(array: NDArray[Any]) -> NDArray[Any]:
    """(T, N, ...) -> (T N, ...)."""
    return array.reshape(-1, *array.shape[2:])
