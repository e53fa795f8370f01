"""Labels as COCO keeps them: one JSON file of images, annotations and categories.

Boxes are x, y, width and height in pixels. A crowd (`iscrowd`) need not be found, and to find it is no mistake.
"""

from __future__ import annotations

import json
import math
from collections import defaultdict
from pathlib import Path
from typing import Any

import numpy as np

from edge.errors import UsageError
from train.detector.damage import Damage
from train.detector.dataset import Photo
from train.detector.examples import IGNORED
from train.detector.read_yolo import cut


def read(path: Path, root: Path, labels: tuple[str, ...], damage: Damage) -> tuple[tuple[str, ...], list[Photo]]:
    """The photos of one JSON file, and the labels: those given, else the categories in the order of their ids.

    Raises:
        UsageError: it cannot be read, is not COCO's, or its pictures are nowhere near it.
    """
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        images, annotations = list(found["images"]), list(found["annotations"])
        categories = sorted(found["categories"], key=lambda entry: entry["id"])
        names = {entry["id"]: str(entry["name"]) for entry in categories}
        sizes = {
            entry["id"]: (str(entry["file_name"]), float(entry["width"]), float(entry["height"])) for entry in images
        }
    except OSError as error:
        raise UsageError(f"{path} cannot be read ({error.strerror}); give a COCO .json file") from None
    except (ValueError, KeyError, TypeError) as error:
        raise UsageError(
            f"{path} is not COCO's JSON ({type(error).__name__}: {error}); it needs images, annotations and categories"
        ) from None
    labels = labels or tuple(names.values())
    kinds = {number: labels.index(name) for number, name in names.items() if name in labels}
    boxes: dict[Any, list[list[float]]] = defaultdict(list)
    for number, annotation in enumerate(annotations):
        where = f"{path} annotation {annotation.get('id', number) if isinstance(annotation, dict) else number}"
        box = _box(annotation, where, sizes, names, kinds, damage)
        if box is not None:
            boxes[annotation["image_id"]].append(box)
    folder = _folder(path, root, [name for name, _, _ in sizes.values()])
    photos = []
    for number, (name, _, _) in sizes.items():
        if not (folder / name).is_file():
            damage.add("listed pictures that are not there", folder / name)
        else:
            photos.append(Photo(folder / name, np.array(boxes[number], float).reshape(-1, 5)))
    return labels, photos


def _box(
    annotation: Any,
    where: str,
    sizes: dict[Any, tuple[str, float, float]],
    names: dict[Any, str],
    kinds: dict[Any, int],
    damage: Damage,
) -> list[float] | None:
    try:
        image, category = annotation["image_id"], annotation["category_id"]
        x, y, width, height = (float(part) for part in annotation["bbox"])
        crowd = bool(annotation.get("iscrowd", 0))
    except (KeyError, TypeError, ValueError):
        damage.add("annotations without image_id, category_id or a bbox of 4 numbers, left out", where)
        return None
    if image not in sizes:
        damage.add("annotations of a picture that is not listed, left out", where)
        return None
    if category not in names:
        damage.add("annotations of a category that is not listed, left out", where)
        return None
    if category not in kinds:  # a class that data.yaml does not name: what is not asked for is no damage
        return None
    _, columns, rows = sizes[image]
    numbers = [(x + width / 2) / columns, (y + height / 2) / rows, width / columns, height / rows]
    if not all(map(math.isfinite, numbers)):
        damage.add("annotations with numbers that are not finite, left out", where)
        return None
    return cut(numbers, IGNORED if crowd else kinds[category], where, damage)


def _folder(path: Path, root: Path, names: list[str]) -> Path:
    """Where the pictures are: beside the file, or where COCO and its users put them."""
    stem = path.stem.removeprefix("instances_")
    near = (path.parent, path.parent.parent, root)
    places = [base / inner for base in near for inner in ("", "images", stem, f"images/{stem}", "data")]
    for place in places:
        if any((place / name).is_file() for name in names[:20]):
            return place
    some = ", ".join(names[:2])
    raise UsageError(f"the pictures of {path} ({some}) are not near it; put them into images/ beside it")
