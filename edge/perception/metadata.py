"""What a detector that is not ours says of itself: Ultralytics' appended metadata, and TFLite Metadata.

Ultralytics appends a zip with `metadata.json` (older: a Python dictionary as `temp_meta.txt`, YOLOv5: `meta.txt`).
TFLite Metadata is a flatbuffer in the model's buffer TFLITE_METADATA, with its label files in an appended zip
(tflite-support, metadata_schema.fbs, whose field numbers are used here).
"""

from __future__ import annotations

import ast
import io
import json
import zipfile
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from edge.errors import ModelError
from edge.flatbuffer import Contents, Node, damaged

LARGEST = 1 << 20  # bytes of a text file inside; label files have some thousand
ULTRALYTICS = ("metadata.json", "temp_meta.txt", "meta.txt")
TFLITE = "TFLITE_METADATA"
NORMALIZATION, AXIS_LABELS, VALUE_LABELS = 1, 2, 3  # values of the schema's unions and enums


@dataclass(frozen=True)
class Said:
    """What was read; empty where the file says nothing.

    Attributes:
        source: "Ultralytics", "TFLite Metadata" or "".
        task: Ultralytics' word: "detect", "segment", "pose", "obb", "classify".
        end2end: the network suppresses by itself; None where nothing was said.
        mean, std: the input is (pixel - mean) / std, one number for all channels.
        outputs: the outputs' names, in the model's order.
        provenance: what a manifest keeps of it.
    """

    source: str = ""
    name: str = ""
    labels: tuple[str, ...] = ()
    task: str = ""
    end2end: bool | None = None
    mean: float | None = None
    std: float | None = None
    outputs: tuple[str, ...] = ()
    provenance: tuple[tuple[str, str], ...] = ()


def read(data: bytes, contents: Contents, name: str) -> Said:
    """Whatever the file says; `name` is for error messages.

    Raises:
        ModelError: the metadata is there, and cannot be read or used.
    """
    files = _files(data, name)
    said = Said()
    if TFLITE in contents.metadata:
        said = _tflite(contents.metadata[TFLITE], files, name)
    written = next((files[file] for file in ULTRALYTICS if file in files), None)
    if written is None:
        return said
    found = _ultralytics(written, name)
    return replace(found, mean=said.mean, std=said.std) if said.source else found


def parse_names(text: str) -> tuple[str, ...]:
    """A label file: one name a line. A first line ??? stands for the background, which no network tells."""
    names = [line.strip() for line in text.splitlines()]
    while names and not names[-1]:
        names.pop()
    return tuple(names[1:] if names[:1] == ["???"] else names)


def _files(data: bytes, name: str) -> dict[str, str]:
    """The text files of the appended zip."""
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            return {
                entry.filename: archive.read(entry).decode("utf-8", "replace")
                for entry in archive.infolist()
                if entry.file_size <= LARGEST
            }
    except zipfile.BadZipFile as error:
        if "not a zip" in str(error):
            return {}
        raise ModelError(f"{name} has a damaged appendix ({error}); copy it again") from None
    except (NotImplementedError, RuntimeError, EOFError, OSError, ValueError) as error:
        raise ModelError(f"{name} has a damaged appendix ({error}); copy it again") from None


def _ultralytics(text: str, name: str) -> Said:
    try:
        try:
            found = json.loads(text)
        except ValueError:
            found = ast.literal_eval(text)
        names = found.get("names", {})
        if isinstance(names, dict):
            pairs = sorted((int(key), str(value)) for key, value in names.items())
            if [key for key, _ in pairs] != list(range(len(pairs))):
                raise ValueError("names are not numbered from 0")
            names = [value for _, value in pairs]
        labels = tuple(str(one) for one in names)
        end2end = found.get("end2end")
        args = found.get("args")
        if isinstance(args, dict) and args.get("nms"):
            end2end = True
    except (ValueError, SyntaxError, AttributeError, TypeError, RecursionError, MemoryError) as error:
        raise ModelError(f"{name} has Ultralytics metadata that cannot be read ({error}); export it again") from None
    kept = ("description", "version", "license", "author", "date", "stride", "imgsz", "task")
    return Said(
        "Ultralytics",
        name=str(found.get("description") or "").removeprefix("Ultralytics ").split(" model")[0],
        labels=labels,
        task=str(found.get("task") or ""),
        end2end=None if end2end is None else bool(end2end),
        provenance=tuple((key, str(found[key])) for key in kept if key in found),
    )


def _tflite(raw: bytes, files: dict[str, str], name: str) -> Said:
    try:
        root = Node.root(raw)
        graphs = root.nodes(3)[:1]
        inputs, outputs = ([one for graph in graphs for one in graph.nodes(field)] for field in (2, 3))
        mean, std = _normalization(inputs, name)
        lists = [
            entry.text(0)
            for output in outputs
            for entry in output.nodes(6)
            if entry.integer(2, wide=False) in (VALUE_LABELS, AXIS_LABELS)
        ]
        names = tuple(output.text(0).lower() for output in outputs)
        said = {"name": root.text(0), "version": root.text(2), "author": root.text(4), "license": root.text(5)}
    except damaged as error:
        raise ModelError(f"{name} has TFLite Metadata that cannot be read ({error}); copy it again") from None
    missing = next((file for file in lists if file not in files), None)
    if missing:
        raise ModelError(f"{name} names a label file {missing!r} that is not in it; copy it again, or give --names")
    return Said(
        "TFLite Metadata",
        name=said["name"],
        labels=parse_names(files[lists[0]]) if lists else (),
        mean=mean,
        std=std,
        outputs=names,
        provenance=tuple((key, value) for key, value in said.items() if value),
    )


def _normalization(inputs: list[Any], name: str) -> tuple[float | None, float | None]:
    for unit in inputs[0].nodes(4) if inputs else []:
        if unit.integer(0, wide=False) != NORMALIZATION or (options := unit.node(1)) is None:
            continue
        mean, std = (options.numbers(field, np.float32) for field in (0, 1))
        if not len(mean) or not len(std) or not (np.isfinite(mean).all() and np.isfinite(std).all() and std.all()):
            raise ValueError("a normalization without mean and standard deviation")
        if np.ptp(mean) or np.ptp(std):
            raise ModelError(
                f"{name} wants another mean and deviation for each colour ({mean.tolist()}, {std.tolist()}), expected "
                "one for all; export it with the normalization inside"
            )
        return float(mean[0]), float(std[0])
    return None, None
