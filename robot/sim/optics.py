"""What light, lens and sensor add to a frame: shadows, the lamp's glow, vignette, blur, noise."""

from __future__ import annotations

from functools import lru_cache

import cv2
import numpy as np
from numpy.typing import NDArray

from robot.pinhole import Pinhole
from robot.sim.furniture import LAMP_HEIGHT
from robot.sim.room import PersonState
from robot.sim.solids import Array, Colour, fill
from robot.sim.view import Image, View, clipped


def shadow(image: Image, view: View, person: PersonState) -> None:
    """A soft dark spot on the floor under a person."""
    angles = np.linspace(0, 2 * np.pi, 16, endpoint=False)
    ring = np.column_stack([np.cos(angles), np.sin(angles), np.zeros(16)])
    for radius, keep in ((0.3, 0.88), (0.2, 0.85)):
        outline = clipped(view.pinhole, view.camera(ring * radius + [person.x, person.y, 0]))
        if outline is None:
            continue
        x0, y0, width, height = cv2.boundingRect((outline >> 4).astype(np.int32))
        x1, y1 = min(x0 + width + 1, view.pinhole.width), min(y0 + height + 1, view.pinhole.height)
        x0, y0 = max(x0, 0), max(y0, 0)
        if x1 <= x0 or y1 <= y0:
            continue
        area = image[y0:y1, x0:x1]
        mask = np.full(area.shape[:2], 255, np.uint8)
        fill(mask, outline - (np.array([x0, y0]) << 4).astype(np.int32), int(255 * keep))
        area[:] = cv2.multiply(area, cv2.merge([mask, mask, mask]), scale=1 / 255)


def glow(image: Image, view: View, lamp: Array, colour: Colour) -> None:
    """Light scattered round the lamp's bulb."""
    middle, size, shown = view.capsules(np.array([[[*lamp, LAMP_HEIGHT]] * 2]), np.array([[0.45, 0.45]]))
    if not shown[0]:
        return
    (x, y), radius = middle[0, 0], size[0, 0]
    x0, y0 = max(0, int(x - radius)), max(0, int(y - radius))
    x1, y1 = min(view.pinhole.width, int(x + radius) + 1), min(view.pinhole.height, int(y + radius) + 1)
    if x1 <= x0 or y1 <= y0:
        return
    area = image[y0:y1, x0:x1]
    scale = _HALO.shape[0] / 2 / radius
    back = np.array([[scale, 0, (x0 + 0.5 - x) * scale + _HALO.shape[0] / 2 - 0.5],
                     [0, scale, (y0 + 0.5 - y) * scale + _HALO.shape[0] / 2 - 0.5]])  # fmt: skip
    halo = cv2.warpAffine(_HALO, back, (x1 - x0, y1 - y0), flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP)
    cv2.add(area, cv2.merge([cv2.convertScaleAbs(halo, alpha=part / 255) for part in colour]), dst=area)


def _make_halo() -> NDArray[np.uint8]:
    across = (np.arange(64) + 0.5 - 32) / 32
    return (153 * np.maximum(0, 1 - np.hypot(across[:, None], across)) ** 2).astype(np.uint8)


_HALO = _make_halo()


@lru_cache(maxsize=8)
def _noise(height: int, width: int, sigma: int) -> Image:
    """A sheet of sensor noise round 32, larger than a frame: each frame takes another piece of it."""
    rng = np.random.default_rng([height, width, sigma])
    grey = rng.standard_normal((height + 61, width + 67), dtype=np.float32) * sigma
    colour = rng.standard_normal((height + 61, width + 67, 3), dtype=np.float32) * (sigma * 0.5)
    return np.clip(grey[..., None] + colour + 32.5, 0, 64).astype(np.uint8)


class Lens:
    """What lens and sensor add: vignette, a little blur, noise; how much, the room's seed tells."""

    def __init__(self, pinhole: Pinhole, seed: int) -> None:
        rng = np.random.default_rng([seed, 3])
        self._seed = seed
        self._shape = (pinhole.height, pinhole.width, 3)
        y, x = np.indices(self._shape[:2], dtype=np.float32)
        square = ((x / pinhole.width - 0.5) ** 2 + (y / pinhole.height - 0.5) ** 2) * 2
        gain = (255 * (1 - rng.uniform(0.05, 0.3) * square)).astype(np.uint8)
        self._gain = cv2.merge([gain, gain, gain])
        self._blur = float(rng.choice([0.0, 0.55, 0.8])) * pinhole.width / 640
        self._noise = _noise(pinhole.height, pinhole.width, int(rng.integers(1, 6)))

    def expose(self, image: Image, step: int) -> Image:
        if self._blur > 0.3:
            image = cv2.GaussianBlur(image, (3, 3), self._blur)
        cv2.multiply(image, self._gain, dst=image, scale=1 / 255)
        top, left = np.random.default_rng([self._seed, 4, step]).integers([61, 67])
        piece = self._noise[top : top + self._shape[0], left : left + self._shape[1]]
        return cv2.addWeighted(image, 1.0, piece, 1.0, -32.0, dst=image)
