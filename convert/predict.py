"""A model as a function: Keras's and the converted one behind the same signature, for comparison and for judges."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge.interpreter import Interpreter, dequantise, quantise
from edge.manifest import DarknetDecode, ImageInput, Tensor
from edge.perception.decode import DarknetDecoder
from edge.perception.nms import nms
from edge.perception.preprocess import Preprocessor

Array = NDArray[Any]
Seen = tuple[Array, Array, Array]
LEAST_SCORE = 0.005


def keras_batch(model: Any) -> Callable[[Array], list[Array]]:
    """Inputs (N, ...) to all outputs, compiled."""
    import tensorflow as tf  # only here: a detector trained on another backend of Keras is read without it

    signature = [tf.TensorSpec(model.inputs[0].shape, tf.float32)]
    compiled = tf.function(lambda x: _list(model(x, training=False)), input_signature=signature, autograph=False)
    return lambda x: [np.asarray(value) for value in compiled(tf.constant(x, tf.float32))]


def tflite_batch(flatbuffer: bytes) -> Callable[[Array], list[Array]]:
    """The same of a converted model, one sample after the other, as the robot runs it."""
    interpreter = Interpreter(flatbuffer, name="the converted model")

    def predict(x: Array) -> list[Array]:
        rows = [interpreter.run(sample[None]) for sample in np.asarray(x, np.float32)]
        return [np.concatenate(parts) for parts in zip(*rows, strict=True)]

    return predict


def tflite_logits(flatbuffer: bytes) -> Callable[[Array], Array]:
    """Observations (N, size) to logits (N, actions) of a converted policy, in one invocation where it can be."""
    interpreter = Interpreter(flatbuffer, name="the converted model")
    batch = 2
    try:
        interpreter.resize((batch, *interpreter.inputs[0].shape[1:]))
    except RuntimeError:  # it makes pictures of its rows, for which the converter has written down how many they are
        single = tflite_batch(flatbuffer)
        return lambda x: single(x)[0]

    def predict(x: Array) -> Array:
        nonlocal batch
        if len(x) != batch:
            interpreter.resize((len(x), *interpreter.inputs[0].shape[1:]))
            batch = len(x)
        interpreter.set(quantise(x, interpreter.inputs[0]))
        interpreter.invoke()
        return dequantise(interpreter.get(0), interpreter.outputs[0])

    return predict


class Detect:
    """An image to boxes, scores and classes, from any function of prepared images (N, H, W, 3) to raw heads."""

    def __init__(
        self, heads: Callable[[Array], list[Array]], shape: tuple[int, int], image: ImageInput, decode: DarknetDecode
    ) -> None:
        rows, columns = shape
        self._heads = heads
        self._input = np.zeros((1, rows, columns, 1 if image.colour == "GRAY" else 3), np.float32)
        tensor = Tensor(name="image", shape=self._input.shape, dtype="float32")
        self._prepare = Preprocessor(image, tensor)
        self._decode_spec = decode
        self._decoder: DarknetDecoder | None = None

    def __call__(self, image: Array) -> Seen:
        self._prepare.write(image, lambda: self._input)
        boxes, scores, classes = self.read([head[:1] for head in self._heads(self._input)])
        return self._prepare.to_frame(boxes), scores, classes

    def read(self, heads: list[Array]) -> Seen:
        """Boxes of one image from its raw heads, as fractions of the network's input."""
        if self._decoder is None:
            outputs = tuple(Tensor(name="head", shape=head.shape, dtype="float32") for head in heads)
            rows, columns = self._input.shape[1:3]
            self._decoder = DarknetDecoder(self._decode_spec, outputs, columns, rows, LEAST_SCORE)
        found = self._decoder.decode([heads[index] for index in self._decoder.outputs])
        spec = self._decode_spec
        kept = nms(found.boxes, found.scores, found.classes, spec.nms_iou, spec.nms_beta)
        return found.boxes[kept], found.scores[kept], found.classes[kept]


def _list(value: Any) -> list[Any]:
    return list(value) if isinstance(value, (list, tuple)) else [value]
