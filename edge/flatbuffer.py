"""The little that is read from a `.tflite` flatbuffer beside the interpreter: custom operations and metadata.

Field numbers are those of tensorflow/lite/schema/schema.fbs, which only ever grows at the end of a table.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

import numpy as np
from flatbuffers import number_types
from flatbuffers.table import Table
from numpy.typing import NDArray

from edge.errors import ModelError


class Node:
    """One table of a flatbuffer; every field may be absent. Damaged offsets raise what `damaged` names."""

    def __init__(self, data: bytes | bytearray, position: int) -> None:
        self._table = Table(data, position)

    @classmethod
    def root(cls, data: bytes) -> Node:
        """The table at the head of `data`."""
        return cls(data, struct.unpack_from("<I", data, 0)[0])

    def _at(self, field: int) -> int:
        offset: int = self._table.Offset(4 + 2 * field)
        return offset and offset + self._table.Pos

    def integer(self, field: int, default: int = 0, wide: bool = True) -> int:
        """A number of 4 bytes, or of 1 where not `wide`."""
        at = self._at(field)
        kind = number_types.Int32Flags if wide else number_types.Uint8Flags
        return int(self._table.Get(kind, at)) if at else default

    def text(self, field: int) -> str:
        """A string, "" where there is none."""
        at = self._at(field)
        raw: bytes = self._table.String(at) if at else b""
        return raw.decode("utf-8", "replace")

    def node(self, field: int) -> Node | None:
        """A table inside."""
        at = self._at(field)
        return Node(self._table.Bytes, self._table.Indirect(at)) if at else None

    def nodes(self, field: int) -> list[Node]:
        """A list of tables."""
        start, length = self._vector(field, 4)
        return [Node(self._table.Bytes, self._table.Indirect(start + 4 * index)) for index in range(length)]

    def numbers(self, field: int, dtype: type[np.generic]) -> NDArray[np.generic]:
        """A list of numbers."""
        size = np.dtype(dtype).itemsize
        start, length = self._vector(field, size)
        return np.frombuffer(self._table.Bytes, np.dtype(dtype).newbyteorder("<"), length, start)

    def raw(self, field: int) -> bytes:
        """A list of bytes."""
        start, length = self._vector(field, 1)
        return bytes(self._table.Bytes[start : start + length])

    def _vector(self, field: int, size: int) -> tuple[int, int]:
        offset: int = self._table.Offset(4 + 2 * field)
        if not offset:
            return 0, 0
        start, length = int(self._table.Vector(offset)), int(self._table.VectorLen(offset))
        if start + size * length > len(self._table.Bytes):
            raise ValueError("a list reaches beyond the file")
        return start, length


damaged = (struct.error, ValueError, IndexError, TypeError, RecursionError, OverflowError)
"""What reading a file of garbage raises."""


@dataclass(frozen=True)
class CustomOperation:
    """One operation that TensorFlow Lite's own set lacks, with what it produces among the model's outputs."""

    name: str
    outputs: tuple[int, ...]  # for each of its results the index among the model's outputs, -1 where it is none
    options: bytes  # a FlexBuffer


class Contents:
    """What a model file holds. Raises `ModelError` where it cannot be read.

    Attributes:
        custom: the custom operations of the main graph.
        metadata: buffers by name ("TFLITE_METADATA", ...).
    """

    def __init__(self, data: bytes, name: str) -> None:
        try:
            model = Node.root(data)
            codes = [code.text(1) for code in model.nodes(1)]
            main = model.nodes(2)[0]
            place = {tensor: index for index, tensor in enumerate(main.numbers(2, np.int32).tolist())}
            self.custom = []
            for operation in main.nodes(3):
                if code := codes[operation.integer(0)]:
                    results = operation.numbers(2, np.int32).tolist()
                    self.custom.append(
                        CustomOperation(code, tuple(place.get(one, -1) for one in results), operation.raw(5))
                    )
            buffers = model.nodes(4)
            self.metadata = {entry.text(0): buffers[entry.integer(1)].raw(0) for entry in model.nodes(6)}
        except damaged as error:
            raise ModelError(f"{name} is damaged ({error}); copy it again") from None
