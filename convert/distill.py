"""A little training that teaches a network to live with its own rounding: no labels, only its float self as teacher.

The student is the equalised network with weights and activations fake-quantised as the int8 model will have them;
gradients pass the rounding as if it were not there (straight-through, Bengio et al. 2013, arXiv:1308.3432). It learns
to give the float network's raw heads on the calibration images and their mirror images.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from convert.graph import Graph, Node
from convert.ranges import BATCH, Advance, Images

EPOCHS = 10
RATE = 2e-5  # Adam's, going to 0 along a cosine; ten times more did harm


def steps_of(images: int) -> int:
    """How many images `distill` goes through, for progress."""
    return EPOCHS * (images // BATCH) * BATCH


def distill(
    graph: Graph,
    observe: Callable[[Node, Any], Any],
    images: Images,
    advance: Advance = lambda count: None,
    seed: int = 0,
) -> None:
    """Train the weights of `graph` in place; where that does not bring the heads nearer, they stay.

    Args:
        graph: folded and equalised.
        observe: rounds each activation as int8 will (`convert.quantise.fake_quantiser`).
        images: calibration, (N, rows, columns, channels), at least `BATCH`.
        advance: told the number of images done.
        seed: of the order of the images and their mirroring.
    """
    if len(images) < BATCH:
        return
    kernels = {name: tf.Variable(node.kernel) for name, node in graph.nodes.items() if node.kernel is not None}
    biases = {name: tf.Variable(node.bias) for name, node in graph.nodes.items() if node.bias is not None}
    variables = [*kernels.values(), *biases.values()]

    def weights(node: Node) -> tuple[Any, Any]:
        if node.name not in kernels:
            return None, None
        return fake_quantised(node, kernels[node.name]), biases[node.name]

    def loss_of(x: Any) -> Any:
        teacher, student = graph.run(x), graph.run(x, observe, weights)
        # Each head counts by its own variance: the largest numbers are not the most important ones.
        return tf.add_n(
            [
                tf.reduce_mean(tf.square(have - want)) / (tf.math.reduce_variance(want) + 1e-6)
                for want, have in zip(teacher, student, strict=True)
            ]
        )

    total = EPOCHS * (len(images) // BATCH)
    schedule = keras.optimizers.schedules.CosineDecay(RATE, total)
    optimiser = keras.optimizers.Adam(schedule)
    optimiser.build(variables)
    signature = [tf.TensorSpec((None, *graph.input_shape), tf.float32)]

    @tf.function(input_signature=signature, autograph=False)
    def train(x: Any) -> None:
        with tf.GradientTape() as tape:
            loss = loss_of(x)
        optimiser.apply_gradients(zip(tape.gradient(loss, variables), variables, strict=True))

    measure = tf.function(loss_of, input_signature=signature, autograph=False)

    def mean_loss() -> float:
        starts = range(0, len(images) - BATCH + 1, BATCH)
        return float(np.mean([float(measure(images[start : start + BATCH])) for start in starts]))

    before = mean_loss()
    generator = np.random.default_rng(seed)
    for _ in range(EPOCHS):
        order = generator.permutation(len(images))
        for start in range(0, len(images) - BATCH + 1, BATCH):
            batch = images[order[start : start + BATCH]]
            mirrored = generator.random(BATCH) < 0.5
            batch = np.where(mirrored[:, None, None, None], batch[:, :, ::-1], batch)
            train(batch)
            advance(BATCH)
    if not mean_loss() < before:
        return
    for name, node in graph.nodes.items():
        if name in kernels:
            node.kernel, node.bias = kernels[name].numpy(), biases[name].numpy()


def fake_quantised(node: Node, kernel: Any) -> Any:
    """A kernel as TFLite stores it: int8, symmetric, one scale per output channel."""
    shape = tf.shape(kernel)
    flat = tf.reshape(kernel, [shape[0], shape[1], -1]) if node.op == "depthwise" else kernel
    axes = [0, 1] if node.op == "depthwise" else [0, 1, 2]
    largest = tf.stop_gradient(tf.maximum(tf.reduce_max(tf.abs(flat), axes), 1e-9))
    rounded = tf.quantization.fake_quant_with_min_max_vars_per_channel(
        flat, -largest, largest, num_bits=8, narrow_range=True
    )
    return tf.reshape(rounded, shape)
