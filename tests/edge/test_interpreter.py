"""The seam to the interpreter: real values through it, and every kind of bad model in one sentence."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from edge import manifest as manifests
from edge.errors import ModelError
from edge.interpreter import Interpreter, dequantise, open_model, quantise
from edge.manifest import Tensor

MODELS = Path(__file__).parent / "models"


def refusal(path: Path, kind: str | None = None) -> str:
    with pytest.raises(ModelError) as caught:
        open_model(path, kind)  # type: ignore[arg-type]
    sentence = str(caught.value)
    assert "\n" not in sentence and str(path) in sentence
    return sentence


def test_a_policy_runs_alone_and_in_batches() -> None:
    interpreter, manifest = open_model(MODELS / "tiny-policy.tflite", "policy")
    assert manifest.kind == "policy" and interpreter.inputs[0].shape == (1, 6)
    rows = np.random.default_rng(0).normal(size=(5, 6)).astype(np.float32)
    singles = []
    for row in rows:
        interpreter.input_view(0)()[...] = row
        interpreter.invoke()
        logits, chosen = interpreter.get(0), interpreter.output_view(1)()
        assert int(chosen[0]) == int(logits.argmax())
        del chosen
        singles.append(logits[0])
    assert len({tuple(row) for row in np.round(singles, 4)}) == 5
    interpreter.resize((5, 6))
    interpreter.set(rows)
    interpreter.invoke()
    np.testing.assert_allclose(interpreter.get(0), singles, atol=1e-5)


def test_run_speaks_real_values_to_int8() -> None:
    image = np.random.default_rng(1).random((1, 48, 64, 3), np.float32)
    float_heads = open_model(MODELS / "tiny.tflite")[0].run(image)
    int8_heads = open_model(MODELS / "tiny-int8.tflite")[0].run(image)
    for one, other in zip(float_heads, int8_heads, strict=True):
        noise = float(((one - other) ** 2).sum() / (one**2).sum())
        assert one.shape == other.shape and noise < 0.05


def test_quantise_rounds_saturates_and_comes_back() -> None:
    tensor = Tensor(name="x", shape=(4,), dtype="int8", scale=0.5, zero_point=3)
    stored = quantise(np.array([0.0, 0.26, 1000.0, -1000.0]), tensor)
    assert stored.tolist() == [3, 4, 127, -128] and stored.dtype == np.int8
    assert dequantise(stored, tensor).tolist() == [0.0, 0.5, 62.0, -65.5]


def test_missing_and_other_files(tmp_path: Path) -> None:
    assert "cannot be read" in refusal(tmp_path / "none.tflite")
    assert "cannot be read" in refusal(tmp_path)
    other = tmp_path / "notes.tflite"
    for data in (b"", b"hello", b"x" * 5000):
        other.write_bytes(data)
        assert "is not a TFLite model" in refusal(other)


def test_truncated_anywhere(tmp_path: Path) -> None:
    data = (MODELS / "tiny-policy.tflite").read_bytes()
    path = tmp_path / "cut.tflite"
    for size in range(8, len(data), 97):
        path.write_bytes(data[:size])
        assert "cut short" in refusal(path)


def test_altered_anywhere(tmp_path: Path) -> None:
    """A flipped bit is refused, or does not matter (a date in the zip): never a crash, never other numbers."""
    data = bytearray((MODELS / "tiny-policy.tflite").read_bytes())
    path = tmp_path / "altered.tflite"
    flatbuffer, manifest = manifests.read(MODELS / "tiny-policy.tflite")
    refused = 0
    for at in range(0, len(data), 13):
        data[at] ^= 0x10
        path.write_bytes(data)
        data[at] ^= 0x10
        try:
            assert manifests.read(path) == (flatbuffer, manifest)
        except ModelError as error:
            assert "\n" not in str(error)
            refused += 1
    assert refused > 0.9 * len(data) / 13


def test_altered_weights_name_the_sha(tmp_path: Path) -> None:
    data = bytearray((MODELS / "tiny-policy.tflite").read_bytes())
    data[600] ^= 1
    path = tmp_path / "altered.tflite"
    path.write_bytes(data)
    assert "was altered: its sha256" in refusal(path)


def test_another_kind() -> None:
    assert "is a policy (tiny), a detector is needed" in refusal(MODELS / "tiny-policy.tflite", "detector")
    assert "is a detector (tiny), a policy is needed" in refusal(MODELS / "tiny.tflite", "policy")


def test_tensors_other_than_the_manifest_says(tmp_path: Path) -> None:
    flatbuffer, manifest = manifests.read(MODELS / "tiny-policy.tflite")
    path = tmp_path / "x.tflite"
    (tensor,) = manifest.inputs
    for change, said in (
        ({"inputs": (tensor.model_copy(update={"shape": (1, 7)}),)}, "an input 1x6 float32, its manifest says 1x7"),
        ({"inputs": (tensor.model_copy(update={"dtype": "int8"}),)}, "its manifest says 1x6 int8"),
        ({"outputs": manifest.outputs[:1]}, "2 output tensors, its manifest says 1"),
    ):
        manifests.save(path, flatbuffer, manifest.model_copy(update=change))
        assert said in refusal(path)


def test_a_manifest_from_a_newer_version(tmp_path: Path) -> None:
    flatbuffer, manifest = manifests.read(MODELS / "tiny-policy.tflite")
    path = tmp_path / "x.tflite"
    manifests.save(path, flatbuffer, manifest.model_copy(update={"format": manifests.FORMAT + 1}))
    sentence = refusal(path)
    assert f"format {manifests.FORMAT + 1}" in sentence and "update" in sentence


def test_a_flatbuffer_without_manifest(tmp_path: Path) -> None:
    path = tmp_path / "bare.tflite"
    path.write_bytes(manifests.read(MODELS / "tiny-policy.tflite")[0])
    assert "has no manifest" in refusal(path)


def test_a_model_that_no_interpreter_takes(shared_data: Path) -> None:
    path = shared_data / "tflite_person_detect" / "person_detect.tflite"
    assert "has no manifest" in refusal(path)
    with pytest.raises(ModelError) as caught:
        Interpreter(path.read_bytes(), name="person_detect")
    assert "person_detect is not accepted by" in str(caught.value) and "quantized_dimension" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_forcing_an_interpreter(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EDGEBOT_INTERPRETER", "onnx")
    with pytest.raises(ModelError, match="EDGEBOT_INTERPRETER is 'onnx', expected one of ai_edge_litert"):
        open_model(MODELS / "tiny.tflite")
    monkeypatch.setenv("EDGEBOT_INTERPRETER", "ai-edge-litert")
    assert open_model(MODELS / "tiny.tflite")[0].backend == "ai_edge_litert"


def test_the_forced_interpreter_is_the_one_that_runs() -> None:
    forced = os.environ.get("EDGEBOT_INTERPRETER", "").replace("-", "_")
    assert open_model(MODELS / "tiny.tflite")[0].backend == (forced or "ai_edge_litert")
