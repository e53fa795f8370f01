"""Proximal policy optimisation (Schulman et al. 2017, https://arxiv.org/abs/1707.06347), clipped objective.

One iteration: N environments act for T steps (`train.actor_critic`); advantages by GAE; then all epochs over all
minibatches, in NumPy with gradients by hand (`train.pair`), which takes half the time of a graph and none to compile.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from train.actor_critic import ActorCritic, Rollout, flat
from train.dense_kernels import Floats, vectorised
from train.envs.batch import BatchEnv
from train.gae import gae
from train.pair import Adam, Pair, with_ones
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
    reward_scale: float = setting(1.0, "times each reward: a critic learns returns near 1 soonest", low=1e-6)
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
        super().__init__(env, settings, seed)
        others = [variable.numpy() for variable in self.head.variables]
        self._pair = Pair(self.policy.get_weights(), self.critic.get_weights(), others)
        self._adam = Adam(self._pair.row.size, settings.max_grad_norm)
        self._learns = True  # Keras's policy has the weights of the beginning until another one is set

    def update(self, rollout: Rollout, rng: np.random.Generator, left: float) -> dict[str, float]:
        s = self.settings
        reward = rollout.reward * np.float32(s.reward_scale)
        advantage, target = gae(
            reward, rollout.value, rollout.next_value, rollout.terminated, rollout.truncated, s.gamma, s.lam
        )
        steps = advantage.size
        size = min(s.minibatch, steps)
        # (epochs * minibatches, size): each epoch a new shuffle; a remainder smaller than a minibatch sits it out.
        order = np.concatenate([rng.permutation(steps)[: steps // size * size] for _ in range(s.epochs)])
        order = order.reshape(-1, size)
        rate = s.learning_rate * (s.learning_rate_end + (1.0 - s.learning_rate_end) * left)
        seen, action = with_ones(flat(rollout.state)), flat(rollout.action)
        before = self.head.logs(flat(rollout.outputs), action)[order]
        a, goal = advantage.ravel()[order], target.ravel()[order]
        a -= a.mean(1, keepdims=True)
        a /= a.std(1, keepdims=True) + np.float32(1e-8)
        told = np.zeros(len(self.LOSSES))
        for i, rows in enumerate(order):
            self._gradient(seen.take(rows, 1), action[rows], before[i], a[i], goal[i], s.entropy * left, told)
            self._adam.step(self._pair.row, self._pair.gradient, rate)
        means = told / order.size
        return dict(zip(self.LOSSES, means.tolist(), strict=True)) | {"learning_rate": rate}

    def _gradient(
        self, seen: Floats, action: NDArray[Any], before: Floats, a: Floats, goal: Floats, entropy_weight: float,
        told: NDArray[np.float64],
    ) -> None:  # fmt: skip
        """Leave a minibatch's gradient in the networks; add to `told` the sums of what becomes `LOSSES`."""
        pair, size = self._pair, len(goal)
        outputs, value = pair.forward(seen)
        log_prob, entropy, back = self.head.slopes(outputs, action, pair.others)
        d_log_prob, d_value = np.empty((2, size), np.float32)
        told[2] += entropy.sum()
        _objective(log_prob - before, a, self.settings.clip, d_log_prob, told)
        _regression(value, goal, self.settings.value, d_value, told)
        pair.backward(back(d_log_prob, -entropy_weight / size, pair.other_gradients), d_value)

    def weights(self) -> list[NDArray[Any]]:
        return self._pair.networks()[0] if self._learns else super().weights()

    def set_policy(self, weights: list[NDArray[Any]]) -> None:
        self._learns = False
        super().set_policy(weights)

    def learnt(self) -> dict[str, NDArray[Any]]:
        adam = self._adam
        return {
            "weights": self._pair.row.copy(), "adam_mean": adam.mean.copy(), "adam_square": adam.square.copy(),
            "adam_steps": np.asarray(adam.steps),
        }  # fmt: skip

    def _restore(self, state: dict[str, NDArray[Any]]) -> None:
        adam = self._adam
        for mine, kept in ((self._pair.row, "weights"), (adam.mean, "adam_mean"), (adam.square, "adam_square")):
            mine[:] = state[kept]
        adam.steps = int(state["adam_steps"])

    def _refresh(self) -> None:
        policy, critic = self._pair.networks()
        self._fast.copy(policy)
        self._fast_critic.copy(critic)
        for variable, value in zip(self.head.variables, self._pair.others, strict=True):
            variable.assign(value)
        self.head.refresh()


@vectorised  # type: ignore[untyped-decorator]
def _objective(change: Floats, a: Floats, clip: float, slopes: Floats, told: NDArray[np.float64]) -> None:
    """The slopes of minus the clipped objective's mean by each step's log probability, which moved by `change`."""
    for i in range(a.size):
        ratio = np.exp(change[i])
        free, held = ratio * a[i], min(max(ratio, np.float32(1.0 - clip)), np.float32(1.0 + clip)) * a[i]
        slopes[i] = -free / a.size if free <= held else np.float32(0.0)  # the lesser counts; what is held has no slope
        told[0] -= min(free, held)
        told[3] += ratio - np.float32(1.0) - change[i]  # Schulman's divergence: never negative, little variance
        told[4] += abs(ratio - np.float32(1.0)) > clip


@vectorised  # type: ignore[untyped-decorator]
def _regression(value: Floats, goal: Floats, weight: float, slopes: Floats, told: NDArray[np.float64]) -> None:
    """The slopes of the weighted mean squared error by each value."""
    for i in range(value.size):
        error = value[i] - goal[i]
        slopes[i] = np.float32(2.0 * weight / value.size) * error
        told[1] += error * error
