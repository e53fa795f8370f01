"""Learning with tables: the lecture's three states to the digit, and learners that come to the same values."""

from __future__ import annotations

import numpy as np
import pytest

from train.agents.tabular.mdp import DecisionProcess, MarkovChain, evenly, three_states
from train.agents.tabular.planning import policy_values, q_value_iteration, value_iteration
from train.agents.tabular.td import QTable, q_learning, td_zero

INF = np.inf
Q90 = np.array([[18.91891892, 17.02702702, 13.62162162], [0.0, -INF, -4.87971488], [-INF, 50.13365013, -INF]])


def test_q_value_iteration_gives_the_lectures_figures() -> None:
    q = q_value_iteration(three_states(), 0.90, 50)
    np.testing.assert_array_equal(np.isinf(q), np.isinf(Q90))
    np.testing.assert_allclose(q[np.isfinite(q)], Q90[np.isfinite(Q90)], atol=5e-9)
    assert q.argmax(1).tolist() == [0, 0, 1]


def test_at_a_longer_horizon_the_loss_is_worth_it() -> None:
    assert q_value_iteration(three_states(), 0.95, 50).argmax(1).tolist() == [0, 2, 1]


@pytest.mark.parametrize("gamma", [0.5, 0.90, 0.95])
def test_value_iteration_is_the_best_of_q_and_of_its_own_policy(gamma: float) -> None:
    process = three_states()
    values, q = value_iteration(process, gamma, 2000), q_value_iteration(process, gamma, 2000)
    np.testing.assert_allclose(values, q.max(1))
    np.testing.assert_allclose(policy_values(process, np.eye(3)[q.argmax(1)], gamma), values, atol=1e-9)
    assert (policy_values(process, evenly(process), gamma) <= values + 1e-9).all()


def test_a_chain_ends_where_it_is_never_left_and_visits_states_as_often_as_it_says() -> None:
    rows = [[0.7, 0.2, 0.0, 0.1], [0.0, 0.0, 0.9, 0.1], [0.0, 1.0, 0.0, 0.0], [0.0, 0.0, 0.0, 1.0]]
    chain = MarkovChain(np.array(rows))
    rng = np.random.default_rng(0)
    walks = [chain.walk(0, 1000, rng) for _ in range(3000)]
    assert all(walk[0] == 0 and walk[-1] == 3 and 3 not in walk[:-1] for walk in walks)
    third = [walk[min(3, len(walk) - 1)] for walk in walks]
    np.testing.assert_allclose(np.bincount(third, minlength=4) / 3000, chain.after(0, 3), atol=0.03)
    assert len(chain.walk(1, 0, rng)) == 1


@pytest.mark.parametrize(
    ("row", "told"), [([0.5, 0.4], "sums to 0.9"), ([1.5, -0.5], "negative"), ([float("nan"), 1.0], "sums to nan")]
)
def test_what_is_no_probability_is_told(row: list[float], told: str) -> None:
    with pytest.raises(ValueError, match=told):
        MarkovChain(np.array([row, [0.0, 1.0]]))
    with pytest.raises(ValueError, match="no possible action"):
        DecisionProcess(np.zeros((2, 1, 2)), np.zeros((2, 1, 2)))
    with pytest.raises(ValueError, match="action 1 is impossible in state 1"):
        three_states().step(1, 1, np.random.default_rng(0))


def test_td_zero_comes_to_the_values_of_the_policy_that_walks() -> None:
    process = three_states()
    policy = evenly(process)
    found = [td_zero(process, policy, np.random.default_rng(seed), steps=20_000, decay=5e-4) for seed in range(3)]
    np.testing.assert_allclose(np.mean(found, 0), policy_values(process, policy, 0.90), atol=1.0)


def test_q_learning_as_the_lecture_sets_it_comes_to_the_same_q() -> None:
    """Alpha 0.05 with power decay 0.005, 10,000 random steps: on its way; with a slower decay it arrives."""
    known = np.isfinite(Q90)
    for more, near in (({}, 6.0), ({"decay": 2e-4, "steps": 30_000}, 1.5)):
        tables = [q_learning(three_states(), np.random.default_rng(seed), **more) for seed in range(2)]
        q = np.mean([table.q for table in tables], 0)
        np.testing.assert_allclose(q[known], Q90[known], atol=near)
        assert np.isneginf(q[~known]).all() and all(table.taken[~known].sum() == 0 for table in tables)
        assert q.argmax(1).tolist() == [0, 0, 1]


@pytest.mark.parametrize("how", [{"epsilon": 0.3}, {"epsilon": 0.0, "curiosity": 100.0}], ids=["epsilon", "f(Q, N)"])
def test_q_learning_finds_the_best_actions_however_it_explores(how: dict[str, float]) -> None:
    """At a far horizon, where s1's best action costs 50 at once."""
    process = three_states()
    more = {"gamma": 0.98, "alpha": 0.2, "decay": 2e-3, "steps": 10_000}
    best = [q_learning(process, np.random.default_rng(seed), **more, **how).q.argmax(1).tolist() for seed in range(2)]
    assert best == [[0, 2, 1]] * 2 == [q_value_iteration(process, 0.98, 500).argmax(1).tolist()] * 2


def test_greed_alone_never_learns_what_a_loss_may_lead_to() -> None:
    """What both kinds of exploration are for."""
    greedy = [
        q_learning(three_states(), np.random.default_rng(seed), gamma=0.98, alpha=0.2, decay=2e-3, epsilon=0.0)
        for seed in range(2)
    ]
    assert [table.q.argmax(1).tolist() for table in greedy] == [[0, 0, 1]] * 2


def test_the_exploration_function_counts_and_fades() -> None:
    table = QTable(np.ones((1, 2), bool), alpha=1.0, decay=0.0, curiosity=10.0)
    rng = np.random.default_rng(0)
    table.update(0, 0, 1.0, 0, terminated=True)
    assert table.choose(0, 0.0, rng) == 1  # 0 + 10 / 1 against 1 + 10 / 2
    for _ in range(30):
        table.update(0, 1, 0.0, 0, terminated=True)
    assert table.choose(0, 0.0, rng) == 0
    table.update(0, 0, 0.0, 0)
    assert table.q[0, 0] == pytest.approx(0.9 * (1.0 + 10.0 / 2))  # the best promise of where it led
