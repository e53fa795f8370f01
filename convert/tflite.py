"""The one way from a TensorFlow function to TFLite bytes.

A function with named outputs goes through a SavedModel whose module holds the variables itself: two shorter
ways (`from_concrete_functions` with a Keras 3 model, and a module that merely holds the model) lose the weights
without an error. Whoever calls this compares the result with its source all the same.
"""

from __future__ import annotations

import contextlib
import logging
import os
import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, Literal

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from convert.errors import ConvertError

Mode = Literal["none", "float16", "dynamic", "int8"]
MODES: tuple[Mode, ...] = ("none", "float16", "dynamic", "int8")


def export(
    function: Callable[[Any], Sequence[Any]],
    input_shape: tuple[int, ...],
    variables: Iterable[Any] = (),
    mode: Mode = "none",
    samples: Sequence[NDArray[np.float32]] = (),
    integer_io: Literal["both", "input", "none"] = "both",
) -> bytes:
    """The flatbuffer of `function`, which maps one float32 tensor to a list of tensors.

    Args:
        function: pure TensorFlow; outputs keep their order.
        input_shape: with the batch, usually 1.
        variables: the `tf.Variable`s that the function reads.
        mode: none (float32), float16 (weights), dynamic (int8 weights, float arithmetic where needed), int8.
        samples: for int8: inputs from which the converter learns ranges that the graph does not state; without any,
            what has no range stays in float.
        integer_io: for int8: whether input and outputs are int8 too, or the input alone, or neither.
    """
    module = tf.Module()
    module._vars = list(variables)

    @tf.function(autograph=False, input_signature=[tf.TensorSpec(input_shape, tf.float32, name="input")])
    def serve(x: Any) -> dict[str, Any]:
        # The converter orders outputs by name.
        return {f"output_{index:03d}": value for index, value in enumerate(function(x))}

    module.serve = serve
    with tempfile.TemporaryDirectory() as folder, _quiet():
        tf.saved_model.save(module, folder, signatures={"serving_default": serve})
        converter = tf.lite.TFLiteConverter.from_saved_model(folder)
        # Per-channel weights of a dense layer in dynamic range need FULLY_CONNECTED version 12, which the
        # last tflite-runtime (2.14) does not know.
        converter._experimental_disable_per_channel_quantization_for_dense_layers = mode == "dynamic"
        if mode != "none":
            converter.optimizations = [tf.lite.Optimize.DEFAULT]
        if mode == "float16":
            converter.target_spec.supported_types = [tf.float16]
        if mode == "int8":
            if len(samples):
                converter.representative_dataset = lambda: ([np.asarray(sample, np.float32)] for sample in samples)
                converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
            converter.inference_input_type = tf.float32 if integer_io == "none" else tf.int8
            converter.inference_output_type = tf.int8 if integer_io == "both" else tf.float32
        try:
            flatbuffer: bytes = converter.convert()
        except Exception as error:  # the converter raises many kinds, all of which mean this one thing
            reason = " ".join(str(error).split())[:200]
            raise ConvertError(
                f"TensorFlow cannot convert this model with --quantize {mode} ({reason}); try --quantize none"
            ) from error
    return _in_order(flatbuffer)


def _in_order(flatbuffer: bytes) -> bytes:
    """The same model with its outputs in the order of their names, which the converter does not always keep."""
    from tensorflow.lite.tools import flatbuffer_utils

    model = flatbuffer_utils.convert_bytearray_to_object(bytearray(flatbuffer))
    if len(model.subgraphs[0].outputs) < 2:
        return flatbuffer
    named = sorted((output.name, int(output.tensorIndex)) for output in model.signatureDefs[0].outputs)
    wanted = [index for _, index in named]
    if list(model.subgraphs[0].outputs) == wanted or len(set(wanted)) < len(wanted):
        return flatbuffer
    model.subgraphs[0].outputs = wanted
    return bytes(flatbuffer_utils.convert_object_to_bytearray(model))


def variables_of(model: Any) -> list[Any]:
    """The `tf.Variable`s behind a Keras model's variables."""
    return [variable.value for variable in model.variables]


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Without TensorFlow's remarks, which are written by C++ straight to the file descriptor."""
    logger = tf.get_logger()
    level = logger.level
    logger.setLevel(logging.ERROR)
    saved = os.dup(2)
    with open(os.devnull, "w") as nowhere:
        os.dup2(nowhere.fileno(), 2)
        try:
            yield
        finally:
            os.dup2(saved, 2)
            os.close(saved)
            logger.setLevel(level)
