"""Photos with true boxes, on which a conversion is judged: the YOLO layout, or COCO's JSON.

YOLO: a folder in which each `images/.../NAME.jpg` has its `labels/.../NAME.txt` of lines `class x y w h` (the middle
and size of a box as fractions of the photo). COCO: an `instances` JSON; its photos lie beside it, or in a folder
`images` there or one level up. What is damaged is left out and told.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from convert.ap import coco_ap
from convert.errors import ConvertError
from robot.errors import RobotError
from robot.pi.frames import IMAGES, read_image

FEWEST = 8
AP_50, AP_MEAN = "AP@0.5", "AP@[.5:.95]"


@dataclass(frozen=True)
class Photo:
    """One photo: boxes (N, 4) x, y, width, height in pixels, classes (N,) of the detector, crowds (K,) told apart."""

    path: Path
    boxes: NDArray[np.float64]
    classes: NDArray[np.intp]
    crowd: NDArray[np.bool_]


@dataclass(frozen=True)
class Labelled:
    """A set of photos; `left_out` has a sentence for each one, or label, that could not be used."""

    name: str
    photos: tuple[Photo, ...]
    left_out: tuple[str, ...]

    def ap(self, detect: Callable[[Any], Any], advance: Callable[[int], None] = lambda count: None) -> dict[str, float]:
        """COCO's AP@0.5 and AP@[.5:.95], mean over the classes of which there are boxes.

        Args:
            detect: uint8 RGB height x width x 3 to boxes (N, 4) in its pixels, scores (N,), classes (N,).
            advance: told the number of photos done.
        """
        found: list[tuple[Any, Any, Any]] = []
        for photo in self.photos:
            found.append(detect(read_image(photo.path)))
            advance(1)
        figures = []
        for wanted in sorted({int(label) for photo in self.photos for label in photo.classes[~photo.crowd]}):
            own = [(boxes[classes == wanted], scores[classes == wanted]) for boxes, scores, classes in found]
            truth, crowds = (
                [photo.boxes[(photo.classes == wanted) & (photo.crowd == crowd)] for photo in self.photos]
                for crowd in (False, True)
            )
            figures.append(coco_ap(own, truth, crowds))
        at_50, mean = np.mean(figures, axis=0)
        return {AP_50: float(at_50), AP_MEAN: float(mean)}


def read(path: Path, labels: Sequence[str], aliases: dict[str, str] | None = None) -> Labelled:
    """A labelled set for a detector.

    Args:
        path: a folder in YOLO's layout, or COCO's JSON.
        labels: of the detector. YOLO's class numbers are those of these labels, unless a `classes.txt` or `*.names` in
            the folder names them; COCO's categories have names. Classes that the detector does not know are left out.
        aliases: from a label of the detector to its name in the set.

    Raises:
        ConvertError: nothing there, no such layout, or too few photos or no box of the detector's classes.
    """
    unknown = [label for label in aliases or {} if label not in labels]
    if unknown:
        raise ConvertError(f"--alias names {unknown[0]!r}, the detector's labels are {', '.join(labels[:8])}")
    index = {(aliases or {}).get(label, label).lower(): number for number, label in enumerate(labels)}
    if path.is_dir():
        photos, left_out = _yolo(path, index, len(labels))
    elif path.is_file() and path.suffix.lower() == ".json":
        photos, left_out = _coco(path, index)
    else:
        raise ConvertError(f"--labelled {path} is neither a folder with images/ and labels/ nor a COCO .json")
    if len(photos) < FEWEST:
        raise ConvertError(
            f"--labelled {path} holds {len(photos)} photos with labels that can be read, at least {FEWEST} are needed"
            + (f" ({left_out[0]})" if left_out else "")
        )
    if not any((~photo.crowd).any() for photo in photos):
        raise ConvertError(
            f"--labelled {path} has no box of {', '.join(labels[:8])}; where it calls them otherwise, say --alias "
            f"{labels[0]}=NAME"
        )
    return Labelled(path.name, tuple(photos), tuple(left_out))


def _yolo(folder: Path, index: dict[str, int], count: int) -> tuple[list[Photo], list[str]]:
    paths = sorted(path for path in folder.rglob("*") if path.suffix.lower() in IMAGES)
    names = _names(folder)
    numbers = (
        {at: index[name] for at, name in enumerate(names) if name in index} if names else dict(enumerate(range(count)))
    )
    photos, left_out = [], []
    for path in paths:
        label = _label_of(path, folder)
        if not label.is_file():
            left_out.append(f"{path.name} has no label file")
            continue
        try:
            height, width = read_image(path).shape[:2]
            rows = np.array([line.split() for line in label.read_text().splitlines() if line.strip()], np.float64)
            rows = rows.reshape(-1, 5)
            inside = bool((np.abs(rows[:, 1:] - 0.5) <= 0.501).all())
        except (RobotError, OSError, ValueError) as error:
            left_out.append(f"{path.name}: {' '.join(str(error).split())[:100]}")
            continue
        if not inside:
            left_out.append(f"{label.name} has numbers that are no fractions of a photo")
            continue
        known = np.array([row[0] in numbers for row in rows], bool)
        rows = rows[known]
        size = np.array([width, height], np.float64)
        boxes = np.concatenate([(rows[:, 1:3] - rows[:, 3:5] / 2) * size, rows[:, 3:5] * size], axis=1)
        classes = np.array([numbers[int(row[0])] for row in rows], np.intp)
        photos.append(Photo(path, boxes, classes, np.zeros(len(rows), bool)))
    return photos, left_out


def _label_of(path: Path, folder: Path) -> Path:
    """The label file of a photo: `images` becomes `labels`, else it lies beside the photo."""
    parts = list(path.relative_to(folder).parts)
    if "images" in parts:
        last = len(parts) - 1 - parts[::-1].index("images")
        parts[last] = "labels"
    return folder.joinpath(*parts).with_suffix(".txt")


def _names(folder: Path) -> list[str]:
    for file in [folder / "classes.txt", *sorted(folder.glob("*.names"))]:
        if file.is_file():
            return [line.strip().lower() for line in file.read_text(encoding="utf-8").splitlines() if line.strip()]
    return []


def _coco(path: Path, index: dict[str, int]) -> tuple[list[Photo], list[str]]:
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
        numbers = {
            one["id"]: index[str(one["name"]).lower()]
            for one in data["categories"]
            if str(one["name"]).lower() in index
        }
        files = {one["id"]: str(one["file_name"]) for one in data["images"]}
        by_image: dict[Any, list[Any]] = {}
        for one in data["annotations"]:
            if one["category_id"] in numbers:
                by_image.setdefault(one["image_id"], []).append(one)
        rows = {
            key: (
                np.array([one["bbox"] for one in own], np.float64).reshape(-1, 4),
                np.array([numbers[one["category_id"]] for one in own], np.intp),
                np.array([bool(one.get("iscrowd", 0)) for one in own], bool),
            )
            for key, own in by_image.items()
        }
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        what = f"{type(error).__name__}: {' '.join(str(error).split())[:80]}"
        raise ConvertError(f"--labelled {path} is no COCO instances JSON ({what})") from None
    empty = (np.empty((0, 4)), np.empty(0, np.intp), np.empty(0, bool))
    photos, left_out = [], []
    for key, name in sorted(files.items(), key=lambda item: item[1]):
        places = [path.parent / name, path.parent / "images" / name, path.parent.parent / "images" / name,
                  path.parent.parent / name]  # fmt: skip
        found = next((place for place in places if place.is_file()), None)
        try:
            if found is None:
                left_out.append(f"{name} is not beside {path.name}, nor in a folder images")
                continue
            read_image(found)
        except RobotError:
            left_out.append(f"{name} cannot be read")
            continue
        photos.append(Photo(found, *rows.get(key, empty)))
    return photos, left_out
