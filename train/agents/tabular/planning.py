"""Planning where the whole decision process is known: Bellman's equation, applied until it holds."""

from __future__ import annotations

import numpy as np

from train.agents.tabular.mdp import DecisionProcess, Table


def value_iteration(process: DecisionProcess, gamma: float, iterations: int = 50) -> Table:
    """V*, the best return that can be expected from each state, (S,) (Bellman 1957).

    V(s) <- max_a sum_t T(s, a, t) [R(s, a, t) + gamma V(t)], all states at once.
    """
    values = np.zeros(len(process.transitions))
    for _ in range(iterations):
        values = _look_ahead(process, values, gamma).max(1)
    return values


def q_value_iteration(process: DecisionProcess, gamma: float, iterations: int = 50) -> Table:
    """Q*, the same of each action in each state, (S, A); -inf where an action is impossible.

    Q(s, a) <- sum_t T(s, a, t) [R(s, a, t) + gamma max_b Q(t, b)], all at once.
    """
    q = np.where(process.possible, 0.0, -np.inf)
    for _ in range(iterations):
        q = _look_ahead(process, q.max(1), gamma)
    return q


def policy_values(process: DecisionProcess, policy: Table, gamma: float) -> Table:
    """V of a policy, (S, A) probabilities: the solution of V = r + gamma P V, (S,)."""
    chain, reward = process.under(policy)
    return np.asarray(np.linalg.solve(np.eye(len(reward)) - gamma * chain.transitions, reward), np.float64)


def _look_ahead(process: DecisionProcess, values: Table, gamma: float) -> Table:
    """(S, A) what each action earns at once, and from where it leads to."""
    q = np.einsum("sat,sat->sa", process.transitions, process.rewards + gamma * values)
    return np.where(process.possible, q, -np.inf)
