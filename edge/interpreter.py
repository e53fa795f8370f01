"""The one seam to a TFLite interpreter: ai-edge-litert, else tflite-runtime, else TensorFlow's own.

Everything that runs a model goes through `Interpreter`, and every model file through `open_model`, which
checks the manifest, the sha256 and each tensor before the first inference.
"""

from __future__ import annotations

import contextlib
import importlib
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from edge import manifest as manifests
from edge.errors import ModelError
from edge.manifest import DTYPES, Manifest, Tensor

BACKENDS = {
    "ai_edge_litert": "ai_edge_litert.interpreter",
    "tflite_runtime": "tflite_runtime.interpreter",
    "tensorflow": "tensorflow",
}
"""The interpreters in the order in which they are tried; `EDGEBOT_INTERPRETER` names one to force it."""


class Interpreter:
    """A loaded model with its tensors allocated.

    Args:
        flatbuffer: the model's own bytes, without the manifest.
        threads: how many threads `invoke` may use; one is the fastest for small models.
        name: what error messages call the model.

    Attributes:
        backend: the name of the interpreter in use, a key of `BACKENDS`.
        inputs, outputs: the tensors as the interpreter reports them.
        invoke: run the model once. It releases the GIL; no view of a tensor may be alive.

    Raises:
        ModelError: no interpreter is installed, or the interpreter does not take the model.
    """

    def __init__(self, flatbuffer: bytes, threads: int = 1, name: str = "the model") -> None:
        self.backend, self._native = _load(flatbuffer, threads, name)
        inputs, outputs = self._native.get_input_details(), self._native.get_output_details()
        self.inputs = tuple(_tensor(detail, name) for detail in inputs)
        self.outputs = tuple(_tensor(detail, name) for detail in outputs)
        self._input_ids = [detail["index"] for detail in inputs]
        self._output_ids = [detail["index"] for detail in outputs]
        self.invoke: Callable[[], None] = self._native.invoke

    def input_view(self, index: int = 0) -> Callable[[], NDArray[Any]]:
        """A function that gives a live view of an input tensor, to write into.

        Keep the function, never the array: `invoke` raises while a view is alive.
        """
        view: Callable[[], NDArray[Any]] = self._native.tensor(self._input_ids[index])
        return view

    def output_view(self, index: int = 0) -> Callable[[], NDArray[Any]]:
        """A function that gives a live view of an output tensor. Keep the function, never the array."""
        view: Callable[[], NDArray[Any]] = self._native.tensor(self._output_ids[index])
        return view

    def set(self, value: NDArray[Any], index: int = 0) -> None:
        """Copy `value` into an input tensor; shape and dtype must be the tensor's."""
        self._native.set_tensor(self._input_ids[index], value)

    def get(self, index: int = 0) -> NDArray[Any]:
        """A copy of an output tensor."""
        value: NDArray[Any] = self._native.get_tensor(self._output_ids[index])
        return value

    def resize(self, shape: tuple[int, ...], index: int = 0) -> None:
        """Give an input another shape (a larger batch); views from before no longer hold."""
        self._native.resize_tensor_input(self._input_ids[index], shape)
        self._native.allocate_tensors()

    def run(self, *values: NDArray[Any]) -> list[NDArray[Any]]:
        """Real values in, real values out: quantise each input, invoke, dequantise each output."""
        for index, (value, tensor) in enumerate(zip(values, self.inputs, strict=True)):
            self.set(quantise(value, tensor), index)
        self.invoke()
        return [dequantise(self.get(index), tensor) for index, tensor in enumerate(self.outputs)]


def open_model(
    path: str | Path, kind: Literal["detector", "policy"] | None = None, threads: int = 1
) -> tuple[Interpreter, Manifest]:
    """Open a model file and check that it is what its manifest says.

    Raises:
        ModelError: missing, damaged, of another kind than `kind`, from a newer version, refused by the
            interpreter, or with tensors other than its manifest's.
    """
    flatbuffer, manifest = manifests.read(path)
    if kind is not None and manifest.kind != kind:
        raise ModelError(
            f"{path} is a {manifest.kind} ({manifest.name}), a {kind} is needed here; give another model file"
        )
    interpreter = Interpreter(flatbuffer, threads, str(path))
    for side, stated, found in (
        ("input", manifest.inputs, interpreter.inputs),
        ("output", manifest.outputs, interpreter.outputs),
    ):
        if len(stated) != len(found):
            raise ModelError(
                f"{path} has {len(found)} {side} tensors, its manifest says {len(stated)}; convert it again"
            )
        for want, have in zip(stated, found, strict=True):
            if not _same(want, have):
                raise ModelError(
                    f"{path} has an {side} {_describe(have)}, its manifest says {_describe(want)}; convert it again"
                )
    return interpreter, manifest


