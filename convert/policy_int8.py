"""Full int8 for policies of dense layers: each number observed on its own scale, and taught to live with the rounding.

TensorFlow's converter alone loses up to all of the return of a value network. Its actions' values differ by far less
than they are large, one scale must serve all numbers observed, and saturated units are all wrong in the same direction
(int8 holds a tanh up to 0.992), which adds up to a preference for one action. Here

1. what all actions' scores have in common is taken out of the last layer, which changes no choice;
2. each number observed is told as a share of its own range, in float, at the border;
3. ranges are what decides: of a tanh's input within +-`SATURATED`, of the scores what tells the best from the next;
4. each layer's bias makes up for the mean error of the rounding before it (Nagel et al. 2019, arXiv:1906.04721);
5. the network is distilled into its rounded self on observations of its own: the divergence of the softmax of the
   scores, sharpened so that small differences count as what they are, a choice (Rusu et al. 2016, arXiv:1511.06295);
   its own scores may become what they like, above the noise of the rounding; gradients pass the rounding as if it were
   not there (Bengio et al. 2013, arXiv:1308.3432).
"""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from convert.rounding import stored

Floats = NDArray[np.float32]
Range = tuple[float, float]

STEPS, BATCH, RATE = 600, 512, 1e-3  # Adam's, going to 0 along a cosine
SHARP = 0.3  # this share of the observations has a smaller difference, best to next score, than the temperature
ROOM = 1.25  # how much further than calibration's a number observed may go
TELL = 4.0  # units by which the scores' range goes beyond the best and the next
TANH = (-1.0, 127 / 128)  # the range of a tanh's result, which TFLite fixes
SATURATED = 4.0  # of its input: 0.9993
LOW, HIGH = 0.01, 99.99  # percentiles of other values


def is_dense(model: Any) -> bool:
    """Whether this module knows all layers of a policy."""
    known = ("linear", "relu", "elu", "tanh")
    return all(
        isinstance(layer, keras.layers.Dense) and layer.use_bias and layer.activation.__name__ in known
        for layer in model.layers
        if not isinstance(layer, keras.layers.InputLayer)
    )


