"""A user's own Keras detector: the model's file, and a description of its heads beside it."""

from __future__ import annotations

import hashlib
import json
import zipfile
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from convert.errors import ConvertError
from edge.manifest import NAME, DarknetDecode, ImageInput

EXAMPLE = (
    '{"labels": ["person"], "image": {"scale": 0.00392157, "resize": "stretch"}, "decode": {"heads": '
    '[{"output": 0, "anchors": [[10, 14], [23, 27], [37, 58]]}], "nms_iou": 0.45}}'
)
KEYS = {"labels", "image", "decode", "name"}


def load(path: Path, description: Path | None = None) -> tuple[Any, dict[str, Any]]:
    """The model, and its manifest as far as the description tells.

    Args:
        path: `.keras` or `.h5`: a functional or sequential model from one image (None, rows, columns, channels) to raw
            heads (None, rows, columns, anchors x (x, y, w, h, objectness, one per class)); a head may be reshaped to
            (None, rows, columns, anchors, 5 + classes).
        description: JSON with `labels`, `decode` (heads with their anchors in pixels of the input) and `image`, as in
            the manifest; without it what `convert.source` put into the model's file, or the file beside the model with
            the ending `.json`.

    Raises:
        ConvertError: a file is missing or wrong, or they do not belong together.
    """
    described = _described(path, description)
    model = _model(path)
    decode: DarknetDecode = described["decode"]
    outputs = [_before_reshape(tensor) for tensor in model.outputs]
    for index, head in enumerate(decode.heads):
        channels = len(head.anchors) * (5 + decode.classes)
        if not 0 <= head.output < len(outputs):
            raise ConvertError(f"heads[{index}] is output {head.output}, {path} has {len(outputs)} outputs")
        shape = tuple(outputs[head.output].shape)
        if len(shape) != 4 or shape[-1] != channels:
            raise ConvertError(
                f"output {head.output} of {path} is {shape}, its {len(head.anchors)} anchors and {decode.classes} "
                f"labels need (None, rows, columns, {channels}); mend anchors or labels in the description"
            )
    if any(one is not other for one, other in zip(outputs, model.outputs, strict=True)):
        import keras

        model = keras.Model(model.inputs, outputs)
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    provenance = {"source": "keras", "model": {"file": path.name, "sha256": digest}}
    return model, {"kind": "detector", "name": path.stem, "provenance": provenance} | described


def _own_words(model: Path) -> bytes | None:
    """What a `.keras` file of `convert.source` says of itself; None where it is another."""
    if not zipfile.is_zipfile(model):
        return None
    with zipfile.ZipFile(model) as archive:
        return archive.read(NAME) if NAME in archive.namelist() else None


def _described(model: Path, description: Path | None) -> dict[str, Any]:
    path = description or model.with_suffix(".json")
    try:
        own = _own_words(model) if description is None else None
        path = path if own is None else model
        data = json.loads(path.read_text(encoding="utf-8") if own is None else own)
    except OSError:
        raise ConvertError(
            f"{model} needs a description of its heads, and {path} is not there; write one and give it with --head, "
            f"for example {EXAMPLE}"
        ) from None
    except ValueError as error:
        raise ConvertError(f"{path} is no JSON ({error}); an example: {EXAMPLE}") from None
    if not isinstance(data, dict) or not {"labels", "decode"} <= set(data) <= KEYS:
        raise ConvertError(f"{path} must have labels and decode, and may have image and name; an example: {EXAMPLE}")
    labels = data["labels"]
    if not isinstance(labels, list) or not labels or not all(isinstance(label, str) for label in labels):
        raise ConvertError(f"{path} has labels {str(labels)[:60]}, expected a list of names; an example: {EXAMPLE}")
    try:
        decode = DarknetDecode.model_validate({"classes": len(labels)} | dict(data["decode"]))
        image = ImageInput.model_validate(data.get("image") or {})
    except (ValidationError, TypeError, ValueError) as error:
        first = error.errors()[0] if isinstance(error, ValidationError) else {"loc": ("decode",), "msg": str(error)}
        where = ".".join(str(part) for part in first["loc"])
        raise ConvertError(f"{path} does not fit at {where}: {first['msg']}; an example: {EXAMPLE}") from None
    if decode.classes != len(labels) or not decode.heads or image.layout != "NHWC":
        raise ConvertError(f"{path} needs heads, as many classes as its {len(labels)} labels, and NHWC pictures")
    return {"labels": tuple(labels), "decode": decode, "image": image} | (
        {"name": str(data["name"])} if data.get("name") else {}
    )


def _model(path: Path) -> Any:
    import keras

    try:
        model = keras.models.load_model(path, compile=False)
    except Exception as error:  # Keras raises whatever the file's damage, or a class that it does not know, leads to
        reason = " ".join(str(error).split())[:160]
        raise ConvertError(
            f"{path} cannot be read as a Keras model ({reason}); save it with model.save, and register layers of your "
            "own, or replace them by Keras's"
        ) from None
    if not getattr(model, "inputs", None) or not getattr(model, "outputs", None):
        raise ConvertError(f"{path} is a model of its own class; rebuild it with keras.Model(inputs, outputs)")
    return model


def _before_reshape(tensor: Any) -> Any:
    """A head as the convolution gave it: a reshape at the very end moves no number."""
    while len(tensor.shape) != 4:
        operation, index, _ = tensor._keras_history
        if type(operation).__name__ != "Reshape":
            break
        (tensor,) = operation._inbound_nodes[index].arguments.keras_tensors
    return tensor
