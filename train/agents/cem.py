"""The cross-entropy method (Rubinstein 1999; for policies Szita and Lorincz 2006, noisy version).

Policies are drawn from a normal distribution over weights; then the distribution moves to the best of them, with a
little extra width that fades, lest it narrow down too soon. The policy that is kept is its mean.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from train.agents.search import Search
from train.envs.batch import BatchEnv, Floats
from train.schedules import linear
from train.settings import setting


@dataclass(frozen=True)
class CEMSettings:
    """The hyper-parameters."""

    population: int = setting(50, "policies drawn in a generation", low=2)
    elite: int = setting(10, "the best of them, to which the distribution moves", low=1)
    episodes: int = setting(2, "that each policy plays in a generation", low=1)
    spread: float = setting(1.0, "standard deviation at the start", low=0.0)
    extra: float = setting(0.3, "standard deviation added at the start", low=0.0)
    extra_generations: int = setting(20, "over which that fades to 0", low=1)
    hidden: tuple[int, ...] = setting((8,), "widths of the tanh layers")

    @property
    def envs(self) -> int:
        """An environment for each episode of a generation."""
        return self.population * self.episodes


class CEM(Search):
    """The learner."""

    Settings = CEMSettings

    def __init__(self, env: BatchEnv, settings: CEMSettings, seed: int) -> None:
        super().__init__(env, settings, seed)
        self.mean: Floats = np.zeros(self.crowd.size, np.float32)
        self.std: Floats = np.full(self.crowd.size, settings.spread, np.float32)

    @property
    def kept(self) -> Floats:
        return self.mean

    def propose(self, rng: np.random.Generator) -> Floats:
        s = self.settings
        extra = linear(s.extra, 0.0, self.generation / s.extra_generations)
        width = np.sqrt(self.std**2 + np.float32(extra**2))
        return self.mean + width * rng.standard_normal((s.population, self.crowd.size), np.float32)

    def select(self, rows: Floats, returns: NDArray[np.float64]) -> dict[str, float]:
        scores = returns.mean(1)
        best = rows[np.argsort(-scores, kind="stable")[: self.settings.elite]]
        self.mean, self.std = best.mean(0), best.std(0)
        return {"width": float(self.std.mean())}

    def arrays(self) -> dict[str, NDArray[Any]]:
        return {"mean": self.mean, "std": self.std}
