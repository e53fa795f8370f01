"""A learnt policy: a `.tflite` file, its observation built by `edge.observation`, its actions from its manifest."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edge import observation as light
from edge.errors import ModelError
from edge.interpreter import dequantise, open_model, quantise
from edge.manifest import LightObservation, Manifest, TwistActions
from edge.observation import LightObserver
from edge.types import Observation
from robot.config import RobotConfig
from robot.types import Reading, Twist

Floats = NDArray[np.float32]

STILL = Twist(0.0, 0.0)
_NOT_FINITE = Twist(math.nan, math.nan)


class LearnedPolicy:
    """Decides every `period_s` of its manifest, and holds the command between.

    A network whose output is not finite wants a command that is not finite, which the guard answers by a stop.

    Args:
        path: a model file, as `edgebot convert` writes it.
        config: the robot; None where only `choose` and `decide` are used.
        threads: of the interpreter.

    Raises:
        ModelError: no policy, damaged, or made for another observation than this edgebot builds.
    """

    needs_camera = False

    def __init__(self, path: str | Path, config: RobotConfig | None = None, threads: int = 1) -> None:
        self._interpreter, self.manifest = open_model(path, "policy", threads)
        observed, actions = _check(path, self.manifest)
        self.name = self.task = self.manifest.name
        self.period_s = observed.period_s
        self._done_light = math.inf if observed.done_light is None else observed.done_light
        self._twists = tuple(Twist(v, omega) for v, omega in actions.twists)
        self._commands = np.array(actions.twists, np.float32)[:, :, None]  # (actions, 2, 1), for the observer
        self._floats = self.manifest.inputs[0].dtype == self.manifest.outputs[0].dtype == "float32"
        self._input = self._interpreter.input_view(0)
        self._logits = self._interpreter.output_view(0)
        self._invoke = self._interpreter.invoke
        self._observer = LightObserver(1, self.period_s)
        self._light = np.zeros((2, 1), np.float32)
        self._range = np.zeros(1, np.float32)
        self.reset()

    @property
    def done(self) -> bool:
        """Whether the goal is reached, as the manifest's `done_light` tells; the robot stands from then on."""
        return self._done

    def reset(self) -> None:
        self._observer.reset()
        self._light[:] = np.nan
        self._command = np.zeros((2, 1), np.float32)
        self._held = STILL
        self._due = -math.inf
        self._done = False
        self._bright = 0

    def act(self, observation: Observation) -> Twist:
        """The command for this iteration; a new decision where one is due."""
        now = observation.now
        # Half a millisecond of slack: sums of periods in floating point are a little early or late.
        if now < self._due - 5e-4 or self._done:
            return self._held
        senses = observation.senses
        self._take(0, senses.light_left)
        self._take(1, senses.light_right)
        if not np.isfinite(self._light).all():
            return STILL  # no sample yet: there is nothing to decide on
        self._bright = self._bright + 1 if self._light.max() >= self._done_light else 0
        if self._bright >= 2:
            self._done = True
            self._held = STILL
            return STILL
        value = senses.range.value
        self._range[0] = math.nan if value is None else value
        seen = self._observer.observe(self._light, self._range, self._command)
        late = now - self._due
        self._due = now + self.period_s - (late if late < 0.5 * self.period_s else 0.0)
        action = self.choose(seen[:, 0])
        if action < 0:
            self._held = _NOT_FINITE
            self._command = np.zeros((2, 1), np.float32)
        else:
            self._held = self._twists[action]
            self._command = self._commands[action]
        return self._held

    def decide(self, features: Floats) -> Twist:
        """From an observation as `edge.observation` builds it, (SIZE,), to the command."""
        action = self.choose(features)
        return self._twists[action] if action >= 0 else _NOT_FINITE

    def choose(self, features: Floats) -> int:
        """The action for an observation (SIZE,): its index in the manifest, or -1 where the output is not finite."""
        if self._floats:
            self._input()[0] = features
            self._invoke()
            values: list[float] = self._logits()[0].tolist()
        else:
            values = self.logits(features).tolist()
        # The sum of finite numbers is finite (they are small), and one NaN or infinity spoils it: one test for all.
        return values.index(max(values)) if math.isfinite(sum(values)) else -1

    def logits(self, features: Floats) -> Floats:
        """The network's raw output for an observation (SIZE,), as real numbers."""
        source, target = self.manifest.inputs[0], self.manifest.outputs[0]
        self._interpreter.set(quantise(features[None], source))
        self._invoke()
        real: Floats = dequantise(self._interpreter.get(0), target)[0]
        return real

    def _take(self, row: int, reading: Reading) -> None:
        # A sample that failed leaves the one before; whether that is too old, the guard judges.
        if reading.value is not None and math.isfinite(reading.value):
            self._light[row] = min(max(reading.value, 0.0), 1.0)


def _check(path: str | Path, manifest: Manifest) -> tuple[LightObservation, TwistActions]:
    """Whether this edgebot builds the observation that the model was trained on. Raises `ModelError`."""
    observed, actions = manifest.observation, manifest.actions
    if observed is None or actions is None:
        missing = "observation" if observed is None else "actions"
        raise ModelError(
            f"{path} does not say its {missing} in the manifest; convert its run again with `edgebot convert`"
        )
    if (observed.name, observed.version) != (light.NAME, light.VERSION):
        raise ModelError(
            f"{path} was trained on observation {observed.name!r} version {observed.version}, this edgebot builds "
            f"{light.NAME!r} version {light.VERSION}; train and convert it again"
        )
    if not observed.period_s > 0 or not math.isfinite(observed.period_s):
        raise ModelError(
            f"{path} says that it decides each {observed.period_s} s, expected more than 0; convert it again"
        )
    for side, tensor, size in (
        ("input", manifest.inputs[0], light.SIZE), ("output", manifest.outputs[0], len(actions.twists)),
    ):  # fmt: skip
        if tensor.shape != (1, size) or observed.size != light.SIZE:
            shape = "x".join(map(str, tensor.shape))
            raise ModelError(
                f"{path} has an {side} of shape {shape}, a policy of this kind has 1x{size}; convert it again"
            )
    return observed, actions
