"""Darknet's convolution in Keras, exact to its arithmetic.

What is easily missed: batch normalisation divides by sqrt(variance + 1e-6); padding is symmetric, so that a
stride-2 convolution needs it spelt out ('same' would shift by a pixel); padding grows with the dilation.
"""

from __future__ import annotations

from typing import Any

from keras import layers

from convert.darknet.grammar import Section
from convert.darknet.network import Network, activated, refuse, strides
from convert.darknet.weights import ConvShape, ConvWeights

EPSILON = 1e-6


def convolutional(net: Network, section: Section, name: str) -> Any:
    """Convolution (dense, depthwise or grouped), batch normalisation, activation."""
    refuse(section, "antialiasing", "binary", "xnor", "bin_output", "flipped", "share_index")
    filters = section.integer("filters", 1, least=1, most=16384)
    size = section.integer("size", 1, least=1, most=63)
    groups = section.integer("groups", 1, least=1)
    dilation = section.integer("dilation", 1, least=1, most=63) if size > 1 else 1
    padding = size // 2 if section.integer("pad", 0) else section.integer("padding", 0, least=0, most=63)
    # cbn=1 normalises over several batches, which is a matter of training.
    normalised = bool(section.integer("batch_normalize", 0)) or bool(section.integer("cbn", 0))
    channels = int(net.last.shape[-1])
    if channels % groups or filters % groups:
        raise section.error(
            f"has groups={groups}, which does not divide {channels} channels and {filters} filters", "groups"
        )
    if dilation > 1 and 2 * padding != size - 1:
        raise section.error(f"has dilation={dilation}, which needs an odd size and pad=1", "dilation")
    x, step, subsample = _padded(net.last, section, name, size, dilation, padding)
    how: dict[str, Any] = {
        "kernel_size": size,
        "strides": step,
        "padding": "valid" if x is not net.last or size == 1 or padding == 0 else "same",
        "dilation_rate": dilation,
        "use_bias": not normalised,
    }
    empty = {"kernel_initializer": "zeros"}  # random numbers for what is read from the file would take seconds
    parts: list[layers.Layer]
    if groups == 1:
        parts = [layers.Conv2D(filters, **how, **empty, name=f"{name}_conv")]
        x = parts[0](x)
    elif groups == channels:
        parts = [layers.DepthwiseConv2D(**how, depth_multiplier=filters // groups, name=f"{name}_depthwise")]
        x = parts[0](x)
    else:  # TensorFlow has no grouped convolution on every CPU: cut, convolve, join
        taken, made = channels // groups, filters // groups
        parts = [layers.Conv2D(made, **how, **empty, name=f"{name}_conv{group}") for group in range(groups)]
        x = layers.Concatenate(name=f"{name}_join")(
            [part(x[..., group * taken : (group + 1) * taken]) for group, part in enumerate(parts)]
        )
    if subsample != (1, 1):
        x = x[:, :: subsample[0], :: subsample[1]]
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

    net.shapes.append(ConvShape(filters, channels, size, groups, normalised))
    net.fills.append(fill)
    return activated(x, section, name)


def _padded(
    x: Any, section: Section, name: str, size: int, dilation: int, padding: int
) -> tuple[Any, tuple[int, int], tuple[int, int]]:
    """The input with its padding where Keras's own would differ, the convolution's strides, and what is dropped after.

    TensorFlow has neither strides with dilation nor unequal strides of a depthwise convolution: such ones are
    computed at every place, and the places that are not wanted dropped.
    """
    step = strides(section)
    if size > min(int(x.shape[1]), int(x.shape[2])) + 2 * padding:
        raise section.error(f"has size={size}, more than its input of {x.shape[2]}x{x.shape[1]}", "size")
    subsample = (1, 1)
    if dilation > 1 or step[0] != step[1]:
        step, subsample = (1, 1), step
    if padding and not (step == (1, 1) and size % 2 == 1 and padding == size // 2):
        x = layers.ZeroPadding2D(padding, name=f"{name}_pad")(x)
    return x, step, subsample
