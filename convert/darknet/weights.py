"""Darknet's weights: a header, then float32 numbers in the order of the cfg's layers.

Per convolution: biases, then (with batch normalisation) scales, rolling means and variances, then the kernel
as filters x (channels / groups) x size x size (`load_convolutional_weights` of AlexeyAB's Darknet).
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from convert.errors import ConvertError

Floats = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class ConvShape:
    """What one convolution takes from the file."""

    filters: int
    channels: int  # of the input, all groups together
    size: int
    groups: int
    normalised: bool

    @property
    def kernel(self) -> int:
        """Numbers in the kernel."""
        return self.filters * (self.channels // self.groups) * self.size**2

    @property
    def count(self) -> int:
        """Numbers of the whole convolution."""
        return self.filters * (4 if self.normalised else 1) + self.kernel


@dataclass(frozen=True, slots=True)
class ConvWeights:
    """One convolution's numbers; `kernel` is size x size x (channels / groups) x filters, TensorFlow's order."""

    bias: Floats
    scale: Floats | None
    mean: Floats | None
    variance: Floats | None
    kernel: Floats


def read(path: Path, shapes: list[ConvShape]) -> list[ConvWeights]:
    """The weights of all convolutions.

    Raises:
        ConvertError: unreadable, not finite, or with more or fewer numbers than the cfg needs (both are told).
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise ConvertError(
            f"weights {path} cannot be read ({error.strerror}); give the .weights file that belongs to the cfg"
        ) from None
    needed = sum(shape.count for shape in shapes)
    header = _header_bytes(data)
    body = len(data) - header
    if body != 4 * needed:
        raise ConvertError(
            f"weights {path} hold {max(body, 0) / 4:.10g} numbers after their header, the cfg needs {needed}; "
            "give the .weights file that belongs to this cfg"
        )
    numbers = np.frombuffer(data, "<f4", offset=header)
    if not np.isfinite(numbers).all():
        raise ConvertError(f"weights {path} hold numbers that are not finite; copy or train them again")
    result, at = [], 0

    def take(count: int) -> Floats:
        nonlocal at
        at += count
        return np.array(numbers[at - count : at], np.float32)

    for shape in shapes:
        bias = take(shape.filters)
        scale, mean, variance = (take(shape.filters) for _ in range(3)) if shape.normalised else (None, None, None)
        kernel = take(shape.kernel).reshape(shape.filters, shape.channels // shape.groups, shape.size, shape.size)
        result.append(ConvWeights(bias, scale, mean, variance, kernel.transpose(2, 3, 1, 0)))
    return result


def _header_bytes(data: bytes) -> int:
    """Version as three int32, then the count of images seen: int64 from version 0.2 on, int32 before."""
    if len(data) < 16:
        return min(len(data), 16)
    major, minor, _ = np.frombuffer(data, "<i4", 3)
    return 20 if int(major) * 10 + int(minor) >= 2 and int(major) < 1000 and int(minor) < 1000 else 16
