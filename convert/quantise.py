"""Full int8 for convolutional networks: equalised weights, ranges of our own, raw heads as outputs.

TensorFlow's converter alone loses 3 to 11 points of AP on small detectors, since it takes minimum and maximum of
each activation and quantises tensors whose channels differ a hundredfold. Here batch normalisation is folded,
channels are equalised across layers, and each tensor's range (percentiles over calibration images) enters the graph
as a fake quantisation that the converter takes over.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from convert import ranges
from convert.distill import distill, fake_quantised, steps_of
from convert.equalise import equalise
from convert.errors import ConvertError
from convert.graph import COMPOSED, Graph, Node
from convert.keras_graph import from_keras
from convert.mirror import mirror
from convert.ranges import Advance, Images
from convert.tflite import export
from edge.manifest import DarknetDecode, DarknetHead

ROOM = 1.25  # how far a head's range may grow for the sake of its boxes
SEEN = 30.0  # how much more a candidate that the float network is sure of counts in training than an empty one

# After these a range is stated; the others (pad, maxpool, resize, slice, moves) keep the scale of what they read.
MEASURED = ("conv", "depthwise", "relu", "leaky", "curve", "add", "concat", "other")


def work(images: int) -> int:
    """How far `advance` counts in all, for progress."""
    return 2 * len(range(0, max(images - ranges.BATCH + 1, 1), ranges.BATCH)) * ranges.BATCH + steps_of(images)


@dataclass(frozen=True)
class Int8:
    """A quantised detector.

    Attributes:
        flatbuffer: the model.
        decode: how its heads are read; the boxes' gain is in it.
        graph: what it was made of, after equalisation and training, in float.
        simulate: images (N, rows, columns, channels) to the heads that the rounding must lead to, computed apart.
        done: what was done to the network, in a few sentences.
    """

    flatbuffer: bytes
    decode: DarknetDecode
    graph: Graph
    simulate: Callable[[Any], list[Any]]
    done: tuple[str, ...]


def int8(
    model: keras.Model,
    images: Images,
    decode: DarknetDecode,
    advance: Advance = lambda count: None,
    value_range: tuple[float, float] = (0, 1),
    floats: frozenset[str] = frozenset(),
) -> Int8:
    """Quantise a detector whole, input and raw heads included.

    Args:
        model: functional, of the layers that `convert.keras_graph` knows; its outputs are raw heads.
        images: calibration, (N, rows, columns, channels) float32 as the model takes them.
        decode: what the channels of the heads mean.
        advance: told the number of images gone through, up to `work(len(images))`.
        value_range: what the input may hold; 0..1 makes a uint8 image an int8 one by minus 128.
        floats: layers (`layers_of`) whose results, and what reads them, are computed in float.
    """
    graph = from_keras(model)
    known = set(layers_of(graph).values())
    for name in floats - known:
        near = difflib.get_close_matches(name, known, 3, 0.3) or sorted(known)[:3]
        raise ConvertError(f"--keep-float names {name!r}, no layer of this model; near it: {', '.join(near)}")
    extents = ranges.channel_extents(graph, images, advance)
    turned = mirror(graph, extents)
    evened = equalise(graph, extents)
    decode = enlarge_boxes(graph, decode, images)
    found = ranges.ranges(graph, images, advance)
    rounding = Rounding(graph, found, value_range, floats)
    groups: list[list[NDArray[np.intp]]] = [[np.arange(graph.nodes[name].channels)] for name in graph.outputs]
    for head in decode.heads:
        groups[head.output] = list(channel_sets(head, decode.classes))
    learned = distill(
        graph, rounding.observe, images, advance, groups=groups, weights=rounding.weights,
        emphasis=partial(emphasis, decode),
    )  # fmt: skip
    flatbuffer = emit(rounding, images)
    convolutions = sum(node.kernel is not None for node in graph.nodes.values())
    done = (
        f"{convolutions} convolutions with batch normalisation folded; {evened.scaled} of {evened.channels} channels "
        f"equalised, by up to {evened.most:.0f} times"
        + (f"; {turned} that are always negative turned over" if turned else ""),
        f"{sum(rounding.rounds(node) for node in graph.nodes.values())} ranges from {len(images)} photos",
        learned.sentence,
        *([f"in float: {', '.join(sorted(floats))}, and what reads them"] if floats else []),
    )
    return Int8(flatbuffer, decode, graph, rounding.simulate(), done)


def channel_sets(head: DarknetHead, classes: int) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """The channels of a head that hold boxes (x, y, w, h), and those of objectness and classes."""
    channels = np.arange(len(head.anchors) * (5 + classes)).reshape(-1, 5 + classes)
    return channels[:, :4].reshape(-1), channels[:, 4:].reshape(-1)


def emphasis(decode: DarknetDecode, output: int, head: Any) -> Any:
    """How much each value of a head counts: a candidate by its objectness.

    Of hundreds of candidates a few hold something; alike in weight, the many empty ones decide, and the scores of what
    is there come out a little low.
    """
    counts = tf.ones_like(head)
    for one in decode.heads:
        if one.output == output:
            each = tf.reshape(head, (*head.shape[:3], len(one.anchors), 5 + decode.classes))
            sure = 1.0 + SEEN * tf.sigmoid(each[..., 4:5])
            counts = tf.reshape(tf.broadcast_to(sure, tf.shape(each)), tf.shape(head))
    return counts


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


class Rounding:
    """Which values of a graph are int8, and what rounding makes of them.

    Args:
        graph: folded and equalised.
        found: ranges by node.
        value_range: of the input.
        floats: layers whose results stay float.
    """

    def __init__(
        self,
        graph: Graph,
        found: dict[str, tuple[float, float]],
        value_range: tuple[float, float] = (0, 1),
        floats: frozenset[str] = frozenset(),
    ) -> None:
        self.graph, self._found, self._value_range = graph, found, value_range
        layers = layers_of(graph)
        self._floats = {name for name in graph.nodes if layers[name] in floats}
        self._int8: dict[str, bool] = {}
        for node in reversed(graph.nodes.values()):
            if _fused(graph, node):
                self._int8[node.name] = self._int8[graph.users(node.name)[0].name]
            elif node.op in MEASURED or node.op == "input":
                self._int8[node.name] = node.name not in self._floats
        for node in graph.nodes.values():
            if node.name not in self._int8:
                self._int8[node.name] = self._int8[node.inputs[0]]
            elif node.op == "concat" and not any(self._int8[name] for name in node.inputs):
                self._int8[node.name] = False  # it only joins values that are float

    @property
    def mixed(self) -> bool:
        """Whether some of the arithmetic is in float."""
        others = any(node.op == "other" or node.curve in COMPOSED for node in self.graph.nodes.values())
        return bool(self._floats) or others

    @property
    def heads_int8(self) -> bool:
        """Whether all outputs are int8."""
        return all(self._int8[name] for name in self.graph.outputs)

    def rounds(self, node: Node) -> bool:
        """Whether a range of its own is stated for the node's value."""
        stated = node.op == "input" or (node.op in MEASURED and not _fused(self.graph, node))
        return stated and self._int8[node.name]

    def observe(self, node: Node, value: Any) -> Any:
        """For `Graph.run`: each value as int8 will hold it."""
        if not self.rounds(node):
            return value
        low, high = self._value_range if node.op == "input" else self._found[node.name]
        return tf.quantization.fake_quant_with_min_max_args(value, low, max(high, low + 1e-6), num_bits=8)

    def weights(self, node: Node, kernel: Any) -> Any:
        """A kernel as the model will hold it."""
        return fake_quantised(node, kernel) if self._int8[node.inputs[0]] and self._int8[node.name] else kernel

    def simulate(self) -> Callable[[Any], list[Any]]:
        """A compiled function from images to the heads that the rounding leads to."""

        @tf.function(input_signature=[tf.TensorSpec((None, *self.graph.input_shape), tf.float32)], autograph=False)
        def simulate(x: Any) -> list[Any]:
            return self.graph.run(
                x,
                self.observe,
                lambda node: (None, None) if node.kernel is None else (self.weights(node, node.kernel), node.bias),
            )

        return simulate


