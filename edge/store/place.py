"""Where models are kept, and what was recorded of files whose sha256 nobody publishes."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable
from pathlib import Path

from edge.errors import ModelError
from edge.store import catalogue
from edge.store.catalogue import Published, Source
from robot.files import write_atomically

KNOWN = "known.json"
CHUNK = 1 << 20


def root() -> Path:
    """The store: $EDGEBOT_MODELS, else edgebot/models in the user's data folder ($XDG_DATA_HOME, ~/.local/share)."""
    own = os.environ.get("EDGEBOT_MODELS")
    if own:
        return Path(own).expanduser()
    data = os.environ.get("XDG_DATA_HOME")
    base = Path(data) if data and Path(data).is_absolute() else Path.home() / ".local" / "share"
    return base / "edgebot" / "models"


def folder(name: str) -> Path:
    """Of one model: NAME.tflite, its licence and, in `source`, what it was made from."""
    return root() / name


def model(name: str) -> Path:
    """The converted model of this name, whether it is there or not."""
    return folder(name) / f"{name}.tflite"


def models() -> list[Path]:
    """All converted models in the store."""
    return sorted(path for path in root().glob("*/*.tflite") if path.stem == path.parent.name)


def source_path(entry: Published, file: str) -> Path:
    """Where a fetched file lies: the licence beside the model, the rest below."""
    return folder(entry.name) / (file if file == "LICENSE" else f"source/{file}")


def find(text: str) -> Path:
    """The file of a model by name (`person`, or one in the store) or path.

    Raises:
        ModelError: a name that is none; the sentence says what to do.
    """
    path = Path(text)
    if path.is_file() or path.suffix == ".tflite" or path.name != text:
        return path  # whoever opens it says what is wrong with it
    if text == "person":
        from edge.perception.detector import SHIPPED

        return SHIPPED
    if path.name == text and model(text).is_file():
        return model(text)
    if any(one.name == text for one in catalogue.PUBLISHED):
        raise ModelError(f"model {text} is not here yet; fetch it: edgebot models pull {text}")
    raise ModelError(f"there is no model {text}; give the path of a .tflite file, or a name of `edgebot models list`")


def sha256(path: Path, advance: Callable[[int], None] = lambda count: None) -> str:
    """Of a file's bytes, in hexadecimal."""
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while chunk := file.read(CHUNK):
            digest.update(chunk)
            advance(len(chunk))
    return digest.hexdigest()


def known() -> dict[str, str]:
    """Recorded on first use: sha256 by address."""
    try:
        data = json.loads((root() / KNOWN).read_text(encoding="utf-8"))
        return {str(url): str(digest) for url, digest in data.items()}
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, AttributeError) as error:
        raise ModelError(
            f"{root() / KNOWN} is damaged ({error}); it holds the sha256 of files fetched before: mend it, or remove "
            "it to trust the next download anew"
        ) from None


def expected(source: Source) -> str:
    """The sha256 that a source must have: the catalogue's, else the recorded one, else empty."""
    return source.sha256 or known().get(source.urls[0], "")


def record(source: Source, digest: str) -> None:
    """Remember the sha256 of a file that came for the first time."""
    if not expected(source):
        text = json.dumps(known() | {source.urls[0]: digest}, indent=2, sort_keys=True)
        write_atomically(root() / KNOWN, (text + "\n").encode())
