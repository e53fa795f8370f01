"""A learned policy from its file to its commands, on whatever interpreter is installed.

`data/light_policy.tflite` is what `edgebot train light --algo ppo` and `edgebot convert` made; robots have no
TensorFlow to make one with.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edge import manifest as manifests
from edge import observation
from edge.errors import ModelError
from edge.guard import Guard, Reason
from edge.loop import Loop, Tick
from edge.observation import LightObserver
from edge.policies import make
from edge.policies.learned import STILL, LearnedPolicy
from edge.types import Observation
from robot.clock import VirtualClock
from robot.config import load
from robot.sim.body import SimBody
from robot.sim.rooms import make_room
from robot.types import STOP, Reading, Senses, Twist

MODEL = Path(__file__).with_name("data") / "light_policy.tflite"
CONFIG = load()


def at(now: float, left: float | None = 0.2, right: float | None = 0.2, range_m: float | None = 1.0) -> Observation:
    senses = Senses(now, Reading(left, now), Reading(right, now), Reading(range_m, now))
    return Observation(now, senses, None, STOP)


@pytest.fixture
def policy() -> LearnedPolicy:
    made = make(str(MODEL), CONFIG)
    assert isinstance(made, LearnedPolicy)
    return made


def altered(tmp_path: Path, change: Callable[[dict[str, Any]], None], flatbuffer: bytes | None = None) -> Path:
    """The model with another manifest or other weights, whose sha256 is right again."""
    found, manifest = manifests.read(MODEL)
    data = manifest.model_dump()
    change(data)
    path = tmp_path / "altered.tflite"
    manifests.save(path, flatbuffer or found, manifests.Manifest.model_validate(data))
    return path


def test_the_action_is_that_of_the_largest_logit(policy: LearnedPolicy) -> None:
    rng = np.random.default_rng(0)
    chosen = set()
    for features in rng.uniform(-1, 1, (200, observation.SIZE)).astype(np.float32):
        logits = policy.logits(features)
        action = policy.choose(features)
        assert logits[action] == logits.max()
        assert policy.manifest.actions is not None
        assert policy.decide(features) == Twist(*policy.manifest.actions.twists[action])
        chosen.add(action)
    assert len(chosen) >= 3


def test_it_decides_once_a_period_and_holds_between(policy: LearnedPolicy) -> None:
    policy.reset()
    rng = np.random.default_rng(1)
    decided: list[float] = []
    choose = policy.choose
    policy.choose = lambda features: decided.append(now) or choose(features)  # type: ignore[method-assign]
    for tick in range(200):
        now = 5.0 + tick * 0.02
        policy.act(at(now, *rng.uniform(0.05, 0.4, 2), rng.uniform(0.3, 2)))
    np.testing.assert_allclose(np.diff(decided), policy.period_s, atol=1e-6)
    assert len(decided) == 20


def test_its_observation_is_the_one_that_training_builds(policy: LearnedPolicy) -> None:
    policy.reset()
    seen: list[np.ndarray] = []
    choose = policy.choose
    policy.choose = lambda features: seen.append(features.copy()) or choose(features)  # type: ignore[method-assign]
    twin, command = LightObserver(1, policy.period_s), Twist(0.0, 0.0)
    rng = np.random.default_rng(2)
    for decision in range(30):
        left, right, range_m = rng.uniform(0.05, 0.4), rng.uniform(0.05, 0.4), rng.uniform(0.1, 3)
        missing = decision % 7 == 3
        last = command
        command = policy.act(at(decision * policy.period_s, left, right, None if missing else range_m))
        expected = twin.observe(
            np.array([[left], [right]], np.float32),
            np.array([math.nan if missing else range_m], np.float32),
            np.array([[last.v], [last.omega]], np.float32),
        )
        np.testing.assert_array_equal(seen[-1], expected[:, 0])


def test_it_waits_for_the_first_light_and_outlives_a_failed_sample(policy: LearnedPolicy) -> None:
    policy.reset()
    assert policy.act(at(0.0, None, None)) == STILL
    assert policy.act(at(0.02, 0.2, math.nan)) == STILL
    moving = policy.act(at(0.04))
    assert math.isfinite(moving.v)
    for tick in range(40):
        command = policy.act(at(0.06 + 0.02 * tick, None, math.nan, math.nan))
        assert math.isfinite(command.v) and math.isfinite(command.omega)


def test_at_the_lamp_it_stands_and_is_done(policy: LearnedPolicy) -> None:
    policy.reset()
    assert policy.manifest.observation is not None and policy.manifest.observation.done_light is not None
    bright = policy.manifest.observation.done_light + 0.01
    policy.act(at(0.0))
    assert not policy.done
    for tick in range(1, 40):
        command = policy.act(at(tick * 0.02, bright, bright))
    assert policy.done and command == STILL
    policy.reset()
    assert not policy.done


def test_the_same_run_gives_the_same_commands_after_a_reset(policy: LearnedPolicy) -> None:
    def run() -> list[Twist]:
        policy.reset()
        rng = np.random.default_rng(3)
        return [policy.act(at(k * 0.02, *rng.uniform(0.01, 0.9, 2), rng.uniform(0.05, 3))) for k in range(300)]

    assert run() == run()


def with_weights_lost(tmp_path: Path) -> Path:
    """The model with NaN in place of the last layer's bias."""
    flatbuffer, manifest = manifests.read(MODEL)
    policy = LearnedPolicy(MODEL)
    native = policy._interpreter._native
    shape = (len(manifest.actions.twists),) if manifest.actions else ()
    for detail in native.get_tensor_details():
        if tuple(detail["shape"]) == shape and detail["dtype"] == np.float32:
            bias = native.get_tensor(detail["index"]).tobytes()
            if flatbuffer.count(bias) == 1:
                lost = np.full(shape, np.nan, np.float32).tobytes()
                return altered(tmp_path, lambda data: None, flatbuffer.replace(bias, lost))
    raise AssertionError("no bias was found in the model")


