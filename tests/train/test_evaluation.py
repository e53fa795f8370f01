"""Greedy evaluation: one episode each, and an honest interval."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from train.envs.batch import Step
from train.evaluation import evaluate, wilson


@pytest.mark.parametrize(
    ("successes", "trials", "low", "high"),
    [(0, 10, 0.0, 0.2775), (10, 10, 0.7225, 1.0), (950, 1000, 0.9347, 0.9619), (1, 2, 0.0945, 0.9055)],
)
def test_wilsons_interval(successes: int, trials: int, low: float, high: float) -> None:
    """Values computed apart, from the formula in Newcombe (1998), method 3."""
    assert wilson(successes, trials) == pytest.approx((low, high), abs=2e-4)


class Countdown:
    """Environment i ends after i + 1 steps; each step earns 1; odd ones succeed."""

    observation_size = state_size = actions = 1

    def __init__(self, n: int) -> None:
        self.n, self.closed = n, False

    def reset(self, seed: int) -> tuple[Any, Any]:
        self._age = np.zeros(self.n, int)
        return np.zeros((self.n, 1), np.float32), np.zeros((self.n, 1), np.float32)

    def step(self, actions: Any) -> Step:
        self._age += 1
        done = self._age == np.arange(self.n) + 1
        self._age[done] = 0  # a new episode begins, which must not count
        zeros = np.zeros((self.n, 1), np.float32)
        odd = np.arange(self.n) % 2 == 1
        return Step(zeros, zeros, zeros, np.ones(self.n, np.float32), done & odd, done & ~odd, done & odd)

    def close(self) -> None:
        self.closed = True


def test_each_environment_counts_for_exactly_one_episode() -> None:
    batches, told = [Countdown(4), Countdown(2)], []
    result = evaluate(lambda seen: np.zeros(len(seen), int), [(env, 0) for env in batches], told.append)
    assert result.returns.tolist() == result.lengths.tolist() == [1, 2, 3, 4, 1, 2]
    assert result.successes is not None and result.successes.tolist() == [False, True, False, True, False, True]
    assert told == [1, 2, 3, 4, 5, 6]
    assert all(env.closed for env in batches)
    figures = result.as_json()
    assert figures["episodes"] == 6 and figures["success_rate"] == 0.5
    assert figures["return_mean"] == pytest.approx(13 / 6)
    assert figures["success_low"] < 0.5 < figures["success_high"]
