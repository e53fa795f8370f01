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
from convert.quantise import channel_sets, int8, work
from convert.tflite import Mode, export, variables_of
from edge.interpreter import Interpreter
from edge.manifest import DarknetDecode, ImageInput, Manifest

COMPARED = 32  # images on which outputs are compared
BATCH = 8
NMS_INT8 = 0.47
"""Suppression for int8 models: boxes move by rounding, and two neighbours that overlap by just less than Darknet's 0.45
would lose one of them at random. More (0.5) costs 1.5 points of AP in doubled boxes."""
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
    quantised, decode_made = None, decode
    if mode == "int8":
        advance = steps.begin("calibrating", work(len(inputs)))
        low, high = sorted((image.offset, 255 * image.scale + image.offset))
        quantised = int8(model, inputs, decode, advance, (low, high))
        flatbuffer = quantised.flatbuffer
        decode_made = quantised.decode.model_copy(update={"nms_iou": max(decode.nms_iou, NMS_INT8)})
    else:
        steps.begin("converting")
        flatbuffer = export(
            lambda x: _list(model(x, training=False)), (1, rows, columns, int(shape[3])), variables_of(model), mode
        )
    interpreter = Interpreter(flatbuffer, name="the converted model")
    compared = inputs[:: -(-len(inputs) // COMPARED)]
    advance = steps.begin("comparing outputs", 2 * len(compared))
    source, made = keras_batch(model), tflite_batch(flatbuffer)
    want, raw = _all(source, compared, advance), _all(made, compared, advance)
    names = [f"head {index}" for index in range(len(want))]
    have = plain(raw, decode_made)
    errors = compare(names, want, have)
    figures: dict[str, tuple[float, float, float]] = {}
    if photos:
        reader = Detect(source, (rows, columns), image, decode)
        again = found_again(_seen(reader, want), _seen(reader, have))
        figures["its detections found again"] = (1.0, again, AGAIN[mode])
    simulation = None
    if quantised is not None:
        simulate = quantised.simulate
        expected = _all(lambda x: [np.asarray(head) for head in simulate(x)], compared, lambda count: None)
        simulation = min(error.snr_db for error in compare(names, expected, raw))
    if judge is not None:
        steps.begin(f"judging: {judge.figure[:24]}")
        before = judge.measure(Detect(source, (rows, columns), image, decode))
        after = judge.measure(Detect(made, (rows, columns), image, decode_made))
        figures[judge.figure] = (before, after, judge.may_drop)
    steps.finish()
    weights = 4 * int(model.count_params())
    parity = Parity(mode, len(compared), errors, weights, len(flatbuffer), figures, simulation)
    known = {"inputs": interpreter.inputs, "outputs": interpreter.outputs, "decode": decode_made}
    manifest = Manifest.model_validate(draft | known | {"parity": parity.to_manifest()})
    return Converted(what, flatbuffer, manifest, parity)


def plain(heads: list[NDArray[Any]], decode: DarknetDecode) -> list[NDArray[Any]]:
    """Heads as the source gives them: boxes without the gain under which int8 stores them."""
    result = [np.array(head) for head in heads]
    for head in decode.heads:
        boxes, _ = channel_sets(head, decode.classes)
        result[head.output][..., boxes] /= head.box_gain
    return result


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