def test_a_network_that_says_nan_stops_the_robot_which_lives_on(tmp_path: Path) -> None:
    clock = VirtualClock(0.02)
    with SimBody(CONFIG, make_room("light", "easy", 1_000_000), clock, camera=False) as body:
        ticks: list[Tick] = []
        loop = Loop(body, LearnedPolicy(with_weights_lost(tmp_path), CONFIG), Guard(CONFIG), clock)
        summary = loop.run(2.0, on_tick=ticks.append)
        assert {tick.reason for tick in ticks[10:]} == {Reason.NOT_FINITE}
        assert all(tick.applied == STOP for tick in ticks[10:])
        assert summary.ended == "duration" and len(ticks) == 100
        assert not body.world.wheel_speed.any()


def drop(key: str) -> Callable[[dict[str, Any]], None]:
    return lambda data: data.update({key: None})


def put(part: str, **values: Any) -> Callable[[dict[str, Any]], None]:
    return lambda data: data[part].update(values)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (put("observation", version=observation.VERSION + 1), "version 2, this edgebot builds 'light' version 1"),
        (put("observation", name="smell"), "observation 'smell'"),
        (put("observation", size=7), "observes 7 numbers, expected 14"),
        (put("observation", period_s=0.0), "decides each 0.0 s"),
        (put("actions", twists=((0.1, 0.0),)), "has tensors 1x14 float32, 1x5 float32, 1 int32; a policy has"),
        (drop("observation"), "does not say its observation"),
        (drop("actions"), "does not say its actions"),
        (lambda data: data.update(format=99), "format 99"),
    ],
)
def test_a_model_for_something_else_is_one_sentence(
    change: Callable[[dict[str, Any]], None], words: str, tmp_path: Path
) -> None:
    with pytest.raises(ModelError) as told:
        LearnedPolicy(altered(tmp_path, change), CONFIG)
    assert words in str(told.value) and "\n" not in str(told.value)


def test_it_finds_the_lamp_through_loop_guard_and_body() -> None:
    """A few easy rooms, where anything but a whole and rightly fed network fails."""
    reached = 0
    policy = LearnedPolicy(MODEL, CONFIG)
    for seed in range(4):
        clock = VirtualClock(0.02)
        with SimBody(CONFIG, make_room("light", "easy", 1_000_000 + seed), clock, seed, camera=False) as body:
            Loop(body, policy, Guard(CONFIG), clock).run(40.0, until=lambda: policy.done)
            reached += float(body.world.lamp_distance()[0]) <= 0.5
    assert reached >= 3
