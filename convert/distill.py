"""A little training that teaches a network to live with its own rounding: no labels, only its float self as teacher.

The student is the equalised network with weights and activations fake-quantised as the int8 model will have them;
gradients pass the rounding as if it were not there (straight-through, Bengio et al. 2013, arXiv:1308.3432). It learns
to give the float network's raw heads on the calibration images and their mirror images.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import keras
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from convert.graph import Graph, Node
from convert.ranges import BATCH, Advance, Images

PART = 4  # images that are in memory together: half a batch, half the memory
EPOCHS = 20
RATE = 6e-5  # Adam's, going to 0 along a cosine; four times more did harm


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


def distill(
    graph: Graph,
    observe: Callable[[Node, Any], Any],
    images: Images,
    advance: Advance = lambda count: None,
    seed: int = 0,
    groups: Sequence[Sequence[NDArray[np.intp]]] = (),
    weights: Callable[[Node, Any], Any] | None = None,
    emphasis: Callable[[int, Any], Any] = lambda output, head: tf.ones_like(head),
) -> Learned:
    """Train the weights of `graph` in place; where that does not bring the heads nearer, they stay.

    Args:
        graph: folded and equalised.
        observe: rounds each activation as int8 will (`convert.quantise.Rounding`).
        images: calibration, (N, rows, columns, channels), at least `BATCH`.
        advance: told the number of images done.
        seed: of the order of the images and their mirroring.
        groups: per head, sets of channels that count alike as sets (boxes, chances); without it a head is one set.
        weights: a kernel as int8 will hold it; `fake_quantised` unless given.
        emphasis: how much each value of a head counts, from the head's number and what the float network gave there.
    """
    # TensorFlow has no gradient of a dilated convolution on a CPU.
    if len(images) < BATCH or any(node.dilations != (1, 1) for node in graph.nodes.values()):
        return Learned(0, 0.0, 0.0, False)
    rounded = weights or fake_quantised
    # All weights are one variable: of many, the optimiser makes a graph that takes longer to build than to run.
    pieces = [
        (name, what, value)
        for name, node in graph.nodes.items()
        for what, value in (("kernel", node.kernel), ("bias", node.bias))
        if value is not None
    ]
    flat = tf.Variable(np.concatenate([value.ravel() for *_, value in pieces]))

    def weights_in(vector: Any) -> dict[tuple[str, str], Any]:
        parts = tf.split(vector, [value.size for *_, value in pieces])
        return {
            (name, what): tf.reshape(part, value.shape)
            for (name, what, value), part in zip(pieces, parts, strict=True)
        }

    def loss_of(x: Any, teacher: Any) -> Any:
        held = weights_in(flat)

        def student_weights(node: Node) -> tuple[Any, Any]:
            kernel = held.get((node.name, "kernel"))
            return None if kernel is None else rounded(node, kernel), held.get((node.name, "bias"))

        student = graph.run(x, observe, student_weights)
        losses = []
        for index, (want, have) in enumerate(zip(teacher, student, strict=True)):
            counts = emphasis(index, want)
            for channels in groups[index] if groups else [np.arange(want.shape[-1])]:
                part = tf.gather(want, channels, axis=-1)
                # Each counts by its own variance: the largest numbers are not the most important ones.
                error = tf.square(tf.gather(have, channels, axis=-1) - part) * tf.gather(counts, channels, axis=-1)
                losses.append(tf.reduce_mean(error) / (tf.math.reduce_variance(part) + 1e-6))
        return tf.add_n(losses)

    total = EPOCHS * (len(images) // BATCH)
    schedule = keras.optimizers.schedules.CosineDecay(RATE, total)
    optimiser = keras.optimizers.Adam(schedule)
    optimiser.build([flat])
    teach = tf.function(graph.run, autograph=False)

    gathered = tf.Variable(tf.zeros_like(flat))

    @tf.function(autograph=False)
    def gather(x: Any, teacher: Any) -> None:
        with tf.GradientTape() as tape:
            loss = loss_of(x, teacher)
        gathered.assign_add(tape.gradient(loss, flat) * (PART / BATCH))

    @tf.function(autograph=False)
    def step() -> None:
        optimiser.apply_gradients([(gathered, flat)])
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
    for (name, what), value in weights_in(flat).items():
        setattr(graph.nodes[name], what, value.numpy())
    return Learned(total, before, after, True)


def fake_quantised(node: Node, kernel: Any) -> Any:
    """The kernel of a convolution as TFLite stores it."""
    shape = tf.shape(kernel)
    return tf.reshape(stored(tf.reshape(kernel, [shape[0], shape[1], -1]) if node.op == "depthwise" else kernel), shape)


def stored(kernel: Any) -> Any:
    """A kernel (..., outputs) as TFLite stores it: int8, symmetric, one scale per output."""
    largest = tf.stop_gradient(tf.maximum(tf.reduce_max(tf.abs(kernel), list(range(len(kernel.shape) - 1))), 1e-9))
    return tf.quantization.fake_quant_with_min_max_vars_per_channel(
        kernel, -largest, largest, num_bits=8, narrow_range=True
    )
