"""What a `.tflite` file says of itself, in a zip appended to the flatbuffer.

A flatbuffer is read from its start and a zip from its end, so one file is both: any interpreter loads
it, and `unzip -p model.tflite manifest.json` prints the manifest (the way of TFLite Metadata).
"""

from __future__ import annotations

import hashlib
import io
import zipfile
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, get_args

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from edge.errors import ModelError
from robot.files import write_atomically

FORMAT = 1
NAME = "manifest.json"

Dtype = Literal["float32", "int8", "uint8", "int16", "int32", "int64", "bool"]
DTYPES: tuple[str, ...] = get_args(Dtype)


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Tensor(_Part):
    """One tensor of the graph, as the interpreter must report it."""

    name: str
    shape: tuple[int, ...]
    dtype: Dtype
    scale: float = 0.0  # real = (stored - zero_point) * scale; 0 means not quantised
    zero_point: int = 0


class ImageInput(_Part):
    """How a frame becomes the input: RGB pixels * scale + offset, after a resize."""

    layout: Literal["NHWC", "NCHW"] = "NHWC"
    colour: Literal["RGB", "BGR", "GRAY"] = "RGB"
    scale: float = 1 / 255
    offset: float = 0.0
    resize: Literal["stretch", "letterbox"] = "stretch"
    pad: Annotated[int, Field(ge=0, le=255)] = 127  # letterbox's grey beside the picture: Darknet's 0.5


class DarknetHead(_Part):
    """One raw Darknet `[yolo]` or `[region]` head: output tensor `output` (NHWC, anchors x (5 + classes) channels)."""

    output: int
    anchors: tuple[tuple[float, float], ...]  # width, height in pixels of the network's input
    scale_x_y: float = 1.0
    new_coords: bool = False
    softmax: bool = False  # classes share their chances, as in `[region]`; else each has its own logistic
    box_gain: float = 1.0  # x, y, w, h are stored this many times larger: one int8 scale serves them and the rest


class DarknetDecode(_Part):
    """Boxes from raw Darknet heads; score = objectness x class probability."""

    kind: Literal["darknet"] = "darknet"
    heads: tuple[DarknetHead, ...]
    classes: int
    nms_iou: float = 0.45
    nms_beta: float | None = None  # Darknet's nms_kind=diounms: overlap is IoU - (centre distance / diagonal)^(2 beta)


class UltralyticsDecode(_Part):
    """Boxes that the network itself decoded, as Ultralytics' exporters leave them, with one score per class.

    v5: centre x, y, width, height, objectness, class scores. v8 (also v9, v11, v12, and v3 and v5 of the `u` kind): the
    same without objectness. end2end (v10, 26, and exports with NMS inside): left, top, right, bottom, score, class.
    """

    kind: Literal["ultralytics"] = "ultralytics"
    layout: Literal["v5", "v8", "end2end"]
    classes: int
    output: int = 0
    fields_axis: Literal[1, 2] = 2  # 1: the tensor is 1 x fields x boxes, 2: 1 x boxes x fields
    pixels: bool = False  # boxes in pixels of the network's input, not in fractions of it
    nms_iou: float | None = None  # None: the network has suppressed already
    max_detections: int = 300


class SsdDecode(_Part):
    """The four outputs of TFLite_Detection_PostProcess (SSD, EfficientDet), each by its index among the outputs.

    Boxes (1, N, 4) are top, left, bottom, right as fractions; the network has suppressed already.
    """

    kind: Literal["ssd"] = "ssd"
    boxes: int
    labels: int
    scores: int
    count: int
    classes: int


Decode = Annotated[DarknetDecode | UltralyticsDecode | SsdDecode, Field(discriminator="kind")]
"""How outputs become boxes."""


class LightObservation(_Part):
    """The observation of `edge.observation`, by name and version, and how often the policy decides."""

    name: str
    version: int
    size: int
    period_s: float
    done_light: float | None = None  # the brighter sensor's reading at which the goal is reached; None: never done


class TwistActions(_Part):
    """A discrete policy: the output's largest value chooses one of these (v m/s, omega rad/s)."""

    kind: Literal["twist"] = "twist"
    twists: tuple[tuple[float, float], ...]

    @property
    def outputs(self) -> int:
        """How many numbers the network gives."""
        return len(self.twists)


class ShareActions(_Part):
    """A continuous policy: its two outputs, clipped to -1..1, are shares of `most` (v m/s, omega rad/s)."""

    kind: Literal["share"]
    most: tuple[float, float]
    outputs: ClassVar[int] = 2


class DutyActions(_Part):
    """A continuous policy: its two outputs, clipped to -1..1, are the duties of the left and the right wheel."""

    kind: Literal["duty"]
    outputs: ClassVar[int] = 2


Actions = TwistActions | ShareActions | DutyActions


