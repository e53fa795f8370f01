"""The small networks of the agents: built and trained in Keras, acted with in NumPy on copied weights.

A Keras call on a handful of rows costs a hundred times the arithmetic in it, so acting does not go
through Keras: `FastMLP` holds the same weights as plain arrays.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

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
            x += b
            x = self._activation(x)
        x = x @ weight + bias
        return x if self._last is None else self._last(x)


class NetworkPolicy:
    """A learner's side that acts: its policy is a network whose outputs `train.envs.batch.decide` reads."""

    policy: keras.Sequential
    _fast: FastMLP
    _continuous: bool

    def _act_with(self, policy: keras.Sequential, continuous: bool) -> None:
        self.policy, self._fast, self._continuous = policy, FastMLP(policy), continuous

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
