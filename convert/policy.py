"""A learned policy from Keras to TFLite: float in and out, the chosen action baked in as a second output."""

from __future__ import annotations

from typing import Any

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from convert.errors import ConvertError
from convert.parity import Converted, Judge, Parity, compare
from convert.policy_int8 import Int8Policy, is_dense
from convert.predict import keras_batch, tflite_batch, tflite_logits
from convert.progress import Steps
from convert.tflite import Mode, export, variables_of
from edge.interpreter import Interpreter
from edge.manifest import Manifest

SAMPLES = 512


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
    steps.begin("converting")
    rounded = None
    if mode == "int8" and judge is not None and is_dense(model):
        rounded = Int8Policy(model, observations, judge.continuous)
    observations = observations[:: -(-len(observations) // SAMPLES)]

    def function(x: Any) -> list[Any]:
        logits = model(x, training=False) if rounded is None else rounded.graph(x)
        logits = logits[0] if isinstance(logits, (list, tuple)) else logits
        # The runtime reads one integer instead of comparing in Python; -1 says that the logits are not finite
        # (their sum then is not either). Integers always are.
        index = tf.argmax(logits, axis=-1, output_type=tf.int32)
        if mode != "int8":
            index = tf.where(tf.abs(tf.reduce_sum(logits, axis=-1)) < 3e38, index, -1)
        return [logits, index]

    variables = variables_of(model) if rounded is None else []
    # Where every range is stated, what has none (the observations as they come) stays in float.
    samples = [row[None] for row in observations[:256]] if rounded is None else []
    # Observations are floats and stay so at the border, whatever the arithmetic inside.
    flatbuffer = export(function, (1, size), variables, mode, samples, integer_io="none")
    interpreter = Interpreter(flatbuffer, name="the converted model")
    steps.begin("comparing outputs")
    source = keras_batch(model)
    want, have = source(observations)[0], tflite_batch(flatbuffer)(observations)
    # Distilled scores are to choose as the source's do, not to be the same; wrong they are where rounding is not why.
    exact = want if rounded is None else np.asarray(rounded.graph(tf.constant(observations)))
    errors = compare(("logits",), [exact], have[:1])
    if (have[0].argmax(-1) != have[1].reshape(-1)).any():
        raise ConvertError(f"the converted {what} chooses another action than its own logits say; nothing was written")
    if judge is not None and judge.continuous:
        off = np.abs(np.clip(have[0], -1.0, 1.0) - np.clip(want, -1.0, 1.0))
        figures = {"1 less the mean error of an action": (1.0, 1.0 - float(off.mean()), 0.1)}
    else:
        figures = {"same action as the source, where it matters": (1.0, _agreement(want, have[1].reshape(-1)), 0.1)}
    if judge is not None:
        steps.begin(f"judging: {judge.figure[:24]}")
        before = judge.measure(lambda x: source(x)[0])
        figures[judge.figure] = (before, judge.measure(tflite_logits(flatbuffer)), judge.may_drop)
    steps.finish()
    weights = 4 * int(model.count_params())
    done = () if rounded is None else rounded.done
    parity = Parity(mode, len(observations), errors, weights, len(flatbuffer), figures, done=done)
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
    return observations


def _agreement(scores: NDArray[np.float32], chosen: NDArray[np.int32]) -> float:
    """Share of the observations on which the chosen action is the best, each weighed by how far the best is from the
    next: where two are all but alike either will do."""
    ranked = np.sort(scores, -1)
    weight = ranked[:, -1] - ranked[:, -2] if scores.shape[1] > 1 else np.ones(len(scores))
    return float(np.average(chosen == scores.argmax(-1), weights=weight + 1e-9 * (1.0 + weight.max())))


def _fits(manifest: Manifest, size: int, actions: int, what: str) -> None:
    if manifest.observation is not None and manifest.observation.size != size:
        raise ConvertError(
            f"{what} takes {size} numbers, its settings say an observation of {manifest.observation.size}; train again"
        )
    if manifest.actions is not None and manifest.actions.outputs != actions:
        raise ConvertError(
            f"{what} gives {actions} numbers, its settings say {manifest.actions.outputs}; train it again"
        )
