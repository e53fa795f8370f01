"""Monte Carlo tree search guided by a network (PUCT), which learns from what the search finds (AlphaZero's way).

Silver et al. 2018, https://doi.org/10.1126/science.aar6404; values normalised within each tree as in Schrittwieser et
al. 2020, https://doi.org/10.1038/s41586-020-03051-4. The model is the simulated world, without noise and with motors as
configured. All N robots search at once: a simulation goes down N trees, one step of the world expands N leaves, one
call of the network values them. Policy targets are the visits, value targets TD(lambda); what is kept is the network.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

import keras
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from edge.errors import UsageError
from train.actor_critic import GraphActorCritic, Rollout, flat
from train.envs.batch import BatchEnv, Floats, Step
from train.gae import gae
from train.learner import Iteration
from train.settings import setting


class Model(BatchEnv, Protocol):
    """Environments that can foresee: see `train.envs.foresight`."""

    def snapshot(self) -> Floats: ...
    def restore(self, snapshot: Floats) -> None: ...
    def mirror(self, other: Any) -> None: ...
    def advance(self, actions: NDArray[Any]) -> Step: ...


@dataclass(frozen=True)
class MCTSSettings:
    """The hyper-parameters."""

    envs: int = setting(256, "N, environments (or robots) that search side by side", low=1)
    simulations: int = setting(16, "of a search, for each decision", low=1)
    exploration: float = setting(1.25, "c of PUCT: how much the network's opinion counts", low=0.0)
    noise: float = setting(0.25, "share of Dirichlet noise in the root's priors while learning", low=0.0, high=1.0)
    horizon: int = setting(16, "T, decisions of each environment per iteration", low=1)
    epochs: int = setting(4, "passes over the collected decisions per iteration", low=1)
    minibatch: int = setting(1_024, "decisions per gradient", low=1)
    learning_rate: float = setting(1e-3, "Adam's", low=0.0)
    gamma: float = setting(0.99, "discount per step", low=0.0, high=1.0)
    lam: float = setting(0.95, "lambda of the value targets", low=0.0, high=1.0)
    value: float = setting(0.5, "weight of the critic's loss", low=0.0)
    hidden: tuple[int, ...] = setting((64, 64), "widths of the tanh layers, of policy and critic each")


class Trees:
    """N search trees as arrays: node, robot, action. Node 0 is the root; simulation k makes node k."""

    def __init__(self, nodes: int, n: int, actions: int, size: int) -> None:
        shape = (nodes, n, actions)
        self.prior, self.total, self.reward = np.zeros((3, *shape), np.float32)
        self.visits = np.zeros(shape, np.int32)
        self.child = np.full(shape, -1, np.int32)
        self.over = np.zeros((nodes, n), np.bool_)  # the episode ends here
        self.value = np.zeros((nodes, n), np.float32)
        self.snapshot = np.zeros((nodes, size, n), np.float32)
        self.low, self.high = np.full(n, np.inf, np.float32), np.full(n, -np.inf, np.float32)
        self._robots = np.arange(n)

    def select(self, node: NDArray[Any], c: float) -> NDArray[Any]:
        """The action of each robot at its `node` (N,) by PUCT."""
        at = (node, self._robots)
        visits = self.visits[at]
        span = np.where(self.high > self.low, self.high - self.low, 1.0)[:, None]
        known = np.where(visits > 0, self.total[at] / np.maximum(visits, 1), self.value[at][:, None])
        floor = np.where(np.isfinite(self.low), self.low, 0.0)[:, None]
        q = np.where(self.high[:, None] > self.low[:, None], np.clip((known - floor) / span, 0.0, 1.0), 0.0)
        bonus = c * self.prior[at] * np.sqrt(visits.sum(1, keepdims=True) + 1.0) / (1.0 + visits)
        chosen: NDArray[Any] = (q + bonus).argmax(1)
        return chosen

    def backup(self, path: list[tuple[NDArray[Any], NDArray[Any], NDArray[Any]]], leaf: Floats, gamma: float) -> None:
        """Carry each leaf's value up its path of (node, action, whether the robot took part)."""
        worth = leaf
        for node, action, live in reversed(path):
            at = (node, self._robots, action)
            worth = np.where(live, self.reward[at] + gamma * worth, worth).astype(np.float32)
            self.total[at] += np.where(live, worth, 0.0)
            self.visits[at] += live
            self.low = np.where(live, np.minimum(self.low, worth), self.low)
            self.high = np.where(live, np.maximum(self.high, worth), self.high)


