"""Gradients by hand are those that TensorFlow derives, and the optimiser is Keras's."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

from train.dense_kernels import tanh_into
from train.heads import Categorical, Gaussian
from train.networks import mlp
from train.pair import Adam, Pair, with_ones

ROWS = 50


@pytest.mark.parametrize("hidden", [(), (16,), (12, 8)])
@pytest.mark.parametrize("head", [Categorical(3), Gaussian(2), Gaussian(1)], ids=["choices", "numbers", "a number"])
def test_outputs_and_gradients_are_those_of_tensorflow(hidden: tuple[int, ...], head: Any) -> None:
    rng = np.random.default_rng(0)
    policy, critic = mlp(4, hidden, head.size, 1.0, 1, "policy"), mlp(6, hidden, 1, 1.0, 2, "critic")
    variables = [*policy.trainable_variables, *critic.trainable_variables, *head.variables]
    seen = rng.standard_normal((ROWS, 6)).astype(np.float32)
    by_log_prob, by_value = rng.standard_normal((2, ROWS)).astype(np.float32)
    actions: Any = rng.integers(head.size, size=ROWS)
    if isinstance(head, Gaussian):
        actions = rng.standard_normal((ROWS, head.size)).astype(np.float32)
    with tf.GradientTape() as tape:
        outputs, value = policy(seen[:, :4]), critic(seen)[:, 0]
        log_prob, entropy = head.log_prob(outputs, tf.constant(actions)), head.entropy(outputs)
        loss = tf.reduce_sum(by_log_prob * log_prob + 0.3 * entropy + by_value * value)
    gradients = [gradient.numpy() for gradient in tape.gradient(loss, variables)]

    others = [variable.numpy() for variable in head.variables]
    pair = Pair(policy.get_weights(), critic.get_weights(), others)
    mine, my_value = pair.forward(with_ones(seen))
    my_log_prob, my_entropy, back = head.slopes(mine, actions, pair.others)
    pair.backward(back(by_log_prob, 0.3, pair.other_gradients), by_value)
    for got, wanted in ((mine.T, outputs), (my_value, value), (my_log_prob, log_prob), (my_entropy, entropy)):
        np.testing.assert_allclose(got, wanted.numpy(), atol=5e-6)
    layers = 2 * (len(hidden) + 1)
    expected = Pair(gradients[:layers], gradients[layers : 2 * layers], gradients[2 * layers :])
    np.testing.assert_allclose(pair.gradient, expected.row, atol=2e-5)
    for found, variable in zip([*pair.networks()[0], *pair.networks()[1]], variables, strict=False):
        np.testing.assert_array_equal(found, variable.numpy())


def test_adam_goes_where_keras_goes() -> None:
    rng = np.random.default_rng(1)
    row = rng.standard_normal(40).astype(np.float32)
    variable = keras.Variable(row)
    theirs, mine = keras.optimizers.Adam(0.01, epsilon=1e-5, global_clipnorm=2.0), Adam(40, 2.0)
    for scale in (0.1, 1.0, 3.0):  # the last two are longer than allowed
        gradient = (scale * rng.standard_normal(40)).astype(np.float32)
        theirs.apply([tf.constant(gradient)], [variable])
        mine.step(row, gradient, 0.01)
    np.testing.assert_allclose(row, variable.numpy(), atol=1e-6)


def test_tanh_is_right_everywhere() -> None:
    z = np.linspace(-30.0, 30.0, 2 * 3 * 2000, dtype=np.float32).reshape(2, 3, 2000)
    z[0, 0, :2] = -np.inf, 1e-20
    h = np.ones((2, 4, 2000), np.float32)
    tanh_into(z, h)
    np.testing.assert_allclose(h[:, 1:], np.tanh(z), atol=1e-6)
    assert (h[:, 0] == 1.0).all()
