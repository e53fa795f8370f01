"""A detector from Keras to TFLite: raw heads out, which the robot decodes; int8 by the recipe of `convert.quantise`."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from convert import images as pictures
from convert.blame import blame
from convert.errors import ConvertError
from convert.keras_graph import from_keras
from convert.labelled import Labelled
from convert.parity import Converted, Figure, Judge, LayerLoss, Parity, compare, found_again
from convert.predict import Detect, keras_batch, tflite_batch
from convert.progress import Steps
from convert.quantise import Int8, channel_sets, int8, work
from convert.tflite import Mode, export, variables_of
from edge.interpreter import Interpreter
from edge.manifest import DarknetDecode, ImageInput, Manifest

COMPARED = 32  # images on which outputs are compared
BATCH = 8
TIMED = 9
WORST = "worst"
AGAIN = {"none": 0.01, "float16": 0.05, "dynamic": 0.15, "int8": 0.2}  # share of detections that may get lost


@dataclass(frozen=True)
class Checks:
    """What a conversion is judged by beside its heads, and what it may keep in float.

    Attributes:
        judge: of the run's task, where there is one.
        labelled: photos with true boxes.
        may_drop: how much AP may fall on them.
        keep_float: layers that stay float in an int8 model; `WORST` is the one that loses most.
    """

    judge: Judge | None = None
    labelled: Labelled | None = None
    may_drop: float = 0.01
    keep_float: frozenset[str] = frozenset()


def convert(
    model: Any,
    draft: dict[str, Any],
    mode: Mode,
    photos: Sequence[NDArray[np.uint8]] | None,
    checks: Checks,
    steps: Steps,
    what: str,
) -> Converted:
    """Convert a detector and compare it with its source.

    Args:
        model: Keras, functional: image (None, rows, columns, 3 or 1) to raw heads.
        draft: the manifest as far as it is known: kind, name, image, decode, labels, provenance.
        photos: for calibration and comparison, uint8 RGB of any sizes; int8 needs them.
        checks: true boxes, and what may be lost.

    Raises:
        ConvertError: the model is no detector, or TensorFlow cannot convert it.
    """
    shape = tuple(model.inputs[0].shape)
    if len(model.inputs) != 1 or len(shape) != 4 or None in shape[1:]:
        raise ConvertError(f"{what} takes {shape}, a detector takes one image (None, rows, columns, 3)")
    rows, columns = int(shape[1]), int(shape[2])
    image, decode = ImageInput.model_validate(draft["image"]), DarknetDecode.model_validate(draft["decode"])
    if mode == "int8" and not photos:
        raise ConvertError("--quantize int8 needs --calibrate with a folder of typical photos")
    if checks.keep_float and mode != "int8":
        raise ConvertError("--keep-float is for --quantize int8 alone")
    given = photos if photos else pictures.noise(BATCH, (rows, columns))
    inputs = pictures.prepare(given, image, (rows, columns))
    compared = inputs[:: -(-len(inputs) // COMPARED)]
    quantised: Int8 | None = None
    layers: tuple[LayerLoss, ...] = ()
    decode_made = decode
    if mode == "int8":
        quantised, layers = _quantise(model, inputs, decode, image, checks.keep_float, steps)
        flatbuffer = quantised.flatbuffer
        decode_made = quantised.decode
    else:
        steps.begin("converting")
        flatbuffer = _float(model, mode)
    interpreter = Interpreter(flatbuffer, name="the converted model")
    advance = steps.begin("comparing outputs", 2 * len(compared))
    source, made = keras_batch(model), tflite_batch(flatbuffer)
    want, raw = _all(source, compared, advance), _all(made, compared, advance)
    names = [f"head {index}" for index in range(len(want))]
    have = plain(raw, decode_made)
    errors = compare(names, want, have)
    read = partial(Detect, shape=(rows, columns), image=image)
    figures: dict[str, Figure] = {}
    if photos:
        figures |= _agreement(_seen(read(source, decode=decode), want), _seen(read(made, decode=decode), have), mode)
    simulation = None
    if quantised is not None:
        simulate = quantised.simulate
        expected = _all(lambda x: [np.asarray(head) for head in simulate(x)], compared, lambda count: None)
        simulation = min(error.snr_db for error in compare(names, expected, raw))
    sides = [read(source, decode=decode), read(made, decode=decode_made)]
    if checks.judge is not None:
        steps.begin(f"judging: {checks.judge.figure[:24]}")
        before, after = (checks.judge.measure(side) for side in sides)
        figures[checks.judge.figure] = Figure(before, after, checks.judge.may_drop)
    plain_bytes = b""
    if mode != "none" and (quantised is not None or checks.labelled is not None):
        steps.begin("converting in float, to compare")
        plain_bytes = _float(model, "none") if quantised is None else _float_graph(model)
    if checks.labelled is not None:
        middle = [read(tflite_batch(plain_bytes), decode=decode)] if plain_bytes else []
        figures |= _on_labelled([sides[0], *middle, sides[1]], checks.labelled, checks.may_drop, steps)
    steps.finish()
    times = (_milliseconds(plain_bytes), _milliseconds(flatbuffer)) if plain_bytes else None
    weights = 4 * int(model.count_params())
    done = quantised.done if quantised is not None else ()
    parity = Parity(mode, len(compared), errors, weights, len(flatbuffer), figures, simulation, layers, done, times)
    known = {"inputs": interpreter.inputs, "outputs": interpreter.outputs, "decode": decode_made}
    manifest = Manifest.model_validate(draft | known | {"parity": parity.to_manifest()})
    return Converted(what, flatbuffer, manifest, parity)


def _quantise(
    model: Any,
    inputs: NDArray[np.float32],
    decode: DarknetDecode,
    image: ImageInput,
    keep_float: frozenset[str],
    steps: Steps,
) -> tuple[Int8, tuple[LayerLoss, ...]]:
    """The int8 model, and which layers cost it most; twice where the worst of them is to stay float."""
    low, high = sorted((image.offset, 255 * image.scale + image.offset))

    def make(floats: frozenset[str]) -> tuple[Int8, tuple[LayerLoss, ...]]:
        advance = steps.begin("calibrating", work(len(inputs)))
        quantised = int8(model, inputs, decode, advance, (low, high), floats)
        return quantised, blame(
            quantised.flatbuffer, quantised.graph, inputs, steps.begin("looking for the worst layer")
        )

    quantised, layers = make(keep_float - {WORST})
    if WORST in keep_float:
        quantised, layers = make((keep_float - {WORST}) | {layers[0].name})
    return quantised, layers


def _agreement(before: list[Any], after: list[Any], mode: Mode) -> dict[str, Figure]:
    """Box by box, both ways: what both find with the same suppression."""
    again, overlap = found_again(before, after)
    return {
        "its detections found again": Figure(1.0, again, AGAIN[mode]),
        "mean IoU of these": Figure(1.0, overlap, AGAIN[mode]),
        "detections that the source has too": Figure(1.0, found_again(after, before)[0], AGAIN[mode]),
    }


def _on_labelled(sides: Sequence[Detect], labelled: Labelled, may_drop: float, steps: Steps) -> dict[str, Figure]:
    """AP of the source, the float model where it is another, and the converted one."""
    advance = steps.begin("judging on labelled photos", len(sides) * len(labelled.photos))
    found = [labelled.ap(side, advance) for side in sides]
    return {
        f"{name} on {labelled.name}": Figure(before, found[-1][name], may_drop, found[1][name] if found[2:] else None)
        for name, before in found[0].items()
    }


def _float(model: Any, mode: Mode) -> bytes:
    shape = tuple(int(size) for size in model.inputs[0].shape[1:])
    return export(lambda x: _list(model(x, training=False)), (1, *shape), variables_of(model), mode)


def _float_graph(model: Any) -> bytes:
    """The float model by way of the graph that int8 is made of: what Keras would trace anew takes thrice as long."""
    graph = from_keras(model)
    return export(graph.run, (1, *graph.input_shape), graph.variables, "none")


def _milliseconds(flatbuffer: bytes) -> float:
    """The median time of one inference, one thread."""
    interpreter = Interpreter(flatbuffer, name="the converted model")
    times = []
    for _ in range(TIMED):
        start = time.perf_counter()
        interpreter.invoke()
        times.append(time.perf_counter() - start)
    return 1000 * float(np.median(times))


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
