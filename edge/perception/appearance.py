"""What somebody looks like, in a few numbers: the colours of the middle of their box.

A histogram of hue by saturation, with greys by brightness, compared by the distance of Bhattacharyya as in Comaniciu,
Ramesh and Meer, "Kernel-based object tracking", 2003. It tells clothes apart, not faces.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

Histogram = NDArray[np.float32]

HUES, SHADES, GREYS = 12, 3, 9
_GREY_BELOW = 48  # of 255: less saturated, or darker, is grey
_PIXELS = 32  # the region is shrunk to so many pixels a side


def histogram(image: NDArray[np.uint8], box: tuple[float, float, float, float]) -> Histogram | None:
    """(HUES x SHADES + GREYS,) shares of the colours in the middle of a box on an RGB image.

    None where less than 8 x 8 pixels of it are in the image.
    """
    rows, columns = image.shape[:2]
    x, y, width, height = box
    left, right = max(0, round(x + 0.25 * width)), min(columns, round(x + 0.75 * width))
    top, bottom = max(0, round(y + 0.1 * height)), min(rows, round(y + 0.75 * height))
    if right - left < 8 or bottom - top < 8:
        return None
    small = cv2.resize(image[top:bottom, left:right], (_PIXELS, _PIXELS), interpolation=cv2.INTER_AREA)
    hue, saturation, value = cv2.split(cv2.cvtColor(small, cv2.COLOR_RGB2HSV))
    grey = (saturation < _GREY_BELOW) | (value < _GREY_BELOW)
    shade = np.minimum((saturation.astype(np.intp) - _GREY_BELOW) * SHADES // (256 - _GREY_BELOW), SHADES - 1)
    colour = hue.astype(np.intp) * HUES // 180 * SHADES + shade
    counts = np.bincount(colour[~grey], minlength=HUES * SHADES).astype(np.float32)
    # A grey is shared between the two nearest, so that a little less light does not make another colour of it.
    level = np.clip(value[grey] * (GREYS / 256) - 0.5, 0, GREYS - 1)
    lower = level.astype(np.intp)
    part = level - lower
    greys = np.bincount(lower, 1 - part, GREYS + 1) + np.bincount(lower + 1, part, GREYS + 1)
    whole = np.concatenate((counts, greys[:GREYS].astype(np.float32)))
    return np.asarray(whole / whole.sum(), np.float32)


def unlike(one: Histogram, other: Histogram) -> float:
    """0 for the same colours, 1 for none in common."""
    return float(np.sqrt(max(0.0, 1.0 - float(np.sqrt(one * other).sum()))))
