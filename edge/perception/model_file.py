"""A detector's file, and what its user says of it where the file says too little itself."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

LAYOUTS = ("v5", "v8", "end2end", "ssd")
"""What can be asked for; Darknet's raw heads need anchors, which only a manifest tells."""


@dataclass(frozen=True, slots=True)
class ModelFile(os.PathLike[str]):
    """A path that goes wherever a model's path goes.

    Args:
        path: the `.tflite`.
        layout: one of `LAYOUTS`.
        names: a text file with one label a line.
    """

    path: Path
    layout: str | None = None
    names: Path | None = None

    def __fspath__(self) -> str:
        return str(self.path)
