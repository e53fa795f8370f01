"""Whether a frame is a picture to go by: of the promised size, not black, and not the one before once more.

A camera that hangs may go on sending its last picture with fresh stamps, and one with a loose ribbon sends black.
A sensor's noise makes two pictures differ even where nothing moves, so equal ones, to the last bit, are no pictures.
"""

from __future__ import annotations

import numpy as np

from robot.config import Camera
from robot.types import Frame

SPARSE = 8  # of a frame's rows and columns every eighth is looked at first: a hundredth of a millisecond
DARK = 16  # of 255; a picture without a brighter pixel is black
EQUAL = 3  # so many equal pictures on end are a frozen camera: one repeat may be a driver's hiccup


class FrameCheck:
    """Looks at each new frame once.

    Args:
        camera: what `robot.toml` promises.

    Attributes:
        problem: what is wrong with the newest frame, in words; empty where nothing is.
    """

    def __init__(self, camera: Camera) -> None:
        self._shape = (camera.height_px, camera.width_px, 3)
        self.reset()

    def reset(self) -> None:
        """Forget the past: a new run begins."""
        self.problem = ""
        self._last: Frame | None = None
        self._equal = 1

    def usable(self, frame: Frame | None) -> Frame | None:
        """The frame where it is a picture to go by, else None; `problem` says why."""
        if frame is None or (self._last is not None and frame.stamp == self._last.stamp):
            return None if self.problem else frame
        self.problem = self._judge(frame)
        self._last = frame
        return None if self.problem else frame

    def _judge(self, frame: Frame) -> str:
        image = frame.image
        height, width, _ = self._shape
        if image.shape != self._shape or image.dtype != np.uint8:
            found = " x ".join(str(size) for size in (*image.shape[1::-1], *image.shape[2:]))
            return (
                f"a frame of {found} ({image.dtype}) came, but robot.toml promises {width} x {height}; set "
                "camera.width_px and camera.height_px to what the camera delivers"
            )
        sparse = image[::SPARSE, ::SPARSE]
        if sparse.max() < DARK:
            return "the camera's pictures are black; is its lens covered, or its ribbon loose?"
        before = None if self._last is None else self._last.image
        equal = (
            before is not None
            and before.shape == image.shape
            and np.array_equal(sparse, before[::SPARSE, ::SPARSE])
            and np.array_equal(image, before)
        )
        self._equal = self._equal + 1 if equal else 1
        if self._equal >= EQUAL:
            return f"the camera has sent the same picture {EQUAL} times on end: it is frozen"
        return ""
