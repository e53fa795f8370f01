"""`edgebot convert RUN`: a policy from its run folder to a proven model file, or a refusal that writes nothing."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("tensorflow")

import keras

from convert import policy
from convert.commands.convert import main
from convert.errors import ConvertError
from convert.parity import Judge
from convert.progress import steps
from edge.interpreter import open_model
from edge.manifest import read
from tests.convert.damage import damage_one_scale

SIZE, ACTIONS = 6, 5
OBSERVATIONS = np.random.default_rng(3).normal(size=(1000, SIZE)).astype(np.float32)


@pytest.fixture(scope="module")
def model() -> keras.Model:
    keras.utils.set_random_seed(5)
    dense = keras.layers.Dense
    return keras.Sequential([keras.Input((SIZE,)), dense(64, "tanh"), dense(64, "tanh"), dense(ACTIONS)])


@pytest.fixture
def run(tmp_path: Path, model: keras.Model) -> Path:
    folder = tmp_path / "light-ppo-0"
    folder.mkdir()
    model.save(folder / "checkpoint.keras")
    manifest = {
        "kind": "policy",
        "name": "light",
        "observation": {"name": "light", "version": 1, "size": SIZE, "period_s": 0.1},
        "actions": {"kind": "twist", "twists": [[0.1 * index, 0.0] for index in range(ACTIONS)]},
    }
    (folder / "settings.json").write_text(json.dumps({"task": "light", "algo": "ppo", "seed": 0, "manifest": manifest}))
    return folder


def judges(model: keras.Model, may_drop: float = 0.02) -> dict[str, Callable[[Path], Judge]]:
    """Success: the share of observations on which the action is the source's."""
    want = np.asarray(model(OBSERVATIONS)).argmax(-1)

    def measure(predict: Callable[[np.ndarray], np.ndarray]) -> float:
        return float(np.mean(predict(OBSERVATIONS).argmax(-1) == want))

    return {"light": lambda folder: Judge("same action", measure, lambda: OBSERVATIONS, may_drop)}


@pytest.mark.parametrize("mode", ["none", "float16", "dynamic", "int8"])
def test_every_mode_gives_the_policy(run: Path, model: keras.Model, tmp_path: Path, mode: str) -> None:
    out = tmp_path / "light.tflite"
    assert main([str(run), "-o", str(out), "--quantize", mode], judges(model, 0.05)) == 0
    interpreter, manifest = open_model(out, "policy")
    assert [tensor.dtype for tensor in manifest.inputs] == ["float32"]
    assert [(tensor.shape, tensor.dtype) for tensor in manifest.outputs] == [((1, ACTIONS), "float32"), ((1,), "int32")]
    logits = np.asarray(model(OBSERVATIONS[:200]))
    rows = [interpreter.run(row[None]) for row in OBSERVATIONS[:200]]
    assert np.mean([int(chosen[0]) for _, chosen in rows] == logits.argmax(-1)) > 0.95
    spread = float(np.abs(logits).max())
    if mode == "int8":  # scores without what all have in common, and only as far as a choice depends on them
        logits = logits - logits.mean(1, keepdims=True)
    worst = max(float(np.abs(found[0] - want).max()) for (found, _), want in zip(rows, logits, strict=True))
    assert worst < {"none": 1e-5, "float16": 0.005, "dynamic": 0.05, "int8": 0.75}[mode] * spread
    assert manifest.parity["quantize"] == mode and manifest.parity["worst_output_error"] > 0
    figures = {figure["name"]: figure for figure in manifest.parity["figures"]}
    assert figures["same action"]["before"] == 1.0 and figures["same action"]["after"] > 0.94
    assert manifest.provenance["seed"] == 0


