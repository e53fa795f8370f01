"""Every algorithm behind the one command: the same run folder, switches by name, resumption, and mistakes."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from edge import cli
from train.algorithms import ALGORITHMS, find
from train.commands import train as training
from train.history import History
from train.runs import RunFolder
from train.settings import describe

QUICK = {
    "reinforce": ["--set", "envs=2", "--set", "iterations=4"],
    "genetic": ["--set", "survivors=2", "--set", "children=2", "--steps", "600"],
    "cem": ["--set", "population=4", "--set", "elite=2", "--set", "episodes=1", "--steps", "600"],
    "a2c": ["--set", "iteration=256", "--set", "hidden=8", "--steps", "1280"],
    "a3c": ["--set", "workers=1", "--set", "iteration=256", "--set", "hidden=8", "--steps", "1280"],
    "sac": ["--set", "iteration=100", "--set", "learning_starts=100", "--set", "hidden=8", "--steps", "500"],
    "ppo": [
        "--set", "curiosity=0.5", "--set", "envs=16", "--set", "horizon=16", "--set", "hidden=8", "--steps", "1280",
    ],
    "dqn": [
        "--double", "--dueling", "--prioritized", "--set", "hold=3", "--set", "iteration=256",
        "--set", "learning_starts=256", "--set", "gradient_steps=2", "--set", "hidden=8", "--steps", "1280",
    ],
    "dqn-lecture": ["--set", "episodes=60", "--set", "max_steps=20"],
}  # fmt: skip


@pytest.mark.parametrize("algo", QUICK)
def test_a_run_that_was_interrupted_resumes_to_the_same_numbers(
    algo: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    task = "Pendulum-v1" if algo == "sac" else "CartPole-v1"
    command = [task, "--algo", algo, "--seed", "3", "--run"]
    whole, cut = tmp_path / "whole", tmp_path / "cut"
    monkeypatch.setattr("train.session.CHECKPOINTS", 10**6)  # one after each iteration
    assert training.main([*command, str(whole), *QUICK[algo]]) == 0
    add = History.add
    with monkeypatch.context() as patch:

        def interrupt(self: History, iteration: object) -> bool:
            if len(self.rows) == 2:
                raise KeyboardInterrupt
            return add(self, iteration)  # type: ignore[arg-type]

        patch.setattr(History, "add", interrupt)
        assert training.main([*command, str(cut), *QUICK[algo]]) == 130
    assert RunFolder.open(cut).load_policy().output_shape == (None, 1 if algo == "sac" else 2)
    assert training.main([*command, str(cut), "--resume"]) == 0
    assert (cut / "progress.csv").read_text() == (whole / "progress.csv").read_text()
    assert json.loads((cut / "evaluation.json").read_text()) == json.loads((whole / "evaluation.json").read_text())
    for kept, again in zip(RunFolder.open(whole).load_resume(), RunFolder.open(cut).load_resume(), strict=True):
        assert kept.keys() == again.keys()
        for name, value in kept.items():
            assert np.array_equal(value, again[name]) if isinstance(value, np.ndarray) else value == again[name]
    if algo == "dqn":
        agent = RunFolder.open(whole).settings.agent
        assert agent["double"] and agent["dueling"] and agent["prioritized"] and agent["fixed_targets"]


@pytest.mark.parametrize("algo", ALGORITHMS)
def test_every_setting_of_every_algorithm_has_its_sentence(algo: str) -> None:
    settings = find(algo).Settings()
    assert settings.envs >= 1
    assert all(len(line.split(maxsplit=1)[1]) > 10 for line in describe(settings).splitlines())


BAD = [
    (["CartPole-v1", "--algo", "dqm"], "unknown algorithm 'dqm'; did you mean 'dqn'"),
    (["CartPole-v1", "--algo", "zzz"], "known: ppo, a2c, a3c, reinforce, sac, dqn, dqn-lecture, mcts, genetic, cem"),
    (["CartPole-v1", "--algo", "dqn", "--duelling"], "did you mean --dueling"),
    (["CartPole-v1", "--algo", "dqn", "--gamma"], "unrecognized arguments: --gamma"),
    (["CartPole-v1", "--algo", "ppo", "--double"], "unrecognized arguments: --double"),
    (["Pendulum-v1", "--algo", "dqn"], "which dqn does not drive; these do: ppo, a2c, a3c, sac"),
    (["CartPole-v1", "--algo", "mcts"], "its own model"),
    (["CartPole-v1", "--algo", "sac"], "these do: ppo, a2c, a3c, reinforce, dqn, dqn-lecture, mcts, genetic, cem"),
    (["CartPole-v1", "--algo", "reinforce", "--variant", "basline"], "did you mean 'baseline'"),
]


@pytest.mark.parametrize(("argv", "words"), BAD, ids=[" ".join(argv) for argv, _ in BAD])
def test_a_bad_argument_is_one_sentence_and_code_2(
    argv: list[str], words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert cli.main(["train", *argv]) == 2
    told = capsys.readouterr().err
    assert words in told and told.count("\n") == 1
    assert not list(tmp_path.iterdir())
