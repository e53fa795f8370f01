"""A policy and a critic of one shape, side by side in NumPy, with their gradients by hand.

Networks of some thousand weights are over in microseconds: the operations of a graph cost as much again as the
arithmetic in them, and to compile them costs the time of a hundred updates. Here hidden layers of both networks are one
batched product each, into buffers that stay, all weights are one row, and what goes element by element is compiled
(`train.dense_kernels`). Examples are columns, with a 1 before their numbers that the biases multiply: every part of an
array that is computed with lies in one piece.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from train.dense_kernels import adam_step, back_through_layer, back_through_tanh, tanh_into

Floats = NDArray[np.float32]


def with_ones(rows: Floats) -> Floats:
    """(B, features) -> columns (1 + features, B) as `Pair` takes them."""
    columns = np.empty((1 + rows.shape[1], len(rows)), np.float32)
    columns[0], columns[1:] = 1.0, rows.T
    return columns


class Pair:
    """Two networks of tanh layers and a linear one, of the same hidden widths.

    Args:
        policy: kernels (in, out) and biases (out,) in turn.
        critic: the same; its inputs begin with the policy's, its output is one number.
        others: what else is learnt by the same optimiser.

    Attributes:
        row: all that is learnt.
        gradient: of the same shape, as `backward` and whoever fills `other_gradients` left it.
    """

    def __init__(self, policy: Sequence[NDArray[Any]], critic: Sequence[NDArray[Any]], others: Sequence[NDArray[Any]]):
        both = [_joined(weights) for weights in (policy, critic)]
        size = sum(layer.size for layers in both for layer in layers) + sum(other.size for other in others)
        self.row, self.gradient = np.empty((2, size), np.float32)
        shapes: list[tuple[int, ...]] = []
        for p, c in zip(*both, strict=True):
            shapes += [(2, *p.shape)] if p.shape == c.shape and shapes else [p.shape, c.shape]
        shapes += [other.shape for other in others]
        self._depth, self._sees = len(both[0]), both[0][0].shape[1]
        self._layers, self.others = self._views(self.row, shapes)
        self._slopes, self.other_gradients = self._views(self.gradient, shapes)
        for (p, c), *mine in zip(self._layers, *both, strict=True):
            p[:], c[:] = mine
        for other, value in zip(self.others, others, strict=True):
            other[:] = value
        self._work: dict[int, list[tuple[Floats, Floats]]] = {}

    def forward(self, x: Floats) -> tuple[Floats, Floats]:
        """Outputs (actions, B) and values (B,) of columns with ones; remembers what `backward` needs."""
        below: Any = (x[: self._sees], x)
        self._inputs = [below]
        for layer, (h, z) in zip(self._layers, self._buffers(x.shape[1]), strict=False):
            _product(layer, below, z)
            tanh_into(z, h)
            below = h
            self._inputs.append(below)
        policy, critic = self._layers[-1]
        return policy @ below[0], (critic @ below[1])[0]

    def backward(self, d_outputs: Floats, d_value: Floats) -> None:
        """Fill `gradient`, of a loss whose slopes are `d_outputs` (actions, B) and `d_value` (B,)."""
        d: Any = (d_outputs, d_value[None])
        buffers = self._buffers(d_value.size)
        for i in reversed(range(self._depth)):
            below = self._inputs[i]
            _product(d, _turned(below), self._slopes[i])
            if i:
                h, z = buffers[i - 1]  # what went into tanh is no longer needed
                if isinstance(d, np.ndarray):
                    np.matmul(_turned(self._layers[i], 1), d, out=z)
                else:
                    for layer, slopes, into in zip(self._layers[i], d, z, strict=True):
                        back_through_layer(layer, slopes, into)
                back_through_tanh(h, z)
                d = z

    def networks(self) -> tuple[list[Floats], list[Floats]]:
        """Kernels and biases in turn, copied, of policy and critic."""
        both: tuple[list[Floats], list[Floats]] = ([], [])
        for pair in self._layers:
            for weights, layer in zip(both, pair, strict=True):
                weights += [layer[:, 1:].T.copy(), layer[:, 0].copy()]
        return both

    def _views(self, row: Floats, shapes: list[tuple[int, ...]]) -> tuple[list[Any], list[Floats]]:
        """Parts of `row`: for each layer policy's and critic's (one array where it can be); and the others."""
        ends = np.cumsum([int(np.prod(shape)) for shape in shapes])
        parts = [part.reshape(shape) for part, shape in zip(np.split(row, ends[:-1]), shapes, strict=True)]
        layers: list[Any] = []
        while len(layers) < self._depth:
            first = parts.pop(0)
            layers.append(first if first.ndim == 3 else (first, parts.pop(0)))
        return layers, parts

    def _buffers(self, columns: int) -> list[tuple[Floats, Floats]]:
        """For each hidden layer: what it gives, with ones, and what goes into its tanh; for so many columns."""
        if columns not in self._work:
            widths = [len(layer[0]) for layer in self._layers[:-1]]
            self._work[columns] = [
                (np.ones((2, 1 + width, columns), np.float32), np.empty((2, width, columns), np.float32))
                for width in widths
            ]
        return self._work[columns]


class Adam:
    """Adam (Kingma & Ba 2015, https://arxiv.org/abs/1412.6980) as Keras has it, with one norm for all gradients."""

    BETA_1, BETA_2, EPSILON = 0.9, 0.999, 1e-5

    def __init__(self, size: int, max_norm: float) -> None:
        self.mean, self.square = np.zeros((2, size), np.float32)
        self.steps = 0
        self._max_norm = max_norm

    def step(self, row: Floats, gradient: Floats, rate: float) -> None:
        """Move `row` against `gradient`."""
        self.steps += 1
        shrink = min(1.0, self._max_norm / max(float(gradient @ gradient) ** 0.5, 1e-12))
        scale = rate * (1.0 - self.BETA_2**self.steps) ** 0.5 / (1.0 - self.BETA_1**self.steps)
        numbers = (shrink, scale, 1.0 - self.BETA_1, 1.0 - self.BETA_2, self.EPSILON)
        adam_step(row, gradient, self.mean, self.square, *map(np.float32, numbers))


def _joined(weights: Sequence[NDArray[Any]]) -> list[Floats]:
    """Kernels and biases in turn -> for each layer (out, 1 + in), the bias first."""
    pairs = zip(weights[::2], weights[1::2], strict=True)
    return [np.concatenate((bias[:, None], kernel.T), 1).astype(np.float32) for kernel, bias in pairs]


def _product(a: Any, b: Any, out: Any) -> None:
    """a @ b of both networks."""
    if all(isinstance(each, np.ndarray) for each in (a, b, out)):
        np.matmul(a, b, out=out)
    else:
        for each in zip(a, b, out, strict=True):
            np.matmul(each[0], each[1], out=each[2])


def _turned(both: Any, skip: int = 0) -> Any:
    """Both transposed, without the first `skip` columns."""
    if isinstance(both, np.ndarray):
        return both[:, :, skip:].transpose(0, 2, 1)
    return [each[:, skip:].T for each in both]
