"""Genetic policy search: 100 random policies, the best 20 stay, each has 4 mutated children, and again.

A return is luck in part. So survivors play again beside their children, and are ranked by the mean of all that they
ever played: a policy that was lucky once does not stay.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from train.agents.search import Search
from train.envs.batch import BatchEnv, Floats
from train.settings import setting


@dataclass(frozen=True)
class GeneticSettings:
    """The defaults are the lecture's: 100, 20, 4."""

    survivors: int = setting(20, "how many policies live on", low=1)
    children: int = setting(4, "mutated copies of each survivor", low=1)
    episodes: int = setting(1, "that each policy plays in a generation", low=1)
    mutation: float = setting(0.3, "standard deviation of what is added to each weight of a child", low=0.0)
    spread: float = setting(1.0, "standard deviation of the first generation's weights", low=0.0)
    hidden: tuple[int, ...] = setting((8,), "widths of the tanh layers")

    @property
    def population(self) -> int:
        """Survivors and their children."""
        return self.survivors * (1 + self.children)

    @property
    def envs(self) -> int:
        """An environment for each episode of a generation."""
        return self.population * self.episodes


class Genetic(Search):
    """The learner; row 0 of `parents` is the best."""

    Settings = GeneticSettings

    def __init__(self, env: BatchEnv, settings: GeneticSettings, seed: int) -> None:
        super().__init__(env, settings, seed)
        rng = np.random.default_rng([seed, 1])
        self._first = self._normal(rng, settings.population) * np.float32(settings.spread)
        self.parents = self._first[: settings.survivors]
        self.earned = np.zeros(settings.survivors)  # sum of each survivor's returns
        self.played = np.zeros(settings.survivors, np.int64)  # and how many there were

    @property
    def kept(self) -> Floats:
        return self.parents[0]

    def propose(self, rng: np.random.Generator) -> Floats:
        s = self.settings
        if self.generation == 0:
            return self._first
        children = np.repeat(self.parents, s.children, 0)
        return np.concatenate((self.parents, children + self._normal(rng, len(children)) * np.float32(s.mutation)))

    def select(self, rows: Floats, returns: NDArray[np.float64]) -> dict[str, float]:
        s = self.settings
        known = s.survivors if self.generation else 0
        earned, played = returns.sum(1), np.full(len(rows), s.episodes)
        earned[:known] += self.earned[:known]
        played[:known] += self.played[:known]
        order = np.lexsort((-played, -earned / played))[: s.survivors]  # of equals those known for longer
        self.parents, self.earned, self.played = rows[order], earned[order], played[order]
        return {"survivors_return": float((self.earned / self.played).mean())}

    def arrays(self) -> dict[str, NDArray[Any]]:
        return {"parents": self.parents, "earned": self.earned, "played": self.played}

    def _normal(self, rng: np.random.Generator, rows: int) -> Floats:
        return rng.standard_normal((rows, self.crowd.size), np.float32)
