"""A learnt policy: a `.tflite` file, its observation built here, its actions from its manifest."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from edge import observation as light
from edge import scan_observation as scan
from edge import sight_observation as sight
from edge import thing_observation as thing
from edge.errors import ModelError
from edge.interpreter import open_model
from edge.manifest import Actions, LightObservation, Manifest, ShareActions, TwistActions
from edge.observation import LightObserver
from edge.scan_observation import ScanObserver
from edge.sight_observation import SightObserver
from edge.thing_observation import ThingObserver
from edge.types import Observation
from robot.config import RobotConfig, load
from robot.kinematics import twist_from_wheels
from robot.types import Reading, Twist, Wheels

if TYPE_CHECKING:
    from edge.policies.follow import FollowPolicy

Floats = NDArray[np.float32]

Observers = type[LightObserver] | type[ScanObserver] | type[SightObserver] | type[ThingObserver]
OBSERVERS: dict[str, tuple[int, int, Observers]] = {
    light.NAME: (light.VERSION, light.SIZE, LightObserver),
    scan.NAME: (scan.VERSION, scan.SIZE, ScanObserver),
    sight.NAME: (sight.VERSION, sight.SIZE, SightObserver),
    thing.NAME: (thing.VERSION, thing.SIZE, ThingObserver),
}
"""The observations that a policy can be fed here: version, size, and who builds it."""
GOALS = {"approach": "range", "dock": "light"}
"""Learned tasks whose goal is a hand-written policy's."""
STILL = Twist(0.0, 0.0)
HEIGHT_M = 1.7
"""By which a distance is told as an apparent size: how tall somebody is no detector tells."""
SEEN_S = 0.35
"""Who was on a frame no older than this is told as seen: two frames, and what the detector takes."""
_NOT_FINITE = Twist(math.nan, math.nan)


class LearnedPolicy:
    """Decides every `period_s` of its manifest, and holds the command between.

    Duties of wheels are told as the motion that the robot of `config` makes by them, which the guard can judge.

    Whoever follows a person is told of them by what the hand-written `follow` knows (`edge.policies.follow`): which of
    several persons it is, through all that passes between, is no matter of the network.

    A network whose output is not finite wants a command that is not finite, which the guard answers by a stop.

    Args:
        path: a model file, as `edgebot convert` writes it.
        config: the robot; None where only `choose` and `decide` are used.
        threads: of the interpreter.

    Raises:
        ModelError: no policy, damaged, or made for another observation than this edgebot builds.
        UsageError: it lives by the camera, and the robot has none.
    """

    def __init__(self, path: str | Path, config: RobotConfig | None = None, threads: int = 1) -> None:
        self.path = Path(path)
        self._interpreter, self.manifest = open_model(path, "policy", threads)
        observed, actions = _check(path, self.manifest)
        self.name = self.manifest.name
        self.task = GOALS.get(self.name, self.name)
        self.needs_light = observed.name == light.NAME
        self.period_s = observed.period_s
        self._done_light = math.inf if observed.done_light is None else observed.done_light
        # For action -1, the last of both: what is not finite, and a robot that stood.
        twists = actions.twists if isinstance(actions, TwistActions) else ()
        self._table = (*(Twist(v, omega) for v, omega in twists), _NOT_FINITE)
        self._commands = np.array([*twists, (0.0, 0.0)], np.float32)[:, :, None]  # (actions + 1, 2, 1)
        self._continuous = None if twists else actions
        config = config or load()
        self._drive = config.drive
        self.needs_camera = observed.name == sight.NAME
        self._eyes = _eyes(config) if self.needs_camera else None
        if self._eyes is not None:
            self.score = self._eyes.score
        self._input = self._interpreter.input_view(0)
        self._values, self._index = self._interpreter.output_view(0), self._interpreter.output_view(1)
        self._invoke = self._interpreter.invoke
        self._observer = OBSERVERS[observed.name][2](1, self.period_s)
        self._looked = np.zeros((2, 1), np.float32)  # what the observer is told besides the range: light, or a person
        self._range = np.zeros(1, np.float32)
        self.reset()

    @property
    def done(self) -> bool:
        """Whether the goal is reached, as the manifest's `done_light` tells; the robot stands from then on."""
        return self._done

    def reset(self) -> None:
        self._observer.reset()
        self._looked[:] = np.nan
        if self._eyes is not None:
            self._eyes.reset()
        self._command = np.zeros((2, 1), np.float32)
        self._held = STILL
        self._due = -math.inf
        self._done = False
        self._bright = 0

    def act(self, observation: Observation) -> Twist:
        """The command for this iteration; a new decision where one is due."""
        now = observation.now
        person = None if self._eyes is None else self._eyes.perceive(observation)
        # Half a millisecond of slack: sums of periods in floating point are a little early or late.
        if now < self._due - 5e-4 or self._done:
            return self._held
        senses = observation.senses
        if self.needs_camera:
            self._looked[:, 0] = _told(person)
        else:
            self._take(0, senses.light_left)
            self._take(1, senses.light_right)
        if self.needs_light and not np.isfinite(self._looked).all():
            return STILL  # no sample yet: there is nothing to decide on
        self._bright = self._bright + 1 if self._looked.max() >= self._done_light else 0
        if self._bright >= 2:
            self._done = True
            self._held = STILL
            return STILL
        value = senses.range.value
        self._range[0] = math.nan if value is None else value
        seen = self._observer.observe(self._looked, self._range, self._command)
        action = self.choose(seen[:, 0])  # where that raises, it is asked again at once: what is held is no answer
        late = now - self._due
        self._due = now + self.period_s - (late if late < 0.5 * self.period_s else 0.0)
        self._held = held = self._motion(action)
        if self._continuous is None or action < 0:
            self._command = self._commands[action]
        else:
            self._command = np.array([[held.v], [held.omega]], np.float32)
        return held

    def decide(self, features: Floats) -> Twist:
        """From an observation as its observer builds it, (SIZE,), to the command."""
        return self._motion(self.choose(features))

    def choose(self, features: Floats) -> int:
        """The action for an observation (SIZE,): its index in the manifest, or -1 where the output is not finite.

        Of a continuous policy the largest output, which says no more than whether they are finite.
        """
        # The network itself compares: reading one integer is quicker than the logits, and each microsecond shows here.
        self._input()[...] = features
        self._invoke()
        return self._index().item()

    def _motion(self, action: int) -> Twist:
        """The command that the network's last answer means."""
        if self._continuous is None or action < 0:
            return self._table[action]
        first, second = np.clip(self._values()[0], -1.0, 1.0).tolist()
        if isinstance(self._continuous, ShareActions):
            v, omega = self._continuous.most
            return Twist(first * v, second * omega)
        return twist_from_wheels(self._drive, Wheels(first, second))

    def logits(self, features: Floats) -> Floats:
        """The network's raw output (actions,) for an observation (SIZE,)."""
        values: Floats = self._interpreter.run(features[None])[0][0]
        return values

    def _take(self, row: int, reading: Reading) -> None:
        # A sample that failed leaves the one before; whether that is too old, the guard judges.
        if reading.value is not None and math.isfinite(reading.value):
            self._looked[row] = min(max(reading.value, 0.0), 1.0)


