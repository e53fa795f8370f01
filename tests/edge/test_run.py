"""`edgebot run`: a policy in a simulated room from the command line."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from mcap.reader import make_reader

from edge import cli
from edge.commands.run import task_of
from edge.goal import Goal
from robot.config import EXAMPLE, load
from robot.sim.rooms import make_room
from robot.sim.world import World

ROOT = Path(__file__).resolve().parents[2]


def summary(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, dict[str, Any], str]:
    code = cli.main(["run", "--sim", "--json", *arguments])
    told = capsys.readouterr()
    return code, json.loads(told.out), told.err


def test_the_light_policy_finds_the_lamp_and_says_so(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    path = tmp_path / "run.mcap"
    code, found, told = summary(capsys, "--policy", "light", "--seed", "7", "--record", str(path))
    assert code == 0
    assert found["ended"] == "goal"
    assert found["goal"]["success"] and found["goal"]["measure_m"] <= 0.5
    assert found["room"] == {"task": "light", "level": "easy", "seed": 7}
    assert found["duration_s"] < 30
    assert sum(found["reasons"].values()) == found["ticks"]
    assert set(found["stages"]["policy"]) == {"count", "p50_s", "p99_s", "p999_s", "max_s"}
    assert "goal reached" in told and "m from the lamp" in told and "p99" in told
    with path.open("rb") as file:
        reader = make_reader(file)
        counts = {channel.topic: 0 for channel in reader.get_summary().channels.values()}  # type: ignore[union-attr]
        for _, channel, _ in reader.iter_messages():
            counts[channel.topic] += 1
        metadata = {record.name: record.metadata for record in reader.iter_metadata()}["edgebot"]
    assert counts["/command"] == counts["/senses"] == counts["/pose"] == found["ticks"]
    assert (metadata["policy"], metadata["seed"], metadata["room_level"]) == ("light", "7", "easy")


def test_equal_seeds_give_equal_runs_and_other_seeds_other_rooms(capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ("--policy", "random", "--duration", "5")
    keys = ("distance_m", "reasons", "goal", "ticks")
    runs = [summary(capsys, *arguments, "--seed", seed)[1] for seed in ("3", "3", "4")]
    first, again, other = ({key: found[key] for key in keys} for found in runs)
    assert first == again
    assert first["goal"] != other["goal"]


def test_a_run_that_does_not_reach_its_goal_ends_in_time_with_code_0(capsys: pytest.CaptureFixture[str]) -> None:
    code, found, told = summary(capsys, "--policy", "straight", "--duration", "4")
    assert (code, found["ended"], found["ticks"]) == (0, "duration", 200)
    assert not found["goal"]["success"]
    assert "not reached" in told


def test_a_sensor_that_says_nan_stops_the_robot_which_goes_on_living(capsys: pytest.CaptureFixture[str]) -> None:
    code, found, told = summary(capsys, "--policy", "light", "--seed", "7", "--fault", "range:nan:2:4")
    assert code == 0
    assert found["reasons"]["sense_not_finite"] == pytest.approx(100, abs=5)
    assert found["ended"] == "goal"
    assert "a sensor says NaN" in told


def test_a_camera_policy_uses_the_shipped_detector_in_simulated_time(capsys: pytest.CaptureFixture[str]) -> None:
    from edge.perception.detector import SHIPPED

    assert SHIPPED.exists(), "the package ships a detector of persons"
    code, found, _ = summary(capsys, "--policy", "person", "--seed", "5", "--duration", "5")
    assert code == 0
    assert found["stages"]["inference"]["count"] > 40
    assert 0.1 <= found["stages"]["capture age"]["p50_s"] < 0.3


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ([], "the following arguments are required: --policy"),
        (["--policy", "light"], "say which robot: --sim for a simulated one, --robot robot.toml"),
        (["--sim", "--policy", "lihgt"], "there is no policy 'lihgt'; did you mean 'light'?"),
        (["--sim", "--policy", "light", "--duration", "nan"], "'nan' is no number from 0.02 to 1e+06 seconds"),
        (["--sim", "--policy", "light", "--seed", "-1"], "'-1' is no whole number from 0 to"),
        (["--sim", "--policy", "light", "--fault", "range:nan:x"], "write it like range:nan:3:6"),
        (["--sim", "--policy", "light", "--fault", "sonar:nan"], "no fault part 'sonar'"),
        (["--sim", "--policy", "light", "--record", "/dev/null/run.mcap"], "recording /dev/null/run.mcap cannot be"),
        (["--sim", "--robot", "missing.toml", "--policy", "light"], "'missing.toml' cannot be read"),
        (["--robot", str(EXAMPLE), "--policy", "light", "--realtime"], "are for simulated runs; add --sim"),
        (["--sim", "--policy", "missing.tflite"], "missing.tflite"),
        (["--sim", "--policy", "light", "--camera", "--detector", "no.tflite"], "no.tflite cannot be read"),
        (["--sim", "--policy", "light", "--listen", "127.0.0.1:0"], "--listen and --token are for --policy link"),
        (["--sim", "--policy", "light", "--motord", "m.sock"], "it needs --sim --realtime"),
        (["--sim", "--policy", "light", "--realtime", "--motord", "/nowhere/m.sock"], "/nowhere/m.sock"),
        (["--sim", "--policy", "light", "--speed", "3"], "unrecognized arguments: --speed 3"),
    ],
)
def test_a_mistake_is_one_sentence_and_code_2(
    capsys: pytest.CaptureFixture[str], arguments: list[str], sentence: str
) -> None:
    assert cli.main(["run", *arguments]) == 2
    told = capsys.readouterr().err.strip()
    assert sentence in told
    assert told.startswith("edgebot: ") and "\n" not in told


def test_a_robot_without_a_camera_cannot_look_for_persons(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    text = EXAMPLE.read_text()
    start, end = text.index("[camera]"), text.index("[emergency_stop]")
    (tmp_path / "robot.toml").write_text(text[:start] + text[end:])
    assert cli.main(["run", "--sim", "--robot", str(tmp_path / "robot.toml"), "--policy", "person"]) == 2
    assert "[camera]" in capsys.readouterr().err


def test_help_teaches_with_examples(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        cli.main(["run", "--help"])
    assert stop.value.code == 0
    told = capsys.readouterr().out
    assert "edgebot run --sim --policy light --seed 7" in told
    assert "Exit code" in told


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_ends_a_run_cleanly(tmp_path: Path, number: signal.Signals, code: int) -> None:
    path = tmp_path / "run.mcap"
    process = subprocess.Popen(
        [sys.executable, "-m", "edge.cli", "run", "--sim", "--policy", "straight", "--realtime", "--duration", "60",
         "--json", "--record", str(path)],
        cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    try:
        until = time.monotonic() + 60
        while time.monotonic() < until and not (path.exists() and path.stat().st_size > 9000):
            time.sleep(0.02)
        time.sleep(1.5)
        process.send_signal(number)
        out, err = process.communicate(timeout=30)
    finally:
        process.kill()
    assert process.returncode == code, err
    assert "Traceback" not in err
    found = json.loads(out)
    assert found["ended"] == ("interrupted" if number == signal.SIGINT else "terminated")
    with path.open("rb") as file:  # the recording was finished, not merely left
        statistics = make_reader(file).get_summary().statistics  # type: ignore[union-attr]
    assert statistics is not None and statistics.message_count >= 3 * found["ticks"]


@pytest.mark.slow
def test_on_the_wall_clock_the_detector_works_in_a_process_of_its_own() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "edge.cli", "run", "--sim", "--policy", "person", "--seed", "5", "--realtime",
         "--duration", "6", "--json"],
        cwd=ROOT, capture_output=True, text=True, timeout=120, env=os.environ | {"OMP_NUM_THREADS": "1"},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["ticks"] + found["missed"] == 300
    assert found["stages"]["perception round trip"]["count"] >= 10
    assert found["reasons"].get("stale_frame", 0) < 0.5 * found["ticks"]


def test_a_learned_policys_task_is_told_by_itself() -> None:
    class Learned:
        name, task = "model", "range"

    class Named:
        name = "person"

    class Other:
        name = "random"

    assert [task_of(policy) for policy in (Learned(), Named(), Other())] == ["range", "person", "light"]


def test_arriving_before_a_person_takes_standing_still() -> None:
    config, room = load(), make_room("person", "easy", 5)
    world = World(config, [room], noise=False)
    goal = Goal(world, "person")
    person = world.persons(0)[0]
    for yaw in np.linspace(0, 2 * np.pi, 32):  # somewhere round the person the floor is free
        world.pose[:, 0] = (person.x - 1.2 * np.cos(yaw), person.y - 1.2 * np.sin(yaw), yaw)
        before = world.pose.copy()
        world.step()
        if np.allclose(world.pose, before):
            break
    assert goal.verdict().success
    assert not goal()
    for _ in range(26):
        world.step()
        arrived = goal()
    assert arrived
    world.wheel_speed[:] = 0.2  # passing by at the right distance is not arriving
    assert not goal()
