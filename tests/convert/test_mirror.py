"""Channels that are always negative before a leaky ReLU, turned over."""

import keras
import numpy as np
import pytest
from keras import layers

from convert import ranges
from convert.equalise import equalise
from convert.graph import Graph
from convert.images import noise
from convert.keras_graph import from_keras
from convert.mirror import mirror
from convert.rounding import Rounding

NEVER = (1, 4)  # channels of the network that stay below zero


def network(way: str) -> Graph:
    """A convolution with two channels that stay below zero, a leaky ReLU, a way on, and a head that needs them."""
    keras.utils.set_random_seed(5)
    image = keras.Input((16, 20, 3))
    x = layers.Conv2D(6, 3, padding="same", name="first")(image)
    x = layers.LeakyReLU(negative_slope=0.1)(x)
    if way == "joined":
        x = layers.Concatenate()([layers.UpSampling2D(2)(layers.Conv2D(4, 1, strides=2)(image)), x])
        x = layers.ZeroPadding2D(1)(x)
        x = layers.DepthwiseConv2D(3, name="reads")(x)
    elif way == "pooled":
        x = layers.MaxPooling2D(2)(x)
    elif way == "added":
        x = layers.Add()([x, layers.Conv2D(6, 1)(image)])
    model = keras.Model(image, [layers.Conv2D(5, 1, name="head")(x)])
    kernel, bias = model.get_layer("first").get_weights()
    bias[:] = 0.2
    bias[list(NEVER)] = -9.0
    model.get_layer("first").set_weights([kernel, bias])
    return from_keras(model)


@pytest.fixture(scope="module")
def images() -> np.ndarray:
    return (noise(8, (16, 20)) / 255).astype(np.float32)


@pytest.mark.parametrize("way", ["straight", "joined"])
def test_nothing_changes_but_the_side_of_zero(way: str, images: np.ndarray) -> None:
    graph = network(way)
    want = np.asarray(graph.run(images)[0])
    extents = ranges.channel_extents(graph, images)
    assert mirror(graph, extents) == len(NEVER)
    np.testing.assert_allclose(np.asarray(graph.run(images)[0]), want, atol=2e-5 * np.abs(want).max())
    found = ranges.channel_extents(graph, images)
    for node in graph.nodes.values():
        if node.op == "leaky":
            np.testing.assert_allclose(extents[node.name][:2], found[node.name][:2], rtol=1e-5)
            assert (found[node.name].low[list(NEVER)] > 0).all()


@pytest.mark.parametrize("way", ["pooled", "added"])
def test_where_more_than_a_convolution_reads_them_they_stay(way: str, images: np.ndarray) -> None:
    graph = network(way)
    kernels = {name: node.kernel.copy() for name, node in graph.nodes.items() if node.kernel is not None}
    assert mirror(graph, ranges.channel_extents(graph, images)) == 0
    for name, kernel in kernels.items():
        np.testing.assert_array_equal(graph.nodes[name].kernel, kernel)


def test_channels_that_come_above_zero_stay(images: np.ndarray) -> None:
    graph = network("straight")
    extents = ranges.channel_extents(graph, images)
    (first,) = (name for name, node in graph.nodes.items() if node.op == "conv" and node.channels == 6)
    extents[first].above[NEVER[0]] = -0.02 * extents[first].low[NEVER[0]]
    assert mirror(graph, extents) == 1


def test_rounding_costs_less(images: np.ndarray) -> None:
    noises = []
    for turn in (True, False):
        graph = network("straight")
        graph.nodes[graph.outputs[0]].kernel[:, :, list(NEVER)] *= 30  # type: ignore[index]  # they count for much
        want = np.asarray(graph.run(images)[0])
        extents = ranges.channel_extents(graph, images)
        if turn:
            mirror(graph, extents)
        equalise(graph, extents)
        have = Rounding(graph, ranges.ranges(graph, images)).simulate()(images)[0]
        noises.append(float(np.mean((np.asarray(have) - want) ** 2)))
    assert noises[0] < 0.7 * noises[1], noises
