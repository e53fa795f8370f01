"""A small graph of a convolutional network: what quantisation rewrites.

A functional Keras model becomes a list of nodes in which batch normalisation is folded into the convolutions.
NHWC throughout; a kernel is rows x columns x inputs x outputs, of a depthwise one rows x columns x inputs x
multiplier.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from convert.errors import ConvertError

Array = NDArray[np.float32]
HOMOGENEOUS = ("relu", "leaky")  # f(s x) = s f(x) for s > 0
CURVES: dict[str, Callable[[Any], Any]] = {
    "sigmoid": tf.math.sigmoid,
    "tanh": tf.math.tanh,
    "silu": lambda x: x * tf.math.sigmoid(x),
    "mish": lambda x: x * tf.math.tanh(tf.math.softplus(x)),
    "relu6": tf.nn.relu6,
}


@dataclass
class Node:
    """One operation. `op`: input, conv, depthwise, pad, relu, leaky, curve, add, concat, slice, maxpool, resize."""

    name: str
    op: str
    inputs: list[str] = field(default_factory=list)
    channels: int = 0
    kernel: Array | None = None
    bias: Array | None = None
    strides: tuple[int, int] = (1, 1)
    padding: str = "VALID"
    pads: tuple[tuple[int, int], tuple[int, int]] = ((0, 0), (0, 0))
    size: tuple[int, int] = (1, 1)  # of a max-pool's window, or a resize's factor
    slope: float = 0.0  # of a leaky ReLU below zero
    curve: str = ""
    start: int = 0  # first channel of a slice


@dataclass
class Graph:
    """Nodes in an order in which they can be computed."""

    nodes: dict[str, Node]
    outputs: list[str]
    input_shape: tuple[int, int, int]

    def users(self, name: str) -> list[Node]:
        """The nodes that read a node."""
        return [node for node in self.nodes.values() if name in node.inputs]

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
        for node in self.nodes.values():
            kernel, bias = (node.kernel, node.bias) if weights is None else weights(node)
            value = x if node.op == "input" else _compute(node, [values[name] for name in node.inputs], kernel, bias)
            values[node.name] = value if observe is None else observe(node, value)
        return [values[name] for name in self.outputs]


def _compute(node: Node, inputs: list[Any], kernel: Any, bias: Any) -> Any:
    x = inputs[0]
    match node.op:
        case "conv":
            return tf.nn.bias_add(tf.nn.conv2d(x, kernel, node.strides, node.padding), bias)
        case "depthwise":
            strides = (1, *node.strides, 1)
            return tf.nn.bias_add(tf.nn.depthwise_conv2d(x, kernel, strides, node.padding), bias)
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
    raise AssertionError(node.op)


def from_keras(model: keras.Model) -> Graph:
    """The graph of a functional model of one image input; the kinds of layers in `_LAYERS` are known.

    Raises:
        ConvertError: a layer is of another kind, or has settings that are not supported.
    """
    reader = _Reader()
    outputs = [reader.node(tensor) for tensor in model.outputs]
    shape = model.inputs[0].shape[1:]
    graph = Graph(reader.nodes, outputs, (int(shape[0]), int(shape[1]), int(shape[2])))
    _fold(graph)
    return graph


class _Reader:
    """Walks a Keras model back from its outputs."""

    def __init__(self) -> None:
        self.nodes: dict[str, Node] = {}
        self._seen: dict[tuple[int, int], str] = {}

    def node(self, tensor: Any) -> str:
        operation, index, _ = tensor._keras_history
        key = (id(operation), index)
        if key not in self._seen:
            arguments = operation._inbound_nodes[index].arguments
            inputs = [self.node(parent) for parent in arguments.keras_tensors]
            self._seen[key] = self._add(operation, inputs, int(tensor.shape[-1]), arguments)
        return self._seen[key]

    def _add(self, operation: Any, inputs: list[str], channels: int, arguments: Any) -> str:
        name = operation.name if operation.name not in self.nodes else f"{operation.name}_{len(self.nodes)}"
        kind = type(operation).__name__
        if kind in ("Dropout", "SpatialDropout2D", "Identity", "GaussianNoise"):
            return inputs[0]
        if kind == "GetItem":
            return self._put(Node(name, "slice", inputs, channels, start=_slice_start(arguments, name)))
        if kind not in _LAYERS:
            raise ConvertError(
                f"layer {name!r} is a {kind}, which int8 quantisation does not know; use --quantize none, float16 or "
                f"dynamic, or build the model from {', '.join(_LAYERS)}"
            )
        last = ""
        for node in _LAYERS[kind](operation, name, inputs, channels):
            last = self._put(node)
        return last or inputs[0]

    def _put(self, node: Node) -> str:
        self.nodes[node.name] = node
        return node.name


def _slice_start(arguments: Any, name: str) -> int:
    key = arguments.args[1] if len(arguments.args) > 1 else arguments.kwargs["key"]
    last = key[-1] if isinstance(key, (tuple, list)) else key
    if not isinstance(last, slice) or last.step not in (None, 1):
        raise ConvertError(f"{name!r} cuts something else than channels; use --quantize none, float16 or dynamic")
    return int(last.start or 0)


def _convolution(layer: Any, name: str, inputs: list[str], channels: int) -> list[Node]:
    depthwise = isinstance(layer, keras.layers.DepthwiseConv2D)
    if tuple(layer.dilation_rate) != (1, 1) or getattr(layer, "groups", 1) != 1:
        raise ConvertError(f"layer {name!r} has dilation or groups; use --quantize none, float16 or dynamic")
    kernel = np.array(layer.kernel, np.float32)
    bias = np.array(layer.bias, np.float32) if layer.use_bias else np.zeros(channels, np.float32)
    strides = (int(layer.strides[0]), int(layer.strides[1]))
    op = "depthwise" if depthwise else "conv"
    node = Node(name, op, inputs, channels, kernel, bias, strides, layer.padding.upper())
    return [node, *_activation_of(layer.activation, f"{name}_activation", [name], channels)]


def _separable(layer: Any, name: str, inputs: list[str], channels: int) -> list[Node]:
    if tuple(layer.dilation_rate) != (1, 1):
        raise ConvertError(f"layer {name!r} has dilation; use --quantize none, float16 or dynamic")
    kernel = np.array(layer.depthwise_kernel, np.float32)
    middle = kernel.shape[2] * kernel.shape[3]
    bias = np.array(layer.bias, np.float32) if layer.use_bias else np.zeros(channels, np.float32)
    strides = (int(layer.strides[0]), int(layer.strides[1]))
    first = Node(
        f"{name}_depthwise", "depthwise", inputs, middle, kernel, np.zeros(middle, np.float32), strides,
        layer.padding.upper(),
    )  # fmt: skip
    second = Node(name, "conv", [first.name], channels, np.array(layer.pointwise_kernel, np.float32), bias)
    return [first, second, *_activation_of(layer.activation, f"{name}_activation", [name], channels)]


def _normalisation(layer: Any, name: str, inputs: list[str], channels: int) -> list[Node]:
    """A depthwise 1x1 convolution, which `_fold` merges with the convolution before it where there is one."""
    gamma = np.array(layer.gamma, np.float64) if layer.scale else np.ones(channels)
    beta = np.array(layer.beta, np.float64) if layer.center else np.zeros(channels)
    factor = gamma / np.sqrt(np.array(layer.moving_variance, np.float64) + layer.epsilon)
    kernel = factor.astype(np.float32).reshape(1, 1, channels, 1)
    bias = (beta - np.array(layer.moving_mean, np.float64) * factor).astype(np.float32)
    return [Node(name, "depthwise", inputs, channels, kernel, bias)]


def _activation_of(function: Any, name: str, inputs: list[str], channels: int) -> list[Node]:
    kind = getattr(function, "__name__", str(function))
    if function is None or kind == "linear":
        return []
    if kind == "relu":
        return [Node(name, "relu", inputs, channels)]
    if kind == "leaky_relu":
        return [Node(name, "leaky", inputs, channels, slope=0.2)]  # Keras's default as a bare function
    if kind in CURVES:
        return [Node(name, "curve", inputs, channels, curve=kind)]
    raise ConvertError(f"{name!r} is a {kind}, which int8 quantisation does not know; use --quantize none")


def _relu(layer: Any, name: str, inputs: list[str], channels: int) -> list[Node]:
    if layer.threshold or (layer.max_value is not None and layer.max_value != 6.0):
        raise ConvertError(f"layer {name!r} is a ReLU with a threshold or limit; use --quantize none")
    if layer.max_value is not None:
        return [Node(name, "curve", inputs, channels, curve="relu6")]
    if layer.negative_slope:
        return [Node(name, "leaky", inputs, channels, slope=float(layer.negative_slope))]
    return [Node(name, "relu", inputs, channels)]


def _pool(layer: Any, name: str, inputs: list[str], channels: int) -> list[Node]:
    size, strides = tuple(layer.pool_size), tuple(layer.strides)
    return [Node(name, "maxpool", inputs, channels, strides=strides, padding=layer.padding.upper(), size=size)]


def _upsampling(layer: Any, name: str, inputs: list[str], channels: int) -> list[Node]:
    if layer.interpolation != "nearest":
        raise ConvertError(f"layer {name!r} interpolates {layer.interpolation}; use 'nearest', or --quantize none")
    return [Node(name, "resize", inputs, channels, size=tuple(layer.size))]


def _concatenation(layer: Any, name: str, inputs: list[str], channels: int) -> list[Node]:
    if layer.axis not in (-1, 3):
        raise ConvertError(f"layer {name!r} joins along axis {layer.axis}; only channels (-1) are known in int8")
    return [Node(name, "concat", inputs, channels)]


_LAYERS: dict[str, Callable[[Any, str, list[str], int], list[Node]]] = {
    "InputLayer": lambda layer, name, inputs, channels: [Node(name, "input", [], channels)],
    "Conv2D": _convolution,
    "DepthwiseConv2D": _convolution,
    "SeparableConv2D": _separable,
    "BatchNormalization": _normalisation,
    "LeakyReLU": lambda layer, name, inputs, channels: [
        Node(name, "leaky", inputs, channels, slope=float(layer.negative_slope))
    ],
    "ReLU": _relu,
    "Activation": lambda layer, name, inputs, channels: _activation_of(layer.activation, name, inputs, channels),
    "Add": lambda layer, name, inputs, channels: [Node(name, "add", inputs, channels)],
    "Concatenate": _concatenation,
    "MaxPooling2D": _pool,
    "UpSampling2D": _upsampling,
    "ZeroPadding2D": lambda layer, name, inputs, channels: [
        Node(name, "pad", inputs, channels, pads=(tuple(layer.padding[0]), tuple(layer.padding[1])))
    ],
}


def _fold(graph: Graph) -> None:
    """Merge each batch normalisation (a depthwise 1x1) into the convolution before it, in place."""
    for node in list(graph.nodes.values()):
        if node.op != "depthwise" or node.kernel is None or node.bias is None or node.kernel.shape[:2] != (1, 1):
            continue
        before = graph.nodes[node.inputs[0]]
        alone = len(graph.users(before.name)) == 1 and before.name not in graph.outputs
        if node.kernel.shape[3] != 1 or node.strides != (1, 1) or before.kernel is None or not alone:
            continue
        assert before.bias is not None
        factor = node.kernel.reshape(-1)
        shaped = factor.reshape(before.kernel.shape[2:]) if before.op == "depthwise" else factor
        before.kernel = before.kernel * shaped
        before.bias = before.bias * factor + node.bias
        for user in graph.users(node.name):
            user.inputs = [before.name if name == node.name else name for name in user.inputs]
        graph.outputs = [before.name if name == node.name else name for name in graph.outputs]
        del graph.nodes[node.name]
