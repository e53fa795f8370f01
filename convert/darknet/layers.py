"""Each Darknet section as Keras layers, exact to Darknet's arithmetic.

What is easily missed: batch normalisation divides by sqrt(variance + 1e-6); padding is symmetric, so that a
stride-2 convolution needs it spelt out ('same' would shift by a pixel); a max-pool pads size - 1 in all, the
smaller half first, with minus infinity.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import keras
from keras import layers

from convert.darknet.grammar import Section
from convert.darknet.weights import ConvShape, ConvWeights

EPSILON = 1e-6
Fill = Callable[[ConvWeights], None]


@dataclass
class Network:
    """The net as far as it is built: one tensor per section, and what the weights file must bring."""

    input: Any
    tensors: list[Any] = field(default_factory=list)
    heads: list[tuple[Section, Any]] = field(default_factory=list)
    shapes: list[ConvShape] = field(default_factory=list)
    fills: list[Fill] = field(default_factory=list)

    @property
    def last(self) -> Any:
        """The tensor of the section before."""
        return self.tensors[-1] if self.tensors else self.input


ACTIVATIONS: dict[str, Callable[[str], layers.Layer] | None] = {
    "linear": None,
    "leaky": lambda name: layers.LeakyReLU(negative_slope=0.1, name=name),
    "relu": lambda name: layers.ReLU(name=name),
    "relu6": lambda name: layers.ReLU(max_value=6.0, name=name),
    "logistic": lambda name: layers.Activation("sigmoid", name=name),
    "tanh": lambda name: layers.Activation("tanh", name=name),
    "swish": lambda name: layers.Activation("silu", name=name),
    "mish": lambda name: layers.Activation("mish", name=name),
}


def convolutional(net: Network, section: Section, name: str) -> Any:
    """Convolution (dense, depthwise or grouped), batch normalisation, activation."""
    filters = section.integer("filters", 1, least=1, most=16384)
    size = section.integer("size", 1, least=1, most=63)
    stride = section.integer("stride", 1, least=1, most=63)
    groups = section.integer("groups", 1, least=1)
    padding = size // 2 if section.integer("pad", 0) else section.integer("padding", 0, least=0, most=63)
    normalised = bool(section.integer("batch_normalize", 0))
    for key, usual in {"dilation": 1, "stride_x": stride, "stride_y": stride, "antialiasing": 0}.items():
        if section.integer(key, usual) != usual:
            raise section.error(f"has {key}={section.text(key, '')}, which is not supported", key)
    x = net.last
    channels = int(x.shape[-1])
    if channels % groups or filters % groups:
        raise section.error(
            f"has groups={groups}, which does not divide {channels} channels and {filters} filters", "groups"
        )
    shape = ConvShape(filters, channels, size, groups, normalised)
    if size > min(int(x.shape[1]), int(x.shape[2])) + 2 * padding:
        raise section.error(f"has size={size}, more than its input of {x.shape[2]}x{x.shape[1]}", "size")
    same = stride == 1 and size % 2 == 1 and padding == size // 2
    if padding and not same:
        x = layers.ZeroPadding2D(padding, name=f"{name}_pad")(x)
    how: dict[str, Any] = {
        "kernel_size": size,
        "strides": stride,
        "padding": "same" if same else "valid",
        "use_bias": not normalised,
    }
    parts: list[layers.Layer]
    if groups == 1:
        parts = [layers.Conv2D(filters, **how, name=f"{name}_conv")]
        x = parts[0](x)
    elif groups == channels:
        parts = [layers.DepthwiseConv2D(**how, depth_multiplier=filters // groups, name=f"{name}_depthwise")]
        x = parts[0](x)
    else:  # TensorFlow has no grouped convolution on every CPU: cut, convolve, join
        step, made = channels // groups, filters // groups
        parts = [layers.Conv2D(made, **how, name=f"{name}_conv{group}") for group in range(groups)]
        x = layers.Concatenate(name=f"{name}_join")(
            [part(x[..., group * step : (group + 1) * step]) for group, part in enumerate(parts)]
        )
    norm = layers.BatchNormalization(epsilon=EPSILON, name=f"{name}_norm") if normalised else None
    x = norm(x) if norm else x

    def fill(weights: ConvWeights) -> None:
        made = filters // len(parts)
        for index, part in enumerate(parts):
            own = slice(index * made, (index + 1) * made)
            kernel = weights.kernel[..., own]
            if isinstance(part, layers.DepthwiseConv2D):  # Keras: size, size, channels, multiplier
                kernel = weights.kernel.reshape(size, size, channels, filters // groups)
            part.set_weights([kernel] if norm else [kernel, weights.bias[own]])
        if norm:
            norm.set_weights([weights.scale, weights.bias, weights.mean, weights.variance])

    net.shapes.append(shape)
    net.fills.append(fill)
    return activated(x, section, name)


def activated(x: Any, section: Section, name: str) -> Any:
    """The section's activation; Darknet's default is logistic for a convolution, linear elsewhere."""
    kind = section.text("activation", "logistic" if section.kind.startswith("conv") else "linear")
    if kind not in ACTIVATIONS:
        raise section.error(f"has activation={kind}, expected one of {', '.join(ACTIVATIONS)}", "activation")
    make = ACTIVATIONS[kind]
    return make(f"{name}_{kind}")(x) if make else x


def maxpool(net: Network, section: Section, name: str) -> Any:
    """Max-pool. Where Darknet's padding is not TensorFlow's, edges are mirrored: a maximum does not see that."""
    stride = section.integer("stride", 1, least=1, most=63)
    size = section.integer("size", stride, least=1, most=63)
    padding = section.integer("padding", size - 1, least=0, most=63)
    x, same = net.last, True
    pads = []
    for length in (int(x.shape[1]), int(x.shape[2])):
        made = (length + padding - size) // stride + 1
        first = padding // 2
        last = max((made - 1) * stride + size - first - length, 0)
        pads.append((first, last))
        total = max((-(-length // stride) - 1) * stride + size - length, 0)
        same = same and made == -(-length // stride) and (first, last) == (total // 2, total - total // 2)
    if same:
        return layers.MaxPooling2D(size, stride, padding="same", name=name)(x)
    if max(max(pad) for pad in pads) > min(int(x.shape[1]), int(x.shape[2])):
        raise section.error(f"has size={size}, too much for its input of {x.shape[2]}x{x.shape[1]}", "size")
    x = keras.ops.pad(x, ((0, 0), *pads, (0, 0)), mode="symmetric")
    return layers.MaxPooling2D(size, stride, padding="valid", name=name)(x)


def upsample(net: Network, section: Section, name: str) -> Any:
    """Nearest neighbours, `stride` times larger."""
    if section.number("scale", 1.0) != 1.0:
        raise section.error(f"has scale={section.text('scale', '')}, which is not supported", "scale")
    stride = section.integer("stride", 2, least=1, most=63)
    return layers.UpSampling2D(stride, interpolation="nearest", name=name)(net.last)


def route(net: Network, section: Section, name: str) -> Any:
    """One or several earlier layers side by side, or a share (group) of each."""
    if "layers" not in section.options:
        raise section.error("has no layers=")
    parts = [_earlier(net, section, "layers", value) for value in section.numbers("layers", ())]
    groups, group = section.integer("groups", 1, least=1), section.integer("group_id", 0, least=0)
    if groups > 1:
        if group >= groups or any(int(part.shape[-1]) % groups for part in parts):
            raise section.error(f"has groups={groups} and group_id={group}, which do not fit its layers", "groups")
        parts = [_share(part, groups, group) for part in parts]
    if len(parts) == 1:
        return parts[0]
    if any(part.shape[1:3] != parts[0].shape[1:3] for part in parts):
        raise section.error("joins layers of different width and height", "layers")
    return layers.Concatenate(name=name)(parts)


def _share(x: Any, groups: int, group: int) -> Any:
    size = int(x.shape[-1]) // groups
    return x[..., group * size : (group + 1) * size]


def shortcut(net: Network, section: Section, name: str) -> Any:
    """The sum of the layer before and earlier ones of the same shape."""
    if "from" not in section.options:
        raise section.error("has no from=")
    parts = [net.last, *(_earlier(net, section, "from", value) for value in section.numbers("from", ()))]
    if any(part.shape != parts[0].shape for part in parts):
        raise section.error("adds layers of different shapes, which is not supported", "from")
    if section.text("weights_type", "none") != "none":
        raise section.error("has weights_type=, which is not supported", "weights_type")
    return activated(layers.Add(name=name)(parts), section, name)


def dropout(net: Network, section: Section, name: str) -> Any:
    """Nothing at inference."""
    return net.last


def yolo(net: Network, section: Section, name: str) -> Any:
    """A detection head: its input is the raw output."""
    net.heads.append((section, net.last))
    return net.last


def _earlier(net: Network, section: Section, key: str, value: float) -> Any:
    index = int(value) if value >= 0 else len(net.tensors) + int(value)
    if value != int(value) or not 0 <= index < len(net.tensors):
        raise section.error(
            f"has {key}={section.text(key, '')}, expected layers before this one (0 to {len(net.tensors) - 1})", key
        )
    return net.tensors[index]


BUILDERS: dict[str, Callable[[Network, Section, str], Any]] = {
    "convolutional": convolutional,
    "conv": convolutional,
    "maxpool": maxpool,
    "max": maxpool,
    "upsample": upsample,
    "route": route,
    "shortcut": shortcut,
    "dropout": dropout,
    "yolo": yolo,
}
