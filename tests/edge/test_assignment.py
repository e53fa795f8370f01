"""The assignment is the least one: against every permutation where they can be counted, else by its own proof."""

from __future__ import annotations

from itertools import permutations

import numpy as np
import pytest

from edge.perception.assignment import assign, solve


def test_small_ones_against_all_permutations() -> None:
    rng = np.random.default_rng(0)
    for rows, columns in [(1, 1), (1, 4), (3, 3), (3, 6), (5, 5), (5, 6)]:
        for draw in range(20):
            cost = rng.normal(size=(rows, columns)) if draw % 2 else rng.integers(0, 4, (rows, columns)).astype(float)
            best = min(cost[range(rows), list(order)].sum() for order in permutations(range(columns), rows))
            found, _, _ = solve(cost)
            assert len(set(found.tolist())) == rows
            assert cost[range(rows), found].sum() == pytest.approx(best, abs=1e-12)


@pytest.mark.parametrize("shape", [(40, 40), (30, 90), (1, 200)])
def test_large_ones_by_their_potentials(shape: tuple[int, int]) -> None:
    rng = np.random.default_rng(shape[1])
    for cost in (rng.random(shape), rng.integers(0, 5, shape).astype(float), -(rng.random(shape) ** 4)):
        found, of_row, of_column = solve(cost)
        assert len(set(found.tolist())) == shape[0]
        slack = cost - of_row[:, None] - of_column
        assert slack.min() > -1e-9 and np.abs(slack[range(shape[0]), found]).max() < 1e-9
        free = np.setdiff1d(np.arange(shape[1]), found)
        assert of_column.max() < 1e-9 and (np.abs(of_column[free]) < 1e-9).all()


def test_the_limit_leaves_alone_who_costs_more() -> None:
    cost = np.array([[0.1, 0.7, np.inf], [0.2, 0.3, np.inf], [0.9, 0.85, np.inf]])
    rows, columns = assign(cost, 0.8)
    assert sorted(zip(rows.tolist(), columns.tolist(), strict=True)) == [(0, 0), (1, 1)]
    assert len(assign(cost, 0.05)[0]) == 0 and len(assign(np.zeros((0, 3)), 1.0)[0]) == 0


def test_two_pairs_go_before_one_cheap_pair() -> None:
    rng = np.random.default_rng(5)
    for _ in range(60):
        rows, columns = rng.integers(1, 5, 2)
        cost = np.where(rng.random((rows, columns)) < 0.3, np.inf, rng.random((rows, columns)))
        first, second = assign(cost, 0.8)
        gain = float((cost[first, second] - 0.8).sum())
        assert (cost[first, second] < 0.8).all() and len(set(first.tolist())) == len(first)
        wide = np.minimum(np.concatenate((cost - 0.8, np.zeros((rows, rows))), axis=1), 0.0)
        best = min(wide[range(rows), list(order)].sum() for order in permutations(range(columns + rows), int(rows)))
        assert gain == pytest.approx(best, abs=1e-12)
