"""Training on from a detector that knows something: where it is found, heads for other classes, a frozen backbone."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import keras
import numpy as np

from convert import source as sources
from convert.errors import ConvertError
from convert.source import Source
from edge.errors import UsageError
from edge.manifest import DarknetDecode
from train.detector.model import head_bias
from train.runs import RunFolder

_BOX = 5  # channels before the classes: x, y, w, h, objectness


def find(path: Path) -> Source:
    """The detector of a run folder, of a `.keras` file, or of the `.keras` file beside a `.tflite`.

    Raises:
        UsageError, ConvertError: there is none that can be trained on; one sentence.
    """
    if path.is_dir():
        run = RunFolder.open(path)
        said = run.settings.manifest
        if said.get("kind") != "detector":
            raise UsageError(f"--from {path} is a run of {run.settings.task}; expected one of detector")
        network = run.load_policy()
        decode = DarknetDecode.model_validate(said["decode"])
        return Source(network, sources.ImageInput.model_validate(said["image"]), decode, tuple(said["labels"]))
    kept = path.with_suffix(".keras")
    if path.suffix.lower() not in (".keras", ".tflite"):
        raise UsageError(
            f"--from {path} is neither a run folder nor a .tflite or .keras file; convert Darknet's files first: "
            "edgebot convert darknet --cfg F --weights F --names F"
        )
    if path.exists() and not kept.exists():
        raise UsageError(
            f"--from {path}: there is no {kept.name} beside it, in which `edgebot convert darknet` leaves the weights "
            "to train on from; convert it again"
        )
    return sources.load(kept)


def for_classes(source: Source, labels: tuple[str, ...], seed: int = 0) -> Source:
    """The same detector with heads for `labels`: boxes and known classes keep their weights, new ones begin anew.

    Raises:
        ConvertError: its heads are no plain convolutions, or it answers in a way that cannot be trained here.
    """
    if any(head.softmax for head in source.decode.heads):
        raise ConvertError("a detector whose classes share their chances ([region] with softmax) cannot be trained on")
    if labels == source.labels:
        return source
    rng = np.random.default_rng([seed, 51])
    outputs = list(source.keras.outputs)
    for head in source.decode.heads:
        layer = outputs[head.output]._keras_history.operation
        if not isinstance(layer, keras.layers.Conv2D) or layer.groups != 1:
            raise ConvertError("the heads of this detector are no plain convolutions, so classes cannot be changed")
        anchors = len(head.anchors)
        kernel, bias = (np.asarray(part) for part in layer.get_weights())
        new = [_relabelled(part, anchors, source.labels, labels, rng) for part in (kernel, bias)]
        name = f"{layer.name.split('_for_')[0]}_for_{len(labels)}"
        config = layer.get_config() | {"filters": new[1].size, "name": name}
        wider = keras.layers.Conv2D.from_config(config)
        outputs[head.output] = wider(layer.input)
        wider.set_weights(new)
    network = keras.Model(source.keras.input, outputs[0] if len(outputs) == 1 else outputs, name="detector")
    decode = source.decode.model_copy(update={"classes": len(labels)})
    return Source(network, source.image, decode, labels)


def _relabelled(
    part: np.ndarray, anchors: int, old: tuple[str, ...], new: tuple[str, ...], rng: np.random.Generator
) -> np.ndarray:
    """A head's kernel or bias, last axis anchors x (5 + classes), for other classes."""
    given = part.reshape(*part.shape[:-1], anchors, _BOX + len(old))
    if part.ndim == 1:
        fresh = head_bias(1, len(new))[_BOX:]
        classes = np.broadcast_to(fresh, (anchors, len(new))).copy()
    else:
        classes = rng.normal(0.0, 0.01, (*given.shape[:-1], len(new))).astype(part.dtype)
    for index, label in enumerate(new):
        if label in old:
            classes[..., index] = given[..., _BOX + old.index(label)]
    whole = np.concatenate([given[..., :_BOX], classes], axis=-1)
    return np.ascontiguousarray(whole.reshape(*part.shape[:-1], -1), np.float32)


def freeze(network: keras.Model, backbone: bool, norm: bool) -> None:
    """Keep what the backbone knows (what all heads share; of a single head, all that comes before it), and `norm`.

    `norm` keeps batch normalisation as it is everywhere: a batch of a small data set says little about statistics
    that were gathered over a large one.
    """
    shared = _shared(network) if backbone else set()
    for layer in network.layers:
        kept = layer.name in shared or (norm and isinstance(layer, keras.layers.BatchNormalization))
        layer.trainable = not kept


def _shared(network: keras.Model) -> set[str]:
    heads = [output._keras_history.operation for output in network.outputs]
    before = [_before(head) - {head.name} for head in heads]
    return set.intersection(*before) - {head.name for head in heads}


def _before(operation: Any) -> set[str]:
    """Names of an operation and of all that leads to it."""
    found, waiting = set(), [operation]
    while waiting:
        current = waiting.pop()
        if current.name in found:
            continue
        found.add(current.name)
        for node in current._inbound_nodes:
            waiting += [tensor._keras_history.operation for tensor in node.input_tensors]
    return found
