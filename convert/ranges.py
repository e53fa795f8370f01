"""What values flow through a network: measured on calibration images, node by node."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from convert.graph import Graph, Node

BATCH = 8
LOW, HIGH = 0.003, 99.997  # percentiles; 0.03 and 99.97 cut too much, minimum and maximum serve outliers
SAMPLE = 1 << 18  # values of a node per batch that are looked at: the percentile's own error is far below 1 %

Images = NDArray[np.float32]
Advance = Callable[[int], None]


def batches(images: Images) -> Iterator[Images]:
    """Batches of `BATCH`; a rest of fewer is dropped unless it is all there is."""
    for start in range(0, max(len(images) - BATCH + 1, 1), BATCH):
        yield images[start : start + BATCH]


def _traced(graph: Graph, summary: Callable[[Any], Any]) -> Callable[[Any], dict[str, Any]]:
    """A compiled function from a batch to a summary of every node's value."""

    @tf.function(autograph=False, input_signature=[tf.TensorSpec((None, *graph.input_shape), tf.float32)])
    def trace(x: Any) -> dict[str, Any]:
        found: dict[str, Any] = {}

        def observe(node: Node, value: Any) -> Any:
            found[node.name] = summary(value)
            return value

        graph.run(x, observe)
        return found

    return trace


class Extent(NamedTuple):
    """What a node's channels reach on calibration images, each (channels,).

    The reach is the mean over batches of the lowest and highest values: all levels made to fit the one image where a
    channel goes furthest are missed on all others.
    """

    low: NDArray[Any]
    high: NDArray[Any]
    above: NDArray[Any]  # root mean square of what is above zero, in the batch where it is largest


def channel_extents(graph: Graph, images: Images, advance: Advance = lambda count: None) -> dict[str, Extent]:
    """Per node the extent of its channels over all images."""

    def extent(value: Any) -> Any:
        flat = tf.reshape(value, (-1, value.shape[-1]))
        above = tf.sqrt(tf.reduce_mean(tf.square(tf.nn.relu(flat)), axis=0))
        return tf.stack([tf.reduce_min(flat, axis=0), tf.reduce_max(flat, axis=0), above])

    trace = _traced(graph, extent)
    found: dict[str, list[NDArray[Any]]] = {}
    for batch in batches(images):
        for name, value in trace(batch).items():
            found.setdefault(name, []).append(value.numpy())
        advance(len(batch))
    extents = {}
    for name, values in found.items():
        low, high, above = np.stack(values, axis=1)  # each (batches, channels)
        extents[name] = Extent(low.mean(axis=0), high.mean(axis=0), above.max(axis=0))
    return extents


def output_percentiles(graph: Graph, images: Images) -> list[tuple[NDArray[Any], NDArray[Any]]]:
    """Per output the mean over batches of the two percentiles of each channel: (low, high), each (channels,)."""
    trace = tf.function(graph.run, autograph=False)
    rows = [[value.numpy() for value in trace(tf.constant(batch))] for batch in batches(images)]
    found = []
    for values in zip(*rows, strict=True):
        parts = [np.percentile(value.reshape(-1, value.shape[-1]), (LOW, HIGH), axis=0) for value in values]
        low, high = np.mean(parts, axis=0)
        found.append((low, high))
    return found


def ranges(graph: Graph, images: Images, advance: Advance = lambda count: None) -> dict[str, tuple[float, float]]:
    """Per node a range that holds nearly all its values: the mean over batches of two percentiles, 0 included."""

    def sample(value: Any) -> Any:
        flat = tf.reshape(value, [-1])
        return flat[:: tf.size(flat) // SAMPLE | 1]  # an odd step, so that it walks through all channels

    trace = _traced(graph, sample)
    sums: dict[str, NDArray[Any]] = {}
    count = 0
    for batch in batches(images):
        for name, value in trace(batch).items():
            sums[name] = sums.get(name, np.zeros(2)) + np.percentile(value.numpy(), (LOW, HIGH))
        count += 1
        advance(len(batch))
    return {name: (min(float(low) / count, 0.0), max(float(high) / count, 0.0)) for name, (low, high) in sums.items()}
