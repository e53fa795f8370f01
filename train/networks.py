"""The small networks of the agents: built and trained in Keras, acted with in NumPy on copied weights.

A Keras call on a handful of rows costs a hundred times the arithmetic in it, so acting does not go
through Keras: `FastMLP` holds the same weights as plain arrays.
"""

from __future__ import annotations

from collections.abc import Sequence

import keras
import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]


def mlp(inputs: int, hidden: Sequence[int], outputs: int, last_gain: float, seed: int, name: str) -> keras.Sequential:
    """Tanh layers and a linear one, with orthogonal weights (Saxe et al. 2014) of gain sqrt(2), `last_gain` at the end.

    A policy starts with a last gain near 0, so that no action is preferred; a critic with 1.
    """
    layers: list[keras.layers.Layer] = [keras.Input((inputs,), name="observation")]
    for i, width in enumerate(hidden):
        init = keras.initializers.Orthogonal(gain=2**0.5, seed=seed + i)
        layers.append(keras.layers.Dense(width, "tanh", kernel_initializer=init, name=f"{name}_{i}"))
    init = keras.initializers.Orthogonal(gain=last_gain, seed=seed + len(hidden))
    layers.append(keras.layers.Dense(outputs, kernel_initializer=init, name=f"{name}_out"))
    return keras.Sequential(layers, name=name)


class FastMLP:
    """A copy of an `mlp` in plain arrays; `refresh` copies the weights again after an update."""

    def __init__(self, model: keras.Sequential) -> None:
        self._model = model
        self._layers: list[tuple[Floats, Floats]] = []
        self.refresh()

    def refresh(self) -> None:
        arrays = [np.asarray(weight, np.float32) for weight in self._model.get_weights()]
        self._layers = list(zip(arrays[::2], arrays[1::2], strict=True))

    def __call__(self, x: Floats) -> Floats:
        """(N, inputs) -> (N, outputs), float32."""
        *hidden, (weight, bias) = self._layers
        for w, b in hidden:
            x = x @ w
            x += b
            np.tanh(x, out=x)
        return x @ weight + bias
