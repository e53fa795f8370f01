"""Full int8 for convolutional networks: equalised weights, ranges of our own, raw heads as outputs.

TensorFlow's converter alone loses 3 to 11 points of AP on small detectors, since it takes minimum and maximum of
each activation and quantises tensors whose channels differ a hundredfold. Here batch normalisation is folded,
channels are equalised across layers, and each tensor's range (percentiles over calibration images) enters the graph
as a fake quantisation that the converter takes over.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from convert import ranges
from convert.distill import distill, fake_quantised, steps_of
from convert.equalise import equalise
from convert.graph import Graph, Node, from_keras
from convert.ranges import Advance, Images
from convert.tflite import export
from edge.manifest import DarknetDecode, DarknetHead

ROOM = 1.25  # how far a head's range may grow for the sake of its boxes

# After these a range is stated; the others (pad, maxpool, resize, slice) keep the scale of what they read.
MEASURED = ("conv", "depthwise", "relu", "leaky", "curve", "add", "concat")


def work(images: int) -> int:
    """How far `advance` counts in all, for progress."""
    return 2 * len(range(0, max(images - ranges.BATCH + 1, 1), ranges.BATCH)) * ranges.BATCH + steps_of(images)


@dataclass(frozen=True)
class Int8:
    """A quantised detector.

    Attributes:
        flatbuffer: the model.
        decode: how its heads are read; the boxes' gain is in it.
        simulate: images (N, rows, columns, channels) to the heads that the rounding must lead to, computed apart.
    """

    flatbuffer: bytes
    decode: DarknetDecode
    simulate: Callable[[Any], list[Any]]


def int8(
    model: keras.Model,
    images: Images,
    decode: DarknetDecode,
    advance: Advance = lambda count: None,
    value_range: tuple[float, float] = (0, 1),
) -> Int8:
    """Quantise a detector whole, input and raw heads included.

    Args:
        model: functional, of the layers that `convert.graph` knows; its outputs are raw heads.
        images: calibration, (N, rows, columns, channels) float32 as the model takes them.
        decode: what the channels of the heads mean.
        advance: told the number of images gone through, up to `work(len(images))`.
        value_range: what the input may hold; 0..1 makes a uint8 image an int8 one by minus 128.
    """
    graph = prepare(model, images, advance)
    decode = enlarge_boxes(graph, decode, images)
    found = ranges.ranges(graph, images, advance)
    observe = fake_quantiser(graph, found, value_range)
    groups: list[list[NDArray[np.intp]]] = [[np.arange(graph.nodes[name].channels)] for name in graph.outputs]
    for head in decode.heads:
        groups[head.output] = list(channel_sets(head, decode.classes))
    distill(graph, observe, images, advance, groups=groups)
    flatbuffer = emit(graph, found, images, value_range)

    @tf.function(input_signature=[tf.TensorSpec((None, *graph.input_shape), tf.float32)], autograph=False)
    def simulate(x: Any) -> list[Any]:
        return graph.run(
            x,
            observe,
            lambda node: (None, None) if node.kernel is None else (fake_quantised(node, node.kernel), node.bias),
        )

    return Int8(flatbuffer, decode, simulate)


def channel_sets(head: DarknetHead, classes: int) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """The channels of a head that hold boxes (x, y, w, h), and those of objectness and classes."""
    channels = np.arange(len(head.anchors) * (5 + classes)).reshape(-1, 5 + classes)
    return channels[:, :4].reshape(-1), channels[:, 4:].reshape(-1)


def enlarge_boxes(graph: Graph, decode: DarknetDecode, images: Images) -> DarknetDecode:
    """Make the box channels of each head larger, in place, and note by how much.

    A head has one int8 scale, and objectness reaches far further (to -20 where there is nothing) than a box's
    logarithmic width: left alone, widths would come in steps of 10 to 15 %. The head's own range may grow by a quarter.
    """
    measured = ranges.output_percentiles(graph, images)
    heads = []
    for head in decode.heads:
        node = graph.nodes[graph.outputs[head.output]]
        if node.op != "conv" or node.kernel is None or node.bias is None or graph.users(node.name):
            heads.append(head)
            continue
        boxes, chances = channel_sets(head, decode.classes)
        low, high = measured[head.output]
        span = ROOM * (max(high.max(), 0.0) - min(low.min(), 0.0))
        gains = np.geomspace(1.0, 32.0, 101)
        top = np.maximum(max(high[chances].max(), 0.0), gains * max(high[boxes].max(), 0.0))
        bottom = np.minimum(min(low[chances].min(), 0.0), gains * min(low[boxes].min(), 0.0))
        gain = float(gains[np.flatnonzero(top - bottom <= span).max(initial=0)])
        node.kernel[..., boxes] *= np.float32(gain)
        node.bias[boxes] *= np.float32(gain)
        heads.append(head.model_copy(update={"box_gain": gain}))
    return decode.model_copy(update={"heads": tuple(heads)})


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
