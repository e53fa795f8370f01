"""POET: what is admitted, what moves, and that it solves by stepping stones what a single climb does not."""

from __future__ import annotations

import numpy as np
import pytest

from train.agents.poet import POET, DockJudge, POETSettings


def hills(challenge: np.ndarray, rows: np.ndarray, seed: int) -> np.ndarray:
    """A challenge moves a narrow hill away from the origin: from afar it is flat, and nothing points to it."""
    away = np.abs(rows[:, 0] - 4.0 * challenge[0])
    return np.maximum(0.0, 1.0 - away)


SETTINGS = POETSettings(
    niches=6, pairs=8, sigma=0.1, rate=0.1, reproduce_every=3, transfer_every=3, spread=0.15, children=8, least=0.1
)


def test_it_gets_where_a_single_climb_sees_nothing() -> None:
    hardest = np.array([1.0])
    alone = POET(hills, 1, 1, SETTINGS, seed=0)
    agent = alone.pairs[0].agent
    for _ in range(300):
        agent = alone._learn(hardest, agent)
    assert hills(hardest, agent[None], 0)[0] == 0.0
    poet = POET(hills, 1, 1, SETTINGS, seed=0)
    for _ in range(60):
        poet.step()
    assert poet.solver(hardest)[1] > 0.8
    assert poet.transfers > 0 and len(poet.pairs) <= SETTINGS.niches
    assert max(float(challenge[0]) for challenge in poet.archive) > 0.9


def test_the_minimal_criterion_keeps_out_what_is_too_hard_or_too_easy() -> None:
    for score, admitted in ((0.0, 0), (0.5, 2), (1.0, 0)):
        poet = POET(lambda challenge, rows, seed, s=score: np.full(len(rows), s), 3, 2, SETTINGS, seed=1)
        poet.pairs[0].score = 1.0
        poet._reproduce()
        assert len(poet.pairs) == 1 + admitted


def test_the_most_novel_is_admitted_first() -> None:
    poet = POET(lambda challenge, rows, seed: np.full(len(rows), 0.5), 3, 2, SETTINGS, seed=1)
    poet.archive = [np.zeros(2), np.full(2, 0.1)]
    assert poet._novelty(np.ones(2)) > poet._novelty(np.full(2, 0.2)) > poet._novelty(np.full(2, 0.05))


def test_an_agent_moves_to_where_it_does_better() -> None:
    poet = POET(hills, 1, 1, SETTINGS, seed=0)
    pair = poet.pairs[0]
    kind = type(pair)
    poet.pairs = [kind(np.array([at]), np.array([agent], np.float32)) for at, agent in ((0.0, 3.0), (0.5, 0.1))]
    poet._transfer()
    assert poet.pairs[0].came_from == 1 and poet.pairs[0].score > 0.8


def test_rooms_of_a_challenge_are_as_hard_as_it_says_and_policies_are_told_apart() -> None:
    judge = DockJudge(rooms=2, limit_s=8.0)
    easy, hard = (judge.rooms(np.array(challenge), 5, 1)[0] for challenge in ([0.0, 0.0], [1.0, 1.0]))
    assert len(easy.obstacles) == 2 and len(hard.obstacles) == 2 + 2 * judge.MOST_BOXES
    gaps = [room.obstacles[1][:, 1].min() - room.obstacles[0][:, 1].max() for room in (easy, hard)]
    assert gaps == pytest.approx(judge.DOORS_M)
    rows = np.random.default_rng(0).normal(size=(12, judge.crowd.size)).astype(np.float32)
    scores = judge(np.zeros(2), rows, 3)
    assert scores.shape == (12,) and (scores >= 0).all() and (scores <= 1).all() and np.ptp(scores) > 0
    np.testing.assert_array_equal(scores, judge(np.zeros(2), rows, 3))
    assert judge.steps == 2 * 2 * 12 * 40
