"""What a policy network's outputs mean: a distribution over actions.

Each head has a NumPy side for acting and a TensorFlow side for learning; the algorithms know no more of actions.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, Protocol

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from train.envs.batch import BatchEnv

Floats = NDArray[np.float32]
Slopes = tuple[Floats, Floats, Callable[[Floats, float, Sequence[Floats]], Floats]]
"""Of columns (size, B): log probabilities of actions (B,), entropies (B,), and what brings slopes by them back.

It takes the slopes by the log probabilities (B,) and by each entropy, and gives those by the outputs (size, B); those
by what else is learnt it writes into the arrays it is given.
"""


class Head(Protocol):
    """A family of distributions over actions, parameterised by `size` network outputs."""

    size: int
    variables: list[tf.Variable]
    """What is learnt beside the network."""

    def refresh(self) -> None:
        """Have the NumPy side know what was learnt."""

    def noise(self, rng: np.random.Generator, shape: tuple[int, ...]) -> Floats:
        """What `draw` draws with, for outputs of `shape`; many steps' at once are as one after the other."""

    def draw(self, outputs: Floats, noise: Floats) -> NDArray[Any]:
        """One action per row of (N, size)."""

    def logs(self, outputs: Floats, actions: NDArray[Any]) -> Floats:
        """(N,) logs of the probabilities of `actions`, in NumPy."""

    def mode(self, outputs: Floats) -> NDArray[Any]:
        """The likeliest action per row: greedy acting."""

    def log_prob(self, outputs: tf.Tensor, actions: tf.Tensor) -> tf.Tensor:
        """(N,) log probabilities, differentiable."""

    def entropy(self, outputs: tf.Tensor) -> tf.Tensor:
        """(N,) nats, differentiable."""

    def scores(self, weights: list[NDArray[Any]]) -> list[NDArray[Any]]:
        """Of a network with such outputs the weights of one that `train.envs.batch.decide` reads."""


class _Fixed:
    """A head of which nothing is learnt."""

    def __init__(self) -> None:
        self.variables: list[tf.Variable] = []

    def refresh(self) -> None: ...

    def scores(self, weights: list[NDArray[Any]]) -> list[NDArray[Any]]:
        return weights


class Categorical(_Fixed):
    """One of `size` actions; the outputs are logits."""

    def __init__(self, size: int) -> None:
        super().__init__()
        self.size = size

    def noise(self, rng: np.random.Generator, shape: tuple[int, ...]) -> Floats:
        # Gumbel's distribution; in 2**24 draws one is an exact 0.
        return -np.log(rng.standard_exponential(shape, dtype=np.float32) + np.float32(1e-30))

    def draw(self, outputs: Floats, noise: Floats) -> NDArray[np.int64]:
        # The Gumbel-max trick: argmax of logits plus Gumbel noise is a draw from the softmax.
        return (outputs + noise).argmax(1)

    def logs(self, outputs: Floats, actions: NDArray[Any]) -> Floats:
        shifted = outputs - outputs.max(1, keepdims=True)
        chosen: Floats = shifted[np.arange(len(actions)), actions] - np.log(np.exp(shifted).sum(1))
        return chosen

    def mode(self, outputs: Floats) -> NDArray[np.int64]:
        return outputs.argmax(1)

    def slopes(self, outputs: Floats, actions: NDArray[Any], learnt: Sequence[Floats]) -> Slopes:
        peak = outputs.max(0)
        log_p = outputs - peak
        log_p -= np.log(np.exp(log_p).sum(0))
        p = np.exp(log_p)
        entropy: Floats = -(p * log_p).sum(0)
        chosen = np.arange(self.size)[:, None] == actions

        def back(d_log_prob: Floats, d_entropy: float, _: Sequence[Floats]) -> Floats:
            d: Floats = chosen * d_log_prob - p * (d_log_prob + np.float32(d_entropy) * (log_p + entropy))
            return d

        return (chosen * log_p).sum(0), entropy, back

    def log_prob(self, outputs: tf.Tensor, actions: tf.Tensor) -> tf.Tensor:
        # A one-hot product instead of a gather: its gradient is a product too, where gather's is a scatter.
        return tf.reduce_sum(tf.nn.log_softmax(outputs) * tf.one_hot(actions, self.size), 1)

    def entropy(self, outputs: tf.Tensor) -> tf.Tensor:
        log_p = tf.nn.log_softmax(outputs)
        return -tf.reduce_sum(tf.exp(log_p) * log_p, 1)


