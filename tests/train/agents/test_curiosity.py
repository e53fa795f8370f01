"""Curiosity: what was met often is worth little, what is new is worth much."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

pytest.importorskip("tensorflow")

from tests.train.agents.echo import Echo
from train.curiosity import CuriositySettings, Curious


class Rare(Echo):
    """Its last symbol is shown once in a hundred times."""

    def _show(self) -> Any:
        odds = np.array([0.33, 0.33, 0.33, 0.01])
        self._symbol = self._rng.choice(self.actions, size=self.n, p=odds)
        return np.eye(self.actions, dtype=np.float32)[self._symbol]


def rare_to_common(rate: float) -> float:
    """How much more the rare symbol is worth than the others, in the last quarter of 200 steps."""
    env = Curious(Rare(64), CuriositySettings(curiosity=1.0, curiosity_rate=rate), seed=0)
    seen, _ = env.reset(0)
    bonuses: dict[bool, list[float]] = {True: [], False: []}
    for index in range(200):
        step = env.step(np.zeros(64, np.int64))
        assert step.earned is not None and (step.earned == (seen[:, 0] == 1.0)).all()  # the task's own reward is kept
        seen = step.observation
        for symbol, bonus in zip(seen.argmax(1), step.reward - step.earned, strict=True):
            if index >= 150:
                bonuses[bool(symbol == 3)].append(float(bonus))
    return float(np.mean(bonuses[True]) / np.mean(bonuses[False]))


def test_what_is_rare_stays_worth_more_since_the_rest_is_learnt() -> None:
    assert rare_to_common(1e-3) > 3 * rare_to_common(1e-12)
