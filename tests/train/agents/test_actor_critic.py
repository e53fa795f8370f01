"""Actor-critic learners: each learns an identity task in seconds, by choices and by numbers."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from tests.train.agents.echo import Echo, Follow
from train.agents.a2c import A2C, A2CSettings
from train.agents.a3c import A3C, A3CSettings
from train.agents.ppo import PPO, PPOSettings
from train.agents.sac import SAC, SACSettings
from train.envs.batch import BatchEnv
from train.evaluation import evaluate
from train.heads import Gaussian
from train.networks import FastMLP

SMALL = {"hidden": (16,), "gamma": 0.5, "learning_rate": 5e-3}
LEARNERS: dict[str, tuple[Any, Any, int]] = {
    "a2c": (A2C, A2CSettings(**SMALL, envs=8, iteration=512), 12_000),  # type: ignore[arg-type]
    "a3c": (A3C, A3CSettings(**SMALL, workers=2, iteration=512), 12_000),  # type: ignore[arg-type]
    "ppo": (PPO, PPOSettings(**SMALL, envs=8, horizon=32, minibatch=64), 12_000),  # type: ignore[arg-type]
    "sac": (SAC, SACSettings(**SMALL, envs=4, batch=64, learning_starts=200), 3_000),  # type: ignore[arg-type]
}


def learnt(name: str, env: BatchEnv, steps: int) -> Any:
    kind, settings, _ = LEARNERS[name]
    agent = kind(env, settings, seed=0)
    for _ in agent.learn(env, steps):
        pass
    return agent


@pytest.mark.parametrize("name", ["a2c", "a3c"])
def test_it_learns_to_name_what_it_sees(name: str) -> None:
    agent = learnt(name, Echo(8), LEARNERS[name][2])
    assert evaluate(agent.greedy, [(Echo(16), 1)]).returns.mean() == 10.0


@pytest.mark.parametrize("name", ["ppo", "sac"])
def test_it_learns_to_give_back_the_numbers_it_sees(name: str) -> None:
    """Standing still earns 6; a mean distance of a tenth is what a broken update never reaches."""
    agent = learnt(name, Follow(LEARNERS[name][1].envs), LEARNERS[name][2])
    assert evaluate(agent.greedy, [(Follow(16), 1)]).returns.mean() >= 9.0
    seen = np.random.default_rng(0).uniform(-1.0, 1.0, (9, 2)).astype(np.float32)
    wanted = agent.greedy(seen)
    agent.set_policy(agent.weights())  # what is kept and converted acts as the learner does
    np.testing.assert_allclose(agent.greedy(seen), wanted, atol=1e-6)
    np.testing.assert_allclose(np.clip(FastMLP(agent.policy)(seen), -1.0, 1.0), wanted, atol=1e-6)


def test_the_gaussian_head_draws_what_its_density_says() -> None:
    head = Gaussian(2)
    head.log_std.assign([-1.0, 0.5])
    head.refresh()
    outputs = np.tile(np.array([0.3, -2.0], np.float32), (40_000, 1))
    actions = head.draw(outputs, head.noise(np.random.default_rng(0), outputs.shape))
    log_prob = head.logs(outputs, actions)
    np.testing.assert_allclose(actions.mean(0), outputs[0], atol=0.03)
    np.testing.assert_allclose(np.log(actions.std(0)), [-1.0, 0.5], atol=0.02)
    np.testing.assert_allclose(head.log_prob(tf.constant(outputs), tf.constant(actions)), log_prob, atol=1e-4)
    assert float(head.entropy(tf.constant(outputs[:1]))[0]) == pytest.approx(-log_prob.mean(), abs=0.02)


def test_the_squashed_density_integrates_to_one() -> None:
    agent = SAC(Follow(1), SACSettings(**SMALL), seed=0)  # type: ignore[arg-type]
    noise = np.random.default_rng(0).standard_normal((20_000, 2)).astype(np.float32)
    seen = np.zeros((20_000, 2), np.float32)
    actions, log_prob = (tensor.numpy() for tensor in agent._draw(tf.constant(seen), tf.constant(noise)))
    assert np.abs(actions).max() <= 1.0
    # Importance sampling of the square's area, 4, from draws within a part of it that they cover well.
    inside = (np.abs(actions) < 0.5).all(1)
    assert (inside / np.exp(log_prob)).mean() == pytest.approx(1.0, rel=0.1)


def test_asynchronous_workers_take_the_gradient_at_their_own_weights() -> None:
    agent = A3C(Echo(4), A3CSettings(**SMALL, workers=1), seed=0)  # type: ignore[arg-type]
    local = [variable.numpy() for variable in agent._shared]
    for variable in agent._shared:  # what another worker did meanwhile
        variable.assign(variable + 1.0)
    rows = np.eye(4, dtype=np.float32)
    agent._optimizer.learning_rate.assign(0.0)
    ones, zeros = np.ones(4, np.float32), np.zeros(4, np.float32)
    told = agent._optimise(local, rows, rows, np.arange(4, dtype=np.int32), ones, zeros)
    assert float(told[2]) == pytest.approx(np.log(4.0), abs=0.02)  # the entropy of a policy that has learnt nothing
