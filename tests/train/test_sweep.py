"""`edgebot sweep`: what it tries, what it keeps, a cluster of two nodes, interruption, and every bad argument."""

from __future__ import annotations

import json
import math
import sys
from pathlib import Path

import numpy as np
import pytest

from edge import cli
from edge.errors import UsageError
from train import sweep as sweeps
from train.commands import sweep as command
from train.sweep import Distribution, Sweep, Trial, carry_out, keep, results

QUICK = {"envs": "4", "horizon": "64", "epochs": "1", "hidden": "8"}
SET = [part for pair in QUICK.items() for part in ("--set", "=".join(pair))]


def made(*params: str, task: str = "CartPole-v1", algo: str = "ppo") -> Sweep:
    return Sweep(task, algo, None, QUICK, 512, 0, tuple(map(Distribution.parse, params)))


def test_draws_lie_where_they_should_and_follow_from_the_seed() -> None:
    sweep = made("lr=log(1e-4,1e-2)", "gamma=uniform(0.9,0.99)", "envs=log(2,64)", "hidden=choice(8,8|16,16)")
    trials = sweep.trials(400)
    assert trials[:7] == sweep.trials(7)
    rates = np.log10([trial.values["learning_rate"] for trial in trials])
    assert -4 <= rates.min() < -3.9 and -2.1 < rates.max() <= -2 and abs(rates.mean() + 3) < 0.1
    gammas = np.array([trial.values["gamma"] for trial in trials])
    assert gammas.min() >= 0.9 and gammas.max() <= 0.99 and abs(gammas.mean() - 0.945) < 0.005
    assert {type(trial.values["envs"]) for trial in trials} == {int}
    assert {trial.values["hidden"] for trial in trials} == {"8,8", "16,16"}
    assert sweep.plan(trials[0].values).agent.learning_rate == trials[0].values["learning_rate"]


def test_a_trial_made_where_the_folder_is_not_seen_comes_back_whole(tmp_path: Path) -> None:
    sweep, folder = made("lr=log(1e-4,1e-2)"), tmp_path / "sweep"
    (trial,) = sweep.trials(1)
    rows: list[dict[str, float]] = []
    result = carry_out(sweep, str(folder), trial, rows.append)
    assert not folder.exists() and [row["steps"] for row in rows] == [256, 512]
    sweep.begin(folder)
    keep(folder, result)
    assert results(folder, [trial]) == [json.loads((folder / "trial-000" / "trial.json").read_text())]
    from train.runs import RunFolder

    run = RunFolder.open(folder / "trial-000")
    assert run.settings.agent["learning_rate"] == trial.values["learning_rate"]
    assert run.load_policy().output_shape == (None, 2)


def test_a_trial_that_cannot_be_made_is_a_result_too(tmp_path: Path) -> None:
    result = carry_out(made("gamma=choice(7)"), str(tmp_path / "away"), Trial(3, {"gamma": "7"}), lambda row: None)
    assert "setting gamma is '7'" in result["failed"] and "evaluation" not in result


def test_two_nodes_share_the_trials_and_the_same_command_goes_on(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("train.sweep_ray")  # first: it sets what Ray reads when it is imported
    from ray.cluster_utils import Cluster

    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False})
    try:
        cluster.add_node(num_cpus=1)
        argv = ["CartPole-v1", "--algo", "ppo", "--param", "lr=log(1e-4,1e-2)", "--steps", "512", *SET]
        argv += ["--run", str(tmp_path), "--trials", "2", "--json"]
        assert command.main([*argv, "--address", cluster.address]) == 0
    finally:
        cluster.shutdown()
    found = json.loads(capsys.readouterr().out)
    assert {result["index"] for result in found} == {0, 1} and len({result["node"] for result in found}) == 2
    assert all(math.isfinite(result["evaluation"]["return_mean"]) for result in found)
    assert found[0]["evaluation"]["return_mean"] >= found[1]["evaluation"]["return_mean"]
    assert len((tmp_path / "results.csv").read_text().splitlines()) == 3
    assert (tmp_path / "sweep.png").read_bytes().startswith(b"\x89PNG")
    # Nothing is missing, so the same command needs no Ray; and another one may not have its folder.
    assert command.main(argv) == 0
    assert json.loads(capsys.readouterr().out) == found
    with pytest.raises(UsageError, match="another steps"):
        command.main([*argv, "--steps", "1024"])


def test_ctrl_c_keeps_what_is_done_and_the_same_command_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    tried = []

    def stopped_at(limit: int):
        def run(sweep, folder, missing, address, parallel, console):
            for trial in missing:
                if len(tried) == limit:
                    raise KeyboardInterrupt
                tried.append(trial.index)
                evaluation = {"return_mean": float(trial.index), "return_std": 0.0}
                keep(folder, {"index": trial.index, "values": trial.values, "steps": 1, "seconds": 1.0} | {
                    "evaluation": evaluation})
            return []

        return run

    argv = ["CartPole-v1", "--algo", "ppo", "--param", "lr=log(1e-4,1e-2)", "--run", str(tmp_path), "--trials"]
    monkeypatch.setattr(command, "_run", stopped_at(2))
    assert command.main([*argv, "3"]) == 130
    assert "2 of 3 trials are done" in capsys.readouterr().err
    monkeypatch.setattr(command, "_run", stopped_at(9))
    assert command.main([*argv, "4"]) == 0
    assert tried == [0, 1, 2, 3]
    assert [line.split(",")[0] for line in (tmp_path / "results.csv").read_text().splitlines()[1:]] == list("3210")


@pytest.mark.parametrize(
    ("argv", "told"),
    [
        (["--param", "learning_rat=log(1e-4,1e-2)"], "did you mean 'learning_rate'"),
        (["--param", "lr=log(1e-4)"], "write for example lr=log(1e-4,1e-2)"),
        (["--param", "lr=normal(0,1)"], "write for example lr=log(1e-4,1e-2)"),
        (["--param", "lr"], "write for example"),
        (["--param", "lr=log(1e-2,1e-4)"], "the smaller first"),
        (["--param", "lr=log(0,1)"], "expected more than 0"),
        (["--param", "gamma=uniform(0.9,1.5)"], "setting gamma is 1.5"),
        (["--param", "hidden=choice(8,lots)"], "setting hidden is 'lots'"),
        (["--param", "lr=log(1e-4,1e-2)", "--param", "learning_rate=choice(1)"], "given twice"),
        ([], "nothing to vary"),
        (["--param", "lr=log(1e-4,1e-2)", "--trials", "0"], "no whole number from 1"),
    ],
)
def test_bad_input_is_one_sentence(argv: list[str], told: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["sweep", "CartPole-v1", "--algo", "ppo", *argv]) == 2
    said = capsys.readouterr().err
    assert told in said and said.count("\n") == 1


def test_without_ray_it_says_what_brings_it(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    assert cli.main(["sweep", "CartPole-v1", "--algo", "ppo", "--param", "lr=log(1e-4,1e-2)"]) == 2
    assert 'pip install "edgebot[sweep]"' in capsys.readouterr().err


def test_no_ray_at_the_address_is_one_sentence(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    pytest.importorskip("ray")
    argv = ["CartPole-v1", "--algo", "ppo", "--param", "lr=log(1e-4,1e-2)", "--run", str(tmp_path)]
    assert cli.main(["sweep", *argv, "--address", "nowhere"]) == 2
    assert "no Ray answers at --address 'nowhere'" in capsys.readouterr().err
    assert sweeps.SWEEP in {path.name for path in tmp_path.iterdir()}
