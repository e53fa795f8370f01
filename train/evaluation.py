"""Greedy evaluation: how good a policy is when it stops exploring, on episodes that training never saw."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from train.envs.batch import BatchEnv, Floats

Act = Callable[[Floats], NDArray[Any]]
"""From (N, observation_size) to (N,) actions."""


def wilson(successes: int, trials: int, z: float = 1.96) -> tuple[float, float]:
    """The Wilson score interval of a rate (E. B. Wilson 1927); z = 1.96 is 95 %, both sides."""
    if trials == 0:
        return 0.0, 1.0
    rate, z2 = successes / trials, z * z
    middle = (rate + z2 / (2 * trials)) / (1 + z2 / trials)
    half = z / (1 + z2 / trials) * math.sqrt(rate * (1 - rate) / trials + z2 / (4 * trials * trials))
    return max(0.0, middle - half), min(1.0, middle + half)


@dataclass(frozen=True)
class Evaluation:
    """Each episode's return and length, and whether it succeeded (None: the task knows no success)."""

    returns: NDArray[np.float64]
    lengths: NDArray[np.int64]
    successes: NDArray[np.bool_] | None

    def as_json(self) -> dict[str, Any]:
        """The figures that `edgebot eval --json` prints."""
        result: dict[str, Any] = {
            "episodes": len(self.returns),
            "return_mean": float(self.returns.mean()),
            "return_std": float(self.returns.std()),
            "length_mean": float(self.lengths.mean()),
        }
        if self.successes is not None:
            low, high = wilson(int(self.successes.sum()), len(self.successes))
            result |= {"success_rate": float(self.successes.mean()), "success_low": low, "success_high": high}
        return result

    @property
    def score(self) -> tuple[float, float]:
        """What makes one policy better than another: success first, return second."""
        return (0.0 if self.successes is None else float(self.successes.mean())), float(self.returns.mean())


def evaluate(
    act: Act,
    batches: Iterable[tuple[BatchEnv, int]],
    told: Callable[[int], None] = lambda episodes: None,
) -> Evaluation:
    """Run each environment of each batch for exactly one episode.

    One each, since the first M episodes to end among more environments would be the shortest ones.

    Args:
        act: the policy.
        batches: environments, and the seed to reset them with; each is closed after use.
        told: is called with the number of episodes that have ended, as they end.
    """
    parts: list[tuple[NDArray[np.float64], NDArray[np.int64], NDArray[np.bool_] | None]] = []
    before = 0
    for env, seed in batches:
        observation, _ = env.reset(seed)
        returns, lengths = np.zeros(env.n), np.zeros(env.n, np.int64)
        successes: NDArray[np.bool_] | None = None
        running = np.ones(env.n, np.bool_)
        while running.any():
            step = env.step(act(observation))
            returns += np.where(running, step.reward, 0.0)
            lengths += running
            ended = running & (step.terminated | step.truncated)
            if step.success is not None:
                successes = np.zeros(env.n, np.bool_) if successes is None else successes
                successes |= ended & step.success
            running &= ~ended
            observation = step.observation
            if ended.any():
                told(before + env.n - int(running.sum()))
        env.close()
        before += env.n
        parts.append((returns, lengths, successes))
    known = [part[2] for part in parts if part[2] is not None]
    return Evaluation(
        np.concatenate([part[0] for part in parts]),
        np.concatenate([part[1] for part in parts]),
        np.concatenate(known) if known else None,
    )
