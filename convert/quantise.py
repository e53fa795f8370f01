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
from convert.distill import distill, steps_of
from convert.equalise import equalise
from convert.errors import ConvertError
from convert.graph import Graph
from convert.keras_graph import from_keras
from convert.mirror import mirror
from convert.ranges import Advance, Images
from convert.rounding import Rounding, layers_of
from convert.tflite import export
from edge.manifest import DarknetDecode, DarknetHead

ROOM = 1.25  # how far a head's range may grow for the sake of its boxes
SEEN = 30.0  # how much more a candidate that the float network is sure of counts in training than an empty one


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
    learned = distill(graph, rounding, images, advance, loss=partial(heads_loss, decode))
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


def heads_loss(decode: DarknetDecode, teacher: list[Any], student: list[Any]) -> Any:
    """Mean squared errors of boxes and of chances, each as a share of its own variance: the largest numbers are not the
    most important ones."""
    sets: list[Any] = [[np.arange(head.shape[-1])] for head in teacher]
    for head in decode.heads:
        sets[head.output] = channel_sets(head, decode.classes)
    losses = []
    for index, (want, have) in enumerate(zip(teacher, student, strict=True)):
        weighted = tf.square(have - want) * emphasis(decode, index, want)
        for channels in sets[index]:
            error = tf.reduce_mean(tf.gather(weighted, channels, axis=-1))
            losses.append(error / (tf.math.reduce_variance(tf.gather(want, channels, axis=-1)) + 1e-6))
    return tf.add_n(losses)


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


def emit(rounding: Rounding, images: Images) -> bytes:
    """The flatbuffer of a graph with these ranges."""
    graph = rounding.graph
    # The converter asks for samples even where every range is stated; without any it leaves the rest in float.
    samples = [] if rounding.mixed else [np.asarray(image[None], np.float32) for image in images[:2]]
    return export(
        lambda x: graph.run(x, rounding.observe), (1, *graph.input_shape), graph.variables, "int8", samples,
        integer_io="both" if rounding.heads_int8 else "input",
    )  # fmt: skip
