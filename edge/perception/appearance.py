"""What somebody looks like, in a few numbers: the colours of their top and of their trousers.

Histograms of chromaticity by brightness, compared by the distance of Bhattacharyya; one of the trunk and one of the
legs, each at its height above the floor, so that a person who comes nearer and fills the frame still shows the same.
Logarithms of colour ratios hardly change with how bright the light is (Finlayson and Hordley, "Color constancy at a
pixel", 2001); the brightness itself is told roughly. A box also holds what is behind its person, between the legs above
all: what is as frequent beside the box counts for nothing, as in the background-weighted histogram of Comaniciu, Ramesh
and Meer, "Kernel-based object tracking", 2003. They tell clothes apart, not faces.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

Histogram = NDArray[np.float32]

LEVELS, TONES = 4, 13  # of brightness, and of each of the two colour ratios
BINS = LEVELS * TONES * TONES
TRUNK_M, LEGS_M = (1.30, 0.95), (0.75, 0.35)  # above the floor, from top to bottom
BESIDE = 0.25  # so much of the box's breadth is looked at on both sides of it
_DARK = 12.0  # of 255: noise is a large part of what is darker
_LOG = np.log(np.arange(256, dtype=np.float32) + np.float32(_DARK))
_TONE = 1.4  # the largest logarithm of a colour ratio that is told apart
_LEVEL = (LEVELS - 1) / float(_LOG[-1] - _LOG[0]) / 3.0
_STEP = (TONES - 1) / (2.0 * _TONE)
_TO_PLACE = np.array([[_LEVEL] * 3, [_STEP, -_STEP, 0.0], [0.0, -_STEP, _STEP]], np.float32)
_FROM = np.array([[-3.0 * _LEVEL * _LOG[0]], [_STEP * _TONE], [_STEP * _TONE]], np.float32)
_LAST = np.array([[LEVELS - 1.001], [TONES - 1.001], [TONES - 1.001]], np.float32)
_CORNERS = np.array([[(level * TONES + red) * TONES + blue] for level in (0, 1) for red in (0, 1) for blue in (0, 1)])
_PIXELS = 24  # a region is sampled at so many pixels a side
_ROWS, _COLUMNS = 6, 4  # that a region must have at least
_LEFT = 0.05  # of a region's colours, that must be left where the background's are taken away


@dataclass(frozen=True, slots=True)
class Look:
    """The colours of trunk and legs; None where they are not in the picture."""

    trunk: Histogram | None
    legs: Histogram | None

    def mixed(self, other: Look, share: float) -> Look:
        """This look with so large a share of the other's in it, part by part."""
        return Look(_mixed(self.trunk, other.trunk, share), _mixed(self.legs, other.legs, share))


def look(image: NDArray[np.uint8], box: tuple[float, float, float, float], rows: NDArray[np.floating]) -> Look | None:
    """The colours of somebody on an RGB image, None where too little of them is in it.

    Args:
        image: (rows, columns, 3).
        box: x, y, width, height of the person, pixels.
        rows: (4,) where the heights `TRUNK_M` and `LEGS_M` are, at the person's distance.
    """
    x, y, width, height = box
    wide = max(8, round(BESIDE * width))
    left, right = max(0, round(x)), min(image.shape[1], round(x + width))
    beside = [(max(0, left - wide), left), (right, min(image.shape[1], right + wide))]
    edges = np.rint(np.clip(rows, max(0.0, y), min(float(image.shape[0]), y + height))).astype(int)
    parts: list[Histogram | None] = []
    for top, bottom in (edges[:2], edges[2:]):
        if bottom - top < _ROWS or right - left < _COLUMNS:
            parts.append(None)
            continue
        band = image[top:bottom]
        around = [histogram(band[:, low:high]) for low, high in beside if high - low >= _COLUMNS]
        parts.append(_without(histogram(band[:, left:right]), around))
    trunk, legs = parts
    return None if trunk is None and legs is None else Look(trunk, legs)


def histogram(region: NDArray[np.uint8]) -> Histogram:
    """(BINS,) shares of the colours in a piece of an RGB image; what lies between two bins is shared by them."""
    pixels = _LOG[cv2.resize(region, (_PIXELS, _PIXELS), interpolation=cv2.INTER_NEAREST).reshape(-1, 3).T]
    place = np.minimum(np.maximum(_TO_PLACE @ pixels + _FROM, 0.0), _LAST)  # level, and tones of red and of blue
    first = place.astype(np.int32)
    over = place - first
    parts = np.stack((1.0 - over, over))  # (2, 3, pixels): of the lower bin and of the upper
    shares = parts[:, None, None, 0] * parts[None, :, None, 1] * parts[None, None, :, 2]
    bins = (first[0] * TONES + first[1]) * TONES + first[2] + _CORNERS
    counts = np.bincount(bins.ravel(), shares.reshape(8, -1).ravel(), BINS)
    return (counts / pixels.shape[1]).astype(np.float32)


def _without(inside: Histogram, around: list[Histogram]) -> Histogram | None:
    """The colours of a region without those beside it; None where hardly any are left."""
    if not around:
        return inside
    beside = sum(around) / np.float32(len(around))
    own = np.maximum(inside - beside, 0.0)
    left = own.sum()
    return own / left if left > _LEFT else None


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