def quantise(value: NDArray[Any], tensor: Tensor) -> NDArray[Any]:
    """Real values as `tensor` stores them (rounded and saturated where it is quantised)."""
    if not tensor.scale:
        return np.ascontiguousarray(value, dtype=tensor.dtype)
    limits = np.iinfo(tensor.dtype)
    stored = np.rint(np.asarray(value, np.float32) / np.float32(tensor.scale)) + tensor.zero_point
    return np.clip(stored, limits.min, limits.max).astype(tensor.dtype)


def dequantise(value: NDArray[Any], tensor: Tensor) -> NDArray[Any]:
    """The real values of a tensor as it is stored."""
    if not tensor.scale:
        return value
    return (value.astype(np.float32) - np.float32(tensor.zero_point)) * np.float32(tensor.scale)


def _load(flatbuffer: bytes, threads: int, name: str) -> tuple[str, Any]:
    for backend, make in _backends():
        try:
            with _silence():
                native = make(model_content=flatbuffer, num_threads=threads)
                native.allocate_tensors()
        except (ImportError, AttributeError):  # tflite-runtime under numpy 2 imports, and fails here
            continue
        except (ValueError, RuntimeError) as error:
            reason = " ".join(str(error).split())
            reason = reason if len(reason) <= 100 else f"{reason[:100]}..."
            raise ModelError(
                f"{name} is not accepted by {backend} ({reason}); convert it again with `edgebot convert`"
            ) from None
        return backend, native
    forced = os.environ.get("EDGEBOT_INTERPRETER")
    if forced:
        raise ModelError(
            f"EDGEBOT_INTERPRETER asks for {forced!r}, which is not installed or does not fit this numpy; "
            "install it, or unset EDGEBOT_INTERPRETER"
        )
    raise ModelError("no working TFLite interpreter is installed; pip install ai-edge-litert")


def _backends() -> Iterator[tuple[str, Callable[..., Any]]]:
    """The constructors of the interpreters that import, in order."""
    forced = os.environ.get("EDGEBOT_INTERPRETER", "").replace("-", "_")
    if forced and forced not in BACKENDS:
        raise ModelError(
            f"EDGEBOT_INTERPRETER is {forced!r}, expected one of {', '.join(BACKENDS)}; set one of these, or unset it"
        )
    for backend, module in BACKENDS.items():
        if forced and backend != forced:
            continue
        try:
            loaded = importlib.import_module(module)
        except (ImportError, AttributeError):
            continue
        yield backend, loaded.lite.Interpreter if backend == "tensorflow" else loaded.Interpreter


@contextlib.contextmanager
def _silence() -> Iterator[None]:
    """Without the delegate's remark, which C++ writes straight to the file descriptor at each start."""
    try:
        saved = os.dup(2)
    except OSError:  # no stderr at all
        yield
        return
    nowhere = os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nowhere, 2)
        yield
    finally:
        os.dup2(saved, 2)
        os.close(saved)
        os.close(nowhere)


def _tensor(detail: dict[str, Any], name: str) -> Tensor:
    scale, zero_point = detail["quantization"]
    dtype = np.dtype(detail["dtype"]).name
    if dtype not in DTYPES:
        raise ModelError(
            f"{name} has a tensor {detail['name']!r} of {dtype}, expected one of {', '.join(DTYPES)}; convert it again"
        )
    return Tensor(
        name=detail["name"],
        shape=tuple(int(size) for size in detail["shape"]),
        dtype=dtype,
        scale=float(scale),
        zero_point=int(zero_point),
    )


def _same(want: Tensor, have: Tensor) -> bool:
    return (
        want.shape == have.shape
        and want.dtype == have.dtype
        and want.zero_point == have.zero_point
        and bool(np.isclose(want.scale, have.scale, rtol=1e-6, atol=0.0))
    )


def _describe(tensor: Tensor) -> str:
    shape = "x".join(str(size) for size in tensor.shape)
    scaled = f" (scale {tensor.scale:.6g}, zero point {tensor.zero_point})" if tensor.scale else ""
    return f"{shape} {tensor.dtype}{scaled}"
