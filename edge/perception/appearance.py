"""What somebody looks like, in a few numbers: the colours of their top and of their trousers.

Histograms of hue by saturation, with greys by brightness, compared by the distance of Bhattacharyya as in Comaniciu,
Ramesh and Meer, "Kernel-based object tracking", 2003; one of the trunk and one of the legs, each at its height above
the floor, so that a person who comes nearer and fills the frame still shows the same. They tell clothes apart, not
faces.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

Histogram = NDArray[np.float32]

HUES, SHADES, GREYS = 12, 3, 9
BINS = HUES * SHADES + GREYS
TRUNK_M, LEGS_M = (1.30, 0.95), (0.75, 0.35)  # above the floor, from top to bottom
HALF_M = 0.12  # either side of the middle is looked at
HALF = 0.22  # and at most this share of the box's breadth: arms and the room beside them stay out
_GREY_BELOW = 48  # of 255: less saturated, or darker, is grey
_PIXELS = 24  # a region is shrunk to so many pixels a side
_ROWS, _COLUMNS = 6, 4  # that a region must have at least


@dataclass(frozen=True, slots=True)
class Look:
    """The colours of trunk and legs; None where they are not in the picture."""

    trunk: Histogram | None
    legs: Histogram | None

    def mixed(self, other: Look, share: float) -> Look:
        """This look with so large a share of the other's in it, part by part."""
        return Look(_mixed(self.trunk, other.trunk, share), _mixed(self.legs, other.legs, share))


def look(
    image: NDArray[np.uint8], box: tuple[float, float, float, float], rows: NDArray[np.floating], per_metre: float
) -> Look | None:
    """The colours of somebody on an RGB image, None where too little of them is in it.

    Args:
        image: (rows, columns, 3).
        box: x, y, width, height of the person, pixels.
        rows: (4,) where the heights `TRUNK_M` and `LEGS_M` are, at the person's distance.
        per_metre: pixels for a metre, there.
    """
    x, y, width, height = box
    half = min(HALF * width, HALF_M * per_metre)
    left, right = max(0, round(x + width / 2 - half)), min(image.shape[1], round(x + width / 2 + half))
    edges = np.rint(np.clip(rows, max(0.0, y), min(float(image.shape[0]), y + height))).astype(int)
    parts = [image[top:bottom, left:right] for top, bottom in (edges[:2], edges[2:])]
    trunk, legs = (
        histogram(part) if part.shape[0] >= _ROWS and part.shape[1] >= _COLUMNS else None for part in parts
    )
    return None if trunk is None and legs is None else Look(trunk, legs)


def histogram(region: NDArray[np.uint8]) -> Histogram:
    """(BINS,) shares of the colours in a piece of an RGB image."""
    bins, parts = _bins(cv2.resize(region, (_PIXELS, _PIXELS), interpolation=cv2.INTER_AREA))
    return (np.bincount(bins.ravel(), parts.ravel(), BINS) / _PIXELS**2).astype(np.float32)


def unlike(one: Look, other: Look) -> float | None:
    """0 for the same colours, 1 for none in common: the mean of the parts that both show, None where there is none."""
    pairs = ((one.trunk, other.trunk), (one.legs, other.legs))
    apart = [
        float(np.sqrt(max(0.0, 1.0 - float(np.sqrt(a * b).sum())))) for a, b in pairs if a is not None and b is not None
    ]
    return sum(apart) / len(apart) if apart else None


def _mixed(one: Histogram | None, other: Histogram | None, share: float) -> Histogram | None:
    if one is None or other is None:
        return one if other is None else other
    return one + np.float32(share) * (other - one)


def _bins(image: NDArray[np.uint8]) -> tuple[NDArray[np.intp], NDArray[np.floating]]:
    """The two bins (rows, columns, 2) that each pixel's colour lies between, and its share of both.

    What lies between two hues, or two greys, is shared by them: a little less light does not make another colour.
    """
    hue, saturation, value = cv2.split(cv2.cvtColor(image, cv2.COLOR_RGB2HSV))
    grey = (saturation < _GREY_BELOW) | (value < _GREY_BELOW)
    level = np.where(grey, np.clip(value * (GREYS / 256) - 0.5, 0, GREYS - 1), hue * (HUES / 180) - 0.5)
    low = np.floor(level)
    first = low.astype(np.intp)
    pair = np.stack((first, first + 1), axis=-1)
    shade = np.minimum((saturation.astype(np.intp) - _GREY_BELOW) * SHADES // (256 - _GREY_BELOW), SHADES - 1)
    greys = HUES * SHADES + np.minimum(pair, GREYS - 1)
    part = level - low
    colours = pair % HUES * SHADES + shade[..., None]
    return np.where(grey[..., None], greys, colours), np.stack((1 - part, part), axis=-1)
