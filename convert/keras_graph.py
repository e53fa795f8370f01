"""A functional Keras model as the graph that quantisation rewrites, batch normalisation folded.

Convolutions and what lies between them become nodes that can be rescaled; other layers that TFLite has in int8 are
taken as they are; whatever is left is refused by name.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
import numpy as np

from convert.errors import ConvertError
from convert.graph import CURVES, Graph, Node, fold

OTHER = (
    "Average", "AveragePooling2D", "Conv2DTranspose", "Dense", "ELU", "GlobalAveragePooling2D", "GlobalMaxPooling2D",
    "Maximum", "Minimum", "Multiply", "Normalization", "PReLU", "Rescaling", "Softmax", "Subtract",
)  # fmt: skip
"""Layers that are taken as they are, their results measured."""

OTHER_OPS = ("Absolute", "Add", "Divide", "Maximum", "Mean", "Minimum", "Multiply", "Negative", "Square", "Subtract")
"""The same of `keras.ops`; activations among these are `CURVES`."""

MOVES = (
    "CenterCrop", "Cropping2D", "DepthToSpace", "ExpandDims", "Flatten", "Pad", "Permute", "Repeat", "RepeatVector",
    "Reshape", "SpaceToDepth", "Squeeze", "Transpose",
)  # fmt: skip
"""Layers and `keras.ops` that only move values about."""

NOTHING = ("Dropout", "SpatialDropout2D", "Identity", "GaussianNoise", "GaussianDropout", "ActivityRegularization")
OP_CURVES = {
    "Sigmoid": "sigmoid", "Tanh": "tanh", "Silu": "silu", "Elu": "elu", "Relu6": "relu6", "Softplus": "softplus",
    "HardSigmoid": "hard_sigmoid", "HardSilu": "hard_silu",
}  # fmt: skip
INSTEAD = "use --quantize none, float16 or dynamic"


def from_keras(model: keras.Model) -> Graph:
    """The graph of a functional model of one image input.

    Raises:
        ConvertError: a layer is of a kind, or has settings, that int8 does not know; the sentence names it.
    """
    reader = _Reader()
    outputs = [reader.node(tensor) for tensor in model.outputs]
    shape = model.inputs[0].shape[1:]
    graph = Graph(reader.nodes, outputs, (int(shape[0]), int(shape[1]), int(shape[2])))
    fold(graph)
    return graph


class _Reader:
    """Walks a Keras model back from its outputs; a model inside a model is walked as a part of it."""

    def __init__(self) -> None:
        self.nodes: dict[str, Node] = {}
        self._seen: dict[tuple[Any, ...], str] = {}

    def node(self, tensor: Any, call: tuple[Any, ...] = (), given: dict[int, str] | None = None) -> str:
        """The name of the node that makes a tensor.

        Args:
            tensor: symbolic.
            call: which call of which inner model the tensor belongs to; the same layer may be in several.
            given: by id of an inner model's inputs, the nodes that are put in.
        """
        if given and id(tensor) in given:
            return given[id(tensor)]
        operation, index, place = tensor._keras_history
        key = (*call, id(operation), index, place)
        if key not in self._seen:
            arguments = operation._inbound_nodes[index].arguments
            inputs = [self.node(parent, call, given) for parent in arguments.keras_tensors]
            if isinstance(operation, keras.Model):
                inner = getattr(operation, "_functional", None) or operation  # of a Sequential
                if not hasattr(inner, "outputs"):
                    raise ConvertError(f"layer {operation.name!r} is a model of its own class; {INSTEAD}")
                inside = dict(zip(map(id, inner.inputs), inputs, strict=True))
                name = self.node(inner.outputs[place], (*call, id(operation), index), inside)
            else:
                name = self._add(operation, inputs, int(tensor.shape[-1]), arguments)
            self._seen[key] = name
        return self._seen[key]

    def _add(self, operation: Any, inputs: list[str], channels: int, arguments: Any) -> str:
        name = operation.name
        while name in self.nodes:
            name = f"{operation.name}_{len(self.nodes)}"
        kind = type(operation).__name__
        a_layer = isinstance(operation, keras.layers.Layer)
        if kind in NOTHING:
            return inputs[0]
        if getattr(operation, "data_format", "channels_last") != "channels_last":
            raise ConvertError(f"layer {name!r} has channels first; build the model with channels last, or {INSTEAD}")
        if kind == "GetItem":
            return self._put(Node(name, "slice", inputs, channels, start=_slice_start(arguments, name)))
        spread = kind == "Add" and len({self.nodes[one].channels for one in inputs}) > 1
        if a_layer and kind in _LAYERS and not spread:
            last = ""
            for node in _LAYERS[kind](operation, name, inputs, channels):
                last = self._put(node)
            return last or inputs[0]
        if not a_layer and kind == "Concatenate":
            return self._put(_concatenation(operation, name, inputs, channels)[0])
        if not a_layer and kind in OP_CURVES:
            return self._put(Node(name, "curve", inputs, channels, curve=OP_CURVES[kind]))
        if spread or kind in MOVES or kind in (OTHER if a_layer else OTHER_OPS):
            variables = [variable.value for variable in operation.variables] if a_layer else []
            op = "moves" if kind in MOVES else "other"
            return self._put(Node(name, op, inputs, channels, call=_caller(operation, arguments), variables=variables))
        raise ConvertError(
            f"layer {name!r} is a {kind}, which int8 quantisation does not know; {INSTEAD}, or build the model from "
            f"{', '.join([*_LAYERS, *OTHER])}"
        )

    def _put(self, node: Node) -> str:
        self.nodes[node.name] = node
        return node.name


def _caller(operation: Any, arguments: Any) -> Callable[[list[Any]], Any]:
    """What calls a layer or operation with other tensors in the places of its own."""

    def call(values: list[Any]) -> Any:
        args, kwargs = arguments.fill_in(dict(zip(map(id, arguments.keras_tensors), values, strict=True)))
        return operation(*args, **kwargs)

    return call


def _slice_start(arguments: Any, name: str) -> int:
    key = arguments.args[1] if len(arguments.args) > 1 else arguments.kwargs["key"]
    last = key[-1] if isinstance(key, (tuple, list)) else key
    if not isinstance(last, slice) or last.step not in (None, 1):
        raise ConvertError(f"{name!r} cuts something else than channels; {INSTEAD}")
    return int(last.start or 0)


def _convolution(layer: Any, name: str, inputs: list[str], channels: int) -> list[Node]:
    depthwise = isinstance(layer, keras.layers.DepthwiseConv2D)
    kernel = np.array(layer.kernel, np.float32)
    bias = np.array(layer.bias, np.float32) if layer.use_bias else np.zeros(channels, np.float32)
    how: dict[str, Any] = {
        "strides": (int(layer.strides[0]), int(layer.strides[1])),
        "padding": layer.padding.upper(),
        "dilations": (int(layer.dilation_rate[0]), int(layer.dilation_rate[1])),
    }
    groups = int(getattr(layer, "groups", 1))
    nodes = []
    if groups == 1:
        nodes.append(Node(name, "depthwise" if depthwise else "conv", inputs, channels, kernel, bias, **how))
    else:  # not every CPU has it in one: cut, convolve, join
        read, made = kernel.shape[2], channels // groups
        for group in range(groups):
            own = slice(group * made, (group + 1) * made)
            cut = Node(f"{name}_cut{group}", "slice", inputs, read, start=group * read)
            part = Node(f"{name}_{group}", "conv", [cut.name], made, kernel[..., own], bias[own], **how)
            nodes += [cut, part]
        nodes.append(Node(name, "concat", [node.name for node in nodes[1::2]], channels))
    return [*nodes, *_activation_of(layer.activation, f"{name}_activation", [name], channels)]


def _separable(layer: Any, name: str, inputs: list[str], channels: int) -> list[Node]:
    dilations = (int(layer.dilation_rate[0]), int(layer.dilation_rate[1]))
    kernel = np.array(layer.depthwise_kernel, np.float32)
    middle = kernel.shape[2] * kernel.shape[3]
    bias = np.array(layer.bias, np.float32) if layer.use_bias else np.zeros(channels, np.float32)
    strides = (int(layer.strides[0]), int(layer.strides[1]))
    first = Node(
        f"{name}_depthwise", "depthwise", inputs, middle, kernel, np.zeros(middle, np.float32), strides,
        layer.padding.upper(), dilations,
    )  # fmt: skip
    second = Node(name, "conv", [first.name], channels, np.array(layer.pointwise_kernel, np.float32), bias)
    return [first, second, *_activation_of(layer.activation, f"{name}_activation", [name], channels)]


def _normalisation(layer: Any, name: str, inputs: list[str], channels: int) -> list[Node]:
    """A depthwise 1x1 convolution, which `_fold` merges with the convolution before it where there is one."""
    if layer.axis not in (-1, 3):
        raise ConvertError(f"layer {name!r} normalises axis {layer.axis}; only channels (-1) are known in int8")
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
    raise ConvertError(f"{name!r} is a {kind}, which int8 quantisation does not know; {INSTEAD}")


def _relu(layer: Any, name: str, inputs: list[str], channels: int) -> list[Node]:
    if layer.threshold or (layer.max_value is not None and layer.max_value != 6.0):
        raise ConvertError(f"layer {name!r} is a ReLU with a threshold or limit; {INSTEAD}")
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