class Gaussian:
    """`size` numbers, each normally distributed about an output; the widths are learnt, and the same everywhere.

    Samples are not clipped, so that their probability is the density; the environment clips what it is given.
    """

    HALF_LOG_2PI = 0.5 * math.log(2 * math.pi)

    def __init__(self, size: int, log_std: float = 0.0) -> None:
        self.size = size
        self.log_std = tf.Variable(tf.fill([size], np.float32(log_std)), name="log_std")
        self.variables = [self.log_std]
        self.refresh()

    def refresh(self) -> None:
        self._log_std: Floats = self.log_std.numpy()

    def noise(self, rng: np.random.Generator, shape: tuple[int, ...]) -> Floats:
        return rng.standard_normal(shape, dtype=np.float32)

    def draw(self, outputs: Floats, noise: Floats) -> NDArray[Any]:
        actions: NDArray[Any] = outputs + np.exp(self._log_std) * noise
        return actions

    def logs(self, outputs: Floats, actions: NDArray[Any]) -> Floats:
        z = (actions - outputs) * np.exp(-self._log_std)
        widths = self._log_std.sum() + self.HALF_LOG_2PI * self.size
        return (-0.5 * np.square(z).sum(1) - widths).astype(np.float32)

    def mode(self, outputs: Floats) -> Floats:
        return outputs

    def slopes(self, outputs: Floats, actions: NDArray[Any], learnt: Sequence[Floats]) -> Slopes:
        log_std = learnt[0]
        inverse = np.exp(-log_std)[:, None]
        z = (actions.T - outputs) * inverse
        widths = log_std.sum() + np.float32(self.HALF_LOG_2PI * self.size)
        entropy = np.full(z.shape[1], widths + np.float32(0.5 * self.size), np.float32)

        def back(d_log_prob: Floats, d_entropy: float, into: Sequence[Floats]) -> Floats:
            into[0][:] = (z * z - np.float32(1.0)) @ d_log_prob + np.float32(d_entropy * z.shape[1])
            d: Floats = z * inverse * d_log_prob
            return d

        return np.float32(-0.5) * (z * z).sum(0) - widths, entropy, back

    def log_prob(self, outputs: tf.Tensor, actions: tf.Tensor) -> tf.Tensor:
        z = (actions - outputs) * tf.exp(-self.log_std)
        return tf.reduce_sum(-0.5 * tf.square(z) - self.log_std - self.HALF_LOG_2PI, 1)

    def entropy(self, outputs: tf.Tensor) -> tf.Tensor:
        return tf.reduce_sum(self.log_std + 0.5 + self.HALF_LOG_2PI) * tf.ones(tf.shape(outputs)[0])

    def scores(self, weights: list[NDArray[Any]]) -> list[NDArray[Any]]:
        return weights


class Bernoulli(_Fixed):
    """One of two actions; the one output is the logit of the first."""

    size = 1

    def noise(self, rng: np.random.Generator, shape: tuple[int, ...]) -> Floats:
        return rng.random(shape, np.float32)

    def draw(self, outputs: Floats, noise: Floats) -> NDArray[np.int64]:
        return (noise[:, 0] >= self._first(outputs)).astype(np.int64)

    def logs(self, outputs: Floats, actions: NDArray[Any]) -> Floats:
        first = self._first(outputs)
        chosen = np.where(actions == 0, first, 1.0 - first)
        return np.log(chosen + 1e-30).astype(np.float32)

    def _first(self, outputs: Floats) -> Floats:
        return (1.0 / (1.0 + np.exp(-outputs[:, 0]))).astype(np.float32)

    def mode(self, outputs: Floats) -> NDArray[np.int64]:
        return (outputs[:, 0] < 0.0).astype(np.int64)

    def log_prob(self, outputs: tf.Tensor, actions: tf.Tensor) -> tf.Tensor:
        # Binary cross-entropy with the target 1 for the first action, negative.
        sign = 1.0 - 2.0 * tf.cast(actions, tf.float32)
        return -tf.nn.softplus(-sign * outputs[:, 0])

    def entropy(self, outputs: tf.Tensor) -> tf.Tensor:
        z = outputs[:, 0]
        return tf.nn.softplus(z) - z * tf.sigmoid(z)

    def scores(self, weights: list[NDArray[Any]]) -> list[NDArray[Any]]:
        *rest, kernel, bias = weights
        return [*rest, np.concatenate((kernel, 0.0 * kernel), 1), np.concatenate((bias, 0.0 * bias))]


def head_for(env: BatchEnv) -> Categorical | Gaussian:
    """The head that drives `env`."""
    return Gaussian(env.actions) if env.continuous else Categorical(env.actions)
