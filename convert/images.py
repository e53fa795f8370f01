"""Calibration pictures: a folder of photos as the network will see them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from convert.errors import ConvertError
from edge.manifest import ImageInput, Tensor
from edge.perception.preprocess import Preprocessor
from robot.errors import RobotError
from robot.pi.frames import IMAGES, read_image

MOST = 64  # more measured no better
FEWEST = 8
LARGEST = 1600  # pixels of a photo's longer side: 64 of a phone's would fill a laptop's memory


def read_folder(folder: Path, most: int = MOST) -> tuple[list[NDArray[np.uint8]], list[Path]]:
    """Up to `most` pictures (RGB) of a folder and its sub-folders, evenly spread, and the files that are none.

    Raises:
        ConvertError: no folder, or fewer than `FEWEST` pictures.
    """
    if not folder.is_dir():
        raise ConvertError(f"--calibrate {folder} is not a folder; give one with {MOST} typical photos")
    paths = sorted(path for path in folder.rglob("*") if path.suffix.lower() in IMAGES)
    pictures: list[NDArray[np.uint8]] = []
    broken: list[Path] = []
    # Evenly spread first, so that a sorted video or a folder per scene is seen whole; then what fills the gaps.
    chosen = {int(index) for index in np.linspace(0, len(paths) - 1, min(most, len(paths)))} if paths else set()
    for index in [*sorted(chosen), *(index for index in range(len(paths)) if index not in chosen)]:
        if len(pictures) == most:
            break
        try:
            pictures.append(_reduced(read_image(paths[index])))
        except RobotError:
            broken.append(paths[index])
    if len(pictures) < FEWEST:
        raise ConvertError(
            f"--calibrate {folder} holds {len(pictures)} pictures that can be read, at least {FEWEST} are needed and "
            f"{MOST} are good; give a folder of typical photos"
        )
    return pictures, broken


def _reduced(picture: NDArray[np.uint8]) -> NDArray[np.uint8]:
    height, width = picture.shape[:2]
    ratio = LARGEST / max(height, width)
    if ratio >= 1.0:
        return picture
    size = max(1, round(width * ratio)), max(1, round(height * ratio))
    return np.asarray(cv2.resize(picture, size, interpolation=cv2.INTER_AREA), np.uint8)


def prepare(pictures: Any, spec: ImageInput, shape: tuple[int, int]) -> NDArray[np.float32]:
    """Pictures (uint8 height x width x 3, RGB, of any sizes) as one float batch (N, rows, columns, channels)."""
    rows, columns = shape
    channels = 1 if spec.colour == "GRAY" else 3
    batch = np.empty((len(pictures), rows, columns, channels), np.float32)
    prepare_one = Preprocessor(spec, Tensor(name="image", shape=(1, rows, columns, channels), dtype="float32"))
    for index, picture in enumerate(pictures):
        prepare_one.write(np.ascontiguousarray(picture), lambda at=index: batch[at : at + 1])  # type: ignore[misc]
    return batch


def noise(count: int, shape: tuple[int, int], seed: int = 0) -> NDArray[np.uint8]:
    """Pictures of coloured blobs with grain, for a comparison where no photos are given."""
    generator = np.random.default_rng(seed)
    rows, columns = shape
    coarse = generator.integers(0, 256, (count, 6, 8, 3), np.uint8)
    smooth = np.stack([cv2.resize(one, (columns, rows), interpolation=cv2.INTER_CUBIC) for one in coarse])
    grain = generator.normal(0.0, 12.0, smooth.shape)
    return np.clip(smooth + grain, 0, 255).astype(np.uint8)
