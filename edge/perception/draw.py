"""Boxes and labels on a picture, readable on any background."""

from __future__ import annotations

import colorsys
import zlib
from collections.abc import Iterable, Sequence
from functools import lru_cache

import cv2
import numpy as np
from numpy.typing import NDArray

from edge.types import Detection

FONT = cv2.FONT_HERSHEY_SIMPLEX
Colour = tuple[int, int, int]


@lru_cache(maxsize=256)
def colour_of(number: int) -> Colour:
    """The RGB colour of a class: steps of the golden ratio round the colour circle stay far apart."""
    red, green, blue = colorsys.hsv_to_rgb(number * 0.618034 % 1.0, 0.85, 1.0)
    return int(red * 255), int(green * 255), int(blue * 255)


def draw(image: NDArray[np.uint8], detections: Iterable[Detection], labels: Sequence[str] = ()) -> NDArray[np.uint8]:
    """A copy of `image` (RGB) with the detections on it, the best on top.

    Args:
        image: uint8 height x width x 3.
        detections: with boxes in its pixels.
        labels: the detector's; a label's place among them chooses its colour, its name where it has none. A thing with
            an identity has that one's colour, and its number beside the label.
    """
    picture = np.array(image, np.uint8, order="C")
    rows, columns = picture.shape[:2]
    size = max(0.4, min(rows, columns) / 900)
    line = max(1, round(2 * size))
    for found in reversed(list(detections)):
        known = found.label in labels
        number = labels.index(found.label) if known else zlib.crc32(found.label.encode()) % 997
        colour = colour_of(number if found.track is None else found.track)
        x, y, width, height = found.box
        left, top = (int(np.clip(value, -32000, 32000)) for value in (x, y))
        right, bottom = (int(np.clip(value, -32000, 32000)) for value in (x + width, y + height))
        cv2.rectangle(picture, (left, top), (right, bottom), colour, line, cv2.LINE_AA)
        identity = "" if found.track is None else f" {found.track}"
        text = f"{found.label}{identity} {found.score:.2f}"
        (wide, high), below = cv2.getTextSize(text, FONT, size, line)
        # Above the box where there is room, else inside it, and never beyond the picture's edge.
        base = top - below if top - high - 2 * below >= 0 else max(top, 0) + high + below
        at = min(max(left, 0), max(columns - wide, 0))
        cv2.rectangle(picture, (at, base - high - below // 2), (at + wide, base + below), colour, cv2.FILLED)
        ink = (0, 0, 0) if _luminance(colour) > 110 else (255, 255, 255)
        cv2.putText(picture, text, (at, base), FONT, size, ink, line, cv2.LINE_AA)
    return picture


def _luminance(colour: Colour) -> float:
    red, green, blue = colour
    return 0.299 * red + 0.587 * green + 0.114 * blue
