"""A detector learns classes that it does not know by heads of their own; what it knows stays as it is.

Training on few pictures makes known classes worse (McCloskey and Cohen, "Catastrophic Interference in Connectionist
Networks", 1989): the pictures show little of their kinds, and all classes share one objectness. Here no old weight
learns, and suppression works class by class, so that the old classes are found as before.
"""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
from keras import layers

from convert.source import Source
from edge.errors import UsageError
from edge.manifest import DarknetDecode, DarknetHead
from train.detector.anchors import cluster
from train.detector.model import SCALE_X_Y, head_bias
from train.detector.origins import Photos
from train.detector.transfer import for_classes

_BOX = 5  # channels before the classes
_ANCHORS, _INNER = 3, 64  # of each new head, and the channels of its 3x3 convolution
_NEVER = -9.0  # logit of what a head does not tell; no smaller, since int8 gives all channels of a head one scale
_LEARNING = ("convolution", "norm", "head")


def extended(source: Source, origin: Photos, seed: int = 0) -> Source:
    """`source` with a new head beside each old one, for those classes of `origin` that it does not know.

    Its labels come first; `origin` is renumbered to them, and asks for the new ones alone where they are learnt.

    Raises:
        UsageError: there is no box of such a class.
        ConvertError: the heads are no plain convolutions.
    """
    origin.extend(source.labels)
    known, new = len(source.labels), len(origin.labels) - len(source.labels)
    _, height, width, _ = source.keras.input_shape
    sizes = origin.sizes() * [width, height]
    if not len(sizes):
        raise UsageError(f"--extend: {origin.data} has no box of a class that the detector does not know already")
    source = for_classes(source, origin.labels, seed)
    outputs, heads = list(source.keras.outputs), list(source.decode.heads)
    anchors, _ = cluster(sizes, _ANCHORS * len(heads), seed)
    finest_first = sorted(heads, key=lambda head: -int(np.prod(outputs[head.output].shape[1:3])))
    for old, own in zip(finest_first, np.split(anchors.round(1), len(finest_first)), strict=True):
        layer = outputs[old.output]._keras_history.operation
        _silence(layer, len(old.anchors), known)
        heads.append(DarknetHead(output=len(outputs), anchors=tuple(map(tuple, own.tolist())), scale_x_y=SCALE_X_Y))
        outputs.append(_head(layer.input, f"new{len(outputs)}", known, new))
    network = keras.Model(source.keras.input, outputs, name="detector")
    return Source(network, source.image, source.decode.model_copy(update={"heads": tuple(heads)}), origin.labels)


def learning(decode: DarknetDecode) -> DarknetDecode:
    """Only the new heads: what the loss looks at."""
    return decode.model_copy(update={"heads": decode.heads[len(decode.heads) // 2 :]})


def freeze(network: keras.Model) -> None:
    """Let only the new heads learn."""
    count = len(network.outputs)
    mine = {f"new{number}_{part}" for number in range(count // 2, count) for part in _LEARNING}
    for layer in network.layers:
        layer.trainable = layer.name in mine


def _head(x: Any, name: str, known: int, new: int) -> Any:
    """A small network from what an old head sees to a head that tells the new classes, and never the known ones."""
    x = layers.Conv2D(_INNER, 3, padding="same", use_bias=False, name=f"{name}_convolution")(x)
    x = layers.ReLU(name=f"{name}_relu")(layers.BatchNormalization(momentum=0.95, epsilon=1e-3, name=f"{name}_norm")(x))
    learnt = layers.Conv2D(
        _ANCHORS * (_BOX + new),
        1,
        kernel_initializer=keras.initializers.RandomNormal(stddev=0.01),
        bias_initializer=keras.initializers.Constant(head_bias(_ANCHORS, new)),
        name=f"{name}_head",
    )(x)
    # The known classes' channels are put between, by a convolution that never learns.
    kernel = np.zeros((1, 1, _ANCHORS, _BOX + new, _ANCHORS, _BOX + known + new), np.float32)
    bias = np.zeros((_ANCHORS, _BOX + known + new), np.float32)
    bias[:, _BOX : _BOX + known] = _NEVER
    for anchor in range(_ANCHORS):
        for channel in range(_BOX + new):
            kernel[..., anchor, channel, anchor, channel + (known if channel >= _BOX else 0)] = 1
    whole = layers.Conv2D(bias.size, 1, trainable=False, name=f"{name}_all")
    made = whole(learnt)
    whole.set_weights([kernel.reshape(1, 1, -1, bias.size), bias.ravel()])
    return made


def _silence(layer: Any, anchors: int, known: int) -> None:
    """Let an old head never tell of the new classes."""
    parts = []
    for part, value in zip(layer.get_weights(), (0.0, _NEVER), strict=True):
        given = np.array(part).reshape(*part.shape[:-1], anchors, -1)
        given[..., _BOX + known :] = value
        parts.append(given.reshape(part.shape))
    layer.set_weights(parts)
