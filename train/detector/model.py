"""Networks of the project's own: small YOLOs with one raw head or several; for any backend of Keras.

Plain ReLU folds into the convolutions and is positively homogeneous, so that the converter may equalise
channels across layers; 3x3 convolutions are kept narrow by bottlenecks (He et al., "Deep Residual Learning
for Image Recognition", 2015). Heads speak Darknet: anchors x (x, y, w, h, objectness, one per class), raw.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import keras
import numpy as np
from keras import layers

from edge.manifest import DarknetDecode, DarknetHead, ImageInput

SCALE_X_Y = 2.0
"""Centres reach half a cell beyond their cell, so that several cells can claim a thing (Scaled-YOLOv4)."""

_START = -3.0  # objectness logit of an untrained head


class Level(NamedTuple):
    """One resolution: its channels, those inside its bottlenecks, how many of these, its head's anchors (0: none)."""

    channels: int
    inner: int
    blocks: int
    anchors: int


class Plan(NamedTuple):
    """A network: the stem's channels at strides 2 and 4, then levels at strides 8, 16, ..."""

    width: int
    height: int
    stem: tuple[int, int]
    levels: tuple[Level, ...]


SCENES = Plan(192, 144, (16, 32), (Level(48, 24, 2, 6), Level(128, 48, 3, 0)))
"""For persons in rendered rooms: one head at stride 8."""

SCENE_ANCHORS = (((8.0, 60.0), (17.0, 63.0), (28.0, 82.0), (38.0, 124.0), (53.0, 144.0), (85.0, 144.0)),)
"""Clusters of rendered persons, 4.5 m to 0.6 m away, and slivers at the picture's edge; pixels of the input."""


def photos(width: int, height: int) -> Plan:
    """For photos: heads at strides 8, 16 and 32."""
    return Plan(width, height, (16, 32), (Level(48, 24, 1, 3), Level(96, 40, 2, 3), Level(160, 64, 3, 3)))


def build(plan: Plan, classes: int) -> keras.Model:
    """The untrained network: (batch, height, width, 3) RGB in 0..1 to a raw head, or a list of them, finest first."""
    image = keras.Input((plan.height, plan.width, 3), name="image")
    x = image
    for channels in plan.stem:
        x = _convolve(x, channels, 3, 2)
    fine = []
    for level in plan.levels:
        x = _convolve(x, level.channels, 3, 2)
        for _ in range(level.blocks):
            x = _bottleneck(x, level.inner)
        fine.append(x)
    heads: list[Any] = []
    above = None
    for number, (level, y) in reversed(list(enumerate(zip(plan.levels, fine, strict=True)))):
        # What the coarse levels know of the whole thing joins what the fine ones see of its outline
        # (Lin et al., "Feature Pyramid Networks for Object Detection", 2017).
        if above is not None:
            above = layers.UpSampling2D(2)(_convolve(above, level.channels, active=False))
            y = _bottleneck(layers.ReLU()(layers.Add()([y, above])), level.inner)
        above = y
        if level.anchors:
            heads.insert(0, _head(y, level.anchors, classes, f"head{number}"))
    return keras.Model(image, heads[0] if len(heads) == 1 else heads, name="detector")


def specification(anchors: Sequence[Sequence[tuple[float, float]]], classes: int) -> tuple[ImageInput, DarknetDecode]:
    """How the network is fed and read; `anchors` per head, in pixels of its input."""
    heads = tuple(
        DarknetHead(output=number, anchors=tuple(own), scale_x_y=SCALE_X_Y) for number, own in enumerate(anchors)
    )
    return ImageInput(), DarknetDecode(heads=heads, classes=classes)


def head_bias(anchors: int, classes: int) -> np.ndarray:
    """An untrained head's bias: objectness starts low, as nearly all cells are empty (Lin et al. 2017, section 4.1)."""
    return np.array([0.0, 0.0, 0.0, 0.0, _START, *[_START if classes > 1 else 3.0] * classes] * anchors, np.float32)


def _head(x: Any, anchors: int, classes: int, name: str) -> Any:
    return layers.Conv2D(
        anchors * (5 + classes),
        1,
        kernel_initializer=keras.initializers.RandomNormal(stddev=0.01),
        bias_initializer=keras.initializers.Constant(head_bias(anchors, classes)),
        name=name,
    )(x)


def _convolve(x: Any, filters: int, size: int = 1, stride: int = 1, active: bool = True) -> Any:
    x = layers.Conv2D(filters, size, strides=stride, padding="same", use_bias=False)(x)
    x = layers.BatchNormalization(momentum=0.95, epsilon=1e-3)(x)
    return layers.ReLU()(x) if active else x


def _bottleneck(x: Any, inner: int) -> Any:
    y = _convolve(x, inner)
    y = _convolve(y, x.shape[-1], 3, active=False)
    return layers.ReLU()(layers.Add()([x, y]))
