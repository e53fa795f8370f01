"""Search among policies: each way learns in seconds, repeats, resumes, and is not fooled by luck."""

from __future__ import annotations

import numpy as np
import pytest

from tests.train.agents.echo import Echo
from train.agents.cem import CEM, CEMSettings
from train.agents.genetic import Genetic, GeneticSettings
from train.agents.search import Crowd, Search
from train.envs.gym_batch import GymBatch
from train.evaluation import evaluate
from train.learner import Iteration
from train.networks import FastMLP, mlp


def learner(kind: type[Search], seed: int = 0) -> tuple[Search, Echo]:
    settings = kind.Settings(hidden=(4,))
    env = Echo(settings.envs)
    return kind(env, settings, seed), env


@pytest.mark.parametrize("kind", [Genetic, CEM])
def test_it_learns_to_name_what_it_sees(kind: type[Search]) -> None:
    agent, env = learner(kind)
    before = evaluate(agent.greedy, [(Echo(50), 1)]).returns.mean()
    for _ in agent.learn(env, 50_000):
        pass
    assert before < 8.0
    assert evaluate(agent.greedy, [(Echo(50), 1)]).returns.mean() == 10.0


def test_genetic_search_solves_cartpole() -> None:
    settings = GeneticSettings()
    assert settings.envs == settings.population == 100
    env = GymBatch("CartPole-v1", 100)
    agent = Genetic(env, settings, seed=0)
    for _ in agent.learn(env, 100_000):
        pass
    assert evaluate(agent.greedy, [(GymBatch("CartPole-v1", 50), 1_000_000)]).returns.mean() >= 475.0


@pytest.mark.parametrize("kind", [Genetic, CEM])
def test_a_restored_learner_goes_on_as_the_one_that_was_not_stopped(kind: type[Search]) -> None:
    straight, env = learner(kind, 3)
    told = list(straight.learn(env, 4 * env.n * 10))
    stopped, env = learner(kind, 3)
    assert list(stopped.learn(env, 2 * env.n * 10)) == told[:2]
    restored, env = learner(kind, 5)
    restored.seed = 3
    restored.load(stopped.state(), env)
    assert list(restored.learn(env, 4 * env.n * 10)) == told[2:]
    assert all(np.array_equal(value, restored.state()[name]) for name, value in straight.state().items())
    other = kind(env, kind.Settings(hidden=(7,)), 0)
    with pytest.raises(ValueError, match="shape"):
        other.load(stopped.state(), env)


def test_who_was_lucky_once_does_not_stay() -> None:
    agent = Genetic(Echo(2), GeneticSettings(survivors=1, children=1, hidden=(4,)), seed=0)
    rows = agent.propose(np.random.default_rng(0))
    agent.select(rows, np.array([[9.0], [5.0]]))  # by luck
    agent.generation = 1
    again = agent.propose(np.random.default_rng(1))
    np.testing.assert_array_equal(again[0], rows[0])
    agent.select(again, np.array([[1.0], [6.0]]))  # its mean is 5 now
    np.testing.assert_array_equal(agent.kept, again[1])
    assert agent.played.tolist() == [1] and agent.earned.tolist() == [6.0]


def test_a_generation_acts_as_each_of_its_policies_would_alone() -> None:
    """And each environment counts for one episode."""
    crowd, model = Crowd([4, 5, 4]), mlp(4, (5,), 4, 1.0, 0, "policy")
    rows = np.random.default_rng(0).normal(size=(3, crowd.size)).astype(np.float32)
    report = Iteration(0)
    returns = crowd.play(Echo(6), rows, 1, report)
    assert returns.shape == (3, 2) and report.steps == 60 and report.lengths == [10] * 6
    fast = FastMLP(model)
    for i, row in enumerate(rows):
        fast.copy(
            [array[0] if array.shape[1] > 1 else array[0, 0] for pair in crowd.layers(row[None]) for array in pair]
        )
        alone = evaluate(lambda seen: fast(seen).argmax(1), [(Echo(6), 1)]).returns
        np.testing.assert_array_equal(alone[2 * i : 2 * i + 2], returns[i])


def test_the_crossentropy_method_moves_to_the_best() -> None:
    agent = CEM(Echo(4), CEMSettings(population=4, elite=2, episodes=1, hidden=(4,)), seed=0)
    rows = agent.propose(np.random.default_rng(0))
    agent.select(rows, np.array([[1.0], [4.0], [0.0], [3.0]]))
    np.testing.assert_allclose(agent.kept, rows[[1, 3]].mean(0), rtol=1e-6)
    np.testing.assert_allclose(agent.std, rows[[1, 3]].std(0), rtol=1e-5)
