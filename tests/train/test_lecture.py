"""The lecture's figures on CartPole and on returns, to the digit."""

from __future__ import annotations

import gymnasium
import numpy as np

from train.returns import discount, discount_and_normalize
from train.schedules import linear, power_decay


def printed(values: np.ndarray) -> list[str]:
    """As NumPy prints float32: to eight places."""
    return [np.format_float_positional(value, 8, trim="-") for value in values]


def test_gymnasium_gives_the_lectures_observations() -> None:
    env = gymnasium.make("CartPole-v1")
    seen, _ = env.reset(seed=42)
    assert printed(seen) == ["0.0273956", "-0.00611216", "0.03585979", "0.0197368"]
    seen, reward, terminated, truncated, _ = env.step(1)
    assert printed(seen) == ["0.02727336", "0.18847767", "0.03625453", "-0.26141977"]
    assert (reward, terminated, truncated) == (1.0, False, False)


def test_the_angle_rule_earns_what_the_lecture_says() -> None:
    env = gymnasium.make("CartPole-v1")
    returns = []
    for episode in range(500):
        seen, _ = env.reset(seed=episode)
        total = 0.0
        for _ in range(200):
            seen, reward, terminated, truncated, _ = env.step(0 if seen[2] < 0 else 1)
            total += reward
            if terminated or truncated:
                break
        returns.append(total)
    assert (np.mean(returns), np.std(returns), min(returns), max(returns)) == (41.698, 8.389445512070509, 24, 63)


def test_discounted_and_normalised_returns() -> None:
    assert discount([10, 0, -50], 0.8).tolist() == [-22, -40, -50]
    first, second = discount_and_normalize([[10, 0, -50], [10, 20]], 0.8)
    np.testing.assert_allclose(first, [-0.28435071, -0.86597718, -1.18910299], atol=5e-9)
    np.testing.assert_allclose(second, [1.26665318, 1.0727777], atol=5e-9)
    assert discount_and_normalize([[0.0], [0.0]], 0.9) == [[0.0], [0.0]]  # nothing to tell apart


def test_schedules() -> None:
    assert power_decay(0.05, 0.005, 0) == 0.05 and power_decay(0.05, 0.005, 200) == 0.025
    assert [linear(1.0, 0.5, share) for share in (-1.0, 0.0, 0.5, 1.0, 2.0)] == [1.0, 1.0, 0.75, 0.5, 0.5]