def layers_of(graph: Graph) -> dict[str, str]:
    """By node the layer that it belongs to: an activation and what keeps a scale belong to what they follow."""
    layers: dict[str, str] = {}
    for node in graph.nodes.values():
        own = node.op in ("relu", "leaky", "curve") or node.op not in MEASURED
        layers[node.name] = layers[node.inputs[0]] if own and node.inputs else node.name
    return layers


def emit(rounding: Rounding, images: Images) -> bytes:
    """The flatbuffer of a graph with these ranges."""
    graph = rounding.graph
    # The converter asks for samples even where every range is stated; without any it leaves the rest in float.
    samples = [] if rounding.mixed else [np.asarray(image[None], np.float32) for image in images[:2]]
    return export(
        lambda x: graph.run(x, rounding.observe), (1, *graph.input_shape), graph.variables, "int8", samples,
        integer_io="both" if rounding.heads_int8 else "input",
    )  # fmt: skip


def _fused(graph: Graph, node: Node) -> bool:
    """Whether TFLite computes the node and the ReLU after it in one, so that there is no tensor between."""
    users = graph.users(node.name)
    only = len(users) == 1 and node.name not in graph.outputs
    return only and (users[0].op == "relu" or users[0].curve == "relu6") and node.op in ("conv", "depthwise", "add")
