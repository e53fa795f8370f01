"""A detector from Keras to TFLite: raw heads out, which the robot decodes; int8 by the recipe of `convert.quantise`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from convert import images as pictures
from convert.errors import ConvertError
from convert.parity import Converted, Judge, Parity, compare, found_again
from convert.predict import Detect, keras_batch, tflite_batch
from convert.progress import Steps
from convert.quantise import int8, work
from convert.tflite import Mode, export, variables_of
from edge.interpreter import Interpreter
from edge.manifest import DarknetDecode, ImageInput, Manifest

COMPARED = 32  # images on which outputs are compared
BATCH = 8
AGAIN = {"none": 0.01, "float16": 0.05, "dynamic": 0.15, "int8": 0.2}  # share of detections that may get lost


def convert(
    model: Any,
    draft: dict[str, Any],
    mode: Mode,
    photos: Sequence[NDArray[np.uint8]] | None,
    judge: Judge | None,
    steps: Steps,
    what: str,
) -> Converted:
    """Convert a detector and compare it with its source.

    Args:
        model: Keras, functional: image (None, rows, columns, 3) to raw heads.
        draft: the manifest as far as it is known: kind, name, image, decode, labels, provenance.
        photos: for calibration and comparison, uint8 RGB of any sizes; int8 needs them.
        judge: measures AP where there are true boxes.

    Raises:
        ConvertError: the model is no detector, or TensorFlow cannot convert it.
    """
    shape = tuple(model.inputs[0].shape)
    if len(model.inputs) != 1 or len(shape) != 4 or None in shape[1:]:
        raise ConvertError(f"{what} takes {shape}, a detector takes images (None, rows, columns, 3); train it again")
    rows, columns = int(shape[1]), int(shape[2])
    image, decode = ImageInput.model_validate(draft["image"]), DarknetDecode.model_validate(draft["decode"])
    if mode == "int8" and not photos:
        raise ConvertError("--quantize int8 needs --calibrate with a folder of typical photos")
    given = photos if photos else pictures.noise(BATCH, (rows, columns))
    inputs = pictures.prepare(given, image, (rows, columns))
    if mode == "int8":
        advance = steps.begin("calibrating", work(len(inputs)))
        low, high = sorted((image.offset, 255 * image.scale + image.offset))
        flatbuffer = int8(model, inputs, advance, (low, high))
    else:
        steps.begin("converting")
        flatbuffer = export(
            lambda x: _list(model(x, training=False)), (1, rows, columns, int(shape[3])), variables_of(model), mode
        )
    interpreter = Interpreter(flatbuffer, name="the converted model")
    compared = inputs[:: -(-len(inputs) // COMPARED)]
    advance = steps.begin("comparing outputs", 2 * len(compared))
    source, made = keras_batch(model), tflite_batch(flatbuffer)
    want, have = _all(source, compared, advance), _all(made, compared, advance)
    errors = compare([f"head {index}" for index in range(len(want))], want, have)
    figures: dict[str, tuple[float, float, float]] = {}
    if photos:
        reader = Detect(source, (rows, columns), image, decode)
        figures["its detections found again"] = (
            1.0,
            found_again(_seen(reader, want), _seen(reader, have)),
            AGAIN[mode],
        )
    if judge is not None:
        steps.begin(f"judging: {judge.figure[:24]}")
        before, after = (judge.measure(Detect(heads, (rows, columns), image, decode)) for heads in (source, made))
        figures[judge.figure] = (before, after, judge.may_drop)
    steps.finish()
    parity = Parity(mode, len(compared), errors, 4 * int(model.count_params()), len(flatbuffer), figures)
    manifest = Manifest.model_validate(
        draft | {"inputs": interpreter.inputs, "outputs": interpreter.outputs, "parity": parity.to_manifest()}
    )
    return Converted(what, flatbuffer, manifest, parity)


def _all(predict: Any, inputs: NDArray[np.float32], advance: Any) -> list[NDArray[Any]]:
    parts = []
    for start in range(0, len(inputs), BATCH):
        batch = inputs[start : start + BATCH]
        parts.append(predict(batch))
        advance(len(batch))
    return [np.concatenate(heads) for heads in zip(*parts, strict=True)]


def _seen(detect: Detect, heads: list[NDArray[Any]]) -> list[Any]:
    """Detections per image, as fractions of the network's input."""
    return [detect.read([head[index : index + 1] for head in heads]) for index in range(len(heads[0]))]


def _list(value: Any) -> list[Any]:
    return list(value) if isinstance(value, (list, tuple)) else [value]
