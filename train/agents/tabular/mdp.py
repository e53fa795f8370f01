"""Markov chains and Markov decision processes, small enough to be written down as tables."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

Table = NDArray[np.float64]


@dataclass(frozen=True)
class MarkovChain:
    """States that follow each other by chance alone; `transitions[s, t]` is the probability that t follows s."""

    transitions: Table  # (S, S), rows sum to 1

    def __post_init__(self) -> None:
        shape = self.transitions.shape
        if len(shape) != 2 or shape[0] != shape[1]:
            raise ValueError(f"transitions have the shape {shape}, expected (states, states)")
        _check_rows(self.transitions, may_be_empty=False)

    def walk(self, start: int, steps: int, rng: np.random.Generator) -> list[int]:
        """The states visited, `start` first; ends early in a state that is never left."""
        states = [start]
        reached = np.cumsum(self.transitions, 1).tolist()
        while len(states) <= steps and self.transitions[states[-1], states[-1]] < 1.0:
            states.append(draw(reached[states[-1]], rng))
        return states

    def after(self, start: int, steps: int) -> Table:
        """(S,) the probability of each state `steps` steps after `start`."""
        found: Table = np.linalg.matrix_power(self.transitions, steps)[start]
        return found


@dataclass(frozen=True)
class DecisionProcess:
    """A Markov decision process of S states and A actions (Bellman 1957).

    `transitions[s, a, t]` is the probability of t after action a in s; an action that is impossible in s has a row
    of zeros. `rewards[s, a, t]` is what that step earns.
    """

    transitions: Table
    rewards: Table

    def __post_init__(self) -> None:
        shape = self.transitions.shape
        if len(shape) != 3 or shape[0] != shape[2] or self.rewards.shape != shape:
            raise ValueError(f"transitions {shape} and rewards {self.rewards.shape}, expected (S, A, S) for both")
        _check_rows(self.transitions, may_be_empty=True)
        if not self.possible.any(1).all():
            raise ValueError("a state has no possible action")

    @cached_property
    def possible(self) -> NDArray[np.bool_]:
        """(S, A) which action can be taken where."""
        return self.transitions.sum(2) > 0.0

    def step(self, state: int, action: int, rng: np.random.Generator) -> tuple[int, float]:
        """The state that follows, and the reward."""
        reached, rewards = self._rows[state][action]
        if reached[-1] == 0.0:
            raise ValueError(f"action {action} is impossible in state {state}")
        following = draw(reached, rng)
        return following, rewards[following]

    @cached_property
    def _rows(self) -> list[list[tuple[list[float], list[float]]]]:
        """Of each state and action the cumulative probabilities and the rewards: lists, for one number at a time."""
        reached = np.cumsum(self.transitions, 2).tolist()
        return [list(zip(*of_state, strict=True)) for of_state in zip(reached, self.rewards.tolist(), strict=True)]

    def under(self, policy: Table) -> tuple[MarkovChain, Table]:
        """The chain that a policy, (S, A) probabilities, makes of it, and the mean reward of each state, (S,)."""
        chain = np.einsum("sa,sat->st", policy, self.transitions)
        reward: Table = np.einsum("sa,sat,sat->s", policy, self.transitions, self.rewards)
        return MarkovChain(chain), reward


def three_states() -> DecisionProcess:
    """The lecture's example: from s1 the way back to s0's rewards leads through a loss of 50."""
    nowhere = [0.0, 0.0, 0.0]
    transitions = np.array(
        [
            [[0.7, 0.3, 0.0], [1.0, 0.0, 0.0], [0.8, 0.2, 0.0]],
            [[0.0, 1.0, 0.0], nowhere, [0.0, 0.0, 1.0]],
            [nowhere, [0.8, 0.1, 0.1], nowhere],
        ]
    )
    rewards = np.zeros((3, 3, 3))
    rewards[0, 0, 0], rewards[1, 2, 2], rewards[2, 1, 0] = 10.0, -50.0, 40.0
    return DecisionProcess(transitions, rewards)


def evenly(process: DecisionProcess) -> Table:
    """The policy that takes each possible action equally often, (S, A)."""
    possible = process.possible
    return possible / possible.sum(1, keepdims=True)


def draw(reached: Sequence[float], rng: np.random.Generator) -> int:
    """An index, by the cumulative probabilities `reached`."""
    return bisect_right(reached, rng.random() * reached[-1])


def _check_rows(transitions: Table, may_be_empty: bool) -> None:
    sums = transitions.sum(-1)
    fine = np.isclose(sums, 1.0) | (may_be_empty & (sums == 0.0))
    if not (fine.all() and (transitions >= 0.0).all()):  # written so that NaN fails too
        where = np.argwhere(~fine)
        told = f"row {where[0].tolist()} sums to {sums[tuple(where[0])]:g}" if len(where) else "one is negative"
        raise ValueError(f"probabilities must be at least 0 and sum to 1: {told}")