def _eyes(config: RobotConfig) -> FollowPolicy:
    """Who knows where the person is. Raises `UsageError` for a robot without a camera."""
    from edge.policies import make  # which imports this module; it tells of a camera that is missing
    from edge.policies.follow import FollowPolicy

    eyes = make("follow", config)
    assert isinstance(eyes, FollowPolicy)
    return eyes


def _told(person: tuple[float, float, float] | None) -> tuple[float, float]:
    """Bearing (rad) and apparent size of whom `FollowPolicy.perceive` knows; NaN where they are out of sight."""
    if person is None or person[2] > SEEN_S:
        return math.nan, math.nan
    distance, bearing, _ = person
    return bearing, HEIGHT_M / max(distance, 0.2)


def _check(path: str | Path, manifest: Manifest) -> tuple[LightObservation, Actions]:
    """Whether this edgebot builds the observation that the model was trained on. Raises `ModelError`."""
    observed, actions = manifest.observation, manifest.actions
    if observed is None or actions is None:
        missing = "observation" if observed is None else "actions"
        raise ModelError(
            f"{path} does not say its {missing} in the manifest; convert its run again with `edgebot convert`"
        )
    version, size, _ = OBSERVERS.get(observed.name, (None, 0, None))
    if observed.version != version:
        built = ", ".join(f"{name!r} version {known[0]}" for name, known in OBSERVERS.items())
        raise ModelError(
            f"{path} was trained on observation {observed.name!r} version {observed.version}, this edgebot builds "
            f"{built}; train and convert it again"
        )
    if not observed.period_s > 0 or not math.isfinite(observed.period_s):
        raise ModelError(
            f"{path} says that it decides each {observed.period_s} s, expected more than 0; convert it again"
        )
    if observed.size != size:
        raise ModelError(f"{path} observes {observed.size} numbers, expected {size}; train and convert it again")
    found = [(tensor.shape, tensor.dtype) for tensor in (*manifest.inputs, *manifest.outputs)]
    wanted = [((1, size), "float32"), ((1, actions.outputs), "float32"), ((1,), "int32")]
    if found != wanted:
        raise ModelError(f"{path} has tensors {_words(found)}; a policy has {_words(wanted)}; convert it again")
    return observed, actions


def _words(tensors: Sequence[tuple[tuple[int, ...], str]]) -> str:
    return ", ".join(f"{'x'.join(map(str, shape))} {dtype}" for shape, dtype in tensors)
