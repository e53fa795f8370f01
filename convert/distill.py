"""A little training that teaches a network to live with its own rounding: no labels, only its float self as teacher.

The student is the equalised network with weights and activations fake-quantised as the int8 model will have them;
gradients pass the rounding as if it were not there (straight-through, Bengio et al. 2013, arXiv:1308.3432). It learns
to give the float network's raw heads on the calibration images and their mirror images.

What may move is what a few dozen photos can tell of and the float network hardly feels: the limits between which each
activation is rounded (Esser et al., "Learned Step Size Quantization", 2020, arXiv:1902.08153), the factors between the
channels that equalisation began with (as in Shao et al., "OmniQuant", 2023, arXiv:2308.13137), and the biases. Kernels
themselves learn the photos by heart: on others the heads came out further from the float network's.
"""

from __future__ import annotations

from typing import Any, NamedTuple, Protocol

import keras
import numpy as np
import tensorflow as tf

from convert.equalise import channel_groups
from convert.graph import Graph, Node
from convert.ranges import BATCH, Advance, Images
from convert.rounding import Rounding

PART = 4  # images that are in memory together: half a batch, half the memory
EPOCHS = 20
RATE = 0.01  # Adam's, going to 0 along a cosine; of the logarithm of a limit
SCALES = 2.0  # times that: of the logarithm of a channel's factor
BIASES = 0.01  # times that: of a bias, as a share of the range that its convolution's result is rounded in


class Loss(Protocol):
    """How far a student's heads are from its teacher's: a scalar, from one tensor for each head on either side."""

    def __call__(self, teacher: list[Any], student: list[Any]) -> Any: ...


class Learned(NamedTuple):
    """What `distill` did: steps, the heads' error before and after (a share of their variance), whether it stays."""

    steps: int
    before: float
    after: float
    kept: bool

    @property
    def sentence(self) -> str:
        """For people."""
        if not self.steps:
            return f"not trained on its own rounding: fewer than {BATCH} photos, or dilated convolutions"
        told = f"error of its heads {self.before:.3g} -> {self.after:.3g} in {self.steps} steps"
        return f"trained on its own rounding, {told}" if self.kept else f"training did not help ({told}), left out"


