"""Each layer of the published networks is what OpenCV 4's own Darknet reader computes, and TFLite keeps the heads.

At small inputs; yolov3 and yolov4 with a quarter of the channels, whole in benchmarks/darknet.py.
Sections that OpenCV does not know are proven in test_darknet.py, against NumPy.
"""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("tensorflow")

import cv2

from tests.convert import published
from tests.convert.darknet_proof import NoOracle, Proof, oracle, prove

LIMIT = 1e-4
DIVIDED = {"yolov3": 4, "yolov4": 4}
# What the published weights files have, in bytes: the cfgs written here are of the same networks.
PUBLISHED_BYTES = {
    "yolov2-tiny": 44_948_600,
    "yolov3-tiny": 35_434_956,
    "yolov3": 248_007_048,
    "yolov4-tiny": 24_251_276,
    "yolov4": 257_717_640,
}
REAL = ("1.1_coco/yolo-fastest-1.1", "1.1_coco/yolo-fastest-1.1-xl", "1.1_body/yolo-fastest-1.1_body")


@pytest.fixture(scope="module", autouse=True)
def opencv4() -> None:
    try:
        oracle()
    except NoOracle as error:
        if os.environ.get("CI") == "true":
            raise
        pytest.skip(f"OpenCV 4 cannot be installed here: {error}")


def holds(proof: Proof, layers: int) -> None:
    assert proof.layers == layers
    assert proof.worst_layer < LIMIT
    assert max(proof.heads) < LIMIT and max(proof.tflite) < LIMIT
    assert min(proof.spread) > 0.02, "heads of one value prove nothing"


@pytest.mark.slow
@pytest.mark.parametrize("name", published.ARCHITECTURES)
def test_every_layer_is_what_opencv_computes(name: str, tmp_path: Path) -> None:
    layers = published.ARCHITECTURES[name](DIVIDED.get(name, 1))
    cfg, weights = published.write(tmp_path, layers, (64, 96))
    image = np.random.default_rng(0).random((96, 64, 3), np.float32)
    holds(prove(cfg, weights, image, tmp_path), len(layers))


@pytest.mark.parametrize("name", PUBLISHED_BYTES)
def test_the_networks_are_as_large_as_the_published_ones(name: str) -> None:
    numbers = sum(
        settings["filters"] * (before * settings["size"] ** 2 + (4 if settings.get("batch_normalize") else 1))
        for settings, before in published.convolutions(published.ARCHITECTURES[name](1))
    )
    assert 20 + 4 * numbers == PUBLISHED_BYTES[name]


@pytest.mark.slow
@pytest.mark.parametrize("which", REAL)
def test_every_layer_of_yolo_fastest(shared_data: Path, tmp_path: Path, which: str) -> None:
    stem = shared_data / "detectors" / "yolo-fastest" / f"yolo-fastest-{which}"
    photo = cv2.imread(str(shared_data / "detectors" / "yolo-fastest" / "demo" / "p1.jpg"))
    image = cv2.resize(photo, (320, 320))[..., ::-1].astype(np.float32) / 255
    cfg = Path(f"{stem}.cfg")
    layers = cfg.read_text().count("\n[") - cfg.read_text().count("\n[net]")
    holds(prove(cfg, Path(f"{stem}.weights"), np.ascontiguousarray(image), tmp_path), layers)
