"""The robot's tasks: each kind of action, bodies that differ, and what success is."""

from __future__ import annotations

import dataclasses
import json
import math
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest

from convert.policy import convert
from convert.progress import steps
from edge import cli, sight_observation
from edge import manifest as manifests
from edge.errors import UsageError
from edge.guard import Guard
from edge.loop import Loop
from edge.policies.follow import FollowPolicy
from edge.policies.learned import LearnedPolicy
from edge.sight_observation import SightObserver
from edge.types import Observation
from robot.clock import VirtualClock
from robot.config import load
from robot.sim.body import SimBody
from robot.sim.geometry import sees
from robot.sim.rooms import make_room
from robot.types import Reading, Senses, Twist
from tests.edge.test_policies import BoxesByTruth
from train import tasks
from train.envs import ROBOT_TASKS
from train.envs.approach import ApproachBatch, ApproachSettings
from train.envs.batch import decide
from train.envs.body import DUTIES
from train.envs.follow import FollowBatch, FollowSettings
from train.envs.wander import SQUARES, WanderBatch, WanderSettings
from train.evaluation import evaluate
from train.networks import FastMLP, mlp

BODY = {"mismatch": 0.2, "lag": 0.5, "dead_band": 0.5, "noise": 0.1, "latency_s": 0.1, "weak": 0.5}


@pytest.mark.parametrize("name", sorted(ROBOT_TASKS))
def test_an_episode_of_any_body_and_action_repeats_bit_by_bit(name: str) -> None:
    def rollout(more: dict[str, Any]) -> np.ndarray:
        env = tasks.make(name, {"rooms": 2, "limit_s": 3.0} | more).training(5)
        seen, _ = env.reset(3)
        rng = np.random.default_rng(0)
        told = [seen]
        for _ in range(20):  # past the limit, so that new episodes begin
            actions = rng.uniform(-1, 1, (5, 2)) if env.continuous else rng.integers(env.actions, size=5)
            step = env.step(actions)
            assert step.observation.shape == (5, env.observation_size) and step.state.shape == (5, env.state_size)
            assert np.isfinite(step.state).all() and np.isfinite(step.reward).all()
            told.append(step.observation)
        return np.array(told)

    plain = rollout({"continuous": True})
    for more in (BODY | {"continuous": True}, {"wheels": True}):
        first = rollout(more)
        np.testing.assert_array_equal(first, rollout(more))
        assert first.shape == plain.shape and not np.array_equal(first, plain)


def test_bodies_differ_as_the_settings_say_and_senses_are_late() -> None:
    env: Any = tasks.make("light", {"rooms": 2} | BODY).training(400)
    env.reset(0)
    motors, drive = env.world.motors, env.config.drive
    ratio = motors.gain.min(0) / motors.gain.max(0)
    assert 0.3 < (ratio < 0.75).mean() < 0.7  # one weak motor in half of them
    assert (motors.lag_s / drive.lag_s).min() < 0.6 and (motors.lag_s / drive.lag_s).max() > 1.4
    assert (motors.dead_band / drive.dead_band_duty).std() > 0.2
    assert set(env._bodies.late) == {0, 1, 2}


def test_raw_duties_drive_the_wheels_as_they_are_and_the_guard_holds_them() -> None:
    env: Any = tasks.make("wander", {"rooms": 1, "wheels": True}).training(1)
    env.reset(0)
    nothing = {"obstacles": np.empty((0, 4, 2)), "kinds": (), "heights_m": np.empty(0)}
    room: Any = make_room("light", "easy", 0)
    env._rooms = [dataclasses.replace(room, start=np.array([1.0, 1.5, 0.0]), **nothing)]
    env.reset(0)
    pairs = [(left, right) for left in DUTIES for right in DUTIES]
    for _ in range(5):
        env.step(np.array([pairs.index((0.3, 0.9))]))
    left, right = env.world.wheel_speed[:, 0]
    assert right > left > 0 and env.world.pose[2, 0] > 0.3
    for _ in range(60):
        step = env.step(np.array([pairs.index((0.6, 0.6))]))
    assert not step.terminated.any() and env.world.contact_speed[0] < 0.05  # it stands before the wall


def test_approach_succeeds_at_rest_before_the_right_object_and_nowhere_else() -> None:
    room = make_room("range", "easy", 3)
    box = room.obstacles[room.nearest_object]
    middle, side = box.mean(0), 0.5 * (box[0] + box[1])
    out = (side - middle) / np.linalg.norm(side - middle)
    yaw = math.atan2(-out[1], -out[0])

    def at(gap: float) -> np.ndarray:
        return np.array([*(side + out * (gap + 0.08)), yaw])

    rooms = [dataclasses.replace(room, start=at(gap)) for gap in (0.25, 0.29, 0.34)]
    for one in rooms:
        one.__dict__["nearest_object"] = room.nearest_object
    env = ApproachBatch(rooms, 3, ApproachSettings(), in_order=True)
    env.reset(0)
    still = np.full(3, env.TWISTS.index((0.0, 0.0)))
    for _ in range(env._rest - 1):
        assert not env.advance(still).terminated.any()
    step = env.advance(still)
    assert step.success is not None and step.success.tolist() == [True, True, False]
    assert step.terminated.tolist() == [True, True, False]


