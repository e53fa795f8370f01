"""What int8 rounds: which values of a graph and how far each reaches; and the same rounding in TensorFlow's floats."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import tensorflow as tf

from convert.graph import COMPOSED, Graph, Node

# After these a range is stated; the others (pad, maxpool, resize, slice, moves) keep the scale of what they read.
MEASURED = ("conv", "depthwise", "relu", "leaky", "curve", "add", "concat", "other")


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
        self.graph, self.found, self._value_range = graph, found, value_range
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
        low, high = self.limits(node)
        return tf.quantization.fake_quant_with_min_max_args(value, low, high, num_bits=8)

    def limits(self, node: Node) -> tuple[float, float]:
        """Between which a node's values lie, or are cut to."""
        low, high = self._value_range if node.op == "input" else self.found[node.name]
        return low, max(high, low + 1e-6)

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


def _fused(graph: Graph, node: Node) -> bool:
    """Whether TFLite computes the node and the ReLU after it in one, so that there is no tensor between."""
    users = graph.users(node.name)
    only = len(users) == 1 and node.name not in graph.outputs
    return only and (users[0].op == "relu" or users[0].curve == "relu6") and node.op in ("conv", "depthwise", "add")
