"""Labelled pictures ready for training, wherever they come from: as the network sees them, with their truth."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from edge.manifest import ImageInput, Tensor
from edge.perception.preprocess import Preprocessor

Image = NDArray[np.uint8]
Truth = NDArray[np.float32]
"""(n, 5): x and y of the middle, width and height as fractions of the network's input, and the class."""

IGNORED, NOBODY = -1, -2
"""Instead of a class: what need not be found, and a row that is only there to fill an array."""


class Images(Protocol):
    """Pictures by their number: uint8 RGB, height x width x 3, at the network's size. An array is one."""

    def __len__(self) -> int: ...

    def __getitem__(self, index: int, /) -> Image: ...


@dataclass(frozen=True)
class Examples:
    """`images[i]` shows what `truth[i]` says."""

    images: Images
    truth: Sequence[Truth]

    def __len__(self) -> int:
        return len(self.truth)


class Fitted:
    """Frames of any size as the runtime would feed them, in whole numbers, and boxes that go with them."""

    def __init__(self, spec: ImageInput, width: int, height: int) -> None:
        self._prepare = Preprocessor(spec, self._tensor(spec, (1, height, width, 3)))
        self._shape = (1, height, width, 3)

    @staticmethod
    def _tensor(spec: ImageInput, shape: tuple[int, ...]) -> Tensor:
        # Scale and offset of the tensor undo the input's own: pixels stay pixels.
        zero = -round(spec.offset / spec.scale)
        return Tensor(name="pixels", shape=shape, dtype="uint8", scale=spec.scale, zero_point=zero)

    def __call__(self, frame: Image, boxes: NDArray[Any]) -> tuple[Image, NDArray[np.float32]]:
        """The picture, and boxes (n, 4) in pixels x, y, width, height as middles and sizes in fractions of it."""
        out = np.empty(self._shape, np.uint8)
        self._prepare.write(np.ascontiguousarray(frame), lambda: out)
        x, y, width, height = self._prepare.to_frame(np.array([[0.0, 0.0, 1.0, 1.0]]))[0]
        boxes = np.asarray(boxes, np.float64).reshape(-1, 4)
        sizes = boxes[:, 2:] / [width, height]
        middles = (boxes[:, :2] - [x, y]) / [width, height] + sizes / 2
        return out[0], np.concatenate([middles, sizes], axis=1).astype(np.float32)


class Kept:
    """Pictures that are read when they are asked for, and kept as far as memory is allowed."""

    def __init__(self, count: int, read: Callable[[int], Image], most_bytes: int) -> None:
        self._count, self._read, self._left = count, read, most_bytes
        self._kept: dict[int, Image] = {}

    def __len__(self) -> int:
        return self._count

    def __getitem__(self, index: int) -> Image:
        found = self._kept.get(index)
        if found is None:
            found = self._read(index)
            self.keep(index, found)
        return found

    def keep(self, index: int, image: Image) -> None:
        """Keep a picture that was read already, where there is room."""
        if self._left >= image.nbytes:
            self._left -= image.nbytes
            self._kept[index] = image


def padded(truths: Sequence[Truth]) -> NDArray[np.float32]:
    """Several pictures' truth as one array (B, M, 5); M is a power of two, so that few shapes are ever compiled."""
    most = max((len(truth) for truth in truths), default=0)
    rows = 1 << max(2, (most - 1).bit_length())
    batch = np.zeros((len(truths), rows, 5), np.float32)
    batch[..., 4] = NOBODY
    for row, truth in zip(batch, truths, strict=True):
        row[: len(truth)] = truth
    return batch
