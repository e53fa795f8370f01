"""The replay memory: what it returns for several steps, over cuts and ends, and how often it draws what."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from train.envs.batch import Step
from train.replay import Replay


class Shape:
    n, observation_size, state_size, actions, continuous = 2, 1, 1, 3, False


def row(value: float) -> Any:
    return np.array([[value], [100 + value]], np.float32)


def filled(n_step: int, steps: int = 6, size: int = 100, alpha: float = 0.0) -> Replay:
    """Step t sees t, earns t + 1 and leads to t + 0.5 (the second environment: 100 more).

    In the first environment step 2 is cut, in the second it ends.
    """
    memory = Replay(Shape(), size, 0.5, n_step, alpha)  # type: ignore[arg-type]
    for t in range(steps):
        cut, end = np.array([t == 2, False]), np.array([False, t == 2])
        step = Step(row(t + 1), row(t + 1), row(t + 0.5), np.full(2, t + 1, np.float32), end, cut)
        memory.add(row(t), np.array([t % 3, 2 - t % 3]), step)
    return memory


def everything(memory: Replay) -> dict[float, tuple[int, float, float, float]]:
    """By what was seen: action, reward, following, discount."""
    batch = memory.sample((40, 25), np.random.default_rng(0))
    assert batch.observation.shape == (40, 25, 1) and (batch.weight == 1.0).all()
    columns = (batch.observation[..., 0], batch.action, batch.reward, batch.following[..., 0], batch.discount)
    return {
        float(o): (int(a), float(r), float(f), float(d)) for o, a, r, f, d in zip(*map(np.ravel, columns), strict=True)
    }


def test_one_step_keeps_the_future_of_a_cut_and_not_of_an_end() -> None:
    found = everything(filled(1))
    assert set(found) == {t + o for t in range(6) for o in (0, 100)}
    assert found[1] == (1, 2.0, 1.5, 0.5)
    assert found[2] == (2, 3.0, 2.5, 0.5)  # cut: what it really led to, not the next episode's first observation
    assert found[102] == (0, 3.0, 102.5, 0.0)  # ended


def test_three_steps_stop_at_a_seam() -> None:
    found = everything(filled(3))
    assert set(found) == {t + o for t in range(4) for o in (0, 100)}  # the last two lack their future yet
    assert found[0] == (0, 1 + 0.5 * 2 + 0.25 * 3, 2.5, 0.125)
    assert found[1] == (1, 2 + 0.5 * 3, 2.5, 0.25)
    assert found[2] == (2, 3.0, 2.5, 0.5)
    assert found[3] == (0, 4 + 0.5 * 5 + 0.25 * 6, 5.5, 0.125)
    assert found[100][1:] == (2.75, 102.5, 0.0) and found[103][3] == 0.125


@pytest.mark.parametrize("alpha", [0.0, 0.6])
def test_the_oldest_go(alpha: float) -> None:
    memory = filled(2, steps=23, size=10, alpha=alpha)
    assert len(memory) == 8
    batch = memory.sample((500,), np.random.default_rng(0))
    assert set(batch.observation.ravel().tolist()) == {t + o for t in range(18, 22) for o in (0, 100)}


def test_surprise_is_drawn_more_often_and_weighs_less() -> None:
    memory = filled(1, alpha=0.5)
    everything_once = memory.sample((2000,), np.random.default_rng(0))
    index = np.arange(12)
    assert np.bincount(everything_once.index, minlength=12).min() > 100  # new: all alike
    error = np.where(index == 5, 9.0, 1.0)
    memory.reprioritize(index, error)
    batch = memory.sample((14_000,), np.random.default_rng(1), beta=1.0)
    counts = np.bincount(batch.index, minlength=12)
    assert counts[5] / 14_000 == pytest.approx(3.0 / 14.0, abs=0.015)
    assert batch.weight[batch.index == 5][0] == pytest.approx(1.0 / 3.0, rel=1e-3)
    assert batch.weight.max() == 1.0
    assert (memory.sample((50,), np.random.default_rng(1), beta=0.0).weight == 1.0).all()
    assert (counts * np.where(index == 5, 1 / 3, 1.0)).std() / counts.mean() < 0.1  # weighted, all count alike


@pytest.mark.parametrize("alpha", [0.0, 0.6])
def test_a_copy_draws_alike(alpha: float) -> None:
    memory = filled(2, alpha=alpha)
    memory.reprioritize(np.array([1, 2]), np.array([3.0, 0.2]))
    again = Replay(Shape(), 100, 0.5, 2, alpha)  # type: ignore[arg-type]
    again.load(memory.arrays())
    one, two = (each.sample((64,), np.random.default_rng(4)) for each in (memory, again))
    assert all(np.array_equal(getattr(one, name), getattr(two, name)) for name in vars(one))
