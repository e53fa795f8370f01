"""A detector that is not ours, understood: from what it says of itself, its tensors' shapes, and what the user adds.

The result is a manifest, as if `edgebot convert` had written one; everything after it knows manifests only.
"""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from typing import Any

import numpy as np

from edge import manifest as manifests
from edge.errors import ModelError, UsageError
from edge.flatbuffer import Contents, CustomOperation, damaged
from edge.interpreter import Interpreter, dequantise, open_model
from edge.manifest import ImageInput, Manifest, SsdDecode, Tensor, UltralyticsDecode
from edge.perception import metadata
from edge.perception.metadata import Said
from edge.perception.model_file import LAYOUTS, ModelFile

IOU = {"v5": 0.45, "v8": 0.7, "end2end": None}
"""Where Ultralytics' own predictors suppress (yolov5/detect.py, ultralytics/cfg/default.yaml)."""

STRIDES = ((8, 16, 32), (16, 32), (4, 8, 16, 32), (8, 16, 32, 64))
WAYS = (("v5", 2, 5, (3, 1)), ("v8", 1, 4, (1,)), ("v5", 1, 5, (3,)), ("v8", 2, 4, (1,)))
"""Layout, axis of the fields, fields before the classes, boxes per cell; of one layout the first that fits."""

MOST_READY = 1000  # boxes of a network that suppresses by itself; 300 is usual
POSTPROCESS = "TFLite_Detection_PostProcess"
PAD = 114  # the grey of Ultralytics' letterbox
FAR = 2.0  # the middle of a box at twice the picture's width is not told in fractions of it


def open_detector(file: str | os.PathLike[str], threads: int = 1) -> tuple[Interpreter, Manifest]:
    """Open a detector of ours or of others.

    Raises:
        ModelError: it cannot be read or run, or is no detector that is known.
        UsageError: `file` is a `ModelFile` whose words do not fit.
    """
    given = file if isinstance(file, ModelFile) else ModelFile(Path(file))
    ours = manifests.has_manifest(given.path)
    if ours and (given.layout or given.names):
        raise UsageError(f"{given.path} says by itself how to read it; leave --layout and --names out")
    if ours or not given.path.is_file():
        return open_model(given.path, "detector", threads)
    data = given.path.read_bytes()
    if data[4:8] != b"TFL3":
        raise ModelError(f"{given.path} is not a TFLite model (no TFL3 mark); make one with `edgebot convert`")
    interpreter = Interpreter(data, threads, str(given.path))
    return interpreter, recognise(data, interpreter, given)


def recognise(data: bytes, interpreter: Interpreter, file: ModelFile) -> Manifest:
    """The manifest of a file that has none. Runs the network once, on black, where that tells something."""
    name, outputs = str(file.path), interpreter.outputs
    contents = Contents(data, name)
    said = metadata.read(data, contents, name)
    labels = said.labels if file.names is None else _names(file.names)
    image, width, height = _image(interpreter.inputs, outputs, name)
    ready = next((one for one in contents.custom if one.name == POSTPROCESS), None)
    decode: SsdDecode | UltralyticsDecode
    if file.layout == "ssd" or (file.layout is None and (ready is not None or _is_ssd(outputs))):
        decode = _ssd(outputs, ready, said, labels, name)
        image |= {"resize": "stretch"}
        offset, scale = -1.0, 2 / 255  # TensorFlow's object detection trains on -1..1
    else:
        decode = _ultralytics(outputs, said, labels, file, width, height)
        decode = decode.model_copy(update={"pixels": _in_pixels(interpreter, decode)})
        image |= {"resize": "letterbox", "pad": PAD}
        offset, scale = 0.0, 1 / 255
    if said.mean is not None and said.std is not None:
        offset, scale = -said.mean / said.std, 1 / said.std
    elif (tensor := interpreter.inputs[0]).dtype in ("int8", "uint8"):
        # Of an input of whole numbers that says no more, the stored number is the pixel (int8: less 128).
        scale = tensor.scale or 1.0
        offset = -scale * (tensor.zero_point + (128 if tensor.dtype == "int8" else 0))
    return Manifest(
        kind="detector",
        name=said.name or file.path.stem,
        inputs=interpreter.inputs,
        outputs=outputs,
        image=ImageInput.model_validate(image | {"offset": offset, "scale": scale}),
        decode=decode,
        labels=labels or tuple(f"class {index}" for index in range(decode.classes)),
        provenance={"source": said.source or "recognised by its shapes"} | dict(said.provenance),
        sha256=hashlib.sha256(data).hexdigest(),
    )


