"""Gymnasium's environments in batches: their numbers on one scale, and poles that are stepped in one array."""

from __future__ import annotations

import warnings

import gymnasium
import numpy as np
import pytest

from train.envs.gym_batch import GymBatch
from train.envs.together import Together


def test_scaled_numbers_lie_within_their_bounds_or_spread_as_random_acting_spreads_them() -> None:
    rng = np.random.default_rng(0)
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # the bounds of a velocity are infinite
        plain, scaled = (GymBatch("CartPole-v1", 32, how) for how in (False, True))
    rows = []
    for batch in (plain, scaled):
        batch.reset(3)
    for _ in range(100):
        actions = rng.integers(2, size=32)
        rows.append((plain.step(actions).observation, scaled.step(actions).observation))
    before, after = np.concatenate(rows, 1)
    np.testing.assert_allclose(after[:, [0, 2]], before[:, [0, 2]] / (4.8, 0.41887903), rtol=1e-5)
    spread = np.sqrt(np.mean(np.square(after[:, [1, 3]]), 0))
    assert (spread > 0.4).all() and (spread < 0.6).all()
    np.testing.assert_array_equal(GymBatch("Pendulum-v1", 1, True).interface.half, [1, 1, 8])  # all have bounds


def test_poles_stepped_together_do_as_each_does_alone() -> None:
    n = 8
    batch = GymBatch("CartPole-v1", n)
    alone = [gymnasium.make("CartPole-v1", disable_env_checker=True) for _ in range(n)]
    rng = np.random.default_rng(0)
    seen, _ = batch.reset(5)
    again, _ = batch.reset(5)
    np.testing.assert_array_equal(seen, again)

    def place(i: int) -> None:
        alone[i].reset()
        alone[i].unwrapped.state = np.array(batch._envs.envs.state[:, i])

    for i in range(n):
        place(i)
    ends = {"terminated": 0, "truncated": 0}
    for _ in range(600):
        balancing = seen @ [0.1, 0.5, 1.0, 1.0] > 0.0
        actions = np.where(np.arange(n) < n // 2, balancing, rng.integers(2, size=n)).astype(np.int32)
        step = batch.step(actions)
        for i in range(n):
            last, reward, terminated, truncated, _ = alone[i].step(int(actions[i]))
            np.testing.assert_allclose(step.final_observation[i], last, rtol=1e-6, atol=1e-7)
            assert (reward, terminated, truncated) == (step.reward[i], step.terminated[i], step.truncated[i])
            ends["terminated"] += terminated
            ends["truncated"] += truncated
            if terminated or truncated:  # the next episode begins in this step, within the bounds of a beginning
                assert np.abs(step.observation[i]).max() <= 0.05
                assert not np.array_equal(step.observation[i], step.final_observation[i])
                place(i)
            else:
                np.testing.assert_array_equal(step.observation[i], step.final_observation[i])
        seen = step.observation
    assert ends["terminated"] > 50 and ends["truncated"] >= n // 2
    beginnings = GymBatch("CartPole-v1", 2_000).reset(1)[0]  # uniform in -0.05..0.05, as each alone begins
    np.testing.assert_allclose(beginnings.std(0), 0.1 / 12**0.5, rtol=0.05)
    np.testing.assert_allclose(beginnings.mean(0), 0.0, atol=0.003)


@pytest.mark.parametrize("task", ["Acrobot-v1", "MountainCar-v0"])
def test_classic_tasks_stepped_together_do_as_each_does_alone(task: str) -> None:
    n = 6
    batch, alone = GymBatch(task, n), [gymnasium.make(task, disable_env_checker=True) for _ in range(n)]
    assert isinstance(batch._envs, Together)
    rng = np.random.default_rng(0)
    seen, _ = batch.reset(5)
    np.testing.assert_array_equal(seen, batch.reset(5)[0])
    done, ends = np.ones(n, np.bool_), {"terminated": 0, "truncated": 0}
    for _ in range(510):
        for i in range(n):
            if done[i]:
                lowest, highest = (0.4, 0.6) if task == "MountainCar-v0" else (0.0, 1.0)
                assert lowest <= abs(alone[i].reset()[0][0]) <= highest
            alone[i].unwrapped.state = np.array(batch._envs.state[:, i])  # what little they differ must not grow
        swinging = 1 + np.sign(seen[:, 1] if task == "MountainCar-v0" else -seen[:, 4])
        actions = np.where(np.arange(n) < n // 2, swinging, rng.integers(3, size=n)).astype(np.int32)
        step = batch.step(actions)
        done = step.terminated | step.truncated
        for i in range(n):
            last, reward, terminated, truncated, _ = alone[i].step(int(actions[i]))
            np.testing.assert_allclose(step.final_observation[i], last, rtol=1e-5, atol=1e-6)
            assert (reward, terminated, truncated) == (step.reward[i], step.terminated[i], step.truncated[i])
            ends["terminated"] += terminated
            ends["truncated"] += truncated
        seen = step.observation
    assert ends["terminated"] > 2 and ends["truncated"] >= 3
    first, alike = GymBatch(task, 2_000).reset(1)[0], [alone[0].reset(seed=i)[0] for i in range(300)]
    np.testing.assert_allclose(first.std(0), np.std(alike, 0), rtol=0.15, atol=1e-3)
    np.testing.assert_allclose(first.mean(0), np.mean(alike, 0), atol=0.02)
