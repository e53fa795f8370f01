"""POET: what is admitted, what moves, and that it solves by stepping stones what a single climb does not."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from train.agents.poet import POET, ESSettings, EvolutionStrategies, POETSettings
from train.agents.poet_dock import BOXES, DIMS, DOORS_M, LEARNING, WALLS, DockTrainer, rooms_of
from train.envs.dock import DockSettings


def hills(challenge: np.ndarray, rows: np.ndarray, seed: int) -> np.ndarray:
    """A challenge moves a narrow hill away from the origin: from afar it is flat, and nothing points to it."""
    away = np.abs(rows[:, 0] - 4.0 * challenge[0])
    return np.maximum(0.0, 1.0 - away)


SETTINGS = POETSettings(niches=6, reproduce_every=3, transfer_every=3, score_every=1, spread=0.15, least=0.1, most=0.9)


def climbing(judge=hills, size: int = 1) -> EvolutionStrategies:
    return EvolutionStrategies(judge, size, ESSettings(pairs=8, sigma=0.1, rate=0.1))


def test_it_gets_where_a_single_climb_sees_nothing() -> None:
    hardest = np.array([1.0])
    trainer = climbing()
    agent = trainer.first(0)
    for seed in range(300):
        agent = trainer.learn(hardest, agent, seed)
    assert hills(hardest, agent[None], 0)[0] == 0.0
    poet = POET(trainer, 1, SETTINGS, seed=0)
    for _ in range(60):
        poet.step()
    assert poet.solver(hardest)[1] > 0.8
    assert poet.transfers > 0 and len(poet.pairs) <= SETTINGS.niches
    assert max(float(challenge[0]) for challenge in poet.archive) > 0.9


def test_the_minimal_criterion_keeps_out_what_is_too_hard_or_too_easy() -> None:
    for score, admitted in ((0.0, 0), (0.5, 2), (1.0, 0)):
        poet = POET(climbing(lambda challenge, rows, seed, s=score: np.full(len(rows), s), 3), 2, SETTINGS, seed=1)
        poet.pairs[0].score = 1.0
        poet._reproduce()
        assert len(poet.pairs) == 1 + admitted
        # Children that are all too easy are sought further away, and nearer where they are too hard.
        assert np.sign(poet.spread - SETTINGS.spread) == {0.0: -1, 0.5: 0, 1.0: 1}[score]


def test_the_most_novel_is_admitted_first() -> None:
    poet = POET(climbing(lambda challenge, rows, seed: np.full(len(rows), 0.5), 3), 2, SETTINGS, seed=1)
    poet.archive = [np.zeros(2), np.full(2, 0.1)]
    assert poet._novelty(np.ones(2)) > poet._novelty(np.full(2, 0.2)) > poet._novelty(np.full(2, 0.05))


def test_an_agent_moves_to_where_it_does_better() -> None:
    poet = POET(climbing(), 1, SETTINGS, seed=0)
    pair = poet.pairs[0]
    kind = type(pair)
    poet.pairs = [kind(np.array([at]), np.array([agent], np.float32)) for at, agent in ((0.0, 3.0), (0.5, 0.1))]
    poet._transfer()
    first = poet.pairs[0]
    assert first.came_from == 1 and hills(first.challenge, first.agent[None], 0)[0] > 0.8


def test_who_solved_its_challenge_rests_while_others_learn() -> None:
    poet = POET(climbing(), 1, SETTINGS, seed=0)
    kind = type(poet.pairs[0])
    poet.pairs = [kind(np.array([at]), np.array([agent], np.float32), hills(np.array([at]), np.array([[agent]]), 0)[0])
                  for at, agent in ((0.0, 0.0), (0.2, 0.3))]  # fmt: skip
    poet.step()
    assert poet.pairs[0].agent[0] == 0.0 and poet.pairs[1].agent[0] > 0.3


def test_rooms_of_a_challenge_are_as_hard_as_it_says() -> None:
    easy, hard = (rooms_of(np.array(challenge), 5, 1)[0] for challenge in ([0.0, 0.0, 0.0], [1.0, 1.0, 1.0]))
    assert len(easy.obstacles) == 0 and len(hard.obstacles) == 2 * WALLS + (WALLS + 1) * BOXES
    gaps = [hard.obstacles[2 * i + 1][:, 1].min() - hard.obstacles[2 * i][:, 1].max() for i in range(WALLS)]
    assert gaps == pytest.approx([DOORS_M[1]] * WALLS)


@pytest.mark.slow
def test_agents_learn_by_ppo_and_are_told_apart() -> None:
    learning = dataclasses.replace(LEARNING, envs=64)
    settings = DockSettings(level="far", limit_s=20.0, wheels=True)
    trainer, again = (DockTrainer(settings, learning, rooms=24, trained=8) for _ in range(2))
    nowhere, agents = np.zeros(DIMS), [trainer.first(1)]
    before = agents[0]["weights"].copy()
    for seed in range(25):
        agents.append(trainer.learn(nowhere, agents[-1], seed))
    np.testing.assert_array_equal(agents[0]["weights"], before)  # an agent stays as it is
    assert trainer.steps == 25 * learning.envs * learning.horizon
    scores = trainer.scores(nowhere, [agents[0], agents[-1]], 3)
    np.testing.assert_array_equal(scores, trainer.scores(nowhere, [agents[0], agents[-1]], 3))
    assert scores[1] > 0.8 > 0.6 > scores[0]
    same = again.first(1)
    for seed in range(2):
        same = again.learn(nowhere, same, seed)
    np.testing.assert_array_equal(agents[2]["weights"], same["weights"])
