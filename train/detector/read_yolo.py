"""Labels as YOLO's users keep them: a text file for each picture, a line for each box.

A line is class, x and y of the middle, width and height as fractions of the picture; or class and the corners of a
polygon, whose box is taken. An empty file says that nothing is there.
"""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np

from edge.errors import UsageError
from train.detector.damage import Damage
from train.detector.dataset import Boxes, Photo, pictures_in

SLACK = 0.01
"""Boxes that reach beyond the picture by up to this share of it are cut to it: labelling tools round."""


def read(place: Path, classes: int, damage: Damage) -> list[Photo]:
    """The photos of a folder, or of a text file that lists them.

    Raises:
        UsageError: there is neither.
    """
    if place.is_dir():
        pictures = pictures_in(place)
        _labels_alone(place, pictures, damage)
    elif place.is_file():
        lines = [line.strip() for line in place.read_text(encoding="utf-8", errors="replace").splitlines()]
        pictures = [Path(line) if Path(line).is_absolute() else place.parent / line for line in lines if line]
    else:
        raise UsageError(f"there is no {place}; give train and val folders of pictures, lists of them, or COCO .json")
    photos = []
    for picture in pictures:
        label = label_of(picture)
        if not picture.is_file():
            damage.add("listed pictures that are not there", picture)
        elif not label.is_file():
            damage.add("pictures without a label file, left out", picture)
        else:
            photos.append(Photo(picture, read_label(label, classes, damage)))
    return photos


def label_of(picture: Path) -> Path:
    """Where a picture's label is: the last folder `images` of its path is `labels`, the ending .txt."""
    parts = list(picture.parts[:-1])
    for index in reversed(range(len(parts))):
        if parts[index] == "images":
            parts[index] = "labels"
            break
    return Path(*parts, f"{picture.stem}.txt")


def read_label(path: Path, classes: int, damage: Damage) -> Boxes:
    """The boxes of one label file (n, 5), without the lines that are damaged."""
    boxes: list[list[float]] = []
    for number, line in enumerate(path.read_text(encoding="utf-8", errors="replace").splitlines(), start=1):
        if line.strip():
            box = _box(line, f"{path} line {number}", classes, damage)
            if box is not None and box in boxes:
                damage.add("boxes that are there twice, taken once", f"{path} line {number}")
            elif box is not None:
                boxes.append(box)
    return np.array(boxes, float).reshape(-1, 5)


def _box(line: str, where: str, classes: int, damage: Damage) -> list[float] | None:
    try:
        kind, *rest = (float(part) for part in line.split())
    except ValueError:
        damage.add("label lines that are no numbers, left out", where)
        return None
    if not all(map(math.isfinite, (kind, *rest))):
        damage.add("label lines with numbers that are not finite, left out", where)
        return None
    if len(rest) != 4 and (len(rest) < 6 or len(rest) % 2):
        damage.add("label lines of a wrong length (class and 4 numbers, or a polygon), left out", where)
        return None
    if kind != int(kind) or not 0 <= kind < classes:
        damage.add(f"boxes of a class that is none of 0 to {classes - 1}, left out", f"{where} (class {kind:g})")
        return None
    if len(rest) > 4:
        low, high = (np.array(rest).reshape(-1, 2).min(axis=0), np.array(rest).reshape(-1, 2).max(axis=0))
        rest = [*((low + high) / 2).tolist(), *(high - low).tolist()]
    return cut(rest, int(kind), where, damage)


def cut(box: list[float], kind: int, where: str, damage: Damage) -> list[float] | None:
    """A box within the picture: a little beyond it is cut off and told, more is left out and told."""
    x, y, width, height = box
    low, high = (x - width / 2, y - height / 2), (x + width / 2, y + height / 2)
    if not (width > 0 and height > 0):
        damage.add("boxes without an area, left out", where)
        return None
    over = max(-min(low), max(high) - 1)
    if over > SLACK:
        damage.add("boxes outside the picture, left out", where)
        return None
    if over > 1e-4:
        damage.add("boxes that reach a little beyond the picture, cut to it", where)
    left, top = max(low[0], 0.0), max(low[1], 0.0)
    right, bottom = min(high[0], 1.0), min(high[1], 1.0)
    return [(left + right) / 2, (top + bottom) / 2, right - left, bottom - top, float(kind)]


def _labels_alone(folder: Path, pictures: list[Path], damage: Damage) -> None:
    """Tell of label files that belong to no picture."""
    labels = label_of(folder / "x.jpg").parent
    if labels == folder or not labels.is_dir():
        return
    known = {label_of(picture) for picture in pictures}
    for path in sorted(labels.rglob("*.txt")):
        if path not in known and path.name != "classes.txt":
            damage.add("label files without a picture", path)
