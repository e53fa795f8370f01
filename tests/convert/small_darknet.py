"""Small detectors in Darknet's files with random weights, and what they compute, in plain NumPy.

The reference is written from Darknet's C (convolutional_layer.c, maxpool_layer.c, blas.c, ...), not from the code
under test. `LAYERS` is a detector as they are, `GRAMMAR` one of everything that OpenCV's reader does not know.
"""

# ruff: noqa: C408 - dict() reads like the cfg
from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np

WIDTH, HEIGHT, CLASSES = 64, 48, 2

# kind and settings of each layer; the cfg is written from it and the reference computes it
LAYERS = [
    ("convolutional", dict(filters=8, size=3, stride=2, pad=1, batch_normalize=1, activation="leaky")),
    ("convolutional", dict(filters=12, size=1, stride=1, pad=0, batch_normalize=1, activation="leaky")),
    ("convolutional", dict(filters=12, size=3, stride=1, pad=1, groups=12, batch_normalize=1, activation="leaky")),
    ("convolutional", dict(filters=8, size=1, stride=1, pad=0, batch_normalize=1, activation="linear")),
    ("dropout", dict(probability=0.2)),
    ("shortcut", {"from": -5, "activation": "linear"}),
    ("convolutional", dict(filters=16, size=5, stride=2, pad=1, groups=8, batch_normalize=1, activation="relu")),
    ("maxpool", dict(size=3, stride=1)),
    ("route", dict(layers="-2")),
    ("maxpool", dict(size=5, stride=1)),
    ("route", dict(layers="-1,-3,-4")),
    ("convolutional", dict(filters=16, size=3, stride=1, pad=1, groups=2, batch_normalize=1, activation="leaky")),
    ("maxpool", dict(size=2, stride=2)),
    ("convolutional", dict(filters=21, size=1, stride=1, pad=1, activation="linear")),
    ("yolo", dict(mask="3,4,5", classes=CLASSES, num=6, anchors="4,6, 8,9, 6,12, 14,20, 30,22, 40,40")),
    ("route", dict(layers="-3")),
    ("upsample", dict(stride=2)),
    ("route", dict(layers="-1,6")),
    ("convolutional", dict(filters=21, size=1, stride=1, pad=1, activation="linear")),
    ("yolo", dict(mask="0,1,2", classes=CLASSES, num=6, anchors="4,6, 8,9, 6,12, 14,20, 30,22, 40,40")),
]  # fmt: skip


GRAMMAR = [
    ("convolutional", dict(filters=8, size=3, stride=2, pad=1, batch_normalize=1, activation="mish")),
    ("convolutional", dict(filters=8, size=3, pad=1, dilation=2, batch_normalize=1, activation="swish")),
    ("convolutional", dict(filters=8, size=3, pad=1, dilation=2, groups=8, batch_normalize=1, activation="elu")),
    ("shortcut", {"from": "-2, -3", "activation": "leaky"}),
    ("convolutional", dict(filters=16, size=3, stride_x=2, stride_y=1, pad=1, activation="relu6")),
    ("convolutional", dict(filters=32, size=3, stride_x=1, stride_y=2, padding=1, groups=16, activation="tanh")),
    ("maxpool", dict(size=3, stride=2)),
    ("convolutional", dict(filters=16, size=1, batch_normalize=1, activation="linear")),
    ("avgpool", {}),
    ("convolutional", dict(filters=16, size=1)),  # logistic is Darknet's default
    ("scale_channels", {"from": -3, "scale_wh": 0, "activation": "relu"}),
    ("convolutional", dict(filters=16, size=1, cbn=1, activation="logistic")),
    ("sam", {"from": -2}),
    ("convolutional", dict(filters=1, size=1, activation="logistic")),
    ("scale_channels", {"from": -2, "scale_wh": 1}),
    ("reorg", dict(stride=2)),
    ("convolutional", dict(filters=16, size=3, pad=1, stride=2, dilation=1, activation="leaky")),
    ("route", dict(layers=0)),
    ("convolutional", dict(filters=16, size=3, pad=1, stride=4, dilation=2, activation="leaky")),
    ("upsample", dict(stride=2, scale=0.5)),
    ("maxpool", dict(size=4, stride_x=2, stride_y=3, padding=1)),
    ("route", dict(layers="-2, 5", groups=4, group_id=3)),
    ("maxpool", dict(size=2, stride=1)),
    ("convolutional", dict(filters=16, size=4, stride=2, padding=2, activation="linear")),
    ("region", dict(anchors="0.5,0.75, 2,1.5", num=2, classes=3, coords=4, softmax=1, bias_match=1)),
]  # fmt: skip


