"""The small networks of the agents: built and trained in Keras, acted with in NumPy on copied weights.

A Keras call on a handful of rows costs a hundred times the arithmetic in it, so acting does not go
through Keras: `FastMLP` holds the same weights as plain arrays.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from edge.errors import UsageError
from train.dense_kernels import add_then_tanh
from train.envs.batch import decide

Floats = NDArray[np.float32]


def _elu(x: Floats) -> Floats:
    return np.where(x > 0.0, x, np.expm1(np.minimum(x, 0.0)))


def _relu(x: Floats) -> Floats:
    return np.maximum(x, np.float32(0.0))


ACTIVATIONS: dict[str, Callable[[Floats], Floats]] = {"tanh": np.tanh, "relu": _relu, "elu": _elu}
"""Of the hidden layers: Keras's name, and the same in NumPy."""


def mlp(
    inputs: int,
    hidden: Sequence[int],
    outputs: int,
    last_gain: float,
    seed: int,
    name: str,
    activation: str = "tanh",
    init: str = "orthogonal",
    last: str | None = None,
) -> keras.Sequential:
    """Hidden layers of one activation, then one that is linear or of the activation `last`.

    The weights are orthogonal (Saxe et al. 2014) of gain sqrt(2), `last_gain` at the end: a policy starts with a last
    gain near 0, so that no action is preferred; a critic with 1. Or else Keras's default, "glorot_uniform", in all.
    """

    def weights(layer: int, gain: float) -> keras.initializers.Initializer:
        if init == "orthogonal":
            return keras.initializers.Orthogonal(gain=gain, seed=seed + layer)
        return keras.initializers.GlorotUniform(seed=seed + layer)

    layers: list[keras.layers.Layer] = [keras.Input((inputs,), name="observation")]
    for i, width in enumerate(hidden):
        layers.append(keras.layers.Dense(width, activation, kernel_initializer=weights(i, 2**0.5), name=f"{name}_{i}"))
    start = weights(len(hidden), last_gain)
    layers.append(keras.layers.Dense(outputs, last, kernel_initializer=start, name=f"{name}_out"))
    return keras.Sequential(layers, name=name)


def convolutional(
    shape: tuple[int, int, int],
    filters: Sequence[int],
    kernels: Sequence[int],
    strides: Sequence[int],
    hidden: Sequence[int],
    outputs: int,
    seed: int,
    name: str,
) -> keras.Sequential:
    """Layers of convolution, then of relu, then a linear one (Mnih et al. 2015), of a picture as one row of bytes.

    Args:
        shape: height, width and channels of the picture. The others: of each layer of convolution; of each after them.

    Raises:
        UsageError: layers of convolution that do not fit one another or the picture.
    """
    if not len(filters) == len(kernels) == len(strides):
        raise UsageError(
            f"filters={tuple(filters)}, kernels={tuple(kernels)} and strides={tuple(strides)} differ in length; "
            "give one number for each layer of convolution"
        )
    init = keras.initializers.HeUniform
    layers: list[keras.layers.Layer] = [keras.Input((int(np.prod(shape)),), name="observation")]
    layers += [keras.layers.Reshape(shape), keras.layers.Rescaling(1.0 / 255.0)]
    side = shape[0]
    for i, (width, kernel, stride) in enumerate(zip(filters, kernels, strides, strict=True)):
        if side < kernel:
            raise UsageError(f"kernels={tuple(kernels)} are too wide for {shape[0]} pixels; give smaller ones")
        side = (side - kernel) // stride + 1
        start = init(seed=seed + i)
        layers.append(keras.layers.Conv2D(width, kernel, stride, activation="relu", kernel_initializer=start))
    layers.append(keras.layers.Flatten())
    for i, width in enumerate(hidden):
        layers.append(keras.layers.Dense(width, "relu", kernel_initializer=init(seed=seed + 50 + i)))
    start = keras.initializers.GlorotUniform(seed=seed + 99)
    layers.append(keras.layers.Dense(outputs, kernel_initializer=start, name=f"{name}_out"))
    return keras.Sequential(layers, name=name)


def tanh_mlp(weights: Sequence[tf.Tensor], x: tf.Tensor) -> tf.Tensor:
    """What an `mlp` of tanh layers computes, of weights at hand: kernels and biases in turn."""
    *hidden, (last, last_bias) = zip(weights[::2], weights[1::2], strict=True)
    for kernel, bias in hidden:
        x = tf.tanh(x @ kernel + bias)
    return x @ last + last_bias


class FastMLP:
    """A copy of an `mlp` in plain arrays; `refresh` copies the weights again after an update."""

    def __init__(self, model: keras.Sequential) -> None:
        self._model = model
        self._layers: list[tuple[Floats, Floats]] = []
        first, last = (model.layers[i].activation.__name__ for i in (0, -1))
        self._activation = ACTIVATIONS.get(first, np.tanh)  # a single, linear layer has none to apply
        self._last = ACTIVATIONS.get(last)
        self.refresh()

    def refresh(self) -> None:
        self.copy(self._model.get_weights())

    def copy(self, weights: Sequence[NDArray[Any]]) -> None:
        """Take `weights`, kernels and biases in turn, instead of the model's."""
        arrays = [np.asarray(weight, np.float32) for weight in weights]
        self._layers = list(zip(arrays[::2], arrays[1::2], strict=True))

    def __call__(self, x: Floats) -> Floats:
        """(N, inputs) -> (N, outputs), float32."""
        *hidden, (weight, bias) = self._layers
        for w, b in hidden:
            x = x @ w
            if self._activation is np.tanh:
                add_then_tanh(x, b)
            else:
                x += b
                x = self._activation(x)
        x = x @ weight + bias
        return x if self._last is None else self._last(x)


class FastModel:
    """Any network as a compiled function, with `FastMLP`'s interface: for those whose arithmetic is worth it."""

    def __init__(self, model: keras.Sequential) -> None:
        self._model = model
        self._call = tf.function(lambda x: model(tf.cast(x, tf.float32), training=False))

    def refresh(self) -> None:
        """Nothing is copied."""

    def copy(self, weights: Sequence[NDArray[Any]]) -> None:
        """Take `weights` instead of the model's, which has them then too."""
        self._model.set_weights(weights)

    def __call__(self, x: NDArray[Any]) -> Floats:
        """(N, inputs) -> (N, outputs), float32."""
        outputs: Floats = self._call(tf.constant(x)).numpy()
        return outputs


def fast(model: keras.Sequential) -> FastMLP | FastModel:
    """`model` to act with, thousands of times."""
    return FastMLP(model) if all(isinstance(each, keras.layers.Dense) for each in model.layers) else FastModel(model)


class NetworkPolicy:
    """A learner's side that acts: its policy is a network whose outputs `train.envs.batch.decide` reads."""

    policy: keras.Sequential
    _fast: FastMLP | FastModel
    _continuous: bool

    def _act_with(self, policy: keras.Sequential, continuous: bool) -> None:
        self.policy, self._fast, self._continuous = policy, fast(policy), continuous

    def greedy(self, observation: Floats) -> NDArray[Any]:
        """The best action known, for each row."""
        return decide(self._fast(observation), self._continuous)

    def weights(self) -> list[NDArray[Any]]:
        """The policy's weights."""
        return [np.asarray(weight) for weight in self.policy.get_weights()]

    def set_policy(self, weights: list[NDArray[Any]]) -> None:
        """Act with these policy weights from now on."""
        self.policy.set_weights(weights)
        self._fast.refresh()
