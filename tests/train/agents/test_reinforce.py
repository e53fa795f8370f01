"""REINFORCE: the lecture's gradient, and learning in seconds."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

from tests.train.agents.echo import Echo
from train.agents.reinforce import Played, Reinforce, ReinforceSettings
from train.envs.gym_batch import GymBatch
from train.evaluation import evaluate
from train.heads import Bernoulli
from train.networks import FastMLP
from train.returns import discount_and_normalize


def test_one_update_is_the_lectures_mean_of_weighted_gradients() -> None:
    """Step by step with a tape each and Keras's own binary cross-entropy, as the lecture writes it."""
    env = GymBatch("CartPole-v1", 2)
    agent = Reinforce(env, ReinforceSettings(envs=2, max_steps=6), seed=1)
    rng = np.random.default_rng(0)
    lengths = np.array([6, 4])
    within = np.arange(6)[:, None] < lengths
    seen = rng.normal(size=(6, 2, 4)).astype(np.float32) * within[..., None]
    action = rng.integers(2, size=(6, 2)).astype(np.int32) * within
    reward = within.astype(np.float32)
    start = [np.array(weight) for weight in agent.network.get_weights()]

    twin = keras.models.clone_model(agent.network)
    twin.set_weights(start)
    weights = discount_and_normalize([reward[:length, i] for i, length in enumerate(lengths)], 0.95)
    gradients: list[list[Any]] = []
    for i, length in enumerate(lengths):
        for t in range(length):
            with tf.GradientTape() as tape:
                left = tf.sigmoid(twin(seen[t, i][None]))
                target = tf.constant([[1.0 - action[t, i]]], tf.float32)
                loss = tf.reduce_mean(keras.losses.binary_crossentropy(target, left))
            gradients.append([g * weights[i][t] for g in tape.gradient(loss, twin.trainable_variables)])
    means = [tf.reduce_mean(tf.stack(each), 0) for each in zip(*gradients, strict=True)]
    optimizer = keras.optimizers.Nadam(0.01)
    optimizer.apply(means, twin.trainable_variables)

    agent._update(Played(seen, seen, action, reward, lengths))
    for ours, theirs, before in zip(agent.network.get_weights(), twin.get_weights(), start, strict=True):
        np.testing.assert_allclose(ours, theirs, atol=2e-5)
        assert not np.array_equal(ours, before)


@pytest.mark.parametrize(("actions", "baseline"), [(2, "none"), (4, "value")])
def test_it_learns_to_name_what_it_sees(actions: int, baseline: str) -> None:
    settings = ReinforceSettings(
        envs=16, max_steps=10, gamma=0.0, learning_rate=0.05, hidden=(16,), baseline=baseline, critic_epochs=3
    )
    agent = Reinforce(Echo(16, actions), settings, seed=0)
    for _ in agent.learn(Echo(16, actions), 16 * 10 * 60):
        pass
    assert evaluate(agent.greedy, [(Echo(16, actions), 1)]).returns.mean() >= 9.9
    before = agent.greedy(np.eye(actions, dtype=np.float32))
    agent.set_policy(agent.weights())  # what is kept acts alike, by its scores
    np.testing.assert_array_equal(agent.greedy(np.eye(actions, dtype=np.float32)), before)


def test_an_episode_is_left_after_max_steps_and_counts_what_was_played() -> None:
    env = GymBatch("CartPole-v1", 3)
    agent = Reinforce(env, ReinforceSettings(envs=3, max_steps=5, iterations=2), seed=0)
    report, last = agent.learn(env, 1_000)  # the iterations end it
    assert last.steps == 30
    assert report.lengths == [5, 5, 5] and report.returns == [5.0, 5.0, 5.0] and report.steps == 15


def test_one_sigmoid_unit_draws_what_it_says() -> None:
    head, logit = Bernoulli(), np.full((40_000, 1), 0.8, np.float32)
    actions = head.draw(logit, head.noise(np.random.default_rng(0), logit.shape))
    log_prob = head.logs(logit, actions)
    first = 1.0 / (1.0 + np.exp(-0.8))
    assert (actions == 0).mean() == pytest.approx(first, abs=0.01)
    np.testing.assert_allclose(log_prob, np.log(np.where(actions == 0, first, 1 - first)), rtol=1e-5)
    np.testing.assert_allclose(head.log_prob(tf.constant(logit), tf.constant(actions)).numpy(), log_prob, rtol=1e-4)
    wanted = -(first * np.log(first) + (1 - first) * np.log(1 - first))
    assert float(head.entropy(tf.constant(logit[:1]))[0]) == pytest.approx(wanted, rel=1e-5)


def test_the_kept_policy_scores_as_the_trained_one_chooses() -> None:
    agent = Reinforce(GymBatch("CartPole-v1", 1), ReinforceSettings(envs=1), seed=2)
    agent.policy.set_weights(agent.weights())
    seen = np.random.default_rng(0).normal(size=(200, 4)).astype(np.float32)
    np.testing.assert_array_equal(FastMLP(agent.policy)(seen).argmax(1), agent.greedy(seen))


def test_what_was_chosen_can_be_kept() -> None:
    """Of two actions the learner has one output, the policy that is kept has two."""
    agent = Reinforce(Echo(2, 2), ReinforceSettings(envs=2, max_steps=4), seed=0)
    kept = [weight + 1.0 for weight in agent.weights()]
    agent.set_policy(kept)
    agent.policy.set_weights(agent.weights())
    for mine, given in zip(agent.weights(), kept, strict=True):
        np.testing.assert_array_equal(mine, given)
