"""What a run keeps in the end: the best of its last policies, though it has forgotten since."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from rich.console import Console

from train.plan import plan
from train.session import Session, Weights


def steering(gain: float) -> Weights:
    """A network of two that pushes the cart to where the pole falls, for a positive gain."""
    first, second = np.zeros((4, 2), np.float32), np.zeros((2, 2), np.float32)
    first[2:, 0], second[0] = (1.0, 0.5), (-gain, gain)
    return [first, np.zeros(2, np.float32), second, np.zeros(2, np.float32)]


@pytest.mark.parametrize("at", ["candidate", "exploring", "last"])
def test_the_best_of_the_last_policies_is_kept(tmp_path: Path, at: str) -> None:
    made = plan("CartPole-v1", "ppo")
    made.change({"envs": 2, "hidden": (2,)})
    env = made.task.training(2)
    session = Session(made.create(tmp_path / "run", 1), made.learner(env, made.agent, 1), env, Console(quiet=True))
    session.train(made.agent.horizon * 2 * 3)
    good, bad = steering(1.0), steering(-1.0)
    session._candidates.extend([bad, good if at == "candidate" else bad, bad])
    session.best = good if at == "exploring" else bad
    session.agent.set_policy(good if at == "last" else bad)
    session.choose(made.task.choosing)
    env.close()
    for weights in (session.best, session.run.load_policy().get_weights(), session.agent.weights()):
        assert all(map(np.array_equal, weights, good))
