"""The network: a small one-class YOLO with one raw head at stride 8.

Plain ReLU folds into the convolutions and is positively homogeneous, so that the converter may equalise
channels across layers; 3x3 convolutions are kept narrow by bottlenecks (He et al., "Deep Residual Learning
for Image Recognition", 2015). The head speaks Darknet: anchors x (x, y, w, h, objectness, person), raw.
"""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
from keras import layers

WIDTH, HEIGHT = 160, 128
SCALE_X_Y = 2.0
"""Centres reach half a cell beyond their cell, so that several cells can claim a person (Scaled-YOLOv4)."""

ANCHORS = ((17.0, 60.0), (29.0, 92.0), (44.0, 128.0), (72.0, 128.0))
"""Width and height, in pixels of the input: medians of four clusters of rendered persons, 4.5 m to 0.6 m away."""


def _convolve(x: Any, filters: int, size: int = 1, stride: int = 1, active: bool = True) -> Any:
    x = layers.Conv2D(filters, size, strides=stride, padding="same", use_bias=False)(x)
    x = layers.BatchNormalization(momentum=0.95, epsilon=1e-3)(x)
    return layers.ReLU()(x) if active else x


def _bottleneck(x: Any, inner: int) -> Any:
    y = _convolve(x, inner)
    y = _convolve(y, x.shape[-1], 3, active=False)
    return layers.ReLU()(layers.Add()([x, y]))


def build(width: int = WIDTH, height: int = HEIGHT) -> keras.Model:
    """The untrained network: (batch, height, width, 3) RGB in 0..1 to (batch, rows, columns, anchors * 6)."""
    image = keras.Input((height, width, 3), name="image")
    x = _convolve(image, 16, 3, 2)
    x = _convolve(x, 32, 3, 2)
    x = _convolve(x, 48, 3, 2)
    for _ in range(2):
        x = _bottleneck(x, 24)
    y = _convolve(x, 112, 3, 2)
    for _ in range(3):
        y = _bottleneck(y, 40)
    # What the coarse half knows of the whole person joins what the fine half sees of its outline
    # (Lin et al., "Feature Pyramid Networks for Object Detection", 2017).
    y = layers.UpSampling2D(2)(_convolve(y, x.shape[-1], active=False))
    x = _bottleneck(layers.ReLU()(layers.Add()([x, y])), 24)
    # Objectness starts low: nearly all cells are empty (Lin et al., "Focal Loss for Dense Object Detection", 4.1).
    y = layers.Conv2D(
        len(ANCHORS) * 6,
        1,
        kernel_initializer=keras.initializers.RandomNormal(stddev=0.01),
        bias_initializer=keras.initializers.Constant(np.array([0.0, 0.0, 0.0, 0.0, -3.0, -3.0] * len(ANCHORS))),
        name="head",
    )(x)
    return keras.Model(image, y, name="person")


def manifest() -> dict[str, Any]:
    """What the network's file must say of itself; `edge.manifest` gives the words their meaning."""
    return {
        "kind": "detector",
        "name": "person",
        "image": {"layout": "NHWC", "colour": "RGB", "scale": 1 / 255, "offset": 0.0, "resize": "stretch"},
        "decode": {
            "kind": "darknet",
            "heads": [{"output": 0, "anchors": [list(anchor) for anchor in ANCHORS], "scale_x_y": SCALE_X_Y}],
            "classes": 1,
            "nms_iou": 0.45,
        },
        "labels": ["person"],
    }
