"""Full int8 for convolutional networks: equalised weights, ranges of our own, raw heads as outputs.

TensorFlow's converter alone loses 3 to 11 points of AP on small detectors, since it takes minimum and maximum of
each activation and quantises tensors whose channels differ a hundredfold. Here batch normalisation is folded,
channels are equalised across layers, and each tensor's range (percentiles over calibration images) enters the graph
as a fake quantisation that the converter takes over.
"""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import tensorflow as tf

from convert import ranges
from convert.distill import distill, steps_of
from convert.equalise import equalise
from convert.graph import Graph, Node, from_keras
from convert.ranges import Advance, Images
from convert.tflite import export

# After these a range is stated; the others (pad, maxpool, resize, slice) keep the scale of what they read.
MEASURED = ("conv", "depthwise", "relu", "leaky", "curve", "add", "concat")


def work(images: int) -> int:
    """How far `advance` counts in all, for progress."""
    return 2 * len(range(0, max(images - ranges.BATCH + 1, 1), ranges.BATCH)) * ranges.BATCH + steps_of(images)


def int8(
    model: keras.Model, images: Images, advance: Advance = lambda count: None, value_range: tuple[float, float] = (0, 1)
) -> bytes:
    """The flatbuffer of a detector in int8, input and raw heads included.

    Args:
        model: functional, of the layers that `convert.graph` knows; its outputs are raw heads.
        images: calibration, (N, rows, columns, channels) float32 as the model takes them.
        advance: told the number of images gone through, up to `work(len(images))`.
        value_range: what the input may hold; 0..1 makes a uint8 image an int8 one by minus 128.
    """
    graph = prepare(model, images, advance)
    found = ranges.ranges(graph, images, advance)
    distill(graph, fake_quantiser(graph, found, value_range), images, advance)
    return emit(graph, found, images, value_range)


def prepare(model: keras.Model, images: Images, advance: Advance = lambda count: None) -> Graph:
    """Folded and equalised."""
    graph = from_keras(model)
    equalise(graph, ranges.channel_maxima(graph, images, advance))
    return graph


def fake_quantiser(graph: Graph, found: dict[str, tuple[float, float]], value_range: tuple[float, float]) -> Any:
    """An observer for `Graph.run` that rounds each measured value as int8 will."""

    def observe(node: Node, value: Any) -> Any:
        if node.op == "input":
            low, high = value_range
        elif node.op not in MEASURED or _fused(graph, node):
            return value
        else:
            low, high = found[node.name]
        high = max(high, low + 1e-6)
        return tf.quantization.fake_quant_with_min_max_args(value, low, high, num_bits=8)

    return observe


def emit(
    graph: Graph, found: dict[str, tuple[float, float]], images: Images, value_range: tuple[float, float] = (0, 1)
) -> bytes:
    """The flatbuffer of a graph with these ranges."""
    observe = fake_quantiser(graph, found, value_range)
    # The converter asks for samples even where every range is stated.
    samples = [np.asarray(image[None], np.float32) for image in images[:2]]
    return export(lambda x: graph.run(x, observe), (1, *graph.input_shape), mode="int8", samples=samples)


def _fused(graph: Graph, node: Node) -> bool:
    """Whether TFLite computes the node and the ReLU after it in one, so that there is no tensor between."""
    users = graph.users(node.name)
    only = len(users) == 1 and node.name not in graph.outputs
    return only and users[0].op == "relu" and node.op in ("conv", "depthwise", "add")
