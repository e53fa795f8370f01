"""`edgebot train` and `edgebot eval`: what they leave behind, resumption, interruption, and every bad argument."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
import zipfile
from pathlib import Path

import numpy as np
import pytest

from edge import cli
from edge.errors import UsageError
from train.commands import eval as evaluating
from train.commands import train as training
from train.history import History
from train.runs import RunFolder

CARTPOLE = ["CartPole-v1", "--algo", "ppo", "--seed", "3"]
QUICK = ["--set", "envs=4", "--set", "horizon=64", "--set", "epochs=1", "--set", "hidden=8,8"]
STEPS = 24 * 4 * 64  # 24 iterations, a checkpoint each second


def train(path: Path, *more: str) -> int:
    return training.main([*CARTPOLE, "--run", str(path), *more])


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("runs") / "straight"
    assert train(path, "--steps", str(STEPS), *QUICK) == 0
    return path


def test_a_run_folder_holds_settings_checkpoint_curve_and_logs(finished: Path) -> None:
    settings = json.loads((finished / "settings.json").read_text())
    assert (settings["task"], settings["algo"], settings["seed"], settings["steps"]) == ("CartPole-v1", "ppo", 3, STEPS)
    assert settings["agent"]["envs"] == 4 and settings["agent"]["gamma"] == 0.99
    assert settings["versions"]["keras"]
    assert (finished / "curve.png").read_bytes().startswith(b"\x89PNG")
    assert len((finished / "progress.csv").read_text().splitlines()) == 25
    assert any((finished / "tensorboard").glob("events*"))
    assert json.loads((finished / "evaluation.json").read_text())["episodes"] == 100
    assert {"checkpoint.keras", "resume.npz"} <= {path.name for path in finished.iterdir()}
    assert not list(finished.glob(".*"))  # nothing half written


def test_tensorboard_can_read_the_logs(finished: Path) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    log = EventAccumulator(str(finished / "tensorboard"), size_guidance={"tensors": 0})
    log.Reload()
    tags = log.Tags()["tensors"]
    assert {"episode/return", "loss/entropy", "speed/steps_per_second"} <= set(tags)
    assert log.Tensors("loss/entropy")[-1].step == STEPS


def test_an_interrupted_run_keeps_its_policy_and_resumes_to_the_same_numbers(
    finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "cut"
    add = History.add
    with monkeypatch.context() as patch:

        def interrupt(self: History, iteration: object) -> bool:
            if len(self.rows) == 13:  # between two checkpoints: what came after the last one is learnt again
                raise KeyboardInterrupt
            return add(self, iteration)  # type: ignore[arg-type]

        patch.setattr(History, "add", interrupt)
        assert train(path, "--steps", str(STEPS), *QUICK) == 130
    assert (path / "checkpoint.keras").exists()
    assert not (path / "evaluation.json").exists()
    assert train(path, "--resume") == 0
    assert (path / "progress.csv").read_text() == (finished / "progress.csv").read_text()
    for kept, again in zip(RunFolder.open(finished).load_resume(), RunFolder.open(path).load_resume(), strict=True):
        assert kept.keys() == again.keys()
        for name, value in kept.items():
            assert np.array_equal(value, again[name]) if isinstance(value, np.ndarray) else value == again[name]
    assert (path / "evaluation.json").read_text() == (finished / "evaluation.json").read_text()


@pytest.mark.slow
def test_ctrl_c_ends_a_run_cleanly(tmp_path: Path) -> None:
    path = tmp_path / "run"
    command = [sys.executable, "-m", "edge.cli", "train", *CARTPOLE, "--run", str(path), "--steps", "50000000", *QUICK]
    command += ["--set", "horizon=16"]
    root = Path(__file__).parents[2]
    process = subprocess.Popen(
        command, cwd=root, stderr=subprocess.PIPE, text=True, env=os.environ | {"COLUMNS": "200"}
    )
    try:
        deadline = time.monotonic() + 90
        while sum(log.stat().st_size for log in path.glob("tensorboard/events*")) < 3000:  # past the first iterations
            assert time.monotonic() < deadline
            time.sleep(0.2)
        process.send_signal(signal.SIGINT)
        _, told = process.communicate(timeout=60)
    finally:
        process.kill()
    assert process.returncode == 130, told
    assert "Traceback" not in told and "the best policy is kept" in told
    assert RunFolder.open(path).load_policy().count_params() > 0


def test_eval_prints_the_promised_json(finished: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert evaluating.main([str(finished), "--episodes", "5", "--seed", "2", "--json"]) == 0
    out = capsys.readouterr().out
    figures = json.loads(out)
    assert figures["episodes"] == 5 and figures["return_mean"] > 0 and figures["return_std"] >= 0
    assert "success_rate" not in figures  # CartPole knows none
    assert evaluating.main([str(finished), "--episodes", "5", "--seed", "2", "--json"]) == 0
    assert capsys.readouterr().out == out


def test_a_policy_of_a_gymnasium_id_converts_with_its_return_before_and_after(finished: Path, tmp_path: Path) -> None:
    path = tmp_path / "cartpole.tflite"
    assert cli.main(["convert", str(finished), "-o", str(path)]) == 0
    with zipfile.ZipFile(path) as archive:
        parity = json.dumps(json.loads(archive.read("manifest.json"))["parity"])
    assert "mean return of 100 unseen episodes" in parity


def test_a_second_run_does_not_overwrite_the_first(finished: Path) -> None:
    with pytest.raises(UsageError, match="already holds a run"):
        train(finished)


BAD = [
    (["CartPole-v1", "--algo", "pp"], "unknown algorithm 'pp'; did you mean 'ppo'"),
    (["lihgt", "--algo", "ppo"], "unknown task 'lihgt'; did you mean 'light'"),
    (["CartPole-v9", "--algo", "ppo"], "CartPole-v1"),
    (["no/Such-v0", "--algo", "ppo"], "unknown task 'no/Such-v0'"),
    (["Pendulum-v1", "--algo", "dqn"], "continuous actions"),
    ([*CARTPOLE, "--set", "learning_rat=1"], "did you mean 'learning_rate'"),
    ([*CARTPOLE, "--set", "learning_rate"], "key=value"),
    ([*CARTPOLE, "--set", "learning_rate=fast"], "'fast'; expected a number at least 0"),
    ([*CARTPOLE, "--set", "gamma=1.5"], "'1.5'; expected a number at least 0 and at most 1"),
    ([*CARTPOLE, "--set", "gamma=nan"], "'nan'"),
    ([*CARTPOLE, "--set", "envs=2.5"], "'2.5'; expected a whole number"),
    ([*CARTPOLE, "--set", "hidden=64,x"], "positive whole numbers"),
    (["light", "--algo", "ppo", "--set", "level=hrad"], "did you mean 'hard'"),
    ([*CARTPOLE, "--steps", "0"], "'0' is no whole number from 1"),
    ([*CARTPOLE, "--resume"], "no run"),
]


@pytest.mark.parametrize(("argv", "words"), BAD, ids=[" ".join(argv[:1] + argv[-1:]) for argv, _ in BAD])
def test_a_bad_argument_is_one_sentence_and_code_2(
    argv: list[str], words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert cli.main(["train", *argv]) == 2
    told = capsys.readouterr().err
    assert words in told and told.count("\n") == 1
    assert not list(tmp_path.iterdir())


def test_a_folder_without_a_checkpoint_is_told(finished: Path, tmp_path: Path) -> None:
    (tmp_path / "settings.json").write_text((finished / "settings.json").read_text())
    with pytest.raises(UsageError, match="no checkpoint"):
        evaluating.main([str(tmp_path)])
    with pytest.raises(UsageError, match="no checkpoint to resume"):
        train(tmp_path, "--resume")
    with pytest.raises(UsageError, match="not a run folder"):
        evaluating.main([str(tmp_path / "nowhere")])


def test_a_damaged_checkpoint_is_told(finished: Path, tmp_path: Path) -> None:
    (tmp_path / "settings.json").write_text((finished / "settings.json").read_text())
    for name in ("checkpoint.keras", "resume.npz"):
        data = (finished / name).read_bytes()
        (tmp_path / name).write_bytes(data[: len(data) // 2])
    with pytest.raises(UsageError, match=r"checkpoint\.keras is damaged"):
        evaluating.main([str(tmp_path)])
    with pytest.raises(UsageError, match=r"resume\.npz is damaged"):
        train(tmp_path, "--resume")


def test_resuming_another_task_is_refused(finished: Path) -> None:
    with pytest.raises(UsageError, match="seed 3, not 4"):
        training.main(["CartPole-v1", "--algo", "ppo", "--seed", "4", "--run", str(finished), "--resume"])
    with pytest.raises(UsageError, match="cannot change a run that resumes"):
        train(finished, "--resume", "--set", "gamma=0.9")


def test_the_settings_are_listed_with_their_sentences(capsys: pytest.CaptureFixture[str]) -> None:
    assert training.main(["light", "--algo", "ppo", "--settings"]) == 0
    out = capsys.readouterr().out
    assert "lambda of GAE" in out and "rooms: easy or hard [hard]" in out
