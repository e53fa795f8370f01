"""Keyed random numbers: what they depend on, and that they are random."""

from __future__ import annotations

import numpy as np

from robot.sim.keyed import Keyed, Stream


def test_a_robots_numbers_do_not_depend_on_its_company():
    many, one = Keyed(5, range(1000)), Keyed(5, [37])
    for tick in (0, 1, 999):
        assert one.uniform(tick, Stream.RANGE)[0] == many.uniform(tick, Stream.RANGE)[37]
        np.testing.assert_array_equal(one.normals(tick, Stream.LIGHT)[:, 0], many.normals(tick, Stream.LIGHT)[:, 37])
        where = np.array([37, 5])
        np.testing.assert_array_equal(many.bits(tick, 3, where), many.bits(tick, 3)[where])


def test_seed_robot_tick_and_stream_each_change_the_numbers():
    base = Keyed(1, range(256)).bits(3, 2)
    assert (Keyed(2, range(256)).bits(3, 2) != base).all()
    assert (Keyed(1, range(256, 512)).bits(3, 2) != base).all()
    assert (Keyed(1, range(256)).bits(4, 2) != base).all()
    assert (Keyed(1, range(256)).bits(3, 1) != base).all()
    assert (
        len(np.unique(np.concatenate([Keyed(s, range(256)).bits(t, 1) for s in range(4) for t in range(64)]))) == 65536
    )


def test_uniform_numbers_are_uniform_and_below_one():
    draws = np.concatenate([Keyed(9, range(4000)).uniform(tick, 1) for tick in range(25)])
    counts = np.histogram(draws, bins=20, range=(0, 1))[0]
    assert draws.min() >= 0 and draws.max() < 1
    # Chi-squared with 19 degrees of freedom: 43.8 is passed by chance once in a thousand.
    assert float(((counts - 5000) ** 2 / 5000).sum()) < 43.8


def test_normal_numbers_are_standard_and_independent():
    draws = np.concatenate([Keyed(4, range(4000)).normals(tick, 2) for tick in range(25)], axis=1).astype(float)
    assert np.abs(draws.mean(axis=1)).max() < 0.015
    assert np.abs(draws.std(axis=1) - 1).max() < 0.015
    assert abs(float((draws**4).mean()) - 3) < 0.1
    assert abs(float(np.corrcoef(draws)[0, 1])) < 0.015
    serial = Keyed(4, [7])
    chain = np.array([serial.normals(tick, 2)[0, 0] for tick in range(4000)])
    assert abs(float(np.corrcoef(chain[:-1], chain[1:])[0, 1])) < 0.06
