"""Deep Q-learning: every switch does what its paper says, and it learns in seconds."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from tests.train.agents.echo import Echo
from train.agents.dqn import DQN, DQNSettings
from train.agents.dqn_lecture import LectureDQN, LectureDQNSettings
from train.evaluation import evaluate

SMALL: dict[str, Any] = {
    "hidden": (16,), "replay": 2_000, "learning_starts": 200, "train_every": 32, "gradient_steps": 8,
    "iteration": 128, "gamma": 0.5, "learning_rate": 5e-3, "target_every": 64, "n_step": 1, "batch": 16,
}  # fmt: skip
ALL: dict[str, Any] = {"double": True, "dueling": True, "prioritized": True, "n_step": 2}


def learner(**more: Any) -> DQN:
    return DQN(Echo(8), DQNSettings(**(SMALL | more)), seed=0)


@pytest.mark.parametrize("more", [{"fixed_targets": False}, ALL], ids=["plain", "full"])
def test_it_learns_to_name_what_it_sees(more: dict[str, Any]) -> None:
    agent = learner(**more)
    for _ in agent.learn(Echo(8), 4_000):
        pass
    assert evaluate(agent.greedy, [(Echo(16), 1)]).returns.mean() == 10.0


@pytest.mark.parametrize("less", ["mean", "max"])
def test_duelling_parts_add_up(less: str) -> None:
    agent = learner(dueling=True, dueling_less=less)
    seen = np.random.default_rng(0).normal(size=(9, 4)).astype(np.float32)
    q, scores = agent.network(tf.constant(seen)).numpy(), agent.policy(seen).numpy()
    np.testing.assert_allclose(q - q.mean(1, keepdims=True), scores - scores.mean(1, keepdims=True), atol=1e-5)
    trunk = agent.policy.layers[0](seen).numpy()
    kernel, bias = (variable.numpy() for variable in agent.network.variables[-2:])
    value = (trunk @ kernel + bias)[:, 0]
    np.testing.assert_allclose(q.mean(1) if less == "mean" else q.max(1), value, atol=1e-5)
    np.testing.assert_array_equal(agent.greedy(seen), q.argmax(1))  # what is kept ranks the actions alike


@pytest.mark.parametrize(("double", "fixed"), [(False, True), (True, True), (False, False)])
def test_the_error_is_the_one_of_the_papers(double: bool, fixed: bool) -> None:
    """With rate 0 nothing moves, and each error can be computed from the two networks."""
    agent = learner(double=double, fixed_targets=fixed, learning_rate=0.0, gradient_steps=1)
    rng = np.random.default_rng(0)
    for variable in agent.target.variables:  # another network than the one that learns
        variable.assign(rng.normal(size=variable.shape))
    seen, following = rng.normal(size=(2, 1, 16, 4)).astype(np.float32)
    action, reward = rng.integers(4, size=(1, 16)).astype(np.int32), rng.normal(size=(1, 16)).astype(np.float32)
    discount = np.where(np.arange(16) % 4, 0.5, 0.0).astype(np.float32)[None]
    agent._optimizer.learning_rate.assign(0.0)
    tf.config.run_functions_eagerly(True)  # three compilations would take longer than all the rest
    try:
        errors, _ = agent._optimise(seen, action, reward, following, discount, np.ones((1, 16), np.float32))
    finally:
        tf.config.run_functions_eagerly(False)
    online, target = agent.network(following[0]).numpy(), agent.target(following[0]).numpy()
    future = target if fixed else online
    best = (online if double else future).argmax(1)
    goal = reward[0] + discount[0] * future[np.arange(16), best]
    q = agent.network(seen[0]).numpy()[np.arange(16), action[0]]
    np.testing.assert_allclose(errors.numpy()[0], goal - q, atol=1e-5)


@pytest.mark.parametrize("hold", [1.0, 6.0])
def test_random_actions_are_kept_for_as_long_as_told(hold: float) -> None:
    agent, rng = learner(hold=hold, epsilon_end=0.0, epsilon_share=1.0), np.random.default_rng(0)
    seen = np.zeros((8, 4), np.float32)
    played = np.array([agent.explore(seen, rng, 0.0) for _ in range(2_000)])
    assert (played[1:] != played[:-1]).mean() == pytest.approx(0.75 / hold, rel=0.1)  # chance repeats one of four
    played = np.array([agent.explore(seen, rng, 0.5) for _ in range(2_000)])
    stray = hold / (1.0 + hold)  # of all steps, where every other one that is free begins a random action
    assert (played != agent.greedy(seen)).mean() == pytest.approx(0.75 * stray, rel=0.1)


def test_the_lectures_recipe_goes_by_episodes(monkeypatch: pytest.MonkeyPatch) -> None:
    agent = LectureDQN(Echo(1), LectureDQNSettings(episodes=54, max_steps=3), seed=0)
    after: list[int] = []
    monkeypatch.setattr(agent, "update", lambda share, rng: after.append(agent.episode) or [0.0, 0.0, 0.0])
    reports = list(agent.learn(Echo(1), 10_000))
    assert [report.lengths for report in reports] == [[3]] * 54 and agent.steps == 3 * 54
    assert after == [51, 52, 53, 54]  # one after each, beyond the 50th
    whole = LectureDQNSettings().episodes
    found = [LectureDQN._epsilon(agent, episode / whole) for episode in range(whole)]
    np.testing.assert_allclose(found, [max(1 - episode / 500, 0.01) for episode in range(whole)])
