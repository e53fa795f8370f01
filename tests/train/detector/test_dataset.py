"""Data sets are read whole, and what is damaged in them is told and left out."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest

pytest.importorskip("tensorflow")

from edge.errors import UsageError
from edge.manifest import ImageInput
from tests.train.detector.photos import CLASSES, write_photos
from train.detector.damage import Damage
from train.detector.dataset import examples, read
from train.detector.examples import IGNORED, Fitted

SHARED = Path(__file__).resolve().parents[4] / "shared" / "data" / "coco_train128"


def fit(width: int = 96, height: int = 64) -> Fitted:
    return Fitted(ImageInput(), width, height)


def test_a_data_yaml_is_read(tmp_path: Path) -> None:
    found = read(write_photos(tmp_path, 10))
    assert found.labels == CLASSES and len(found.train) == len(found.val) == 5 and not len(found.damage)
    train = examples(found.train, fit(), found.damage, 10)
    assert len(train) == 5 and train.images[0].shape == (64, 96, 3) and not len(found.damage)
    for number, truth in enumerate(train.truth):
        x, y = (truth[truth[:, 4] == 0][0, :2] * [96, 64]).astype(int)
        assert (np.abs(train.images[number][y, x].astype(int) - [220, 40, 40]) < 60).all()


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("train: images/train\nnames: {0: a, 2: b}\n", "without a gap"),
        ("train: images/train\nnames: [a, a]\n", "names 'a' twice"),
        ("train: images/train\nnames: [a]\nnc: 2\n", "nc: 2"),
        ("names: [a]\n", "no key train"),
        ("train: images/none\nnames: [a]\n", "there is no"),
        ("train: images/train\n", "names no classes"),
        ("train: [1, 2]\nnames: [a]\n", "expected a folder"),
        ("train: ': {\n", "no YAML"),
    ],
)
def test_a_wrong_data_yaml_is_one_sentence(tmp_path: Path, text: str, told: str) -> None:
    data = write_photos(tmp_path, 2)
    data.write_text(text)
    with pytest.raises(UsageError, match=told):
        read(data)


def test_damage_is_listed_and_left_out(tmp_path: Path) -> None:
    data = write_photos(tmp_path, 40)
    labels, images = tmp_path / "labels" / "train", tmp_path / "images" / "train"
    good = "0 0.5 0.5 0.2 0.2\n"
    lines = {
        "000": "0 0.5 0.5 nan 0.2\n",
        "002": "0 0.5 half 0.2 0.2\n",
        "004": "7 0.5 0.5 0.2 0.2\n",
        "006": "0 0.95 0.5 0.3 0.2\n",
        "008": "0 0.5 0.5 0.2\n",
        "010": "0 0.5 0.5 0 0.2\n",
        "012": "0.5 0.5 0.5 0.2 0.2\n",
        "014": good,  # twice
        "016": "0 0.902 0.5 0.2 0.2\n",  # cut
        "018": "",
        "020": "1 0.2 0.2 0.4 0.2 0.4 0.6 0.2 0.6\n",  # a polygon
    }
    for name, line in lines.items():
        (labels / f"{name}.txt").write_text(line if name in ("018", "020") else good + line)
    (labels / "022.txt").unlink()
    (labels / "alone.txt").write_text(good)
    whole = (images / "024.jpg").read_bytes()
    (images / "024.jpg").write_bytes(whole[: len(whole) // 2])
    (images / "026.jpg").write_bytes(b"no picture")
    picture = cv2.imencode(".png", np.full((40, 60, 3), 90, np.uint8))[1].tobytes()
    (images / "028.jpg").unlink()
    (images / "028.png").write_bytes(picture[:-20])
    found = read(data)
    train = examples(found.train, fit(), found.damage, 10)
    listing = found.damage.listing()
    for kind, name in (
        ("not finite", "000.txt line 2"),
        ("are no numbers", "002.txt line 2"),
        ("none of 0 to 1", "004.txt line 2"),
        ("outside the picture", "006.txt line 2"),
        ("wrong length", "008.txt line 2"),
        ("without an area", "010.txt line 2"),
        ("none of 0 to 1", "012.txt line 2"),
        ("twice", "014.txt line 2"),
        ("a little beyond", "016.txt line 2"),
        ("without a label file", "022.jpg"),
        ("without a picture", "alone.txt"),
        ("cut off", "024.jpg"),
        ("cut off", "026.jpg"),
        ("cut off", "028.png"),
    ):
        assert any(kind in line and name in line for line in listing.splitlines()), (kind, name, listing)
    assert len(found.damage) == 14 and len(train) == 20 - 4
    counts = {photo.path.stem: len(photo.boxes) for photo in found.train}
    assert counts["000"] == counts["004"] == counts["014"] == 1 and counts["016"] == 2 and counts["018"] == 0
    polygon = next(photo.boxes for photo in found.train if photo.path.stem == "020")
    np.testing.assert_allclose(polygon, [[0.3, 0.4, 0.2, 0.4, 1]])
    assert all(len(line) < 2000 for line in found.damage.summary())


def test_cocos_json_says_the_same(tmp_path: Path) -> None:
    yolo = read(write_photos(tmp_path, 6))
    images, annotations = [], []
    for number, photo in enumerate(yolo.train):
        images.append({"id": number, "file_name": photo.path.name, "width": 96, "height": 64})
        for x, y, width, height, kind in photo.boxes * [96, 64, 96, 64, 1]:
            box = [x - width / 2, y - height / 2, width, height]
            annotations.append({"image_id": number, "category_id": 10 + int(kind), "bbox": box, "iscrowd": 0})
    annotations[0]["iscrowd"] = 1
    annotations += [
        {"image_id": 99, "category_id": 10, "bbox": [0, 0, 5, 5]},
        {"image_id": 0, "category_id": 55, "bbox": [0, 0, 5, 5]},
        {"image_id": 0, "category_id": 10, "bbox": [0, 0, "wide", 5]},
        {"image_id": 0, "category_id": 10, "bbox": [80, 0, 50, 5]},
    ]
    images.append({"id": 50, "file_name": "gone.jpg", "width": 96, "height": 64})
    categories = [{"id": 11, "name": "disc"}, {"id": 10, "name": "square"}]
    file = tmp_path / "images" / "train" / "instances_train.json"
    file.write_text(json.dumps({"images": images, "annotations": annotations, "categories": categories}))
    found = read(file, held_out=0.34)
    assert found.labels == CLASSES and len(found.train) == 2 and len(found.val) == 1 and len(found.damage) == 5
    for photo in (*found.train, *found.val):
        same = next(other for other in yolo.train if other.path.name == photo.path.name)
        np.testing.assert_allclose(photo.boxes[:, :4], same.boxes[:, :4], atol=1e-6)
    crowd = next(photo for photo in (*found.train, *found.val) if photo.path == yolo.train[0].path)
    assert crowd.boxes[0, 4] == IGNORED
    file.write_text("{}")
    with pytest.raises(UsageError, match="not COCO's JSON"):
        read(file)


def test_boxes_go_where_a_letterbox_puts_the_picture() -> None:
    frame = np.zeros((50, 100, 3), np.uint8)
    frame[10:30, 20:60] = 255
    image, boxes = Fitted(ImageInput(resize="letterbox"), 64, 64)(frame, np.array([[20, 10, 40, 20]]))
    x, y, width, height = boxes[0] * 64
    bright = np.argwhere(image[..., 0] > 200)
    np.testing.assert_allclose(bright.min(axis=0), [y - height / 2, x - width / 2], atol=1)
    np.testing.assert_allclose(bright.max(axis=0) + 1, [y + height / 2, x + width / 2], atol=1)


@pytest.mark.skipif(not SHARED.is_dir(), reason="the folder ../shared/data is absent")
def test_the_real_damage_of_a_real_set_is_found(tmp_path: Path) -> None:
    names = ", ".join(f"class{number}" for number in range(80))
    data = tmp_path / "data.yaml"
    data.write_text(f"path: {SHARED}\ntrain: images\nnames: [{names}]\n")
    found = read(data, 0.1)
    listing = found.damage.listing()
    for name in ("250.jpg", "508.jpg", "656.txt", "659.txt"):
        assert name in listing
    assert len(found.train) + len(found.val) == 126
    assert sum((photo.boxes[:, 4] == 0).sum() for photo in (*found.train, *found.val)) == 254
    damage = Damage()
    assert len(examples(found.val, fit(), damage, 10)) == len(found.val) and not len(damage)