class Int8Policy:
    """A policy as int8 will compute it.

    Args:
        model: Keras, dense layers only (`is_dense`).
        observations: that it meets, (N, size).
        continuous: its outputs are actions, clipped to -1..1, not a score for each.
    """

    def __init__(self, model: Any, observations: Floats, continuous: bool) -> None:
        layers = [layer for layer in model.layers if isinstance(layer, keras.layers.Dense)]
        self._curves = [layer.activation.__name__ for layer in layers]
        weights = [np.asarray(each, np.float32) for layer in layers for each in layer.get_weights()]
        self._continuous, self._unit, sharper = continuous, 1.0, 1.0
        if not continuous:
            weights[-2] = weights[-2] - weights[-2].mean(1, keepdims=True)
            weights[-1] = weights[-1] - weights[-1].mean()
            temperature = _temperature(self._floats(weights, observations)[-1][1])
            # The error of its sums from the rounding of what they are made of: it cannot start from less.
            noise = float(np.linalg.norm(weights[-2], axis=0).max()) / 128 / 12**0.5
            self._unit = max(temperature, noise)
            sharper = self._unit / temperature
            weights[-2:] = [each / np.float32(self._unit) for each in weights[-2:]]
        low, high = observations.min(0), observations.max(0)
        half = ROOM * (high - low) / 2
        half = np.maximum(half, max(0.01 * float(half.max()), 1e-6))  # what hardly changes shall not be all noise
        self._gain, self._shift = (1 / half).astype(np.float32), (-(low + high) / 2 / half).astype(np.float32)
        told = observations * self._gain + self._shift
        weights[1] = weights[1] - (self._shift / self._gain) @ weights[0]
        weights[0] = weights[0] / self._gain[:, None]
        floats = self._floats(weights, told)
        self._ranges = [_ranges(curve, *values) for curve, values in zip(self._curves, floats, strict=True)]
        self._ranges[-1] = _deciding(self._ranges[-1], floats[-1][1], continuous)
        self._even_out(weights, told, [sums for sums, _ in floats])
        self._shapes = [each.shape for each in weights]
        self._flat = tf.Variable(np.concatenate([each.ravel() for each in weights]).astype(np.float32))
        self.before, self.after = self._distil(observations, sharper * floats[-1][1])
        kernels, biases = self._split()
        # Rounded already: training leaves weights half-way between two integers, where the converter may differ.
        self._kernels, self._biases = [stored(each).numpy() for each in kernels], [each.numpy() for each in biases]
        # A factor for the whole of the last layer, its range too, leaves its integers what they are.
        self._kernels[-1], self._biases[-1] = self._kernels[-1] * self._unit, self._biases[-1] * self._unit

    @property
    def done(self) -> tuple[str, ...]:
        """What was done, for people."""
        return (
            f"{len(self._curves)} dense layers, each number observed on its own scale",
            f"distilled into its rounded self in {STEPS} steps: {self.before:.3g} apart, then {self.after:.3g}",
        )

    def graph(self, x: Any) -> Any:
        """(N, size) to (N, actions), in the source's unit; for the converter, or to compute what its model should."""
        return self._run(self._kernels, self._biases, x, self._unit)

    def _split(self) -> tuple[list[Any], list[Any]]:
        """Kernels and biases; scores are in `_unit`s."""
        parts = tf.split(self._flat, [int(np.prod(shape)) for shape in self._shapes])
        shaped = [tf.reshape(part, shape) for part, shape in zip(parts, self._shapes, strict=True)]
        return shaped[::2], shaped[1::2]

    def _rounded(self, x: Any) -> Any:
        kernels, biases = self._split()
        return self._run([stored(kernel) for kernel in kernels], biases, x)

    def _run(self, kernels: list[Any], biases: list[Any], x: Any, unit: float = 1.0) -> Any:
        """What the layers make of observations, each value as int8 holds it."""
        x = _held(x * self._gain + self._shift, (-1.0, 1.0))
        for kernel, bias, curve, (before, after) in zip(kernels, biases, self._curves, self._ranges, strict=True):
            x = x @ kernel + bias
            if curve == "linear":
                x = _held(x, (after[0] * unit, after[1] * unit) if kernel is kernels[-1] else after)
            else:
                # A relu is computed in one with what is before it.
                x = _held(_curve(curve, x if curve == "relu" else _held(x, before)), after)
        return x

    def _floats(self, weights: list[Floats], x: Floats) -> list[tuple[Floats, Floats]]:
        """Of each layer its sums and its results, in float."""
        found = []
        for kernel, bias, curve in zip(weights[::2], weights[1::2], self._curves, strict=True):
            sums = x @ kernel + bias
            x = np.asarray(_curve(curve, sums))
            found.append((sums, x))
        return found

    def _even_out(self, weights: list[Floats], told: Floats, want: list[Floats]) -> None:
        """Have each layer's bias make up for the mean error of its sums, in place."""
        x = np.asarray(_held(told, (-1.0, 1.0)))
        for index, (curve, (before, after)) in enumerate(zip(self._curves, self._ranges, strict=True)):
            made = x @ np.asarray(stored(weights[2 * index]))
            weights[2 * index + 1] = (want[index] - made).mean(0)
            sums = (made + weights[2 * index + 1]).astype(np.float32)
            if curve in ("tanh", "elu"):
                sums = _held(sums, before)
            x = np.asarray(_held(_curve(curve, sums), after))

    def _distil(self, observations: Floats, want: Floats) -> tuple[float, float]:
        """Train the rounded network to choose as the float one; how far apart they were and are, lower is better."""
        optimiser = keras.optimizers.Adam(keras.optimizers.schedules.CosineDecay(RATE, STEPS))
        optimiser.build([self._flat])

        @tf.function(autograph=False)
        def apart(x: Any, want: Any) -> Any:
            have = self._rounded(x)
            if self._continuous:
                return tf.reduce_mean(tf.square(have - tf.clip_by_value(want, -1.0, 1.0)))
            logs = tf.nn.log_softmax(want)
            return tf.reduce_mean(tf.reduce_sum(tf.exp(logs) * (logs - tf.nn.log_softmax(have)), 1))

        @tf.function(autograph=False)
        def step(x: Any, want: Any) -> None:
            with tf.GradientTape() as tape:
                loss = apart(x, want)
            optimiser.apply_gradients([(tape.gradient(loss, self._flat), self._flat)])

        everything = tf.constant(observations), tf.constant(want)
        start, before = self._flat.numpy(), float(apart(*everything))
        rng = np.random.default_rng(0)
        for _ in range(STEPS):
            chosen = tf.constant(rng.integers(len(observations), size=BATCH))
            step(*(tf.gather(each, chosen) for each in everything))
        after = float(apart(*everything))
        if not after < before:
            self._flat.assign(start)
        return before, min(before, after)


def _temperature(scores: Floats) -> float:
    """How far apart the best and the next score are where a choice is close."""
    if scores.shape[1] < 2:
        return 1.0
    ranked = np.sort(scores, 1)
    return max(float(np.quantile(ranked[:, -1] - ranked[:, -2], SHARP)), 1e-6 * float(np.abs(scores).max()), 1e-9)


def _ranges(curve: str, sums: Floats, results: Floats) -> tuple[Range, Range]:
    """Of a layer's sums and of its results."""
    low, high = (float(each) for each in np.percentile(sums, (LOW, HIGH)))
    if curve == "tanh":
        return (max(low, SATURATED * TANH[0]), min(high, SATURATED * TANH[1])), TANH
    after = np.percentile(results, (LOW, HIGH))
    return (low, high), (float(after[0]), float(after[1]))


def _deciding(ranges: tuple[Range, Range], results: Floats, continuous: bool) -> tuple[Range, Range]:
    """The last layer's ranges: what lies beyond, no choice depends on."""
    before, (low, high) = ranges
    if continuous:
        return before, (max(low, -1.0), min(high, 1.0))
    ranked = np.sort(results, 1)
    best, following = np.percentile(ranked[:, -1], LOW), np.percentile(ranked[:, -2:-1], HIGH)
    return before, (max(low, float(best) - TELL), min(high, float(following) + TELL))


def _curve(name: str, x: Any) -> Any:
    return x if name == "linear" else {"relu": tf.nn.relu, "elu": tf.nn.elu, "tanh": tf.tanh}[name](x)


def _held(x: Any, within: Range) -> Any:
    """As an int8 tensor of this range holds it, zero included."""
    low, high = min(within[0], 0.0), max(within[1], 0.0)
    return tf.quantization.fake_quant_with_min_max_args(x, low, max(high, low + 1e-6), num_bits=8)
