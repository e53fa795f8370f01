"""Generalised advantage estimation (Schulman et al. 2016), over (time, environments) arrays."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]
Flags = NDArray[np.bool_]


def gae(
    rewards: Floats,
    values: Floats,
    next_values: Floats,
    terminated: Flags,
    truncated: Flags,
    gamma: float,
    lam: float,
) -> tuple[Floats, Floats]:
    """Advantages and the returns that the critic learns, each (T, N) float32.

    Args:
        rewards: (T, N), what step t earned.
        values: (T, N), the critic at the state that step t acted in.
        next_values: (T, N), the critic at the state that step t led to, *before* any reset: for an episode
            cut by its time limit that is the last state of the old episode, not the first of the new one.
        terminated: (T, N), the episode ended there: nothing more can be earned, so the future is worth 0.
        truncated: (T, N), the episode was only cut there: the future is worth `next_values`, but the
            advantages of the next episode do not flow back over the cut.
        gamma: discount of a step.
        lam: 0 trusts the critic (TD error), 1 the rewards (Monte Carlo).
    """
    advantages = np.empty_like(rewards)
    running = np.zeros(rewards.shape[1], np.float32)
    delta = rewards + np.float32(gamma) * next_values * ~terminated - values
    flows = np.float32(gamma * lam) * ~(terminated | truncated)
    for t in reversed(range(len(rewards))):
        running = delta[t] + flows[t] * running
        advantages[t] = running
    return advantages, advantages + values
