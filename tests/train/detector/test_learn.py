"""A detector is trained: by heart, to the same numbers after a kill, into a folder that tells all."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("tensorflow")

from edge.errors import UsageError
from tests.train.detector.photos import CLASSES, write_photos
from train.detector import session as sessions
from train.detector.settings import LearnSettings
from train.detector.train import main
from train.runs import RunFolder

SMALL = ["--set", "width=96", "--set", "height=64", "--set", "batch=4", "--set", "warm_up=4", "--workers", "1"]


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_photos(tmp_path_factory.mktemp("photos"), 16)


@pytest.fixture(scope="module")
def straight(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of three epochs, from start to end."""
    run = tmp_path_factory.mktemp("runs") / "straight"
    assert main(["--data", str(data), "--epochs", "3", "--seed", "5", "--run", str(run), *SMALL]) == 0
    return run


def weights(run: Path) -> list[np.ndarray]:
    return [np.asarray(weight) for weight in RunFolder.open(run).load_policy().get_weights()]


def test_a_run_leaves_a_folder_that_tells_all(straight: Path, data: Path) -> None:
    names = {path.name for path in straight.iterdir()}
    assert {"checkpoint.keras", "curve.png", "evaluation.json", "predictions.png", "resume.npz"} <= names
    assert list((straight / "tensorboard").iterdir()) and "damaged.txt" not in names
    settings = json.loads((straight / "settings.json").read_text())
    assert (settings["task"], settings["seed"], settings["steps"]) == ("detector", 5, 6)
    assert settings["manifest"]["labels"] == list(CLASSES) and settings["environment"]["data"] == str(data)
    assert len(settings["manifest"]["decode"]["heads"]) == 3
    found = json.loads((straight / "evaluation.json").read_text())
    assert found["images"] == 8 and set(found["classes"]) == set(CLASSES)
    rows = (straight / "progress.csv").read_text().splitlines()
    assert len(rows) == 4 and rows[0].split(",")[:2] == ["step", "loss"]


def test_ctrl_c_keeps_the_best_and_resume_comes_to_the_same_numbers(
    straight: Path, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = tmp_path / "run"
    steps = sessions.Learner.learn_epoch

    def interrupted(learner: sessions.Learner) -> object:
        for step in steps(learner):
            if step.step == 4:  # in the middle of the second epoch
                raise KeyboardInterrupt
            yield step

    with monkeypatch.context() as patch:
        patch.setattr(sessions.Learner, "learn_epoch", interrupted)
        assert main(["--data", str(data), "--epochs", "3", "--seed", "5", "--run", str(run), *SMALL]) == 130
    assert (run / "predictions.png").exists() and len(weights(run)) == len(weights(straight))
    assert main(["--run", str(run), "--resume"]) == 0
    for one, other in zip(weights(straight), weights(run), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-6)
    first, second = ((folder / "progress.csv").read_text().splitlines()[1:] for folder in (straight, run))
    for row, same in zip(first, second, strict=True):
        np.testing.assert_allclose(*(np.array(line.split(","), float) for line in (row, same)), rtol=1e-3)


def test_what_gets_no_better_is_stopped() -> None:
    class Course:
        settings = LearnSettings(patience=3)
        best_epoch = 4

        class learner:
            epoch = 6

    assert not sessions.Session._stuck(Course)  # type: ignore[arg-type]
    Course.learner.epoch = 7
    assert sessions.Session._stuck(Course)  # type: ignore[arg-type]


def test_rendered_rooms_are_learnt_from(tmp_path: Path) -> None:
    run = tmp_path / "run"
    small = ["--set", "rooms=3", "--set", "frames=2", "--set", "check_rooms=2", "--set", "batch=4"]
    assert main(["--steps", "1", "--run", str(run), "--workers", "1", *small]) == 0
    settings = json.loads((run / "settings.json").read_text())
    assert settings["manifest"]["labels"] == ["person"] and settings["environment"]["rooms"] == 3
    assert RunFolder.open(run).load_policy().count_params() <= 320_000


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--set", "room=3"], "did you mean 'rooms'"),
        (["--set", "rooms=none"], "expected a whole number"),
        (["--steps", "0"], "no whole number from 1"),
        (["--resume"], "not a run folder"),
        (["--algo", "ppo"], "invalid choice"),
        (["--classes", "a"], "--classes goes with --data"),
        (["--freeze"], "--freeze goes with --from"),
        (["--data", "DATA", "--classes", "disc,lamp"], "no class 'lamp'"),
        (["--data", "DATA", "--set", "width=100"], "multiple of 32"),
        (["--data", "none.yaml"], "none.yaml cannot be read"),
        (["--data", "DATA", "--from", "none.tflite"], "none.keras is not there"),
        (["--data", "DATA", "--from", "DATA"], "convert Darknet's files first"),
    ],
)
def test_mistakes_are_one_sentence(arguments: list[str], told: str, data: Path, tmp_path: Path) -> None:
    from edge.errors import EdgeError

    given = [str(data) if argument == "DATA" else argument for argument in arguments]
    with pytest.raises(EdgeError, match=told) as caught:
        main([*given, "--run", str(tmp_path / "run")])
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "run").exists()


def test_a_run_that_resumes_is_not_changed(straight: Path, data: Path) -> None:
    with pytest.raises(UsageError, match="--set cannot change a run that resumes"):
        main(["--run", str(straight), "--resume", "--set", "batch=2"])
    with pytest.raises(UsageError, match="already holds a run"):
        main(["--data", str(data), "--run", str(straight), *SMALL])
