"""A small graph of a convolutional network: what quantisation rewrites. `convert.keras_graph` makes it.

NHWC throughout; a kernel is rows x columns x inputs x outputs, of a depthwise one rows x columns x inputs x
multiplier.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

Array = NDArray[np.float32]
CURVES: dict[str, Callable[[Any], Any]] = {
    "sigmoid": tf.math.sigmoid,
    "tanh": tf.math.tanh,
    "silu": lambda x: x * tf.math.sigmoid(x),
    "elu": tf.nn.elu,
    "relu6": tf.nn.relu6,
    "mish": lambda x: x * tf.math.tanh(tf.math.softplus(x)),
    "softplus": tf.math.softplus,
    "gelu": lambda x: 0.5 * x * (1.0 + tf.math.erf(x * 0.7071067811865476)),
    "hard_sigmoid": lambda x: tf.nn.relu6(x + 3.0) * (1.0 / 6.0),
    "hard_silu": lambda x: x * tf.nn.relu6(x + 3.0) * (1.0 / 6.0),
}
COMPOSED = ("mish", "softplus", "gelu", "hard_sigmoid", "hard_silu")
"""Curves of which TFLite has no single int8 operation: computed in float between two int8 tensors."""
SCOPE = "node{}_"


@dataclass
class Node:
    """One operation.

    `op`: input, conv, depthwise, pad, relu, leaky, curve, add, concat, slice, maxpool, resize; `other`, whose `call`
    computes it, and `moves`, the same of what only moves values about and so keeps their scale.
    """

    name: str
    op: str
    inputs: list[str] = field(default_factory=list)
    channels: int = 0
    kernel: Array | None = None
    bias: Array | None = None
    strides: tuple[int, int] = (1, 1)
    padding: str = "VALID"
    dilations: tuple[int, int] = (1, 1)
    pads: tuple[tuple[int, int], tuple[int, int]] = ((0, 0), (0, 0))
    size: tuple[int, int] = (1, 1)  # of a max-pool's window, or a resize's factor
    slope: float = 0.0  # of a leaky ReLU below zero
    curve: str = ""
    start: int = 0  # first channel of a slice
    call: Callable[[list[Any]], Any] | None = None
    variables: list[Any] = field(default_factory=list)  # the tf.Variables behind `call`


@dataclass
class Graph:
    """Nodes in an order in which they can be computed."""

    nodes: dict[str, Node]
    outputs: list[str]
    input_shape: tuple[int, int, int]

    def users(self, name: str) -> list[Node]:
        """The nodes that read a node."""
        return [node for node in self.nodes.values() if name in node.inputs]

    @property
    def variables(self) -> list[Any]:
        """The `tf.Variable`s that the network reads beside its kernels and biases."""
        return [variable for node in self.nodes.values() for variable in node.variables]

    def run(
        self,
        x: Any,
        observe: Callable[[Node, Any], Any] | None = None,
        weights: Callable[[Node], tuple[Any, Any]] | None = None,
    ) -> list[Any]:
        """The outputs for a batch x (N, rows, columns, channels).

        Args:
            x: the input.
            observe: sees each node's value and returns what the next nodes get.
            weights: gives another kernel and bias for a node (variables in training).
        """
        values: dict[str, Any] = {}
        for index, node in enumerate(self.nodes.values()):
            kernel, bias = (node.kernel, node.bias) if weights is None else weights(node)
            # The scope's name comes back in the names of a converted model's tensors (`convert.blame`).
            with tf.name_scope(SCOPE.format(index)):
                value = x if node.op == "input" else compute(node, [values[name] for name in node.inputs], kernel, bias)
                values[node.name] = value if observe is None else observe(node, value)
        return [values[name] for name in self.outputs]


def compute(node: Node, inputs: list[Any], kernel: Any, bias: Any) -> Any:
    """The value of one node but an input."""
    x = inputs[0]
    match node.op:
        case "conv":
            return tf.nn.bias_add(tf.nn.conv2d(x, kernel, node.strides, node.padding, dilations=node.dilations), bias)
        case "depthwise":
            strides = (1, *node.strides, 1)
            made = tf.nn.depthwise_conv2d(x, kernel, strides, node.padding, dilations=node.dilations)
            return tf.nn.bias_add(made, bias)
        case "pad":
            return tf.pad(x, ((0, 0), *node.pads, (0, 0)))
        case "relu":
            return tf.nn.relu(x)
        case "leaky":
            return tf.nn.leaky_relu(x, node.slope)
        case "curve":
            return CURVES[node.curve](x)
        case "add":
            total = x
            for other in inputs[1:]:
                total = total + other
            return total
        case "concat":
            return tf.concat(inputs, -1)
        case "slice":
            return x[..., node.start : node.start + node.channels]
        case "maxpool":
            return tf.nn.max_pool2d(x, node.size, node.strides, node.padding)
        case "resize":
            shape = (int(x.shape[1]) * node.size[0], int(x.shape[2]) * node.size[1])
            return tf.image.resize(x, shape, method="nearest")
    if node.call is not None:
        return node.call(inputs)
    raise AssertionError(node.op)


def scale_outputs(node: Node, factor: Array) -> None:
    """Multiply what a convolution gives by a factor for each channel, in place."""
    assert node.kernel is not None and node.bias is not None
    node.kernel = node.kernel * (factor.reshape(node.kernel.shape[2:]) if node.op == "depthwise" else factor)
    node.bias = node.bias * factor


def fold(graph: Graph) -> None:
    """Merge each batch normalisation (a depthwise 1x1) into the convolution before it, in place."""
    for node in list(graph.nodes.values()):
        if node.op != "depthwise" or node.kernel is None or node.bias is None or node.kernel.shape[:2] != (1, 1):
            continue
        before = graph.nodes[node.inputs[0]]
        alone = len(graph.users(before.name)) == 1 and before.name not in graph.outputs
        if node.kernel.shape[3] != 1 or node.strides != (1, 1) or before.kernel is None or not alone:
            continue
        scale_outputs(before, node.kernel.reshape(-1))
        assert before.bias is not None
        before.bias = before.bias + node.bias
        for user in graph.users(node.name):
            user.inputs = [before.name if name == node.name else name for name in user.inputs]
        graph.outputs = [before.name if name == node.name else name for name in graph.outputs]
        del graph.nodes[node.name]
