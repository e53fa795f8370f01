"""Pictures drawn anew for every epoch: mosaics, zoom and shift, mirror images, other colours; the boxes go along.

Everything follows from the generator that is passed in.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from train.detector.examples import IGNORED, Examples, Image, Truth

Array = NDArray[np.floating]
Area = tuple[float, float, float, float]
WHOLE: Area = (0.0, 0.0, 1.0, 1.0)
GREY = 114
_IN_VIEW = 0.35  # of a box that is cut off, less than this share left need not be found
_LEAST = 0.01  # of the picture's width or height; what is smaller cannot be seen


@dataclass(frozen=True)
class Jitter:
    """How much pictures may differ from what they were.

    `mosaic`, `zoom` and `flip` are chances; `smaller` and `larger` the limits of the zoom's scale; `hue`, `saturation`
    and `value` the largest shares by which colours change.
    """

    mosaic: float
    zoom: float
    smaller: float
    larger: float
    flip: float
    hue: float
    saturation: float
    value: float

    def calm(self) -> Jitter:
        """For the last epochs: pictures as they will be met."""
        quiet = 0.35
        return Jitter(0.0, 0.0, 1.0, 1.0, self.flip, self.hue * quiet, self.saturation * quiet, self.value * quiet)


def draw(rng: np.random.Generator, examples: Examples, index: int, jitter: Jitter) -> tuple[Image, Truth]:
    """Example `index`, changed; a mosaic takes three others with it."""
    image, truth = examples.images[index], examples.truth[index]
    if rng.random() < jitter.mosaic:
        image, truth = _mosaic(rng, examples, index, jitter)
    elif rng.random() < jitter.zoom:
        scale = rng.uniform(jitter.smaller, jitter.larger) * np.array([1.0, rng.uniform(0.92, 1.08)])
        image, truth = window(image, truth, scale, (1 - scale) * rng.random(2))
    if rng.random() < jitter.flip:
        image, truth = np.ascontiguousarray(image[:, ::-1]), truth.copy()
        truth[:, 0] = 1 - truth[:, 0]
    return coloured(rng, image, jitter), truth


def window(image: Image, truth: Truth, scale: Array, corner: Array) -> tuple[Image, Truth]:
    """A picture scaled (x, y) and moved so that its corner comes to lie at `corner`, in fractions; edges go on."""
    out = np.empty_like(image)
    _place(out, image, scale, corner, WHOLE, cv2.BORDER_REPLICATE)
    return out, _moved(truth, scale, corner, WHOLE)


def _mosaic(rng: np.random.Generator, examples: Examples, index: int, jitter: Jitter) -> tuple[Image, Truth]:
    """Four pictures round a point (Bochkovskiy et al., "YOLOv4", 2020), each at a scale of its own."""
    chosen = [index, *rng.integers(0, len(examples), 3)]
    x, y = rng.uniform(0.3, 0.7, 2)
    out = np.full_like(examples.images[index], GREY)
    truths = []
    for number, (left, top) in zip(rng.permutation(chosen), ((0, 0), (1, 0), (0, 1), (1, 1)), strict=True):
        area = (x if left else 0.0, y if top else 0.0, 1.0 if left else x, 1.0 if top else y)
        room = np.array([area[2] - area[0], area[3] - area[1]])
        # From filling the area's longer side to a zoom into the picture.
        scale = np.full(2, rng.uniform(room.max(), max(room.max(), jitter.larger)))
        corner = np.array(area[:2]) + (room - scale) * rng.random(2)
        _place(out, examples.images[number], scale, corner, area, cv2.BORDER_CONSTANT)
        truths.append(_moved(examples.truth[number], scale, corner, area))
    return out, np.concatenate(truths)


def _place(out: Image, image: Image, scale: Array, corner: Array, area: Area, border: int) -> None:
    height, width = image.shape[:2]
    left, right = round(area[0] * width), round(area[2] * width)
    top, bottom = round(area[1] * height), round(area[3] * height)
    back = np.array(
        [
            [1 / scale[0], 0, (left - corner[0] * width) / scale[0]],
            [0, 1 / scale[1], (top - corner[1] * height) / scale[1]],
        ]
    )
    how = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    grey = (GREY, GREY, GREY)
    out[top:bottom, left:right] = cv2.warpAffine(
        image, back, (right - left, bottom - top), flags=how, borderMode=border, borderValue=grey
    )


def _moved(truth: Truth, scale: Array, corner: Array, area: Area) -> Truth:
    """Boxes where the picture went, cut to `area`; mostly cut off, they need not be found; gone, they are left out."""
    middle, size = truth[:, :2] * scale + corner, truth[:, 2:4] * scale
    low, high = np.maximum(middle - size / 2, area[:2]), np.minimum(middle + size / 2, area[2:])
    extent = high - low
    there = (extent > _LEAST).all(axis=1)
    low, high, extent = low[there], high[there], extent[there]
    left = extent.prod(axis=1) / np.maximum(size[there].prod(axis=1), 1e-9)
    kinds = np.where(left < _IN_VIEW, IGNORED, truth[there, 4])
    return np.concatenate([(low + high) / 2, extent, kinds[:, None]], axis=1).astype(np.float32)


def coloured(rng: np.random.Generator, image: Image, jitter: Jitter) -> Image:
    """Another hue, saturation and value, each through a table."""
    gains = 1 + rng.uniform(-1, 1, 3) * [jitter.hue, jitter.saturation, jitter.value]
    if not (jitter.hue or jitter.saturation or jitter.value):
        return image
    steps = np.arange(256)
    tables = np.stack(
        [
            (steps + 180 * (gains[0] - 1)) % 180,
            np.clip(steps * gains[1], 0, 255),
            np.clip(steps * gains[2], 0, 255),
        ],
        axis=1,
    ).astype(np.uint8)
    shifted = cv2.LUT(cv2.cvtColor(image, cv2.COLOR_RGB2HSV), tables[None])
    return np.asarray(cv2.cvtColor(shifted, cv2.COLOR_HSV2RGB), np.uint8)