def steps_of(images: int) -> int:
    """How many images `distill` goes through, for progress."""
    return EPOCHS * (images // BATCH) * BATCH


def variance_loss(teacher: list[Any], student: list[Any]) -> Any:
    """The heads' mean squared errors, each as a share of that head's variance."""
    pairs = zip(teacher, student, strict=True)
    return tf.add_n([tf.reduce_mean(tf.square(b - a)) / (tf.math.reduce_variance(a) + 1e-6) for a, b in pairs])


def distill(
    graph: Graph,
    rounding: Rounding,
    images: Images,
    advance: Advance = lambda count: None,
    seed: int = 0,
    loss: Loss = variance_loss,
) -> Learned:
    """Train `graph` and the ranges of `rounding` in place; where that brings the heads no nearer, they stay.

    Args:
        graph: folded and equalised.
        rounding: of that graph.
        images: calibration, (N, rows, columns, channels), at least `BATCH`.
        advance: told the number of images done.
        seed: of the order of the images and their mirroring.
        loss: what is made small.
    """
    # TensorFlow has no gradient of a dilated convolution on a CPU.
    if len(images) < BATCH or any(node.dilations != (1, 1) for node in graph.nodes.values()):
        return Learned(0, 0.0, 0.0, False)
    moves = _Moves(graph, rounding)
    moved = tf.Variable(np.zeros(moves.size, np.float32))

    def loss_of(x: Any, teacher: list[Any]) -> Any:
        return loss(teacher, moves.student(moved, x))

    total = EPOCHS * (len(images) // BATCH)
    optimiser = keras.optimizers.Adam(keras.optimizers.schedules.CosineDecay(RATE, total))
    optimiser.build([moved])
    teach = tf.function(graph.run, autograph=False)

    gathered = tf.Variable(tf.zeros_like(moved))

    @tf.function(autograph=False)
    def gather(x: Any, teacher: Any) -> None:
        with tf.GradientTape() as tape:
            error = loss_of(x, teacher)
        gathered.assign_add(tape.gradient(error, moved) * (PART / BATCH))

    @tf.function(autograph=False)
    def step() -> None:
        optimiser.apply_gradients([(gathered, moved)])
        gathered.assign(tf.zeros_like(gathered))

    measure = tf.function(loss_of, autograph=False)
    # The teacher's heads for each image as it is and mirrored, once for all epochs.
    both = np.concatenate([images, images[:, :, ::-1]])
    parts = [teach(tf.constant(both[start : start + BATCH])) for start in range(0, len(both), BATCH)]
    heads = [np.concatenate(head) for head in zip(*parts, strict=True)]

    def mean_loss() -> float:
        losses = []
        for start in range(0, len(images) - BATCH + 1, BATCH):
            own = slice(start, start + BATCH)
            losses.append(float(measure(tf.constant(images[own]), [tf.constant(head[own]) for head in heads])))
        return float(np.mean(losses))

    before = mean_loss()
    generator = np.random.default_rng(seed)
    for _ in range(EPOCHS):
        order = generator.permutation(len(images))
        for start in range(0, len(images) - BATCH + 1, BATCH):
            chosen = order[start : start + BATCH] + len(images) * generator.integers(0, 2, BATCH)
            for part in chosen.reshape(-1, PART):
                gather(tf.constant(both[part]), [tf.constant(head[part]) for head in heads])
            step()
            advance(BATCH)
    after = mean_loss()
    if not after < before:
        return Learned(total, before, after, False)
    moves.settle(moved)
    return Learned(total, before, after, True)


class _Moves:
    """What training moves, as one vector that begins at 0: of many variables the optimiser makes a graph that takes
    longer to build than to run."""

    def __init__(self, graph: Graph, rounding: Rounding) -> None:
        self._graph, self._rounding = graph, rounding
        self._groups = channel_groups(graph)
        self._limited = [node.name for node in graph.nodes.values() if node.op != "input" and rounding.rounds(node)]
        self._limits = np.array([rounding.limits(graph.nodes[name]) for name in self._limited], np.float32)
        self._biased = [node for node in graph.nodes.values() if node.bias is not None]
        scales = 1 + max(int(own.max(initial=0)) for own in self._groups.values())
        self._sizes = [self._limits.size, scales, *(node.channels for node in self._biased)]
        self.size = sum(self._sizes)

    def _at(self, vector: Any) -> tuple[dict[str, Any], dict[str, tuple[Any, Any]]]:
        """Limits by node, each (2,), and kernels and biases."""
        limits, scales, *biases = tf.split(vector, self._sizes)
        limits = tf.reshape(limits, self._limits.shape)
        ranges = dict(zip(self._limited, tf.unstack(self._limits * tf.exp(limits)), strict=True))
        factors = tf.concat([tf.ones(1), tf.exp(SCALES * scales[1:])], 0)  # group 0 keeps its scale
        weights = {}
        for node, moved in zip(self._biased, biases, strict=True):
            assert node.kernel is not None
            low, high = self._rounding.limits(node)
            into = tf.gather(factors, self._groups[node.inputs[0]])[:, None]
            out = tf.gather(factors, self._groups[node.name])
            kernel = node.kernel * (into / (tf.reshape(out, node.kernel.shape[2:]) if node.op == "depthwise" else out))
            weights[node.name] = kernel, (node.bias + BIASES * (high - low) * moved) / out
        return ranges, weights

    def student(self, vector: Any, x: Any) -> list[Any]:
        """The heads of the rounded network."""
        ranges, weights = self._at(vector)

        def observe(node: Node, value: Any) -> Any:
            if node.name not in ranges:
                return self._rounding.observe(node, value)
            return _rounded(value, *tf.unstack(ranges[node.name]))

        def weights_of(node: Node) -> tuple[Any, Any]:
            kernel, bias = weights.get(node.name, (None, None))
            return None if kernel is None else self._rounding.weights(node, kernel), bias

        return self._graph.run(x, observe, weights_of)

    def settle(self, vector: Any) -> None:
        """Put what was learnt into the graph and its ranges."""
        ranges, weights = self._at(vector)
        self._rounding.found.update({name: (float(low), float(high)) for name, (low, high) in ranges.items()})
        for name, (kernel, bias) in weights.items():
            self._graph.nodes[name].kernel, self._graph.nodes[name].bias = kernel.numpy(), bias.numpy()


@tf.custom_gradient
def _rounded(value: Any, low: Any, high: Any) -> tuple[Any, Any]:
    """A value as int8 holds it between limits that learn: what is cut off pulls at its limit, and the rounding errors
    within tell whether the steps should be finer."""
    made = tf.quantization.fake_quant_with_min_max_vars(value, low, high, num_bits=8)

    def gradient(upstream: Any) -> tuple[Any, Any, Any]:
        within, below, above = tf.raw_ops.FakeQuantWithMinMaxVarsGradient(
            gradients=upstream, inputs=value, min=low, max=high, num_bits=8, narrow_range=False
        )
        wider = tf.reduce_sum(within * (made - value)) / (high - low)
        return within, below - wider, above + wider

    return made, gradient