def _image(inputs: tuple[Tensor, ...], outputs: tuple[Tensor, ...], name: str) -> tuple[dict[str, Any], int, int]:
    """Layout and colour of the input, then its width and height in pixels."""
    shape = inputs[0].shape
    if len(inputs) == 1 and len(shape) == 4 and shape[0] == 1:
        for layout, channels, height, width in (("NHWC", 3, 1, 2), ("NCHW", 1, 2, 3)):
            if shape[channels] in (1, 3) and shape[height] > 3 and shape[width] > 3:
                colour = "GRAY" if shape[channels] == 1 else "RGB"
                return {"layout": layout, "colour": colour}, shape[width], shape[height]
    raise ModelError(
        f"{name} takes {shapes(inputs)} and gives {shapes(outputs)}, a detector takes one image (1 x height x width x "
        "3, or 1 x 3 x height x width); export it with a fixed size and a batch of 1"
    )


def _is_ssd(outputs: tuple[Tensor, ...]) -> bool:
    ranks = sorted(len(tensor.shape) for tensor in outputs)
    return len(outputs) == 4 and ranks in ([1, 2, 2, 3], [0, 2, 2, 3])


def _ssd(
    outputs: tuple[Tensor, ...], ready: CustomOperation | None, said: Said, labels: tuple[str, ...], name: str
) -> SsdDecode:
    """Which of four outputs is which: as the operation's results are wired, else by the names that metadata gives."""
    if not _is_ssd(outputs):
        raise ModelError(
            f"{name} gives {shapes(outputs)}, expected the four tensors of {POSTPROCESS} (boxes 1 x N x 4, labels and "
            f"scores 1 x N, their number) for --layout ssd; try {_offer(LAYOUTS[:3])}"
        )
    order: list[int] = []
    if ready is not None and len(ready.outputs) == 4:
        order = list(ready.outputs)
    elif len(said.outputs) == 4:
        keys = (("location", "box"), ("categor", "class", "label"), ("score",), ("number", "count"))
        order = [
            next((index for index, one in enumerate(said.outputs) if any(key in one for key in group)), -1)
            for group in keys
        ]
    if sorted(order) != [0, 1, 2, 3]:
        raise ModelError(
            f"{name} gives {shapes(outputs)}, and neither an operation {POSTPROCESS} nor TFLite Metadata tells labels "
            "from scores; export it with either"
        )
    classes = len(labels) or _classes(ready)
    if not classes:
        raise ModelError(f"{name} does not say what it finds; give its labels, one a line, with --names FILE")
    boxes, kinds, scores, count = order
    return SsdDecode(boxes=boxes, labels=kinds, scores=scores, count=count, classes=classes)


def _classes(ready: CustomOperation | None) -> int:
    """The number of classes in the operation's options."""
    if ready is None or not ready.options:
        return 0
    from flatbuffers import flexbuffers

    try:
        found = flexbuffers.Loads(ready.options)
        return int(found["num_classes"])
    except (*damaged, KeyError):
        return 0


