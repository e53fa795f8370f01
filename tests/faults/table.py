"""The faults that a simulated robot is put through, and what must come of each, as data.

A row is a fault of one part, in some of the policies: what the wheels must do, within how long of its beginning, and
which protection sees to it. Times are made of what they consist of: a sensor's period, an age that is allowed, one
period of the loop.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from edge.policies.learned import LearnedPolicy
from robot.config import Bumpers
from robot.sim.faults import Fault, Kind, Part
from robot.types import Twist
from tests.faults.scene import CONFIG, PERIOD_S, POLICIES, Scene

assert CONFIG.camera is not None
LOOP = PERIOD_S
ECHO = 1 / CONFIG.range.rate_hz + PERIOD_S  # until the next sample: the simulated sensor's ticks are the loop's
LIGHT = 1 / CONFIG.light.rate_hz + PERIOD_S
FRAME = 1 / CONFIG.camera.fps + PERIOD_S
STALE_ECHO, STALE_LIGHT, STALE_FRAME = CONFIG.range.stale_s, CONFIG.light.stale_s, CONFIG.camera.stale_s
SEES = ("person", "follow")  # need their camera
LIT = ("light", "learned")  # live by light

ZERO, NO_FORWARD, DRIVES = "both wheels at zero", "no wheel space forward", "drives on"


@dataclass(frozen=True)
class Row:
    """One fault and what must come of it.

    Args:
        name: part and fault, as the contract names them.
        wheels: what they must do from `within_s` after its beginning until its end.
        protection: of `without.PROTECTIONS`; none where the fault cannot matter.
        faults: of the simulated body, from start to end. prepare: or what is done to the runtime instead.
        start_s: when it begins; a second after the start every policy turns about or drives.
        again_s: within this of the end the wheels turn again by themselves; None where that would not be safe.
    """

    name: str
    wheels: str
    within_s: float
    protection: str
    faults: Callable[[float, float], tuple[Fault, ...]] = lambda start, end: ()
    prepare: Callable[[Scene, float, float], None] = lambda scene, start, end: None
    policies: tuple[str, ...] = POLICIES
    start_s: float = 1.0
    lasts_s: float = 1.0
    again_s: float | None = 1.0
    options: dict[str, Any] = field(default_factory=dict)


def fault(part: Part, kind: Kind, value: float = 0.0) -> Callable[[float, float], tuple[Fault, ...]]:
    return lambda start, end: (Fault(part, kind, start, end, value),)


def raising(owner: Callable[[Scene], Any], name: str, error: Exception) -> Callable[[Scene, float, float], None]:
    """A method that raises from start to end."""

    def prepare(scene: Scene, start: float, end: float) -> None:
        target = owner(scene)
        whole = getattr(target, name)

        def method(*arguments: Any, **named: Any) -> Any:
            if start <= scene.clock.now() < end - 1e-9:
                raise type(error)(*error.args)  # a new one each time: one that is raised again grows its traceback
            return whole(*arguments, **named)

        setattr(target, name, method)

    return prepare


def acting(
    change: Callable[[Scene, Callable[[Any], Any], Any], Any], early_s: float = 0.0
) -> Callable[[Scene, float, float], None]:
    """A policy that acts otherwise from start, or earlier, to end."""

    def prepare(scene: Scene, start: float, end: float) -> None:
        whole = scene.policy.act

        def act(observation: Any) -> Any:
            now = scene.clock.now()
            return change(scene, whole, observation) if start - early_s <= now < end - 1e-9 else whole(observation)

        scene.policy.act = act  # type: ignore[method-assign]

    return prepare


def _stubborn(scene: Scene, act: Callable[[Any], Any], observation: Any) -> Any:
    """It wants straight ahead, whatever it senses: what stops it is the guard alone."""
    act(observation)
    return Twist(0.25, 0.0)


def _slowly(scene: Scene, act: Callable[[Any], Any], observation: Any) -> Any:
    wanted = act(observation)
    scene.clock.sleep_until(scene.clock.now() + 3 * PERIOD_S)  # the world goes on meanwhile
    return wanted


def _no_number(scene: Scene, act: Callable[[Any], Any], observation: Any) -> Any:
    if isinstance(scene.policy, LearnedPolicy):
        scene.policy._held = Twist(math.nan, math.nan)  # what the network's NaN becomes; see test_learned
        return scene.policy._held
    act(observation)
    return Twist(math.nan, 0.3)


def _slow_detector(scene: Scene, start: float, end: float) -> None:
    perception = scene.loop.perception
    release, latency_s = perception._release, perception.latency_s

    def timed(now: float) -> None:
        perception.latency_s = 10 * latency_s if start <= now < end else latency_s
        release(now)

    perception._release = timed


def _odd_detector(scene: Scene, start: float, end: float) -> None:
    """NaN in its answer; where nothing was seen, in one that it makes up."""
    from dataclasses import replace

    from edge.types import Detection

    assert scene.eye is not None
    whole, nothing = scene.eye.detect, Detection("person", 0.9, (0.0, 0.0, 10.0, 10.0), 0.0, 0.5)

    def detect(image: Any) -> Any:
        found = whole(image)
        if start <= scene.clock.now() < end:
            return tuple(replace(item, bearing=math.nan) for item in found or (nothing,))
        return found

    scene.eye.detect = detect  # type: ignore[method-assign]


def _cut_detector(scene: Scene, start: float, end: float) -> None:
    import numpy as np

    raising(lambda s: s.eye, "detect", ValueError(f"cannot reshape array of size {np.prod((7, 7))}"))(scene, start, end)


_ahead = acting(_stubborn, early_s=0.5)

ROWS = (
    # -- the camera, where the policy lives by it ...
    Row("camera: none", ZERO, 0.0, "fresh frames", fault(Part.CAMERA, Kind.DISCONNECT), policies=SEES,
        start_s=0.0, lasts_s=2.0),
    Row("camera: unplugged", ZERO, STALE_FRAME + LOOP, "fresh frames", fault(Part.CAMERA, Kind.DISCONNECT),
        policies=SEES, lasts_s=1.5),
    Row("camera: frozen", ZERO, 3 * FRAME + LOOP, "frame check", fault(Part.CAMERA, Kind.STUCK), policies=SEES),
    Row("camera: black", ZERO, FRAME + LOOP, "frame check", fault(Part.CAMERA, Kind.VALUE, 0.0), policies=SEES),
    Row("camera: wrong size", ZERO, FRAME + LOOP, "frame check", fault(Part.CAMERA, Kind.SIZE), policies=SEES),
    Row("camera: slow", ZERO, STALE_FRAME + LOOP, "fresh frames", fault(Part.CAMERA, Kind.DELAY, 1.0),
        policies=SEES, lasts_s=1.5, again_s=1.5),
    # ... and where it only looks on
    *(
        Row(f"camera: {name}", DRIVES, 0.0, "", fault(Part.CAMERA, kind, value), policies=("light", "range", "learned"),
            options={"camera": True})
        for name, kind, value in (
            ("unplugged", Kind.DISCONNECT, 0.0), ("frozen", Kind.STUCK, 0.0), ("black", Kind.VALUE, 0.0),
            ("wrong size", Kind.SIZE, 0.0), ("slow", Kind.DELAY, 1.0),
        )
    ),
    # -- the range
    Row("range: no echo", NO_FORWARD, ECHO + LOOP, "echoes", fault(Part.RANGE, Kind.DROPOUT), _ahead),
    Row("range: stuck", NO_FORWARD, 6 * ECHO + LOOP, "plausibility", fault(Part.RANGE, Kind.STUCK), _ahead),
    Row("range: 0", NO_FORWARD, ECHO + LOOP, "echoes", fault(Part.RANGE, Kind.VALUE, 0.0), _ahead),
    Row("range: infinity", ZERO, ECHO + LOOP, "finite senses", fault(Part.RANGE, Kind.VALUE, math.inf)),
    Row("range: NaN", ZERO, ECHO + LOOP, "finite senses", fault(Part.RANGE, Kind.NAN)),
    Row("range: alternating", NO_FORWARD, 2 * ECHO + LOOP, "the echo before", fault(Part.RANGE, Kind.ALTERNATE, 0.1),
        _ahead),
    Row("range: late", ZERO, STALE_ECHO + LOOP, "ages of readings", fault(Part.RANGE, Kind.DELAY, 0.5), again_s=1.5),
    Row("range: unplugged", ZERO, STALE_ECHO + LOOP, "ages of readings", fault(Part.RANGE, Kind.DISCONNECT)),
    # -- the light
    Row("light: silent", ZERO, STALE_LIGHT + LOOP, "ages of readings", fault(Part.LIGHT, Kind.DROPOUT)),
    Row("light: dead", ZERO, 5.0, "plausibility", fault(Part.LIGHT, Kind.VALUE, 0.0), policies=LIT, lasts_s=8.0),
    Row("light: dead", DRIVES, 0.0, "", fault(Part.LIGHT, Kind.VALUE, 0.0), policies=("range", *SEES)),
    Row("light: saturated", ZERO, LIGHT + 0.4 + LOOP, "arriving", fault(Part.LIGHT, Kind.VALUE, 1.0), policies=LIT,
        again_s=None),
    Row("light: saturated", DRIVES, 0.0, "", fault(Part.LIGHT, Kind.VALUE, 1.0), policies=("range", *SEES)),
    Row("light: swapped", ZERO, 2.8, "plausibility", fault(Part.LIGHT, Kind.SWAPPED), policies=("light",),
        start_s=0.0, lasts_s=5.0, again_s=None),
    Row("light: swapped", DRIVES, 0.0, "", fault(Part.LIGHT, Kind.SWAPPED), policies=("range", *SEES)),
    # -- the motors, where wheel speeds are measured
    *(
        Row(f"motors: {name}", ZERO, 0.4 + 0.3 + LOOP, "plausibility", fault(part, kind), _ahead,
            options={"encoders": True}, again_s=2.5)
        for name, part, kind in (
            ("one dead", Part.MOTOR_LEFT, Kind.DEAD),
            ("one reversed", Part.MOTOR_LEFT, Kind.REVERSED),
            ("both reversed", Part.MOTORS, Kind.REVERSED),
        )
    ),
    # -- models at work
    Row("model: NaN out", ZERO, LOOP, "finite commands", prepare=acting(_no_number), policies=("learned",)),
    Row("model: NaN out", ZERO, FRAME + LOOP, "detector's faults", prepare=_odd_detector, policies=SEES),
    Row("model: 10x slow", ZERO, 4 * LOOP, "overruns", prepare=acting(_slowly), policies=("learned",)),
    Row("model: 10x slow", ZERO, STALE_FRAME + LOOP, "fresh frames", prepare=_slow_detector, policies=SEES,
        lasts_s=2.5, again_s=1.5),
    Row("model: exception", ZERO, LOOP, "zero on an exception", policies=("learned",),
        prepare=raising(lambda scene: scene.policy, "choose", ValueError("a broken model"))),
    Row("model: exception", ZERO, FRAME + LOOP, "detector's faults", policies=SEES,
        prepare=raising(lambda scene: scene.eye, "detect", ValueError("a broken model"))),
    Row("model: wrong shape out", ZERO, FRAME + LOOP, "detector's faults", prepare=_cut_detector, policies=SEES),
    # -- an exception in every stage of the loop
    *(
        Row(f"exception: {stage}", ZERO, LOOP, "zero on an exception", prepare=raising(owner, method, error))
        for stage, owner, method, error in (
            ("sense", lambda scene: scene.body, "sense", OSError("the bus is gone")),
            ("policy", lambda scene: scene.policy, "act", KeyError("a bug")),
            ("guard", lambda scene: scene.loop.guard, "check", ZeroDivisionError("a bug")),
            ("actuation", lambda scene: scene.body, "drive", OSError("no such device")),
        )
    ),
    Row("exception: perception", ZERO, LOOP, "zero on an exception", policies=SEES,
        prepare=raising(lambda scene: scene.loop.perception, "newest", IndexError("a bug"))),
    Row("policy: slow", ZERO, 4 * LOOP, "overruns", prepare=acting(_slowly)),
    Row("policy: NaN", ZERO, LOOP, "finite commands", prepare=acting(_no_number)),
    # -- the rest of what the guard watches
    Row("emergency stop", ZERO, 2 * LOOP, "emergency stop", fault(Part.EMERGENCY_STOP, Kind.VALUE, 1.0)),
    Row("emergency stop: wire broken", ZERO, 2 * LOOP, "emergency stop", fault(Part.EMERGENCY_STOP, Kind.DROPOUT)),
    Row("tilt", ZERO, 2 * LOOP, "tilt", fault(Part.TILT, Kind.VALUE, 0.7)),
    Row("battery: low", ZERO, 2 * LOOP, "battery", fault(Part.BATTERY, Kind.VALUE, 5.0)),
    Row("supply: under-voltage", ZERO, 2 * LOOP, "under-voltage", fault(Part.UNDER_VOLTAGE, Kind.VALUE, 1.0)),
    Row("bumper: pressed", NO_FORWARD, 2 * LOOP, "bumpers", fault(Part.BUMPERS, Kind.VALUE, 1.0),
        _ahead, options={"config": CONFIG.model_copy(update={"bumpers": Bumpers(left_pin=16, right_pin=19)})}),
)
