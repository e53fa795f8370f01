"""PPO: it learns within seconds, repeats bit for bit, and resumes to the same numbers."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from robot.sim.rooms import RoomPool
from tests.train.agents.echo import Echo
from train import episodes
from train.agents.ppo import PPO, PPOSettings
from train.envs.gym_batch import GymBatch
from train.envs.light import LightBatch, LightSettings
from train.evaluation import evaluate
from train.heads import Categorical
from train.networks import FastMLP, mlp

SMALL = PPOSettings(envs=8, horizon=32, epochs=2, minibatch=64, hidden=(16,))


def test_it_learns_to_name_what_it_sees() -> None:
    env = Echo(8)
    agent = PPO(env, SMALL, seed=0)
    before = evaluate(agent.greedy, [(Echo(16), 1)]).returns.mean()
    for _ in agent.learn(env, 6_000):
        pass
    assert before < 8.0
    assert evaluate(agent.greedy, [(Echo(16), 1)]).returns.mean() == 10.0


@pytest.mark.slow
def test_it_learns_cartpole() -> None:
    """A separate greedy evaluation: a running mean while exploring is not a result."""
    env = GymBatch("CartPole-v1", PPOSettings().envs)
    agent = PPO(env, PPOSettings(), seed=1)
    for _ in agent.learn(env, 70_000):
        pass
    result = evaluate(agent.greedy, [(GymBatch("CartPole-v1", 50), 1_000_000)])
    assert result.returns.mean() >= 475.0


def weights_after(iterations: int, seed: int = 3) -> tuple[PPO, Echo]:
    env = Echo(8)
    agent = PPO(env, SMALL, seed)
    learning = agent.learn(env, 100_000)
    for _ in range(iterations):
        next(learning)
    return agent, env


def same(a: PPO, b: PPO) -> bool:
    first, second = a.state(), b.state()
    return first.keys() == second.keys() and all(np.array_equal(first[k], second[k]) for k in first)


def test_the_same_seed_gives_the_same_bits_and_another_seed_does_not() -> None:
    one, _ = weights_after(3)
    assert same(one, weights_after(3)[0])
    assert not same(one, weights_after(3, seed=4)[0])


def test_rewards_four_times_as_large_are_learnt_from_alike_at_a_quarter_of_their_scale() -> None:
    class Rich(Echo):
        def _earned(self, actions: Any) -> Any:
            return super()._earned(actions) * np.float32(4.0)

    env = Rich(8)
    agent = PPO(env, replace(SMALL, reward_scale=0.25), seed=3)
    learning = agent.learn(env, 100_000)
    told = [next(learning) for _ in range(3)]
    assert same(agent, weights_after(3)[0])
    assert max(told[-1].returns) > 10.0  # told is what was earned


def test_a_restored_learner_goes_on_as_the_one_that_was_not_stopped() -> None:
    """In simulated rooms: what is restored there is the most, robots under way with all that they remember."""
    rooms = RoomPool("light", "easy", range(3))
    task = LightSettings(limit_s=4.0)  # 20 decisions, so that episodes end and begin between checkpoints

    def learner() -> tuple[PPO, LightBatch]:
        env = LightBatch(rooms, 8, task, goal_m=0.4)
        return PPO(env, SMALL, seed=3), env

    def go_on(agent: PPO, env: LightBatch, iterations: int) -> list[Any]:
        learning = agent.learn(env, 100_000)
        return [next(learning) for _ in range(iterations)]

    straight, env = learner()
    told = go_on(straight, env, 4)
    stopped, env = learner()
    go_on(stopped, env, 2)
    restored, env = learner()
    restored.load({name: value.copy() for name, value in stopped.state().items()}, env)
    assert go_on(restored, env, 2) == told[2:]
    assert restored.steps == 4 * 8 * 32
    assert same(straight, restored)


def test_episodes_begin_anew_now_and_then_so_that_checkpoints_stay_small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(episodes, "RESTART_STEPS", 2 * 8 * 32)
    agent, _ = weights_after(5)
    assert len(agent.state()["played"]) == 32 and int(agent.state()["began"]) == 4 * 8 * 32


def test_a_checkpoint_of_another_shape_does_not_fit() -> None:
    agent, _ = weights_after(1)
    other = PPO(Echo(8), PPOSettings(envs=8, horizon=32, hidden=(8,)), seed=0)
    with pytest.raises(ValueError, match="shape"):
        other.load(agent.state(), Echo(8))


def test_the_fast_copy_computes_what_keras_computes() -> None:
    model = mlp(5, (32, 16), 3, 1.0, seed=0, name="policy")
    x = np.random.default_rng(0).normal(size=(64, 5)).astype(np.float32)
    np.testing.assert_allclose(FastMLP(model)(x), model(x).numpy(), atol=2e-6)


def test_the_categorical_head_draws_what_its_probabilities_say() -> None:
    head = Categorical(3)
    logits = np.tile(np.array([1.0, 0.0, -1.0], np.float32), (40_000, 1))
    actions = head.draw(logits, head.noise(np.random.default_rng(0), logits.shape))
    log_prob = head.logs(logits, actions)
    p = np.exp(logits[0]) / np.exp(logits[0]).sum()
    np.testing.assert_allclose(np.bincount(actions) / len(actions), p, atol=0.01)
    np.testing.assert_allclose(log_prob, np.log(p)[actions], rtol=1e-5)
    np.testing.assert_allclose(head.log_prob(tf.constant(logits), tf.constant(actions)).numpy(), log_prob, rtol=1e-5)
    assert float(head.entropy(tf.constant(logits[:1]))[0]) == pytest.approx(-(p * np.log(p)).sum(), rel=1e-5)
    assert (head.mode(logits) == 0).all()
