"""Pictures that tests draw themselves."""

from __future__ import annotations

import cv2
import numpy as np


def picture(width: int = 64, height: int = 48, seed: int = 4) -> np.ndarray:
    """Coloured shapes on a gradient: uint8 height x width x 3, RGB."""
    rng = np.random.default_rng(seed)
    ramp = np.linspace(30, 220, width)[None, :, None] * np.ones((height, 1, 3)) * rng.uniform(0.5, 1, 3)
    image = np.ascontiguousarray(ramp.astype(np.uint8))
    for _ in range(6):
        corner = (int(rng.integers(width)), int(rng.integers(height)))
        size = int(rng.integers(4, max(5, min(width, height) // 3)))
        colour = tuple(int(value) for value in rng.integers(0, 256, 3))
        cv2.rectangle(image, corner, (corner[0] + size, corner[1] + size), colour, -1)
    return image
