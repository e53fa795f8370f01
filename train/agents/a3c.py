"""Asynchronous advantage actor-critic (Mnih et al. 2016, https://arxiv.org/abs/1602.01783), algorithm S3.

Each worker has environments and a copy of the weights of its own: it copies the shared weights, acts for a few steps,
computes the gradient at its copy, and applies it to the shared weights, whatever the others did to them meanwhile, and
without a lock. Workers are threads: acting is NumPy's and Python's, the gradient a compiled function beside them.

With one worker a run repeats bit for bit. With more it does not: that is what asynchronous means.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from train.envs.batch import BatchEnv
from train.episodes import Episodes
from train.gae import gae
from train.heads import Head, head_for
from train.learner import Iteration
from train.networks import FastMLP, NetworkPolicy, mlp, tanh_mlp
from train.settings import setting


@dataclass(frozen=True)
class A3CSettings:
    """The hyper-parameters; the defaults solve CartPole-v1."""

    workers: int = setting(4, "threads that learn without waiting for one another; 1 repeats bit for bit", low=1)
    each: int = setting(4, "environments of each worker", low=1)
    horizon: int = setting(8, "t_max, steps from one gradient of a worker to the next", low=1)
    iteration: int = setting(2_048, "steps that are told of together", low=1)
    learning_rate: float = setting(2e-3, "RMSprop's, at the start; to 0 at the last step (linear by steps)", low=0.0)
    gamma: float = setting(0.99, "discount per step", low=0.0, high=1.0)
    entropy: float = setting(0.01, "weight of the entropy bonus", low=0.0)
    value: float = setting(0.5, "weight of the critic's loss", low=0.0)
    max_grad_norm: float = setting(0.5, "gradients are scaled down to this global norm", low=1e-6)
    hidden: tuple[int, ...] = setting((64, 64), "widths of the tanh layers, of policy and critic each")

    @property
    def envs(self) -> int:
        """All workers' environments."""
        return self.workers * self.each


class Worker:
    """One thread's environments, and its copy of the networks."""

    def __init__(self, env: BatchEnv, policy: keras.Sequential, critic: keras.Sequential, seed: int) -> None:
        self.env = env
        self.actor, self.critic = FastMLP(policy), FastMLP(critic)
        self.episodes = Episodes(env, seed)
        self.steps = 0  # of this worker
        self.seed = seed


