"""Temporal differences: learning from steps, where the decision process is not known.

TD(0) learns the values of the policy that walks (Sutton 1988, https://doi.org/10.1007/BF00115009); Q-learning
those of the best policy, whatever policy walks (Watkins 1989).
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from train.agents.tabular.mdp import DecisionProcess, Table, draw
from train.schedules import power_decay


def td_zero(
    process: DecisionProcess, policy: Table, rng: np.random.Generator, *,
    steps: int = 10_000, gamma: float = 0.90, alpha: float = 0.05, decay: float = 0.005, start: int = 0,
) -> Table:  # fmt: skip
    """V of `policy`, (S,): V(s) <- V(s) + alpha (r + gamma V(s') - V(s)) along one walk.

    Args:
        process: is walked in, and not looked into.
        policy: (S, A) probabilities.
        rng: decides the walk.
        steps: of the walk, from `start`.
        gamma: discount.
        alpha: learning rate at the start; at step k it is alpha / (1 + k decay).
        decay: 0 keeps the rate.
        start: the first state.
    """
    values = np.zeros(len(policy))
    chosen = np.cumsum(policy, 1).tolist()
    state = start
    for k in range(steps):
        action = draw(chosen[state], rng)
        following, reward = process.step(state, action, rng)
        error = reward + gamma * values[following] - values[state]
        values[state] += power_decay(alpha, decay, k) * error
        state = following
    return values


@dataclass
class QTable:
    """Q-learning's table, and how it explores. Impossible actions hold -inf and are never chosen.

    With `curiosity` (k) above 0, exploration follows the exploration function f(Q, N) = Q + k / (1 + N), where N
    counts how often an action was taken in a state: what is little known looks good (Russell and Norvig, 22.3).
    Else it is epsilon-greedy.
    """

    possible: NDArray[np.bool_]  # (S, A)
    gamma: float = 0.90
    alpha: float = 0.05
    decay: float = 0.005
    curiosity: float = 0.0
    q: Table = field(init=False)
    taken: NDArray[np.int64] = field(init=False)
    updates: int = field(default=0, init=False)

    def __post_init__(self) -> None:
        self.q = np.where(self.possible, 0.0, -np.inf)
        self.taken = np.zeros(self.possible.shape, np.int64)
        self._actions = [np.flatnonzero(row).tolist() for row in self.possible]

    def choose(self, state: int, epsilon: float, rng: np.random.Generator) -> int:
        """The action to explore with: at random with probability `epsilon`, else the most promising one."""
        if rng.random() < epsilon:
            actions = self._actions[state]
            return actions[int(rng.random() * len(actions))]
        promise = self._promise(state)
        best = np.flatnonzero(promise == promise.max())  # of equals any: else the first would always be tried first
        return int(best[int(rng.random() * len(best))])

    def update(self, state: int, action: int, reward: float, following: int, terminated: bool = False) -> None:
        """Q(s, a) <- Q(s, a) + alpha (r + gamma max_b Q(s', b) - Q(s, a)); f(Q, N) in place of Q(s', b) if curious."""
        future = 0.0 if terminated else float(self._promise(following).max())
        rate = power_decay(self.alpha, self.decay, self.updates)
        self.q[state, action] += rate * (reward + self.gamma * future - self.q[state, action])
        self.taken[state, action] += 1
        self.updates += 1

    def _promise(self, state: int) -> Table:
        """(A,) f(Q, N), or Q itself."""
        q: Table = self.q[state]
        return q + self.curiosity / (1.0 + self.taken[state]) if self.curiosity > 0.0 else q


def q_learning(
    process: DecisionProcess, rng: np.random.Generator, *,
    steps: int = 10_000, epsilon: float = 1.0, gamma: float = 0.90, alpha: float = 0.05, decay: float = 0.005,
    curiosity: float = 0.0, start: int = 0,
) -> QTable:  # fmt: skip
    """Q-learning along one walk in `process`; epsilon 1 walks at random, as the lecture does."""
    table = QTable(process.possible, gamma, alpha, decay, curiosity)
    state = start
    for _ in range(steps):
        action = table.choose(state, epsilon, rng)
        following, reward = process.step(state, action, rng)
        table.update(state, action, reward, following)
        state = following
    return table
