"""Darknet's sections that change width and height: pooling, upsampling, reorg."""

from __future__ import annotations

from typing import Any

import keras
from keras import layers

from convert.darknet.grammar import Section
from convert.darknet.network import Network, refuse, strides


def maxpool(net: Network, section: Section, name: str) -> Any:
    """Max-pool. Darknet pads size - 1 in all, the smaller half first, with minus infinity.

    Where that is not TensorFlow's padding, edges are mirrored: a maximum does not see that.
    """
    refuse(section, "antialiasing", "maxpool_depth", "maxpool_zero_nonmax")
    step = strides(section)
    size = section.integer("size", step[0], least=1, most=63)
    padding = section.integer("padding", size - 1, least=0, most=size - 1)
    x, same = net.last, True
    pads = []
    for length, stride in zip((int(x.shape[1]), int(x.shape[2])), step, strict=True):
        made = (length + padding - size) // stride + 1
        if made < 1:
            raise section.error(f"has size={size}, too much for its input of {x.shape[2]}x{x.shape[1]}", "size")
        first = padding // 2
        last = max((made - 1) * stride + size - first - length, 0)
        pads.append((first, last))
        total = max((-(-length // stride) - 1) * stride + size - length, 0)
        same = same and made == -(-length // stride) and (first, last) == (total // 2, total - total // 2)
    if same:
        return layers.MaxPooling2D(size, step, padding="same", name=name)(x)
    if max(max(pad) for pad in pads) > min(int(x.shape[1]), int(x.shape[2])):
        raise section.error(f"has size={size}, too much for its input of {x.shape[2]}x{x.shape[1]}", "size")
    if any(any(pad) for pad in pads):
        x = keras.ops.pad(x, ((0, 0), *pads, (0, 0)), mode="symmetric")
    return layers.MaxPooling2D(size, step, padding="valid", name=name)(x)


def avgpool(net: Network, section: Section, name: str) -> Any:
    """The mean over all places: 1 x 1."""
    return layers.GlobalAveragePooling2D(keepdims=True, name=name)(net.last)


def upsample(net: Network, section: Section, name: str) -> Any:
    """Nearest neighbours, `stride` times larger, times `scale`."""
    stride = section.integer("stride", 2, least=1, most=63)
    x = layers.UpSampling2D(stride, interpolation="nearest", name=name)(net.last)
    scale = section.number("scale", 1.0)
    return x if scale == 1.0 else layers.Rescaling(scale, name=f"{name}_scale")(x)


def reorg(net: Network, section: Section, name: str) -> Any:
    """`stride` times smaller, stride^2 as many channels, in the order of Darknet's C.

    That is no plain space-to-depth: `reorg_cpu` reads its input (channels, rows, columns) as if it had stride^2
    fewer channels and stride times more rows and columns, and networks were trained with it so.
    """
    refuse(section, "reverse")
    stride = section.integer("stride", 1, least=1, most=63)
    rows, columns, channels = (int(length) for length in net.last.shape[1:])
    if rows % stride or columns % stride or channels % stride**2:
        raise section.error(
            f"has stride={stride}, which does not divide {columns}x{rows} or whose square does not divide {channels} "
            "channels",
            "stride",
        )
    x = keras.ops.transpose(net.last, (0, 3, 1, 2))
    x = keras.ops.reshape(x, (-1, channels // stride**2 * rows, stride, columns, stride))
    x = keras.ops.transpose(x, (0, 2, 4, 1, 3))
    x = keras.ops.reshape(x, (-1, channels * stride**2, rows // stride, columns // stride))
    return keras.ops.transpose(x, (0, 2, 3, 1))
