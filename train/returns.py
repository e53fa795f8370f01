"""What a step was worth in the end: discounted returns of whole episodes, and their normalisation."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


def discount(rewards: Sequence[float] | NDArray[Any], gamma: float) -> Array:
    """(T,) rewards of one episode, or (T, N) of N, -> for each step the discounted sum of those from it on."""
    returns = np.array(rewards, np.float64)
    for t in range(len(returns) - 2, -1, -1):
        returns[t] += gamma * returns[t + 1]
    return returns


def discount_and_normalize(episodes: Sequence[Sequence[float] | Array], gamma: float) -> list[Array]:
    """The discounted returns of several episodes, less their common mean, over their standard deviation.

    So about half of all steps were better than usual and get likelier, the others less likely. Returns that are all
    equal tell nothing, and give zeros.
    """
    returns = [discount(rewards, gamma) for rewards in episodes]
    together = np.concatenate(returns)
    spread = together.std()
    return [(each - together.mean()) / (spread if spread > 0.0 else 1.0) for each in returns]
