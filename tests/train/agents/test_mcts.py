"""Tree search: it finds what the network does not know, the network learns it, and the world is a model of itself."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from edge.errors import UsageError
from tests.train.agents.echo import Echo
from train import tasks
from train.agents.mcts import MCTS, MCTSSettings, Trees
from train.envs.batch import Step
from train.evaluation import evaluate


class Path:
    """Five places in a row; 1 goes on, the other two lead back to the first. The end earns 1; twelve steps at most."""

    LAST = 4

    def __init__(self, n: int) -> None:
        self.n, self.actions, self.continuous = n, 3, False
        self.observation_size = self.state_size = self.LAST + 1

    def reset(self, seed: int) -> tuple[Any, Any]:
        self._where = np.arange(self.n) % self.LAST
        self._age = np.zeros(self.n, int)
        return self._seen(), self._seen()

    def advance(self, actions: Any) -> Step:
        self._where = np.where(actions == 1, np.minimum(self._where + 1, self.LAST), 0)
        self._age += 1
        terminated = self._where == self.LAST
        truncated = ~terminated & (self._age >= 12)
        seen = self._seen()
        return Step(seen, seen, seen, terminated.astype(np.float32), terminated, truncated, terminated)

    def step(self, actions: Any) -> Step:
        step = self.advance(actions)
        done = step.terminated | step.truncated
        self._where[done], self._age[done] = 0, 0
        step.observation = step.state = self._seen()
        return step

    def snapshot(self) -> Any:
        return np.stack((self._where, self._age)).astype(np.float32)

    def restore(self, snapshot: Any) -> None:
        self._where, self._age = snapshot.astype(int)

    def mirror(self, other: Any) -> None: ...

    def like(self, n: int) -> Path:
        return Path(n)

    def close(self) -> None: ...

    def _seen(self) -> Any:
        return np.eye(self.LAST + 1, dtype=np.float32)[self._where]


def test_it_finds_the_way_and_the_network_learns_it() -> None:
    settings = MCTSSettings(
        envs=16, simulations=12, horizon=12, epochs=4, minibatch=64, hidden=(16,), learning_rate=0.02
    )
    env = Path(16)
    agent = MCTS(env, settings, seed=0)
    start = evaluate(agent.greedy, [(Path(8), 0)])
    for _ in agent.learn(env, 16 * 12 * 12):
        pass
    end = evaluate(agent.greedy, [(Path(8), 0)])
    assert start.successes is not None and end.successes is not None
    assert not start.successes.all() and end.successes.all()


def test_a_restored_learner_goes_on_as_the_one_that_was_not_stopped() -> None:
    settings = MCTSSettings(envs=4, simulations=4, horizon=4, epochs=1, hidden=(4,))

    def learner(seed: int) -> tuple[MCTS, Path]:
        env = Path(4)
        return MCTS(env, settings, seed), env

    tf.config.run_functions_eagerly(True)  # two compilations would take longer than all the rest
    try:
        straight, env = learner(3)
        told = list(straight.learn(env, 64))
        stopped, env = learner(3)
        list(stopped.learn(env, 32))
        restored, env = learner(5)
        restored.seed = 3
        restored._episodes._seed = 3
        restored.load(stopped.state(), env)
        again = list(restored.learn(env, 64))
    finally:
        tf.config.run_functions_eagerly(False)
    assert again == told[2:]
    for name, value in straight.state().items():
        np.testing.assert_array_equal(value, restored.state()[name])


def test_search_sees_further_than_its_network() -> None:
    """Two steps before the end an untrained network prefers nothing; a search does."""
    env = Path(4)
    agent = MCTS(env, MCTSSettings(envs=4, simulations=40, hidden=(8,)), seed=1)
    seen, state = env.reset(0)
    env._where[:] = Path.LAST - 2
    chosen = agent.plan(env, env._seen(), env._seen())
    assert chosen.tolist() == [1] * 4
    assert (env._where == Path.LAST - 2).all()  # the search has moved the model, not the world


def test_values_go_up_the_path_discounted() -> None:
    trees = Trees(3, 1, 2, 1)
    one = np.ones(1, bool)
    trees.reward[0, 0, 1], trees.reward[1, 0, 0] = 1.0, 10.0
    path = [(np.array([0]), np.array([1]), one), (np.array([1]), np.array([0]), one)]
    trees.backup(path, np.array([100.0], np.float32), 0.5)
    assert trees.total[1, 0, 0] == 60.0 and trees.total[0, 0, 1] == 31.0
    assert trees.visits[0, 0].tolist() == [0, 1] and trees.low[0] == 31.0 and trees.high[0] == 60.0


def test_the_world_foresees_what_it_then_does() -> None:
    """Without noise a model in the same rooms goes the same way, and back again."""
    task = tasks.make("light", {"rooms": 3})
    env: Any = task.training(6)
    env.reset(0)
    model = env.like(6)
    model.mirror(env)
    rng = np.random.default_rng(0)
    for _ in range(4):
        env.step(rng.integers(5, size=6))
    env.world.noise, env.world.motors = False, model.world.motors
    model.restore(env.snapshot())
    actions = rng.integers(5, size=(3, 6))
    foreseen = [model.advance(row) for row in actions]
    model.restore(env.snapshot())
    np.testing.assert_array_equal(model.snapshot(), env.snapshot())
    for row, expected in zip(actions, foreseen, strict=True):
        step = env.advance(row)
        np.testing.assert_array_equal(step.observation, expected.observation)
        np.testing.assert_array_equal(step.reward, expected.reward)


def test_what_cannot_foresee_is_refused() -> None:
    with pytest.raises(UsageError, match="its own model"):
        MCTS(Echo(2), MCTSSettings(envs=2), seed=0)
