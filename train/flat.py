"""Weights of several networks as one row, so that an optimiser's step is a handful of operations, not some for each."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray


class FlatWeights:
    """`variables` as one variable, `row`, which is what is learnt; they follow by `publish`.

    Args:
        variables: of Keras networks.
    """

    def __init__(self, variables: Sequence[Any]) -> None:
        self._variables = list(variables)
        self._shapes = [tuple(variable.shape) for variable in self._variables]
        self._sizes = [int(np.prod(shape)) for shape in self._shapes]
        self.row = tf.Variable(self.join([tf.convert_to_tensor(variable) for variable in self._variables]))

    def split(self) -> list[tf.Tensor]:
        """The weights, each in its shape, to compute with in a compiled function."""
        parts = tf.split(self.row, self._sizes)
        return [tf.reshape(part, shape) for part, shape in zip(parts, self._shapes, strict=True)]

    def join(self, tensors: Sequence[tf.Tensor]) -> tf.Tensor:
        """Such a list, of gradients for example, as one row."""
        return tf.concat([tf.reshape(tensor, [-1]) for tensor in tensors], 0)

    def publish(self) -> None:
        """Give the networks' variables what was learnt; in a compiled function."""
        for variable, weight in zip(self._variables, self.split(), strict=True):
            variable.assign(weight)

    def arrays(self) -> list[NDArray[np.float32]]:
        """The weights in NumPy, to act with."""
        parts = np.split(self.row.numpy(), np.cumsum(self._sizes)[:-1])
        return [part.reshape(shape) for part, shape in zip(parts, self._shapes, strict=True)]