def cfg_text(layers: list = LAYERS, width: int = WIDTH, height: int = HEIGHT) -> str:
    parts = [f"[net]\nwidth={width}\nheight={height}\nchannels=3\n"]
    for kind, settings in layers:
        parts.append(f"\n[{kind}]\n" + "".join(f"{key} = {value}\n" for key, value in settings.items()))
    return "".join(parts)


def draw_weights(seed: int = 0, layers: list = LAYERS) -> list[dict[str, np.ndarray]]:
    """Random weights of each convolution, uneven across channels as trained ones are."""
    rng = np.random.default_rng(seed)
    found = []
    for settings, before in convolutions(layers):
        filters, groups, size = settings["filters"], settings.get("groups", 1), settings["size"]
        fan = before // groups * size * size
        one = {"kernel": rng.normal(0, 1.4 / np.sqrt(fan), (filters, before // groups, size, size))}
        one["bias"] = rng.normal(0, 0.3, filters)
        if _normalised(settings):
            one |= {
                "scale": rng.uniform(0.4, 1.6, filters),
                "mean": rng.normal(0, 0.2, filters),
                "variance": rng.uniform(1e-5, 1.5, filters),
            }
            one["kernel"] *= np.sqrt(one["variance"]).reshape(-1, 1, 1, 1)
        found.append({key: value.astype(np.float32) for key, value in one.items()})
    return found


def convolutions(layers: list) -> Iterator[tuple[dict, int]]:
    """The settings of each convolution, and the channels that come in."""
    channels: list[int] = []
    for kind, settings in layers:
        before = channels[-1] if channels else 3
        if kind == "convolutional":
            yield settings, before
            channels.append(settings["filters"])
        elif kind == "route":
            channels.append(sum(channels[index] for index in _indices(settings["layers"])) // settings.get("groups", 1))
        elif kind == "scale_channels":
            channels.append(channels[settings["from"]])
        else:
            channels.append(before * settings["stride"] ** 2 if kind == "reorg" else before)


def _indices(value: object) -> list[int]:
    return [int(part) for part in str(value).split(",")]


def _normalised(settings: dict) -> bool:
    return bool(settings.get("batch_normalize") or settings.get("cbn"))


def weight_bytes(weights: list[dict[str, np.ndarray]]) -> bytes:
    header = np.array([0, 2, 5], "<i4").tobytes() + np.array([0], "<i8").tobytes()
    order = ("bias", "scale", "mean", "variance", "kernel")
    return header + b"".join(one[key].astype("<f4").tobytes() for one in weights for key in order if key in one)


def write(folder: Path, seed: int = 0, layers: list = LAYERS) -> tuple[Path, Path, Path]:
    """cfg, weights and names files."""
    paths = folder / "small.cfg", folder / "small.weights", folder / "small.names"
    paths[0].write_text(cfg_text(layers))
    paths[1].write_bytes(weight_bytes(draw_weights(seed, layers)))
    paths[2].write_text("person\ndog\ncat\n" if layers is GRAMMAR else "person\ndog\n")
    return paths


def reference(image: np.ndarray, weights: list[dict[str, np.ndarray]], layers: list = LAYERS) -> list[np.ndarray]:
    """The output (rows, columns, channels) of every layer for one image (rows, columns, 3) in 0..1."""
    outputs: list[np.ndarray] = []
    rest = iter(weights)
    for kind, settings in layers:
        x = outputs[-1] if outputs else image.astype(np.float64)
        if kind == "convolutional":
            x = _convolve(x, next(rest), settings)
        elif kind == "maxpool":
            x = _maxpool(x, settings)
        elif kind == "avgpool":
            x = x.mean((0, 1), keepdims=True)
        elif kind == "route":
            groups, group = settings.get("groups", 1), settings.get("group_id", 0)
            parts = [np.split(outputs[index], groups, -1)[group] for index in _indices(settings["layers"])]
            x = np.concatenate(parts, -1)
        elif kind == "shortcut":
            x = x + sum(outputs[index] for index in _indices(settings["from"]))
        elif kind in ("scale_channels", "sam"):
            x = x * outputs[settings["from"]]
        elif kind == "upsample":
            x = x.repeat(settings["stride"], 0).repeat(settings["stride"], 1) * settings.get("scale", 1)
        elif kind == "reorg":
            x = _reorg(x, settings["stride"])
        if kind in ("shortcut", "scale_channels", "sam"):
            x = _activate(x, settings.get("activation", "linear"))
        outputs.append(x)
    return outputs


def heads(layers: list, outputs: list[np.ndarray]) -> list[np.ndarray]:
    """Those of the detection sections: the raw heads."""
    return [output for (kind, _), output in zip(layers, outputs, strict=True) if kind in ("yolo", "region")]


def _strides(settings: dict) -> tuple[int, int]:
    both = settings.get("stride", 1)
    return settings.get("stride_y", both), settings.get("stride_x", both)


def _convolve(x: np.ndarray, weights: dict[str, np.ndarray], settings: dict) -> np.ndarray:
    size, groups, dilation = settings["size"], settings.get("groups", 1), settings.get("dilation", 1)
    down, across = _strides(settings)
    pad = (size // 2 if settings.get("pad") else settings.get("padding", 0)) * dilation
    x = np.pad(x, ((pad, pad), (pad, pad), (0, 0)))
    whole = dilation * (size - 1) + 1
    rows, columns = (x.shape[0] - whole) // down + 1, (x.shape[1] - whole) // across + 1
    kernel = weights["kernel"].astype(np.float64)
    filters = len(kernel)
    out = np.empty((rows, columns, filters))
    into, made = x.shape[2] // groups, filters // groups
    for row in range(rows):
        for column in range(columns):
            top, left = row * down, column * across
            patch = x[top : top + whole : dilation, left : left + whole : dilation]
            for group in range(groups):
                part = patch[..., group * into : (group + 1) * into]
                own = kernel[group * made : (group + 1) * made]
                out[row, column, group * made : (group + 1) * made] = np.einsum("ijc,kcij->k", part, own)
    if _normalised(settings):
        out = (out - weights["mean"]) / np.sqrt(weights["variance"].astype(np.float64) + 1e-6) * weights["scale"]
    return _activate(out + weights["bias"], settings.get("activation", "logistic"))


def _activate(x: np.ndarray, kind: str) -> np.ndarray:
    logistic = 1 / (1 + np.exp(-x))
    return {
        "linear": x,
        "leaky": np.where(x > 0, x, 0.1 * x),
        "relu": np.maximum(x, 0),
        "relu6": np.clip(x, 0, 6),
        "elu": np.where(x > 0, x, np.exp(np.minimum(x, 0)) - 1),
        "logistic": logistic,
        "tanh": np.tanh(x),
        "swish": x * logistic,
        "mish": x * np.tanh(np.log1p(np.exp(x))),
    }[kind]


def _maxpool(x: np.ndarray, settings: dict) -> np.ndarray:
    size, (down, across) = settings["size"], _strides(settings)
    padding = settings.get("padding", size - 1)
    rows, columns = (x.shape[0] + padding - size) // down + 1, (x.shape[1] + padding - size) // across + 1
    out = np.empty((rows, columns, x.shape[2]))
    for row in range(rows):
        for column in range(columns):
            top, left = row * down - padding // 2, column * across - padding // 2
            out[row, column] = x[max(top, 0) : top + size, max(left, 0) : left + size].max((0, 1))
    return out


def _reorg(x: np.ndarray, stride: int) -> np.ndarray:
    """Index for index as `reorg_cpu` of blas.c, on memory in Darknet's order."""
    rows, columns, channels = x.shape
    flat, out = x.transpose(2, 0, 1).ravel(), np.empty(x.size)
    fewer = channels // stride**2
    for k in range(channels):
        for j in range(rows):
            for i in range(columns):
                c2, offset = k % fewer, k // fewer
                w2, h2 = i * stride + offset % stride, j * stride + offset // stride
                out[i + columns * (j + rows * k)] = flat[w2 + columns * stride * (h2 + rows * stride * c2)]
    return out.reshape(channels * stride**2, rows // stride, columns // stride).transpose(1, 2, 0)
