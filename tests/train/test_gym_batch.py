"""A Gymnasium environment's numbers on one scale."""

from __future__ import annotations

import warnings

import numpy as np

from train.envs.gym_batch import GymBatch


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
