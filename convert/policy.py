"""A learned policy from Keras to TFLite: float in and out, the chosen action baked in as a second output."""

from __future__ import annotations

from typing import Any

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from convert.errors import ConvertError
from convert.parity import Converted, Judge, Parity, compare
from convert.predict import keras_batch, tflite_batch, tflite_logits
from convert.progress import Steps
from convert.tflite import Mode, export, variables_of
from edge.interpreter import Interpreter
from edge.manifest import Manifest

SAMPLES = 512
NEAR = 0.05
"""How far a continuous action, of -1..1, may be from the source's and count as the same."""


def convert(model: Any, draft: dict[str, Any], mode: Mode, judge: Judge | None, steps: Steps, what: str) -> Converted:
    """Convert a policy and compare it with its source.

    Args:
        model: Keras, observation (None, size) to logits (None, actions).
        draft: what training knows of the manifest.
        judge: supplies typical observations and measures success; without it outputs alone are compared.

    Raises:
        ConvertError: the model is no policy, or TensorFlow cannot convert it.
    """
    shape = tuple(model.inputs[0].shape)
    if len(model.inputs) != 1 or len(shape) != 2 or shape[1] is None:
        raise ConvertError(f"{what} takes {shape}, a policy takes one flat observation (None, size); train it again")
    if mode == "int8" and judge is None:
        raise ConvertError(f"--quantize int8 of {what} needs observations to calibrate on; use --quantize dynamic")
    size = int(shape[1])
    observations = _observations(judge, size)

    def function(x: Any) -> list[Any]:
        logits = model(x, training=False)
        logits = logits[0] if isinstance(logits, (list, tuple)) else logits
        # The runtime reads one integer instead of comparing in Python; -1 says that the logits are not finite
        # (their sum then is not either). Integers always are.
        index = tf.argmax(logits, axis=-1, output_type=tf.int32)
        if mode != "int8":
            index = tf.where(tf.abs(tf.reduce_sum(logits, axis=-1)) < 3e38, index, -1)
        return [logits, index]

    steps.begin("converting")
    # Observations are floats and stay so at the border, whatever the arithmetic inside.
    flatbuffer = export(
        function, (1, size), variables_of(model), mode, [row[None] for row in observations[:256]], integer_io="none"
    )
    interpreter = Interpreter(flatbuffer, name="the converted model")
    steps.begin("comparing outputs")
    source = keras_batch(model)
    want, have = source(observations)[0], tflite_batch(flatbuffer)(observations)
    errors = compare(("logits",), [want], have[:1])
    if (have[0].argmax(-1) != have[1].reshape(-1)).any():
        raise ConvertError(f"the converted {what} chooses another action than its own logits say; nothing was written")
    if judge is not None and judge.continuous:
        off = np.abs(np.clip(have[0], -1.0, 1.0) - np.clip(want, -1.0, 1.0)).max(-1)
        figures = {f"actions within {NEAR:g} of the source's": (1.0, float(np.mean(off <= NEAR)), 0.1)}
    else:
        figures = {"same action as the source": (1.0, float(np.mean(have[1].reshape(-1) == want.argmax(-1))), 0.1)}
    if judge is not None:
        steps.begin(f"judging: {judge.figure[:24]}")
        before = judge.measure(lambda x: source(x)[0])
        figures[judge.figure] = (before, judge.measure(tflite_logits(flatbuffer)), judge.may_drop)
    steps.finish()
    weights = 4 * int(model.count_params())
    parity = Parity(mode, len(observations), errors, weights, len(flatbuffer), figures)
    manifest = Manifest.model_validate(
        draft | {"inputs": interpreter.inputs, "outputs": interpreter.outputs, "parity": parity.to_manifest()}
    )
    _fits(manifest, size, want.shape[-1], what)
    return Converted(what, flatbuffer, manifest, parity)


def _observations(judge: Judge | None, size: int) -> NDArray[np.float32]:
    if judge is None:
        return np.random.default_rng(0).uniform(-1.0, 1.0, (SAMPLES, size)).astype(np.float32)
    observations = np.asarray(judge.calibration(), np.float32)
    if observations.ndim != 2 or observations.shape[1] != size or not len(observations):
        raise ConvertError(
            f"the judge's observations are {observations.shape}, the policy takes (N, {size}); train it again"
        )
    return observations[:: -(-len(observations) // SAMPLES)]


def _fits(manifest: Manifest, size: int, actions: int, what: str) -> None:
    if manifest.observation is not None and manifest.observation.size != size:
        raise ConvertError(
            f"{what} takes {size} numbers, its settings say an observation of {manifest.observation.size}; train again"
        )
    if manifest.actions is not None and manifest.actions.outputs != actions:
        raise ConvertError(
            f"{what} gives {actions} numbers, its settings say {manifest.actions.outputs}; train it again"
        )
