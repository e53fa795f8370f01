"""A data set of labelled photos: a data.yaml as Ultralytics' users have it, or COCO's JSON; damage is told."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from numpy.typing import NDArray

from edge.errors import UsageError
from robot.errors import RobotError
from robot.pi.frames import IMAGES, read_image
from train.detector.damage import Damage
from train.detector.examples import Examples, Fitted, Image, Kept, Truth

Boxes = NDArray[np.float64]
_DAMAGED = "pictures that are cut off or no pictures, left out"


@dataclass(frozen=True)
class Photo:
    """A picture's file and its boxes (n, 5): middle, width and height as fractions of the picture, and the class."""

    path: Path
    boxes: Boxes

    def renumbered(self, number: dict[int, int]) -> Photo:
        """The same with other numbers for the classes; boxes of classes without one are left out."""
        mine = [box for box in self.boxes if box[4] < 0 or int(box[4]) in number]
        kept = [[*box[:4], number.get(int(box[4]), box[4])] for box in mine]
        return Photo(self.path, np.array(kept, float).reshape(-1, 5))


@dataclass(frozen=True)
class Dataset:
    """`labels` of the classes; pictures to learn from and to judge by; what was wrong with others."""

    labels: tuple[str, ...]
    train: list[Photo]
    val: list[Photo]
    damage: Damage


def read(data: Path, held_out: float = 0.1) -> Dataset:
    """Read a data.yaml, or a COCO JSON file.

    Args:
        data: the file. Relative paths in it start at its `path`, which itself starts at the file's folder.
        held_out: the share of the pictures that judge, where the file names none.

    Raises:
        UsageError: it cannot be read, or names no classes or no picture that can be used.
    """
    from train.detector import read_coco, read_yolo

    damage = Damage()
    settings = {"train": data.name} if data.suffix.lower() == ".json" else _yaml(data)
    root = _root(data, settings)
    labels = _names(settings, data)
    halves: dict[str, list[Photo]] = {}
    for half in ("train", "val"):
        halves[half] = []
        for place in _places(settings.get(half), half, data):
            where = place if place.is_absolute() else root / place
            if where.suffix.lower() == ".json":
                labels, photos = read_coco.read(where, root, labels, damage)
            elif labels:
                photos = read_yolo.read(where, len(labels), damage)
            else:
                raise UsageError(f"{data} names no classes; add names, such as names: [person, lamp]")
            halves[half] += photos
    if not labels or not any(len(photo.boxes) for photo in halves["train"]):
        raise UsageError(f"{data} leads to no picture with a box to learn from{_because(damage)}")
    if not halves["val"]:
        halves["train"], halves["val"] = _held_out(halves["train"], held_out)
    return Dataset(labels, halves["train"], halves["val"], damage)


def examples(
    photos: Sequence[Photo],
    fit: Fitted,
    damage: Damage,
    memory_mb: int,
    advance: Callable[[], None] = lambda: None,
) -> Examples:
    """Pictures as the network takes them; each is read once now, so that a damaged one is known before training.

    Args:
        memory_mb: so much of the pictures is kept; the rest is read again when it is needed.
        advance: called after each picture.
    """
    usable: list[Photo] = []
    truths: list[Truth] = []

    def load(photo: Photo) -> tuple[Image, Truth]:
        frame = read_image(photo.path)
        rows, columns = frame.shape[:2]
        boxes = photo.boxes[:, :4] * [columns, rows, columns, rows]
        boxes[:, :2] -= boxes[:, 2:] / 2
        image, fitted = fit(frame, boxes)
        return image, np.concatenate([fitted, photo.boxes[:, 4:]], axis=1).astype(np.float32)

    kept = Kept(len(photos), lambda index: load(usable[index])[0], memory_mb * 1_000_000)
    for photo in photos:
        try:
            if not _whole(photo.path):
                raise RobotError("cut off")
            image, truth = load(photo)
        except RobotError:
            damage.add(_DAMAGED, photo.path)
        else:
            kept.keep(len(usable), image)
            usable.append(photo)
            truths.append(truth)
        advance()
    return Examples(kept, truths)


def _whole(path: Path) -> bool:
    """Whether a JPEG or PNG file has its end: OpenCV fills what is missing with grey and says nothing."""
    data = path.read_bytes()
    if data[:2] == b"\xff\xd8":  # an end-of-image mark after the last start of a scan (ITU-T T.81, B.1)
        return data.rfind(b"\xff\xd9") > data.rfind(b"\xff\xda")
    return b"IEND" in data[-64:] if data[:4] == b"\x89PNG" else True


def _yaml(path: Path) -> dict[str, Any]:
    try:
        found = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise UsageError(f"--data {path} cannot be read ({error.strerror}); give a data.yaml or a COCO .json") from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        reason = " ".join(str(error).split())[:120]
        raise UsageError(f"--data {path} is no YAML ({reason}); see docs/train-detector.md for its form") from None
    if not isinstance(found, dict) or "train" not in found:
        raise UsageError(f"--data {path} has no key train; it needs train, names, and mostly path and val")
    return found


def _root(data: Path, settings: dict[str, Any]) -> Path:
    given = Path(str(settings.get("path") or "."))
    beside = given if given.is_absolute() else data.parent / given
    # Ultralytics' files are often written for the folder that one works in.
    return given if not beside.exists() and given.exists() else beside


def _names(settings: dict[str, Any], data: Path) -> tuple[str, ...]:
    names = settings.get("names") or []
    if isinstance(names, dict):
        if sorted(names) != list(range(len(names))):
            raise UsageError(f"{data} numbers its names {list(names)[:5]}; expected 0, 1, 2 and so on without a gap")
        names = [names[number] for number in range(len(names))]
    if not isinstance(names, list):
        raise UsageError(f"{data} has names: {names!r}; expected a list, such as names: [person, lamp]")
    labels = tuple(str(name) for name in names)
    if len(set(labels)) != len(labels):
        twice = next(label for label in labels if labels.count(label) > 1)
        raise UsageError(f"{data} names {twice!r} twice; each class needs a name of its own")
    if labels and settings.get("nc", len(labels)) != len(labels):
        raise UsageError(f"{data} has nc: {settings['nc']} and {len(labels)} names; make them agree")
    return labels


def _places(value: Any, half: str, data: Path) -> list[Path]:
    given = [] if value is None else value if isinstance(value, list) else [value]
    if not all(isinstance(place, str) for place in given):
        raise UsageError(f"{data} has {half}: {value!r}; expected a folder, a list of files, or a COCO .json")
    return [Path(place) for place in given]


def _because(damage: Damage) -> str:
    lines = damage.summary()
    return f" ({lines[0]})" if lines else "; look at its path, train and names"


def _held_out(photos: list[Photo], share: float) -> tuple[list[Photo], list[Photo]]:
    """By a hash of each name, so that a picture keeps its half when others come."""
    ranked = sorted(photos, key=lambda photo: zlib.crc32(photo.path.name.encode()))
    count = max(1, round(share * len(ranked)))
    if len(ranked) <= count:
        return photos, photos
    judged = {photo.path for photo in ranked[:count]}
    return [p for p in photos if p.path not in judged], [p for p in photos if p.path in judged]


def pictures_in(folder: Path) -> list[Path]:
    """All pictures of a folder and its sub-folders, in the order of their names."""
    return sorted(path for path in folder.rglob("*") if path.suffix.lower() in IMAGES)
