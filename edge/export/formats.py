"""What a recording can become: one row a format, whose writer is imported only when it is asked for.

Writers for the workstation live in the workshop's rooms, which the robot's side never imports: they stand here by
name, as the workshop's verbs do in `edge.cli`.
"""

from __future__ import annotations

import importlib
import importlib.util
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import Any, NamedTuple, Protocol

from edge.errors import UsageError
from edge.recordings.reader import Recording


@dataclass(frozen=True)
class Options:
    """What the user may choose; each format takes what concerns it."""

    fps: float | None = None  # of a video or data set; None: as the camera's, or the loop's where there is none
    task: str = ""  # what the robot did, in words
    detector: PathLike[str] | None = None  # look at the frames again with this one; None: the recorded boxes
    score: float | None = None  # leave out boxes at or below it
    val: float = 0.2  # share of pictures to judge by
    empty: float = 0.5  # share of pictures without a box, at most
    change: float = 4.0  # how much a picture must differ from the one before, in grey levels, to be kept


class Writer(Protocol):
    """Writes recordings to `place`, which is a path of its own beside the final one; returns what it wrote, in words.

    `advance` is told how many more bytes of the recordings have been worked off, each once for every pass that
    the format declares.
    """

    def __call__(
        self, runs: Sequence[Recording], place: Path, options: Options, advance: Callable[[float], None]
    ) -> str: ...


class Format(NamedTuple):
    """One format."""

    name: str
    target: str  # "module:function"
    suffix: str  # of the default place; empty where it is a folder
    mark: str  # of a folder: a file that every such export has
    many: bool  # takes several runs
    help: str


FORMATS = (
    Format("lerobot", "train.lerobot.export:export", "", "meta/info.json", True, "a LeRobot data set v3, run by run"),
    Format("csv", "edge.export.table:export", ".csv", "", False, "a table, one row an iteration of the loop"),
    Format("video", "edge.export.video:export", ".mp4", "", False, "what the camera saw, with boxes and commands"),
    Format("yolo", "edge.export.yolo:export", "", "data.yaml", True, "pictures and boxes, to train a detector on"),
)

VIDEOS = (".mp4", ".mkv", ".mov", ".avi")

FILMS = (("imageio_ffmpeg", "train.video:write_video"), ("cv2", "edge.export.film:write"))
"""Writers of films by the library that they need, the better one first (H.264, which all players and browsers know)."""


def load(target: str) -> Any:
    """The function behind "module:function"."""
    module, name = target.split(":")
    return getattr(importlib.import_module(module), name)


def film_writer() -> Any:
    """The best writer of films that is installed: called with path, frames (RGB) and fps."""
    return next(load(target) for library, target in FILMS if importlib.util.find_spec(library) is not None)


def place_for(chosen: Format, first: Path, place: Path | None) -> Path:
    """Where the export goes: as told, or beside nothing else, named like the recording."""
    if place is None:
        return Path(f"{first.stem}{chosen.suffix or '-' + chosen.name}")
    if chosen.name == "video" and place.suffix.lower() not in VIDEOS:
        raise UsageError(f"-o {place} has no video's ending; use one of {', '.join(VIDEOS)}")
    if chosen.suffix and place.is_dir():
        raise UsageError(f"{place} is a folder, and {chosen.name} is a file; name a {chosen.suffix}")
    return place
