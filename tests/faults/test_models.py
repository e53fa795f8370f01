"""Models that are missing, altered or of another shape: refused before anything is opened, so that no wheel ever turns.

`edgebot run` itself is asked. Each case runs again without the check that refuses it, and then the robot drives.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from edge import cli, interpreter, manifest
from edge.interpreter import Interpreter
from edge.policies import learned
from robot.sim.body import _SimMotors
from robot.types import Wheels
from tests.faults.scene import MODEL

ROOT = Path(__file__).parents[2]
PERSON = ROOT / "edge" / "models" / "person.tflite"


def missing(tmp_path: Path, model: Path) -> Path:
    return tmp_path / "gone.tflite"


def altered(tmp_path: Path, model: Path) -> Path:
    """One byte of the weights is another."""
    data = bytearray(model.read_bytes())
    flatbuffer, _ = manifest.read(model)
    data[len(flatbuffer) - 5] ^= 1
    path = tmp_path / "altered.tflite"
    path.write_bytes(bytes(data))
    return path


def misshapen(tmp_path: Path, model: Path) -> Path:
    """The manifest promises another input than the graph has."""
    flatbuffer, found = manifest.read(model)
    tensor = found.inputs[0]
    other = tensor.model_copy(update={"shape": (*tensor.shape[:-1], tensor.shape[-1] + 1)})
    path = tmp_path / "misshapen.tflite"
    manifest.save(path, flatbuffer, found.model_copy(update={"inputs": (other,)}))
    return path


def _stand_in(patch: pytest.MonkeyPatch, model: Path) -> None:
    """Where there is no model, another one will do: a silent default."""
    read = manifest.read

    def find(path: Any) -> Any:
        return read(path if os.path.exists(path) else model)

    patch.setattr(manifest, "read", find)


def _trusting(patch: pytest.MonkeyPatch, model: Path) -> None:
    """No file is compared with its sum."""
    found = manifest.read(model)
    patch.setattr(manifest, "read", lambda path: found)


def _indifferent(patch: pytest.MonkeyPatch, model: Path) -> None:
    """No tensor is compared with the manifest, and the policy's own check of it is gone too."""
    truth = manifest.read(model)[1]
    patch.setattr(interpreter, "_same", lambda want, have: True)
    patch.setattr(learned, "_check", lambda path, found: (truth.observation, truth.actions))
    read = manifest.read
    patch.setattr(manifest, "read", lambda path: (read(path)[0], truth))


CASES = {"missing": (missing, _stand_in), "altered": (altered, _trusting), "wrong shape": (misshapen, _indifferent)}


@contextmanager
def watched() -> Iterator[list[Wheels]]:
    """Every duty that simulated motors get."""
    given: list[Wheels] = []
    write = _SimMotors.write

    def told(motors: _SimMotors, wheels: Wheels) -> None:
        given.append(wheels)
        write(motors, wheels)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(_SimMotors, "write", told)
        yield given


def arguments(which: str, path: Path) -> list[str]:
    if which == "learned":
        return ["run", "--sim", "--policy", str(path), "--duration", "0.6"]
    return ["run", "--sim", "--policy", "person", "--detector", str(path), "--duration", "0.6"]


@pytest.mark.parametrize("which", ["learned", "person"])
@pytest.mark.parametrize("case", CASES)
def test_a_model_that_is_not_right_is_refused_and_no_wheel_turns(
    case: str, which: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model = MODEL if which == "learned" else PERSON
    path = CASES[case][0](tmp_path, model)
    with watched() as given:
        assert cli.main(arguments(which, path)) == 2
    assert not given
    told = capsys.readouterr().err.strip()
    assert str(path) in told and "\n" not in told
    assert isinstance(Interpreter(manifest.read(model)[0]), Interpreter)  # the model that was spoilt is a good one


@pytest.mark.parametrize("which", ["learned", "person"])
@pytest.mark.parametrize("case", CASES)
def test_without_the_check_it_drives(case: str, which: str, tmp_path: Path) -> None:
    model = MODEL if which == "learned" else PERSON
    spoil, take_away = CASES[case]
    path = spoil(tmp_path, model)
    with pytest.MonkeyPatch.context() as patch, watched() as given:
        take_away(patch, model)
        assert cli.main(arguments(which, path)) == 0
    assert any(wheels.left or wheels.right for wheels in given)