class A3C(NetworkPolicy):
    """The learner."""

    Settings = A3CSettings
    default_steps = 200_000
    LOSSES = ("policy_loss", "value_loss", "entropy")

    def __init__(self, env: BatchEnv, settings: A3CSettings, seed: int) -> None:
        self.settings, self.steps = settings, 0
        self.head: Head = head_for(env)
        s = settings
        actor_seed, critic_seed, *seeds = np.random.SeedSequence([seed, 1]).generate_state(2 + s.workers).tolist()
        self.policy = mlp(env.observation_size, s.hidden, self.head.size, 0.01, actor_seed >> 1, "policy")
        self.critic = mlp(env.state_size, s.hidden, 1, 1.0, critic_seed >> 1, "critic")
        self._shared = [
            *self.policy.trainable_variables, *self.critic.trainable_variables, *self.head.variables
        ]  # fmt: skip
        self._split = len(self.policy.trainable_variables), len(self.critic.trainable_variables)
        self._optimizer = keras.optimizers.RMSprop(
            s.learning_rate, rho=0.99, epsilon=1e-5, global_clipnorm=s.max_grad_norm
        )
        self._optimizer.build(self._shared)
        self._act_with(self.policy, env.continuous)
        self._workers = [Worker(env.like(s.each), self.policy, self.critic, own >> 1) for own in seeds]
        self._count = threading.Lock()

    def learn(self, env: BatchEnv, total_steps: int) -> Iterator[Iteration]:
        """Iterate until `total_steps` environment steps are done; between two iterations all workers pause."""
        with ThreadPoolExecutor(len(self._workers)) as pool:
            while self.steps < total_steps:
                left = 1.0 - self.steps / total_steps
                self._optimizer.learning_rate.assign(self.settings.learning_rate * left)
                until = min(self.steps + self.settings.iteration, total_steps)
                report, losses = Iteration(self.steps), []
                for part, means in pool.map(self._work, self._workers, [until] * len(self._workers)):
                    report.take_episodes(part)
                    losses += means
                report.steps = self.steps
                report.losses = dict(zip(self.LOSSES, np.mean(losses, 0).tolist(), strict=True)) if losses else {}
                self._fast.refresh()
                yield report

    def state(self) -> dict[str, NDArray[Any]]:
        """Weights, optimiser, and where every worker's episodes stand."""
        arrays = {f"variable_{i}": np.asarray(v.numpy()) for i, v in enumerate(self._all())}
        for i, worker in enumerate(self._workers):
            told = worker.episodes.arrays() | {"steps": np.asarray(worker.steps)}
            arrays |= {f"worker_{i}_{name}": array for name, array in told.items()}
        return arrays | {"steps": np.asarray(self.steps)}

    def load(self, state: dict[str, NDArray[Any]], env: BatchEnv) -> None:
        """Go back to what `state` told. Raises KeyError or ValueError where it does not fit these settings."""
        for i, variable in enumerate(self._all()):
            variable.assign(state[f"variable_{i}"])
        for i, worker in enumerate(self._workers):
            worker.episodes.load({name: state[f"worker_{i}_{name}"] for name in ("began", "played")}, worker.env)
            worker.steps = int(state[f"worker_{i}_steps"])
        self.steps = int(state["steps"])
        self._fast.refresh()

    def _all(self) -> list[Any]:
        return [*self._shared, *self._optimizer.variables]

    def _work(self, worker: Worker, until: int) -> tuple[Iteration, list[list[float]]]:
        """Gradients of one worker, until all workers together have done `until` steps."""
        report = Iteration(0)
        losses: list[list[float]] = []
        span = self.settings.horizon * worker.env.n
        worker.episodes.ready(worker.env, worker.steps)
        while True:
            with self._count:  # the one thing that is shared and counted, not learnt
                if self.steps >= until:
                    return report, losses
                self.steps += span
            losses.append(self._gradient(worker, report))
            worker.steps += span

    def _gradient(self, worker: Worker, report: Iteration) -> list[float]:
        """Copy the weights, act, and apply the gradient to whatever the shared weights are by then."""
        s, env, episodes = self.settings, worker.env, worker.episodes
        local = [variable.numpy() for variable in self._shared]
        policy, critic = self._split
        worker.actor.copy(local[:policy])
        worker.critic.copy(local[policy : policy + critic])
        self.head.refresh()
        rng = np.random.default_rng([worker.seed, 2, worker.steps])
        seen, states, taken, steps = [], [], [], []
        for _ in range(s.horizon):
            seen.append(episodes.observation)
            states.append(episodes.state)
            outputs = worker.actor(episodes.observation)
            action = self.head.draw(outputs, self.head.noise(rng, outputs.shape))
            taken.append(action)
            steps.append(episodes.step(env, action, report))
        value = worker.critic(np.concatenate(states)).reshape(s.horizon, env.n)
        after = worker.critic(np.concatenate([step.final_state for step in steps])).reshape(s.horizon, env.n)
        advantage, target = gae(
            np.array([step.reward for step in steps]), value, after,
            np.array([step.terminated for step in steps]), np.array([step.truncated for step in steps]), s.gamma, 1.0,
        )  # fmt: skip
        told: list[float] = self._optimise(
            local, np.concatenate(seen), np.concatenate(states), np.concatenate(taken).astype(
                np.float32 if env.continuous else np.int32
            ), advantage.ravel(), target.ravel(),
        ).numpy().tolist()  # fmt: skip
        return told

    @tf.function(jit_compile=True, autograph=False)
    def _optimise(
        self,
        local: list[tf.Tensor],
        observation: tf.Tensor,
        state: tf.Tensor,
        action: tf.Tensor,
        advantage: tf.Tensor,
        target: tf.Tensor,
    ) -> tf.Tensor:
        """The gradient at the worker's weights `local`, applied to the shared ones; returns `LOSSES`."""
        s = self.settings
        policy, critic = self._split
        with tf.GradientTape() as tape:
            tape.watch(local)
            outputs = tanh_mlp(local[:policy], observation)
            # The head's own variables are read as they are shared: a few numbers, newer by a few steps.
            policy_loss = -tf.reduce_mean(self.head.log_prob(outputs, action) * advantage)
            value_loss = tf.reduce_mean(tf.square(tanh_mlp(local[policy : policy + critic], state)[:, 0] - target))
            entropy = tf.reduce_mean(self.head.entropy(outputs))
            loss = policy_loss + s.value * value_loss - s.entropy * entropy
        sources = [*local[: policy + critic], *self.head.variables]
        self._optimizer.apply(tape.gradient(loss, sources), self._shared)
        return tf.stack([policy_loss, value_loss, entropy])