def test_int8_of_values_that_are_all_but_alike() -> None:
    """A value network: scores of 80 that differ by hundredths, from saturated units, and a number observed in a
    hundredth of another's range. TensorFlow's own int8 of it has one action for all observations."""
    keras.utils.set_random_seed(7)
    dense, rng = keras.layers.Dense, np.random.default_rng(8)
    value = keras.Sequential([keras.Input((3,)), dense(32, "tanh"), dense(32, "tanh"), dense(3)])
    first, _, second, _, last, _ = value.get_weights()
    first = 4 * first * np.array([[1.0], [100.0], [1.0]], np.float32)
    value.set_weights([first, np.zeros(32), 4 * second, np.zeros(32), 0.01 * last + 1.0, np.array([80.0, 80.0, 80.01])])
    seen = (rng.normal(size=(3000, 3)) * [1.0, 0.01, 1.0]).astype(np.float32)
    with steps() as told:
        made = policy.convert(value, {"kind": "policy", "name": "values"}, "int8", judge_of(seen), told, "values")
    (name, (_, agrees, _)), _ = made.parity.figures.items()
    assert "where it matters" in name and agrees > 0.97
    assert made.parity.refusal() is None and "distilled" in made.parity.done[1]


def judge_of(seen: np.ndarray) -> Judge:
    return Judge("nothing", lambda predict: 0.0, lambda: seen)


def test_int8_weights_are_smaller(run: Path, model: keras.Model, tmp_path: Path) -> None:
    sizes = {}
    for mode in ("none", "dynamic"):
        assert main([str(run), "-o", str(tmp_path / mode), "--quantize", mode], judges(model)) == 0
        sizes[mode] = len(read(tmp_path / mode)[0])
    assert sizes["dynamic"] < 0.55 * sizes["none"]


@pytest.mark.parametrize("mode", ["none", "dynamic"])
def test_a_damaged_layer_is_refused_and_nothing_written(
    run: Path, model: keras.Model, tmp_path: Path, mode: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "light.tflite"
    out.write_bytes(b"the model from before")
    export = policy.export
    monkeypatch.setattr(policy, "export", lambda *args, **kwargs: damage_one_scale(export(*args, **kwargs), 3.0, 1))
    with pytest.raises(ConvertError, match="refused .* nothing was written") as caught:
        main([str(run), "-o", str(out), "--quantize", mode], judges(model))
    assert "\n" not in str(caught.value)
    assert out.read_bytes() == b"the model from before"
    assert [path.name for path in tmp_path.iterdir() if path.is_file()] == ["light.tflite"]


def test_a_policy_that_lost_its_success_is_refused(run: Path, model: keras.Model, tmp_path: Path) -> None:
    figures = iter([0.97, 0.94])
    judge = {"light": lambda folder: Judge("success", lambda predict: next(figures), lambda: OBSERVATIONS, 0.02)}
    with pytest.raises(ConvertError, match=r"success falls from 0\.9700 to 0\.9400"):
        main([str(run), "-o", str(tmp_path / "x.tflite")], judge)
    assert not (tmp_path / "x.tflite").exists()


def test_default_output_and_no_judge(run: Path) -> None:
    assert main([str(run)]) == 0
    assert read(run / "model.tflite")[1].parity["quantize"] == "dynamic"


def test_bad_runs_are_one_sentence(run: Path, tmp_path: Path) -> None:
    def sentence(*argv: str) -> str:
        with pytest.raises(Exception) as caught:
            main(list(argv))
        assert type(caught.value).__name__ in ("ConvertError", "UsageError") and "\n" not in str(caught.value)
        return str(caught.value)

    assert "is not a run folder" in sentence(str(tmp_path / "nowhere"))
    assert "'int4'" in sentence(str(run), "--quantize", "int4")
    assert "needs observations" in sentence(str(run), "--quantize", "int8")
    assert "cannot be written" in sentence(str(run), "-o", str(tmp_path))
    settings = json.loads((run / "settings.json").read_text())
    settings["manifest"]["observation"]["size"] = 9
    (run / "settings.json").write_text(json.dumps(settings))
    assert "an observation of 9" in sentence(str(run))
    settings["manifest"]["observation"] = {"size": "six"}
    (run / "settings.json").write_text(json.dumps(settings))
    assert "observation" in sentence(str(run))
    (run / "checkpoint.keras").write_bytes(b"PK\x03\x04 not a model")
    assert "is damaged" in sentence(str(run))
    (run / "checkpoint.keras").unlink()
    assert "has no checkpoint" in sentence(str(run))
    (run / "settings.json").write_text("{")
    assert "is damaged" in sentence(str(run))
    assert not (run / "model.tflite").exists()