class Manifest(_Part):
    """The whole manifest. `sha256` is of the flatbuffer's own bytes, without the zip."""

    format: Annotated[int, Field(ge=1)] = FORMAT
    kind: Literal["detector", "policy"]
    name: str
    inputs: tuple[Tensor, ...]
    outputs: tuple[Tensor, ...]
    image: ImageInput | None = None
    decode: Decode | None = None
    labels: tuple[str, ...] = ()
    observation: LightObservation | None = None
    actions: Annotated[Actions, Field(discriminator="kind")] | None = None
    provenance: dict[str, Any] = {}  # source, settings, seed, versions, licence
    parity: dict[str, Any] = {}  # the conversion's proof
    sha256: str = ""

    @model_validator(mode="after")
    def _whole(self) -> Manifest:
        """A detector says how to feed it and read it, and its tensors fit that."""
        if self.kind != "detector":
            return self
        if self.image is None or self.decode is None or len(self.inputs) != 1:
            raise ValueError("a detector needs one input tensor, `image` and `decode`")
        if len(self.labels) != self.decode.classes:
            raise ValueError(f"{len(self.labels)} labels for {self.decode.classes} classes")
        for head in self.decode.heads if isinstance(self.decode, DarknetDecode) else ():
            channels = len(head.anchors) * (5 + self.decode.classes)
            if not 0 <= head.output < len(self.outputs) or self.outputs[head.output].shape[-1:] != (channels,):
                raise ValueError(f"output {head.output} is no head of {channels} channels")
        return self


def seal(flatbuffer: bytes, manifest: Manifest, extra: dict[str, str] | None = None) -> bytes:
    """The bytes of a model file: flatbuffer, then a zip with the manifest and other text files."""
    manifest = manifest.model_copy(update={"sha256": hashlib.sha256(flatbuffer).hexdigest()})
    out = io.BytesIO(flatbuffer)
    out.seek(0, io.SEEK_END)
    with zipfile.ZipFile(out, "a") as archive:
        for name, text in {NAME: manifest.model_dump_json(indent=2), **(extra or {})}.items():
            # A fixed date, so that equal models are equal files.
            archive.writestr(zipfile.ZipInfo(name, (2020, 1, 1, 0, 0, 0)), text)
    return out.getvalue()


def save(path: str | Path, flatbuffer: bytes, manifest: Manifest, extra: dict[str, str] | None = None) -> None:
    """Write a model file whole or not at all."""
    write_atomically(Path(path), seal(flatbuffer, manifest, extra))


def read(path: str | Path) -> tuple[bytes, Manifest]:
    """The flatbuffer and the manifest of a model file, checked against each other.

    Raises:
        ModelError: missing, not a model, truncated, altered, without a manifest, or from a newer version.
    """
    path = Path(path)
    try:
        data = path.read_bytes()
    except OSError as error:
        raise ModelError(
            f"model {path} cannot be read ({error.strerror}); give the path of a .tflite file, "
            "as `edgebot convert` writes it"
        ) from None
    if data[4:8] != b"TFL3":
        raise ModelError(f"{path} is not a TFLite model (no TFL3 mark); make one with `edgebot convert`")
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            text = archive.read(NAME)
            start = min(info.header_offset for info in archive.infolist())
    except (zipfile.BadZipFile, KeyError, NotImplementedError, RuntimeError, EOFError, OSError, ValueError):
        raise ModelError(
            f"{path} has no manifest or is cut short ({len(data)} bytes); copy it again, or convert it with "
            "`edgebot convert`"
        ) from None
    flatbuffer = data[:start]
    manifest = _parse(text, path)
    found = hashlib.sha256(flatbuffer).hexdigest()
    if found != manifest.sha256:
        raise ModelError(
            f"{path} was altered: its sha256 is {found[:12]}, its manifest says {manifest.sha256[:12]}; "
            "copy or convert it again"
        )
    return flatbuffer, manifest


def has_manifest(path: str | Path) -> bool:
    """Whether a file carries a manifest of ours, good or bad."""
    try:
        with zipfile.ZipFile(path) as archive:
            return NAME in archive.namelist()
    except (zipfile.BadZipFile, OSError, ValueError):
        return False


def _parse(text: bytes, path: Path) -> Manifest:
    import json

    try:
        data = json.loads(text)
        version = data.get("format")
        if isinstance(version, int) and version > FORMAT:
            raise ModelError(
                f"{path} has a manifest of format {version}, this edgebot reads up to {FORMAT}; "
                "update with `pip install -U edgebot`"
            )
        return Manifest.model_validate(data)
    except (ValueError, AttributeError) as error:  # pydantic's ValidationError is a ValueError
        detail = error.errors()[0] if isinstance(error, ValidationError) else {"loc": (), "msg": str(error)}
        where = ".".join(str(part) for part in detail["loc"]) or NAME
        raise ModelError(f"{path} has a damaged manifest ({where}: {detail['msg']}); convert it again") from None