class MCTS(GraphActorCritic):
    """The learner. Raises `UsageError` for environments that cannot foresee."""

    Settings = MCTSSettings
    LOSSES = ("policy_loss", "value_loss", "entropy")

    def __init__(self, env: BatchEnv, settings: MCTSSettings, seed: int) -> None:
        if not hasattr(env, "snapshot"):
            raise UsageError("mcts needs a world that is its own model; leave out curiosity, or take ppo")
        adam = keras.optimizers.Adam(settings.learning_rate, global_clipnorm=1.0)
        super().__init__(env, settings, seed, adam)
        self._model: Any = None

    def search(self, env: BatchEnv, rng: np.random.Generator | None = None) -> tuple[NDArray[np.int32], Floats]:
        """Visits (N, A) of each action from where the robots of `env` are, and the root's value (N,).

        Args:
            rng: of the noise in the root's priors; None for none.
        """
        real: Any = env
        if self._model is None or self._model.n != env.n:
            self._model = real.like(env.n)
        model, s, everyone = self._model, self.settings, np.arange(env.n)
        model.mirror(real)
        begin = real.snapshot()
        trees = Trees(s.simulations + 1, env.n, env.actions, len(begin))
        trees.snapshot[0] = begin
        observation, state = self._episodes.observation, self._episodes.state
        trees.prior[0], trees.value[0] = self._opinion(observation, state)
        if rng is not None and s.noise > 0.0:
            strange = rng.dirichlet(np.full(env.actions, 0.5), env.n)
            trees.prior[0] = (1.0 - s.noise) * trees.prior[0] + s.noise * strange
        for k in range(1, s.simulations + 1):
            node = np.zeros(env.n, np.int32)
            live = np.ones(env.n, np.bool_)
            path = []
            parent, taken = node.copy(), np.zeros(env.n, np.int64)
            while live.any():
                action = trees.select(node, s.exploration)
                path.append((node, action, live))
                parent, taken = np.where(live, node, parent), np.where(live, action, taken)
                below = trees.child[node, everyone, action]
                node = np.where(live & (below >= 0), below, node)
                live = live & (below >= 0) & ~trees.over[node, everyone]
            # Robots whose path ended at the end of an episode make that last step once more, to the same end.
            model.restore(trees.snapshot[parent, :, everyone].T)
            step = model.advance(taken)
            trees.child[parent, everyone, taken] = k
            trees.snapshot[k], trees.reward[parent, everyone, taken] = model.snapshot(), step.reward
            trees.over[k] = step.terminated
            trees.prior[k], value = self._opinion(step.observation, step.state)
            trees.value[k] = np.where(step.terminated, 0.0, value)
            trees.backup(path, trees.value[k], s.gamma)
        visits = trees.visits[0]
        worth = trees.total[0].sum(1) / np.maximum(visits.sum(1), 1)
        return visits, worth.astype(np.float32)

    def plan(self, env: BatchEnv, observation: Floats, state: Floats) -> NDArray[Any]:
        """The action most visited by a search, for each robot of `env`, where it sees and is as told."""
        self._episodes.observation, self._episodes.state = observation, state
        return self.search(env)[0].argmax(1)

    def update(self, rollout: Rollout, rng: np.random.Generator, left: float) -> dict[str, float]:
        s = self.settings
        _, target = gae(
            rollout.reward, rollout.value, rollout.next_value, rollout.terminated, rollout.truncated, s.gamma, s.lam
        )
        steps = target.size
        size = min(s.minibatch, steps)
        order = np.concatenate([rng.permutation(steps)[: steps // size * size] for _ in range(s.epochs)])
        means = self._optimise(
            flat(rollout.observation), flat(rollout.state), flat(rollout.outputs), flat(target),
            order.reshape(-1, size).astype(np.int32),
        )  # fmt: skip
        return dict(zip(self.LOSSES, means.numpy().tolist(), strict=True))

    def _collect(self, env: BatchEnv, rng: np.random.Generator, report: Iteration) -> Rollout:
        """As any actor-critic, but each action is drawn by the visits of a search, which are kept as targets."""
        self._env, self._rng = env, rng
        return super()._collect(env, rng, report)

    def _choose(self, observation: Floats, noise: Floats) -> tuple[NDArray[Any], Floats]:
        visits, _ = self.search(self._env, self._rng)
        # Among whole visits, so that no rounding draws an action that was never visited.
        drawn = (visits.cumsum(1) > self._rng.integers(visits.sum(1))[:, None]).argmax(1)
        return drawn, visits / visits.sum(1, keepdims=True)

    def _opinion(self, observation: Floats, state: Floats) -> tuple[Floats, Floats]:
        """The network's priors (N, A) and values (N,)."""
        logits = self._fast(observation)
        exp = np.exp(logits - logits.max(1, keepdims=True))
        return exp / exp.sum(1, keepdims=True), self._fast_critic(state)[:, 0]

    @tf.function(jit_compile=True, autograph=False)
    def _optimise(
        self, observation: tf.Tensor, state: tf.Tensor, shares: tf.Tensor, target: tf.Tensor, order: tf.Tensor
    ) -> tf.Tensor:
        """All gradient steps of one iteration; returns the mean of each of `LOSSES`."""

        def descend(sums: tf.Tensor, rows: tf.Tensor) -> tf.Tensor:
            wanted = tf.gather(shares, rows)
            weights = self._networks.split()
            with tf.GradientTape() as tape:
                tape.watch(weights)
                logits, value = self._outputs(weights, tf.gather(observation, rows), tf.gather(state, rows))
                policy_loss = tf.reduce_mean(tf.nn.softmax_cross_entropy_with_logits(wanted, logits))
                value_loss = tf.reduce_mean(tf.square(value - tf.gather(target, rows)))
                loss = policy_loss + self.settings.value * value_loss
            self._descend(tape, loss, weights)
            return sums + tf.stack([policy_loss, value_loss, tf.reduce_mean(self.head.entropy(logits))])

        sums = tf.foldl(descend, order, tf.zeros(len(self.LOSSES)), parallel_iterations=1)
        self._networks.publish()
        return sums / tf.cast(tf.shape(order)[0], tf.float32)