def test_wandering_succeeds_by_ground_covered_and_ends_at_a_touch() -> None:
    env = WanderBatch([make_room("light", "easy", 0)], 2, WanderSettings(limit_s=2.0), in_order=False)
    env.reset(0)
    env._entered[0, : SQUARES + 1] = True
    turn = np.full(2, env.TWISTS.index((0.0, 1.5)))
    for _ in range(9):
        assert not env.step(turn).truncated.any()
    step = env.advance(turn)
    assert step.success is not None and step.success.tolist() == [True, False] and step.truncated.all()
    env.reset(0)
    assert env.world is not None
    env.world.contact_speed[1] = 0.2
    step = env.advance(turn)
    assert step.terminated.tolist() == [False, True] and step.reward[1] < -1.0


def test_follow_sees_whom_it_could_see_and_counts_a_minute() -> None:
    rooms = [make_room("follow", "easy", 0)]
    env = FollowBatch(rooms, 200, FollowSettings(limit_s=100.0))
    seen, _ = env.reset(0)
    assert 0.9 < seen[:, 0].mean() < 1.0  # ahead at the start, but for one look in twenty
    assert env.world is not None
    env.world.pose[2] += math.pi
    assert np.isnan(env._look(slice(None))).all()
    env._good[:] = [299 if i < 100 else 260 for i in range(200)]  # looks of the minute's 300, of which 270 are asked
    env._since[:], env._age[:] = 0, env._minute - 1
    step = env.advance(np.full(200, 2))
    assert step.terminated.all() and step.success is not None
    assert step.success[:100].all() and not step.success[100:].any()


def test_docks_lamp_is_behind_doors_and_only_reaching_it_pays() -> None:
    for level, walls in (("easy", 1), ("hard", 1), ("far", 2)):
        for seed in range(15):
            room = make_room("dock", level, seed)
            assert not sees(room.lamp, room.start[None, :2], room.obstacles)[0]
            wall = room.obstacles[: 2 * walls].mean(1)[:, 0]  # each is two boxes
            assert ((room.lamp[0] - wall) * (room.start[0] - wall) < 0).all()
            assert (room.obstacles >= -1e-9).all() and (room.obstacles <= np.array(room.size_m) + 1e-9).all()
    env: Any = tasks.make("dock", {"rooms": 3}).training(4)
    env.reset(0)
    assert np.isfinite(env.world.geodesic_distance()).all() and env.world.geodesic_distance().max() < 20
    step = env.step(np.zeros(4, int))
    assert (step.reward == 0).all()
    env.world.pose[:2, 1] = env.world.rooms[1].lamp + (0.2, 0.0)
    step = env.step(np.full(4, 3))
    assert step.reward.tolist() == [0.0, 1.0, 0.0, 0.0] and step.terminated[1]


@pytest.mark.parametrize("name, goal, room", [("approach", "range", "range"), ("wander", "wander", "light")])
def test_a_policy_that_lives_by_the_sonar_drives_in_the_runtime(
    tmp_path: Path, name: str, goal: str, room: str
) -> None:
    """The runtime builds its observation as training does, and takes its motions from the manifest."""
    task = tasks.make(name, {"rooms": 1})
    env = cast(Any, task.training(1))
    model = mlp(env.observation_size, (8,), env.actions, 1.0, 0, "policy")
    with steps() as told:
        converted = convert(model, task.manifest(), "dynamic", None, told, "random weights")
    path = tmp_path / f"{name}.tflite"
    manifests.save(path, converted.flatbuffer, converted.manifest)
    config = load()
    policy = LearnedPolicy(path, config)
    assert policy.task == goal and not policy.needs_light
    observer, act = env._make_observer(1), FastMLP(model)
    command = np.zeros((2, 1), np.float32)
    for k, metres in enumerate((1.0, 0.8, None, 2.5, 0.4)):
        now = k * policy.period_s
        silent = Reading(None, now)
        chosen = policy.act(Observation(now, Senses(now, silent, silent, Reading(metres, now)), None, Twist(0.0, 0.0)))
        heard = np.array([math.nan if metres is None else metres], np.float32)
        v, omega = env.TWISTS[int(act(observer.observe(None, heard, command).T).argmax())]
        assert (chosen.v, chosen.omega) == pytest.approx((v, omega))
        command[:, 0] = v, omega
    policy.reset()
    with SimBody(config, make_room(room, "easy", 0), VirtualClock(0.02), camera=False) as body:
        before = body.world.pose.copy()
        Loop(body, policy, Guard.of(config, policy), body.clock).run(4.0)
        assert np.abs(body.world.pose - before).max() > 0.05


