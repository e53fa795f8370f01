"""Labelled photos: both layouts give the same boxes, and what is damaged is told and left out."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest

from convert.errors import ConvertError
from convert.labelled import AP_50, AP_MEAN, Labelled, read

LABELS = ("person", "dog")
BOXES = [(10.0, 20.0, 30.0, 40.0), (50.0, 5.0, 20.0, 10.0)]  # pixels of 100 x 80


def write_photos(folder: Path, count: int = 9) -> list[Path]:
    folder.mkdir(parents=True)
    paths = [folder / f"{index}.png" for index in range(count)]
    for index, path in enumerate(paths):
        cv2.imwrite(str(path), np.full((80, 100, 3), 20 * index, np.uint8))
    return paths


def write_yolo(folder: Path) -> Path:
    for path in write_photos(folder / "images" / "train"):
        label = folder / "labels" / "train" / f"{path.stem}.txt"
        label.parent.mkdir(parents=True, exist_ok=True)
        rows = [
            f"{number} {(x + w / 2) / 100} {(y + h / 2) / 80} {w / 100} {h / 80}"
            for number, (x, y, w, h) in zip((0, 1, 7), [*BOXES, BOXES[0]], strict=True)
        ]
        label.write_text("\n".join(rows) + "\n")
    return folder


def write_coco(folder: Path) -> Path:
    paths = write_photos(folder / "images")
    annotations = [
        {"image_id": image, "category_id": category, "bbox": box, "iscrowd": int(category == 5)}
        for image in range(len(paths))
        for category, box in ((3, BOXES[0]), (5, BOXES[1]), (9, BOXES[0]))
    ]
    data = {
        "images": [{"id": index, "file_name": path.name} for index, path in enumerate(paths)],
        "annotations": annotations,
        "categories": [{"id": 3, "name": "Human"}, {"id": 5, "name": "dog"}, {"id": 9, "name": "cat"}],
    }
    file = folder / "instances.json"
    file.write_text(json.dumps(data))
    return file


def perfect(found: Labelled):  # noqa: ANN201
    """A detector that knows the truth, photo after photo."""
    rest = iter(found.photos)

    def detect(image: np.ndarray):  # noqa: ANN202
        photo = next(rest)
        assert image.shape == (80, 100, 3)
        return photo.boxes, np.full(len(photo.boxes), 0.9), photo.classes

    return detect


def test_yolo_s_layout(tmp_path: Path) -> None:
    found = read(write_yolo(tmp_path / "set"), LABELS)
    assert len(found.photos) == 9 and not found.left_out
    np.testing.assert_allclose(found.photos[4].boxes, BOXES, atol=1e-9)
    assert found.photos[4].classes.tolist() == [0, 1]  # class 7 is none of the detector's
    assert found.ap(perfect(found)) == {AP_50: 1.0, AP_MEAN: 1.0}


def test_names_in_the_folder_say_what_its_numbers_mean(tmp_path: Path) -> None:
    folder = write_yolo(tmp_path / "set")
    (folder / "classes.txt").write_text("dog\nperson\n")
    assert read(folder, LABELS).photos[0].classes.tolist() == [1, 0]


def test_coco_s_layout_with_crowds_and_aliases(tmp_path: Path) -> None:
    found = read(write_coco(tmp_path / "set"), LABELS, {"person": "human"})
    np.testing.assert_allclose(found.photos[2].boxes, BOXES)
    assert found.photos[2].classes.tolist() == [0, 1] and found.photos[2].crowd.tolist() == [False, True]
    seen: list[int] = []
    assert found.ap(perfect(found), seen.append) == {AP_50: 1.0, AP_MEAN: 1.0}
    assert sum(seen) == 9


def test_the_mean_is_over_classes_and_a_miss_counts(tmp_path: Path) -> None:
    found = read(write_yolo(tmp_path / "set"), LABELS)

    def detect(image: np.ndarray):  # noqa: ANN202
        return np.array([BOXES[0]]), np.array([0.8]), np.array([0])  # never a dog

    assert found.ap(detect)[AP_50] == pytest.approx(0.5)


def test_damage_is_left_out_and_told(tmp_path: Path) -> None:
    folder = write_yolo(tmp_path / "set")
    labels = folder / "labels" / "train"
    more = [folder / "images" / "train" / f"more{index}.png" for index in range(3)]
    for path in more:
        path.write_bytes((folder / "images" / "train" / "0.png").read_bytes())
    (labels / "more1.txt").write_text("0 12 14 55 60\n")
    (labels / "more2.txt").write_text("0 0.5 zero 0.2 0.2\n")
    (folder / "images" / "train" / "1.png").write_bytes(b"no picture")
    found = read(folder, LABELS)
    assert len(found.photos) == 8
    told = " | ".join(found.left_out)
    assert "more0.png has no label file" in told and "more1.txt has numbers that are no fractions" in told
    assert "more2" in told and "1.png" in told


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda tmp: tmp / "nowhere", "neither a folder"),
        (lambda tmp: write_photos(tmp / "set" / "images")[0].parent.parent, "holds 0 photos with labels"),
        (lambda tmp: (tmp / "x.json").write_text("[]") and tmp / "x.json", "no COCO instances JSON"),
        (lambda tmp: write_coco(tmp / "set"), "has no box of person"),
    ],
)
def test_what_is_no_set_is_one_sentence(tmp_path: Path, make, said: str) -> None:  # noqa: ANN001
    with pytest.raises(ConvertError, match=said):
        read(make(tmp_path), ("person",))


def test_an_alias_of_no_label_is_told(tmp_path: Path) -> None:
    with pytest.raises(ConvertError, match="--alias names 'cat'"):
        read(write_yolo(tmp_path / "set"), LABELS, {"cat": "dog"})
