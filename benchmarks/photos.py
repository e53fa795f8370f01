"""Persons cut out of real photos, for rooms in which a real detector drives; `policies.py` uses them.

The photos and the detector's Darknet files are those of ../shared/data; a person's box is cut out whole, background
included, and stands upright in the room in the place of a drawn figure (`robot.sim.camera`).
"""

from __future__ import annotations

import functools
from pathlib import Path

import numpy as np
from detect import FILES, MADE, SHARED, convert
from numpy.typing import NDArray

MODEL = MADE / "xl-int8.tflite"
LARGE = 0.35  # of the photo's height
STANDING = (2.3, 4.5)  # height over breadth of a box: neither seated nor half hidden
RIM = 2  # pixels from the photo's edge: what comes nearer is cut off there


def available() -> bool:
    """Whether the shared data are there."""
    return FILES.is_dir()


@functools.cache
def model() -> Path:
    """Yolo-Fastest-1.1-xl in int8, converted the first time."""
    if not MODEL.is_file():
        convert(MODEL)
    return MODEL


@functools.cache
def persons() -> tuple[NDArray[np.uint8], ...]:
    """Whole, large, standing persons of coco_train128, RGB."""
    from convert.labelled import read
    from robot.pi.frames import read_image

    names = (FILES / "yolo-fastest-1.1_coco" / "coco.names").read_text().split("\n")
    found = []
    for photo in read(SHARED / "coco_train128", [name.strip() for name in names if name.strip()]).photos:
        image = read_image(photo.path)
        height, width = image.shape[:2]
        for x, y, w, h in photo.boxes[photo.classes == 0]:
            inside = min(x, y, width - x - w, height - y - h) >= RIM
            if inside and h >= LARGE * height and STANDING[0] <= h / w <= STANDING[1]:
                found.append(image[int(y) : int(np.ceil(y + h)), int(x) : int(np.ceil(x + w))].copy())
    return tuple(found)
