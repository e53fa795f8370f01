"""`edgebot bench`: a row for each model, interpreter and number of threads, and one sentence where there is none."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from edge.bench.detect import available
from edge.cli import main

MODELS = Path(__file__).parent / "models"


def test_rows_tell_what_a_detector_costs(capsys: pytest.CaptureFixture[str]) -> None:
    model = MODELS / "foreign-v8.tflite"
    assert main(["bench", "detect", str(model), "--frames", "8", "--threads", "1,2", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["machine"]["cores"] >= 1 and told["frames"] == 8
    asked = [(name, threads) for name in available() for threads in (1, 2)]
    assert [(row["interpreter"], row["threads"]) for row in told["rows"]] == asked
    for row in told["rows"]:
        assert (row["model"], row["arithmetic"], row["size"]) == ("foreign-v8", "float", "64 x 64")
        assert row["p50_us"] > row["prepare_us"] > 0 and row["decode_us"] > 0 and row["p99_us"] >= row["p50_us"]
        assert row["invoke_us"] > 0 and row["peak_mb"] > 20
        assert row["ratio"] == pytest.approx(row["p50_us"] / row["invoke_us"], abs=0.001)
        assert row["fps"] == pytest.approx(1e6 / row["p50_us"], abs=0.1)


def test_the_shipped_detector_as_a_table(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["bench", "detect", "--frames", "5"]) == 0
    out = capsys.readouterr().out
    assert "person" in out and "192 x 144" in out and "frame to boxes" in out and "5 frames of 640 x 480" in out


def test_what_cannot_be_measured(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for argv, said in (
        (["bench", "policies"], "bench does not know 'policies', expected detect"),
        (["bench"], "the following arguments are required"),
        (["bench", "detect", str(tmp_path / "none.tflite")], "cannot be read"),
        (["bench", "detect", str(MODELS / "tiny-policy.tflite")], "a detector is needed here"),
        (["bench", "detect", "--threads", "0"], "no whole number from 1 to 64"),
        (["bench", "detect", "--photo", str(tmp_path / "none.jpg")], "none.jpg"),
        (["bench", "detect", "--layout", "v8"], "name its file"),
    ):
        assert main(argv) == 2
        error = capsys.readouterr().err
        assert said in error and error.count("\n") == 1
