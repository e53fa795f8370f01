"""A Darknet detector, whole: cfg, weights and names into a Keras model and what decodes its heads."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras
import numpy as np

from convert.darknet import weights as weight_files
from convert.darknet.convolution import convolutional
from convert.darknet.grammar import Section, parse
from convert.darknet.heads import decoding, detection
from convert.darknet.joins import dropout, route, sam, scale_channels, shortcut
from convert.darknet.network import Network
from convert.darknet.spatial import avgpool, maxpool, reorg, upsample
from convert.errors import ConvertError
from edge.manifest import DarknetDecode, ImageInput

BUILDERS: dict[str, Callable[[Network, Section, str], Any]] = {
    "convolutional": convolutional,
    "conv": convolutional,
    "maxpool": maxpool,
    "max": maxpool,
    "avgpool": avgpool,
    "avg": avgpool,
    "route": route,
    "shortcut": shortcut,
    "scale_channels": scale_channels,
    "sam": sam,
    "upsample": upsample,
    "reorg": reorg,
    "dropout": dropout,
    "yolo": detection,
    "region": detection,
}


@dataclass(frozen=True)
class DarknetModel:
    """`keras` maps (N, height, width, 3) RGB 0..1 to the raw heads, in the order of `decode.heads`."""

    keras: keras.Model
    decode: DarknetDecode
    image: ImageInput
    labels: tuple[str, ...]
    provenance: dict[str, Any]


def load(cfg: Path, weights: Path, names: Path, keep: tuple[str, ...] = ()) -> DarknetModel:
    """Read a detector from its three files.

    Args:
        cfg, weights, names: Darknet's files.
        keep: labels to keep; the head channels of all others are left out. Empty keeps all.

    Raises:
        ConvertError: a file is missing or wrong, or they do not belong together; one sentence.
    """
    sections = parse(cfg)
    model, network = build(sections)
    decode = decoding(network)
    labels = _labels(names, decode.classes)
    for fill, values in zip(network.fills, weight_files.read(weights, network.shapes), strict=True):
        fill(values)
    if keep:
        model, decode, labels = _only(model, decode, labels, keep)
    provenance = {"source": "darknet"} | {
        f"{path.suffix.lstrip('.') or 'file'}": {
            "file": path.name,
            "sha256": hashlib.sha256(path.read_bytes()).hexdigest(),
        }
        for path in (cfg, weights, names)
    }
    # Darknet's own `detector` commands stretch when the cfg does not say letter_box=1.
    boxed = any(section.integer("letter_box", 0) for section in sections[:1])
    return DarknetModel(model, decode, ImageInput(resize="letterbox" if boxed else "stretch"), labels, provenance)


def build(sections: list[Section]) -> tuple[keras.Model, Network]:
    """The Keras model of a cfg, its weights not yet filled in."""
    first = sections[0]
    size = {key: first.integer(key, 0, least=1) for key in ("width", "height")}
    channels = first.integer("channels", 3, least=1)
    if min(size.values()) < 1 or max(size.values()) > 4096 or channels != 3:
        raise first.error(
            f"has width={size['width']}, height={size['height']}, channels={channels}, expected 1 to 4096 pixels and "
            "3 channels"
        )
    network = Network(keras.Input((size["height"], size["width"], 3), name="image"))
    for index, section in enumerate(sections[1:]):
        builder = BUILDERS.get(section.kind)
        if builder is None:
            raise section.error(f"is unknown here; known are {', '.join(f'[{kind}]' for kind in BUILDERS)}")
        network.tensors.append(builder(network, section, f"layer{index}_{section.kind}"))
    if not network.heads:
        raise ConvertError(f"{first.path} has no [yolo] or [region] section; give the cfg of a detector")
    return keras.Model(network.input, [tensor for _, tensor in network.heads]), network


def _labels(path: Path, classes: int) -> tuple[str, ...]:
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "not UTF-8 text"
        raise ConvertError(f"names {path} cannot be read ({reason}); give a file with one label a line") from None
    labels = tuple(line.strip() for line in lines if line.strip())
    if len(labels) != classes:
        raise ConvertError(
            f"names {path} hold {len(labels)} labels, the cfg has {classes} classes; give the names of this detector"
        )
    return labels


def _only(
    model: keras.Model, decode: DarknetDecode, labels: tuple[str, ...], keep: tuple[str, ...]
) -> tuple[keras.Model, DarknetDecode, tuple[str, ...]]:
    """The same model with only the head channels of some classes: the last convolutions get narrower."""
    missing = [label for label in keep if label not in labels]
    if missing:
        raise ConvertError(f"no label {missing[0]!r} among {', '.join(labels[:10])}...; take one from the names file")
    wanted = [labels.index(label) for label in keep]
    outputs = []
    for head, tensor in zip(decode.heads, model.outputs, strict=True):
        layer = tensor._keras_history.operation
        after: list[keras.layers.Layer] = []
        while isinstance(layer, (keras.layers.Activation, keras.layers.LeakyReLU, keras.layers.ReLU)):
            after.insert(0, layer)  # new_coords heads end with a logistic
            layer = layer.input._keras_history.operation
        if not isinstance(layer, keras.layers.Conv2D):
            raise ConvertError("the heads of this detector are not plain convolutions, so classes cannot be left out")
        fields = 5 + decode.classes
        rows = [
            anchor * fields + field
            for anchor in range(len(head.anchors))
            for field in [*range(5), *(5 + w for w in wanted)]
        ]
        config = layer.get_config() | {"filters": len(rows), "name": f"{layer.name}_kept"}
        narrow = keras.layers.Conv2D.from_config(config)
        x = narrow(layer.input)
        kernel, bias = layer.get_weights()
        narrow.set_weights([np.asarray(kernel)[..., rows], np.asarray(bias)[rows]])
        for activation in after:
            x = type(activation).from_config(activation.get_config())(x)
        outputs.append(x)
    return keras.Model(model.input, outputs), decode.model_copy(update={"classes": len(keep)}), keep
