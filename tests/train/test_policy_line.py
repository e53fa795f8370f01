"""The whole line of a policy: train, convert, evaluate, and drive with it through the real runtime."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path

import numpy as np
import pytest

from edge import cli
from edge.guard import Guard
from edge.loop import Loop
from edge.policies.learned import LearnedPolicy
from robot.clock import VirtualClock
from robot.config import load
from robot.sim.body import SimBody
from robot.sim.rooms import make_room
from train.envs.light import GOAL_M, LightSettings, LightTask
from train.evaluation import evaluate, wilson
from train.judges import policy_judge

pytestmark = pytest.mark.slow

ROOMS = 40
FIRST_ROOM = 1_000_000


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A short training: half of the default's steps, in fewer rooms."""
    path = tmp_path_factory.mktemp("runs") / "light"
    argv = ["train", "light", "--algo", "ppo", "--run", str(path), "--steps", "600000", "--set", "rooms=200"]
    assert cli.main(argv) == 0
    return path


@pytest.fixture(scope="module")
def model(run: Path) -> Path:
    path = run / "light.tflite"
    assert cli.main(["convert", str(run), "-o", str(path)]) == 0
    return path


def test_training_finds_the_lamp_in_unseen_hard_rooms(run: Path) -> None:
    figures = json.loads((run / "evaluation.json").read_text())
    assert figures["episodes"] == 1000
    assert figures["success_low"] >= 0.90  # the default run's bar is 0.95


def test_the_model_holds_its_manifest_and_its_proof(model: Path) -> None:
    with zipfile.ZipFile(model) as archive:  # what `unzip -p` reads
        manifest = json.loads(archive.read("manifest.json"))
    assert manifest["kind"] == "policy" and manifest["observation"]["name"] == "light"
    assert len(manifest["actions"]["twists"]) == 5
    assert manifest["parity"] and manifest["provenance"]["seed"] == 0
    assert model.stat().st_size < 30_000


def test_the_runtime_reaches_the_lamp_as_often_as_the_batch(model: Path) -> None:
    """50 Hz loop, guard, samplers and one robot, against the batched environment that it was trained in."""
    config, policy = load(), LearnedPolicy(model, load())
    reached = []
    for room in range(ROOMS):
        clock = VirtualClock(0.02)
        with SimBody(config, make_room("light", "hard", FIRST_ROOM + room), clock, room, camera=False) as body:
            Loop(body, policy, Guard(config), clock).run(LightSettings().limit_s, until=lambda: policy.done)
            reached.append(float(body.world.lamp_distance()[0]) <= GOAL_M)
    batch = evaluate(lambda seen: np.array([policy.choose(row) for row in seen]), LightTask().evaluation(ROOMS, 0))
    assert batch.successes is not None
    # Of 40 rooms, two may differ by chance (other noise, other sampling instants).
    assert sum(reached) >= int(batch.successes.sum()) - 2
    assert wilson(sum(reached), ROOMS)[1] >= 0.95


def test_eval_judges_the_model_as_it_judges_its_run(run: Path, model: Path, capsys: pytest.CaptureFixture[str]) -> None:
    figures = []
    for source in (run, model):
        assert cli.main(["eval", str(source), "--episodes", "60", "--json"]) == 0
        figures.append(json.loads(capsys.readouterr().out))
    assert all(f["episodes"] == 60 and f["success_rate"] >= 0.85 for f in figures)
    assert abs(figures[0]["success_rate"] - figures[1]["success_rate"]) <= 0.05
    assert figures[0]["return_std"] > 0


def test_a_video_shows_the_episodes(model: Path, tmp_path: Path) -> None:
    import cv2

    path = tmp_path / "light.mp4"
    assert cli.main(["eval", str(model), "--episodes", "2", "--video", str(path)]) == 0
    film = cv2.VideoCapture(str(path))
    assert film.get(cv2.CAP_PROP_FRAME_COUNT) > 20
    assert film.read()[1].shape == (480, 480, 3)


def test_run_drives_with_the_model(model: Path, capsys: pytest.CaptureFixture[str]) -> None:
    argv = ["run", "--sim", "--policy", str(model), "--seed", "1000003", "--level", "hard", "--json"]
    assert cli.main(argv) == 0
    figures = json.loads(capsys.readouterr().out)
    assert figures["goal"]["success"] and figures["goal"]["task"] == "light"


def test_the_judge_tells_a_good_policy_from_a_damaged_one(run: Path) -> None:
    judge = policy_judge(run)
    rng = np.random.default_rng(0)
    assert judge.measure(lambda seen: rng.normal(size=(len(seen), 5))) < 0.5
    calibration = judge.calibration()
    assert calibration.shape == (4096, 14) and calibration.dtype == np.float32
    assert calibration.std(axis=0).min() > 0  # every field is exercised
