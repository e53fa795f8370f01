"""From a camera frame to a network's input tensor, without a copy that is not needed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from edge.errors import ModelError
from edge.interpreter import quantise
from edge.manifest import ImageInput, Tensor


class Preprocessor:
    """Resize, reorder and scale a frame into one input tensor.

    Args:
        spec: how the model was fed in training.
        tensor: the input tensor, one image.

    Attributes:
        width, height: of the network's input, pixels.
    """

    def __init__(self, spec: ImageInput, tensor: Tensor) -> None:
        channels = 1 if spec.colour == "GRAY" else 3
        shape = tensor.shape
        self._planar = spec.layout == "NCHW"
        if len(shape) == 4 and self._planar:
            shape = (shape[0], shape[2], shape[3], shape[1])
        if len(shape) != 4 or shape[0] != 1 or shape[3] != channels:
            raise ModelError(
                f"the model's input is {tensor.shape}, expected one {spec.colour} image in {spec.layout}; "
                "convert the model again"
            )
        self.height, self.width = shape[1], shape[2]
        self._spec = spec
        self._letterbox = spec.resize == "letterbox"
        self._buffer = np.full((self.height, self.width, 3), spec.pad, np.uint8)
        self._inside: tuple[int, int, int, int] = (0, 0, self.width, self.height)
        self._frame_shape: tuple[int, ...] = ()
        self._window: NDArray[Any] = self._buffer
        self._resized = self._window
        self._planes = np.empty((3, self.height, self.width), np.uint8)
        self._ordered = np.empty((self.height, self.width, channels), np.uint8)
        self._store = _storing(spec, tensor)

    def write(self, frame: NDArray[np.uint8], view: Callable[[], NDArray[Any]]) -> None:
        """Write `frame` (uint8 height x width x 3, RGB) into the tensor behind `view`."""
        if frame.shape != self._frame_shape:
            self._fit(frame)
        if self._resized is not self._window:
            # OpenCV writes into contiguous memory only, so a narrower window needs a step of its own.
            cv2.resize(frame, self._inside[2:], dst=self._resized, interpolation=cv2.INTER_LINEAR)
            self._window[...] = self._resized
        else:
            cv2.resize(frame, self._inside[2:], dst=self._window, interpolation=cv2.INTER_LINEAR)
        pixels: NDArray[np.uint8] = self._buffer
        if self._spec.colour == "BGR":
            pixels = np.asarray(cv2.cvtColor(pixels, cv2.COLOR_RGB2BGR, dst=self._ordered), np.uint8)
        elif self._spec.colour == "GRAY":
            pixels = np.asarray(cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY), np.uint8)[..., None]
        if self._planar:  # OpenCV deals the channels out faster than NumPy walks across them
            cv2.split(pixels, list(self._planes[: pixels.shape[2]]))
            pixels = self._planes[: pixels.shape[2]]
        self._store(pixels, view()[0])

    def to_frame(self, boxes: NDArray[np.floating]) -> NDArray[np.floating]:
        """Boxes (N, 4) x, y, w, h as fractions of the network's input, in pixels of the last frame."""
        left, top, width, height = self._inside
        rows, columns = self._frame_shape[:2]
        across, down = columns / width, rows / height
        scale = np.array([self.width * across, self.height * down, self.width * across, self.height * down])
        shift = np.array([left * across, top * down, 0.0, 0.0])
        return boxes * scale - shift

    def _fit(self, frame: NDArray[np.uint8]) -> None:
        if frame.ndim != 3 or frame.shape[2] != 3 or frame.dtype != np.uint8 or 0 in frame.shape:
            raise ValueError(f"a frame must be uint8 height x width x 3, not {frame.dtype} {frame.shape}")
        self._frame_shape = frame.shape
        if not self._letterbox:
            return
        ratio = min(self.width / frame.shape[1], self.height / frame.shape[0])
        width = max(1, min(self.width, round(frame.shape[1] * ratio)))
        height = max(1, min(self.height, round(frame.shape[0] * ratio)))
        left, top = (self.width - width) // 2, (self.height - height) // 2
        self._inside = (left, top, width, height)
        self._buffer.fill(self._spec.pad)
        self._window = self._buffer[top : top + height, left : left + width]
        self._resized = self._window if width == self.width else np.empty((height, width, 3), np.uint8)


def _storing(spec: ImageInput, tensor: Tensor) -> Callable[[NDArray[np.uint8], NDArray[Any]], None]:
    """How uint8 pixels become what the tensor stores: the cheapest way that is exact."""
    if tensor.dtype == "float32":
        scale, offset = np.float32(spec.scale), np.float32(spec.offset)

        def as_floats(pixels: NDArray[np.uint8], out: NDArray[Any]) -> None:
            np.multiply(pixels, scale, out=out)
            if offset:
                out += offset

        return as_floats
    if tensor.dtype not in ("int8", "uint8"):
        raise ModelError(
            f"the model's image input is {tensor.dtype}, expected float32, int8 or uint8; convert it again"
        )
    table = quantise(np.arange(256) * spec.scale + spec.offset, tensor)
    if np.array_equal(table, np.arange(256)):  # the pixel itself

        def copy(pixels: NDArray[np.uint8], out: NDArray[Any]) -> None:
            out[...] = pixels

        return copy
    if np.array_equal(table.view(np.uint8), np.arange(256, dtype=np.uint8) ^ 128):  # scale 1/255, zero point -128

        def flip_the_sign(pixels: NDArray[np.uint8], out: NDArray[Any]) -> None:
            np.bitwise_xor(pixels, np.uint8(128), out=out.view(np.uint8))

        return flip_the_sign

    stored = table.view(np.uint8)

    def look_up(pixels: NDArray[np.uint8], out: NDArray[Any]) -> None:
        cv2.LUT(pixels.reshape(len(pixels), -1), stored, dst=out.view(np.uint8).reshape(len(pixels), -1))

    return look_up
