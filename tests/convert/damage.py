"""Damage a TFLite model as a faulty converter would: one layer's weights get a wrong scale."""

from __future__ import annotations

import numpy as np
from tensorflow.lite.python import schema_py_generated as schema
from tensorflow.lite.tools import flatbuffer_utils


def damage_one_scale(flatbuffer: bytes, factor: float, layer: int = 0) -> bytes:
    """Multiply the weights of the `layer`-th convolution or dense layer: its int8 scales, or its float numbers."""
    model = flatbuffer_utils.convert_bytearray_to_object(bytearray(flatbuffer))
    graph = model.subgraphs[0]
    kinds = {schema.BuiltinOperator.CONV_2D, schema.BuiltinOperator.FULLY_CONNECTED}
    layers = [op for op in graph.operators if model.operatorCodes[op.opcodeIndex].builtinCode in kinds]
    weights = graph.tensors[layers[layer].inputs[1]]
    if weights.quantization is not None and weights.quantization.scale is not None:
        weights.quantization.scale = np.asarray(weights.quantization.scale) * factor
    else:
        numbers = np.frombuffer(bytes(model.buffers[weights.buffer].data), "<f4") * np.float32(factor)
        model.buffers[weights.buffer].data = np.frombuffer(numbers.tobytes(), np.uint8)
    return bytes(flatbuffer_utils.convert_object_to_bytearray(model))