@pytest.mark.parametrize("wheels", [False, True])
def test_a_continuous_policy_drives_in_the_runtime_as_it_did_in_training(tmp_path: Path, wheels: bool) -> None:
    task = tasks.make("approach", {"rooms": 1, "continuous": True, "wheels": wheels})
    model = mlp(ApproachBatch.observation_size, (8,), 2, 1.0, 3, "policy")
    with steps() as told:
        converted = convert(model, task.manifest(), "dynamic", None, told, "random weights")
    path = tmp_path / "approach.tflite"
    manifests.save(path, converted.flatbuffer, converted.manifest)
    policy, env = LearnedPolicy(path, load()), cast(Any, task.training(1))
    rng = np.random.default_rng(0)
    seen = rng.uniform(-2, 2, (40, ApproachBatch.observation_size)).astype(np.float32)
    actions = decide(FastMLP(model)(seen), True)
    wanted = env.controls.motion(actions)
    found = [policy.decide(row) for row in seen]
    np.testing.assert_allclose([(twist.v, twist.omega) for twist in found], wanted.T, atol=0.01)
    assert np.ptp(wanted, 1).min() > 0.1  # not all the same
    policy.reset()
    silent, now = Reading(None, 0.0), 0.0
    first = policy.act(Observation(now, Senses(now, silent, silent, Reading(1.0, now)), None, Twist(0.0, 0.0)))
    assert policy._command[:, 0] == pytest.approx((first.v, first.omega))  # what the next observation tells of it


def test_a_policy_that_follows_is_told_of_the_person_in_the_runtime(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Bearing and apparent size of whom the runtime knows, as training has them of the truth; then it drives."""
    task = tasks.make("follow", {"rooms": 1, "continuous": True})
    model = mlp(sight_observation.SIZE, (8,), 2, 0.1, 0, "policy")
    first, _, last, _ = model.get_weights()
    first[:], last[:] = 0.0, 0.0
    first[sight_observation.FIELDS.index("sin_bearing"), 0], last[0, 1] = 1.0, 1.0
    model.set_weights([first, np.zeros(8), last, np.array([0.2, 0.0])])  # drives slowly, turning to the person
    with steps() as told:
        converted = convert(model, task.manifest(), "dynamic", None, told, "weights by hand")
    path = tmp_path / "follow.tflite"
    manifests.save(path, converted.flatbuffer, converted.manifest)
    config, room = load(), make_room("follow", "easy", 4)
    policy = LearnedPolicy(path, config)
    assert policy.needs_camera and not policy.needs_light and policy.task == "follow"
    assert policy.score == FollowPolicy.score  # weak detections too: a tracker needs them
    looks = []
    observe = SightObserver.observe

    def watched(self: SightObserver, looked: np.ndarray, *rest: Any) -> np.ndarray:
        person, (x, y, yaw) = body.world.persons(0)[0], (float(value) for value in body.world.pose[:, 0])
        bearing = math.remainder(math.atan2(person.y - y, person.x - x) - yaw, math.tau)
        looks.append((*looked[:, 0], bearing, 1.7 / math.hypot(person.x - x, person.y - y)))
        return observe(self, looked, *rest)

    monkeypatch.setattr(SightObserver, "observe", watched)
    with SimBody(config, room, VirtualClock(0.02), seed=4, camera=False) as body:
        before = body.world.pose.copy()
        loop = Loop(body, policy, Guard.of(config, policy), body.clock, perception=BoxesByTruth(body, room))
        summary = loop.run(6.0)
        assert np.abs(body.world.pose - before).max() > 0.02
    assert summary.policy_faults == 0, summary.message
    seen = np.array(looks)[np.isfinite(looks).all(1)]
    assert len(looks) == 30 and len(seen) >= 15
    assert np.median(np.abs(seen[:, 0] - seen[:, 2])) < 0.1 and np.ptp(seen[:, 2]) > 0.1
    assert np.median(np.abs(seen[:, 1] / seen[:, 3] - 1.0)) < 0.2
    with pytest.raises(UsageError, match="needs a camera"):
        LearnedPolicy(path, config.model_copy(update={"camera": None}))


@pytest.mark.parametrize("kind", ["light", "follow"])
def test_eval_plays_a_continuous_model_as_its_network_acts(
    kind: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    settings = {"rooms": 2, "level": "easy", "continuous": True, "limit_s": 3.0}
    task = tasks.make(kind, settings)
    model = mlp(task.training(1).observation_size, (8,), 2, 1.0, 1, "policy")
    with steps() as told:
        converted = convert(model, task.manifest(), "dynamic", None, told, "random weights")
    path = tmp_path / f"{kind}.tflite"
    manifests.save(path, converted.flatbuffer, converted.manifest)
    assert cli.main(["eval", str(path), "--episodes", "6", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    network = FastMLP(model)
    wanted = evaluate(lambda seen: decide(network(seen), True), task.evaluation(6, 0)).as_json()
    assert found["episodes"] == 6 and found["return_mean"] == pytest.approx(wanted["return_mean"], abs=0.02)
    assert wanted["return_std"] > 0.01
