"""A Darknet detector, whole: cfg, weights and names into a Keras model and what decodes its heads."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras
import numpy as np

from convert.darknet import weights as weight_files
from convert.darknet.grammar import Section, parse
from convert.darknet.layers import BUILDERS, Network
from convert.errors import ConvertError
from edge.manifest import DarknetDecode, DarknetHead, ImageInput


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
    model, heads, network = build(sections)
    classes = _classes(heads)
    labels = _labels(names, classes, heads[0][0])
    for fill, values in zip(network.fills, weight_files.read(weights, network.shapes), strict=True):
        fill(values)
    decode = DarknetDecode(
        heads=tuple(_head(section, index) for index, (section, _) in enumerate(heads)),
        classes=classes,
        nms_iou=0.45,
    )
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


def build(sections: list[Section]) -> tuple[keras.Model, list[tuple[Section, Any]], Network]:
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
        raise ConvertError(f"{first.path} has no [yolo] section, so it is no detector that can be read here")
    return keras.Model(network.input, [tensor for _, tensor in network.heads]), network.heads, network


def _classes(heads: list[tuple[Section, Any]]) -> int:
    counts = set()
    for section, tensor in heads:
        classes = section.integer("classes", 20, least=1)
        mask = _mask(section)
        filters = int(tensor.shape[-1])
        if filters != len(mask) * (5 + classes):
            raise section.error(
                f"has {len(mask)} anchors and {classes} classes and needs {len(mask) * (5 + classes)} filters before "
                f"it, there are {filters}"
            )
        counts.add(classes)
    if len(counts) > 1:
        raise heads[0][0].error(f"and the other heads differ in classes ({sorted(counts)})", "classes")
    return counts.pop()


def _mask(section: Section) -> list[int]:
    count = section.integer("num", 1, least=1)
    mask = [int(value) for value in section.numbers("mask", tuple(float(index) for index in range(count)))]
    anchors = section.numbers("anchors", ())
    if len(anchors) % 2 or any(not 0 <= index < len(anchors) // 2 for index in mask) or min(anchors, default=0) <= 0:
        raise section.error(
            f"has mask={section.text('mask', 'all')}, which does not fit its {len(anchors) / 2:g} anchors", "mask"
        )
    return mask


def _head(section: Section, output: int) -> DarknetHead:
    numbers = section.numbers("anchors", ())
    return DarknetHead(
        output=output,
        anchors=tuple((numbers[2 * index], numbers[2 * index + 1]) for index in _mask(section)),
        scale_x_y=section.number("scale_x_y", 1.0),
        new_coords=bool(section.integer("new_coords", 0)),
    )


def _labels(path: Path, classes: int, section: Section) -> tuple[str, ...]:
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
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
        outputs.append(narrow(layer.input))
        kernel, bias = layer.get_weights()
        narrow.set_weights([np.asarray(kernel)[..., rows], np.asarray(bias)[rows]])
    return keras.Model(model.input, outputs), decode.model_copy(update={"classes": len(keep)}), keep