def _ultralytics(
    outputs: tuple[Tensor, ...], said: Said, labels: tuple[str, ...], file: ModelFile, width: int, height: int
) -> UltralyticsDecode:
    """The layout of the only output of three axes; masks and the like beside it do not matter."""
    name = str(file.path)
    if said.task == "obb":
        raise ModelError(f"{name} finds turned boxes (obb), which edgebot does not; export a network for detection")
    chosen = [index for index, tensor in enumerate(outputs) if len(tensor.shape) == 3 and tensor.shape[0] == 1]
    if len(chosen) != 1 or said.task in ("classify", "semantic", "depth"):
        hint = "Darknet's raw heads need their cfg: `edgebot convert darknet`" if len(outputs) > 1 else _offer(LAYOUTS)
        raise ModelError(
            f"{name} gives {shapes(outputs)}, which is no layout of a detector that edgebot knows (1 x N x (5 + "
            f"classes), 1 x (4 + classes) x N, 1 x 300 x 6, or {POSTPROCESS}); {hint}"
        )
    shape = outputs[chosen[0]].shape
    fits = _readings(shape, said, len(labels), width, height, file.layout)
    if file.layout and not fits:
        raise ModelError(
            f"{name} gives {shapes(outputs)}{f' and has {len(labels)} labels' if labels else ''}, which does not fit "
            f"--layout {file.layout}; try another, or leave it out"
        )
    if len(fits) != 1:
        could = " or ".join(f"{layout} with {classes} classes" for layout, (_, classes) in fits.items())
        raise ModelError(
            f"{name} gives {shapes(outputs)} for an input of {width} x {height}"
            f"{f' and has {len(labels)} labels' if labels else ''}, which could be {could or 'several things'}; say "
            f"which with {_offer(fits or LAYOUTS)}"
        )
    ((layout, (axis, classes)),) = fits.items()
    if not classes:
        raise ModelError(f"{name} does not say what it finds; give its labels, one a line, with --names FILE")
    return UltralyticsDecode.model_validate(
        {"layout": layout, "classes": classes, "output": chosen[0], "fields_axis": axis, "nms_iou": IOU[layout]}
    )


def _readings(
    shape: tuple[int, ...], said: Said, labels: int, width: int, height: int, asked: str | None
) -> dict[str, tuple[int, int]]:
    """All that an output may be: layout to axis of the fields and number of classes, 0 where only labels would tell.

    A network without anchors has as many boxes as its strides give cells, one with anchors three times as many. What is
    asked for need not have usual strides.
    """
    cells = {sum(-(-width // one) * -(-height // one) for one in strides) for strides in STRIDES}
    found: dict[str, tuple[int, int]] = {}
    if not said.end2end:
        for layout, axis, before, per_cell in WAYS:
            fields, boxes = shape[axis], shape[3 - axis]
            # Masks and key points stand behind the classes: there only the labels tell how many classes there are.
            classes = labels if labels and said.task in ("segment", "pose") else fields - before
            usual = any(boxes == many * count for many in per_cell for count in cells)
            if not (usual or (asked == layout and boxes >= fields)) or asked not in (None, layout):
                continue
            if 0 < classes <= fields - before and labels in (0, classes):
                found.setdefault(layout, (axis, classes))
    few = shape[1] <= MOST_READY and not any(shape[1] == many * count for many in (1, 3) for count in cells)
    sure = asked or said.end2end or (few and shape[2] == 6)
    if shape[2] >= 6 and asked in (None, "end2end") and said.end2end is not False and sure:
        found["end2end"] = (2, labels)
    return found


def _in_pixels(interpreter: Interpreter, decode: UltralyticsDecode) -> bool:
    """Whether boxes come in pixels: then the middles of an empty picture's, all over it, reach far beyond 1."""
    interpreter.set(np.zeros(interpreter.inputs[0].shape, interpreter.inputs[0].dtype))
    interpreter.invoke()
    raw = dequantise(interpreter.get(decode.output), interpreter.outputs[decode.output])[0]
    boxes = raw[:4] if decode.fields_axis == 1 else raw[:, :4].T
    middles = (boxes[:2] + boxes[2:]) / 2 if decode.layout == "end2end" else boxes[:2]
    return bool(np.max(middles, initial=0.0) > FAR)


def _names(path: Path) -> tuple[str, ...]:
    try:
        labels = metadata.parse_names(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is no UTF-8 text"
        raise UsageError(f"--names {path} cannot be read ({reason}); give a text file with one label a line") from None
    if not labels or not all(labels):
        raise UsageError(f"--names {path} has an empty line or no label at all; write one label a line")
    return labels


def shapes(tensors: tuple[Tensor, ...]) -> str:
    """For people: 1x84x8400 float32, ..."""
    return ", ".join(f"{'x'.join(map(str, tensor.shape)) or 'one'} {tensor.dtype}" for tensor in tensors)


def _offer(layouts: Any) -> str:
    """For people: --layout v5, v8 or ssd."""
    *most, last = dict.fromkeys(layouts)
    return f"--layout {', '.join(most)} or {last}" if most else f"--layout {last}"
