"""Advantages: against the definition summed term by term, and at both kinds of an episode's end."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from train.gae import gae


def by_definition(rewards, values, next_values, terminated, truncated, gamma, lam):
    """A_t = sum over k of (gamma lambda)^k delta_(t+k), up to the end of the episode; one environment."""
    steps = len(rewards)
    delta = [rewards[t] + (0.0 if terminated[t] else gamma * next_values[t]) - values[t] for t in range(steps)]
    out = []
    for t in range(steps):
        total, weight = 0.0, 1.0
        for k in range(t, steps):
            total += weight * delta[k]
            if terminated[k] or truncated[k]:
                break
            weight *= gamma * lam
        out.append(total)
    return np.array(out)


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**31), st.sampled_from([0.9, 0.99, 1.0]), st.sampled_from([0.0, 0.95, 1.0]))
def test_it_is_the_definition(seed: int, gamma: float, lam: float) -> None:
    rng = np.random.default_rng(seed)
    shape = (9, 3)
    rewards, values, next_values = rng.normal(size=(3, *shape)).astype(np.float32)
    terminated = rng.random(shape) < 0.2
    truncated = ~terminated & (rng.random(shape) < 0.2)
    advantages, returns = gae(rewards, values, next_values, terminated, truncated, gamma, lam)
    for i in range(shape[1]):
        column = [a[:, i] for a in (rewards, values, next_values, terminated, truncated)]
        np.testing.assert_allclose(advantages[:, i], by_definition(*column, gamma, lam), rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(returns, advantages + values, rtol=1e-6)


@pytest.mark.parametrize(("how", "worth"), [("terminated", 1.0), ("truncated", 1.0 + 0.9 * 10.0)])
def test_a_cut_episode_keeps_its_future_and_an_ended_one_has_none(how: str, worth: float) -> None:
    flag, other = np.array([[True], [False]]), np.zeros((2, 1), bool)
    rewards = np.array([[1.0], [100.0]], np.float32)
    zeros, ten = np.zeros((2, 1), np.float32), np.full((2, 1), 10.0, np.float32)
    terminated, truncated = (flag, other) if how == "terminated" else (other, flag)
    advantages, _ = gae(rewards, zeros, ten, terminated, truncated, 0.9, 0.95)
    assert advantages[0, 0] == pytest.approx(worth)  # and nothing of the 100 that the next episode earns
