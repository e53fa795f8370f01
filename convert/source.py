"""A detector's Keras model with what its manifest will say, in one `.keras` file: what a training can go on from.

A `.keras` file is a zip, so the manifest is one more member of it; Keras loads the file as ever.
"""

from __future__ import annotations

import json
import tempfile
import zipfile
from pathlib import Path
from typing import Any, NamedTuple

from pydantic import ValidationError

from convert.errors import ConvertError
from edge.manifest import NAME, DarknetDecode, ImageInput
from robot.files import write_atomically


class Source(NamedTuple):
    """`keras` maps images as `image` says to raw heads, which `decode` reads as `labels`."""

    keras: Any
    image: ImageInput
    decode: DarknetDecode
    labels: tuple[str, ...]


def save(path: Path, source: Source) -> None:
    """Write the file whole or not at all."""
    said = {
        "image": source.image.model_dump(mode="json"),
        "decode": source.decode.model_dump(mode="json"),
        "labels": list(source.labels),
    }
    with tempfile.TemporaryDirectory() as folder:
        temporary = Path(folder) / "source.keras"
        source.keras.save(temporary)
        with zipfile.ZipFile(temporary, "a") as archive:
            archive.writestr(NAME, json.dumps(said, indent=2))
        write_atomically(path, temporary.read_bytes())


def load(path: Path) -> Source:
    """Read what `save` wrote. Raises `ConvertError` where it is missing, damaged, or says nothing of itself."""
    import keras

    try:
        with zipfile.ZipFile(path) as archive:
            said = json.loads(archive.read(NAME))
        found = said["image"], said["decode"], said["labels"]
        image, decode = ImageInput.model_validate(found[0]), DarknetDecode.model_validate(found[1])
        return Source(keras.models.load_model(path, compile=False), image, decode, tuple(map(str, found[2])))
    except FileNotFoundError:
        raise ConvertError(f"{path} is not there; `edgebot convert darknet` leaves it beside its .tflite") from None
    except (zipfile.BadZipFile, KeyError, ValueError, TypeError, OSError, ValidationError) as error:
        reason = " ".join(str(error).split())[:120]
        raise ConvertError(
            f"{path} is no detector to train on from ({reason}); make one with `edgebot convert darknet`"
        ) from None
