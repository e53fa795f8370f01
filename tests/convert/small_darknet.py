"""A small detector in Darknet's files with random weights, and what it computes, in plain NumPy.

The reference is written from Darknet's C (convolutional_layer.c, maxpool_layer.c), not from the code under test.
"""

# ruff: noqa: C408 - dict() reads like the cfg
from __future__ import annotations

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


def cfg_text() -> str:
    parts = [f"[net]\nwidth={WIDTH}\nheight={HEIGHT}\nchannels=3\n"]
    for kind, settings in LAYERS:
        parts.append(f"\n[{kind}]\n" + "".join(f"{key} = {value}\n" for key, value in settings.items()))
    return "".join(parts)


def draw_weights(seed: int = 0) -> list[dict[str, np.ndarray]]:
    """Random weights of each convolution, uneven across channels as trained ones are."""
    rng = np.random.default_rng(seed)
    channels: list[int] = []
    found = []
    for kind, settings in LAYERS:
        before = channels[-1] if channels else 3
        if kind == "convolutional":
            filters, groups, size = settings["filters"], settings.get("groups", 1), settings["size"]
            fan = before // groups * size * size
            one = {"kernel": rng.normal(0, 1.4 / np.sqrt(fan), (filters, before // groups, size, size))}
            one["bias"] = rng.normal(0, 0.3, filters)
            if settings.get("batch_normalize"):
                one |= {
                    "scale": rng.uniform(0.4, 1.6, filters),
                    "mean": rng.normal(0, 0.2, filters),
                    "variance": rng.uniform(1e-5, 1.5, filters),
                }
                one["kernel"] *= np.sqrt(one["variance"]).reshape(-1, 1, 1, 1)
            found.append({key: value.astype(np.float32) for key, value in one.items()})
            channels.append(filters)
        elif kind == "route":
            wanted = [int(value) for value in str(settings["layers"]).split(",")]
            channels.append(sum(channels[index] for index in wanted))
        else:
            channels.append(before)
    return found


def weight_bytes(weights: list[dict[str, np.ndarray]]) -> bytes:
    header = np.array([0, 2, 5], "<i4").tobytes() + np.array([0], "<i8").tobytes()
    order = ("bias", "scale", "mean", "variance", "kernel")
    return header + b"".join(one[key].astype("<f4").tobytes() for one in weights for key in order if key in one)


def write(folder: Path, seed: int = 0) -> tuple[Path, Path, Path]:
    """cfg, weights and names files."""
    paths = folder / "small.cfg", folder / "small.weights", folder / "small.names"
    paths[0].write_text(cfg_text())
    paths[1].write_bytes(weight_bytes(draw_weights(seed)))
    paths[2].write_text("person\ndog\n")
    return paths


def reference(image: np.ndarray, weights: list[dict[str, np.ndarray]]) -> list[np.ndarray]:
    """The raw heads (rows, columns, channels) of one image (rows, columns, 3) in 0..1."""
    outputs: list[np.ndarray] = []
    heads: list[np.ndarray] = []
    rest = iter(weights)
    for kind, settings in LAYERS:
        x = outputs[-1] if outputs else image.astype(np.float64)
        if kind == "convolutional":
            x = _convolve(x, next(rest), settings)
        elif kind == "maxpool":
            x = _maxpool(x, settings["size"], settings["stride"])
        elif kind == "route":
            x = np.concatenate([outputs[int(value)] for value in str(settings["layers"]).split(",")], -1)
        elif kind == "shortcut":
            x = x + outputs[settings["from"]]
        elif kind == "upsample":
            x = x.repeat(settings["stride"], 0).repeat(settings["stride"], 1)
        elif kind == "yolo":
            heads.append(x)
        outputs.append(x)
    return heads


def _convolve(x: np.ndarray, weights: dict[str, np.ndarray], settings: dict) -> np.ndarray:
    size, stride, groups = settings["size"], settings["stride"], settings.get("groups", 1)
    pad = size // 2 if settings["pad"] else 0
    x = np.pad(x, ((pad, pad), (pad, pad), (0, 0)))
    rows, columns = (x.shape[0] - size) // stride + 1, (x.shape[1] - size) // stride + 1
    kernel = weights["kernel"].astype(np.float64)
    filters = len(kernel)
    out = np.empty((rows, columns, filters))
    into, made = x.shape[2] // groups, filters // groups
    for row in range(rows):
        for column in range(columns):
            patch = x[row * stride : row * stride + size, column * stride : column * stride + size]
            for group in range(groups):
                part = patch[..., group * into : (group + 1) * into]
                own = kernel[group * made : (group + 1) * made]
                out[row, column, group * made : (group + 1) * made] = np.einsum("ijc,kcij->k", part, own)
    if settings.get("batch_normalize"):
        out = (out - weights["mean"]) / np.sqrt(weights["variance"].astype(np.float64) + 1e-6) * weights["scale"]
    out = out + weights["bias"]
    if settings["activation"] == "leaky":
        return np.where(out > 0, out, 0.1 * out)
    return np.maximum(out, 0) if settings["activation"] == "relu" else out


def _maxpool(x: np.ndarray, size: int, stride: int) -> np.ndarray:
    padding = size - 1
    rows, columns = (x.shape[0] + padding - size) // stride + 1, (x.shape[1] + padding - size) // stride + 1
    out = np.empty((rows, columns, x.shape[2]))
    for row in range(rows):
        for column in range(columns):
            top, left = row * stride - padding // 2, column * stride - padding // 2
            out[row, column] = x[max(top, 0) : top + size, max(left, 0) : left + size].max((0, 1))
    return out
