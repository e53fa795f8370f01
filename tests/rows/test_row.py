"""A robot's row of the supported matrix, in an environment made from its lock, without TensorFlow.

Collected only where `EDGEBOT_ROW` names the row that this environment is (see `.ci/run`).
"""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
ROW = os.environ["EDGEBOT_ROW"]
BIN = Path(sys.executable).parent


def edgebot(*args: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run([BIN / "edgebot", *args], cwd=cwd, capture_output=True, text=True, timeout=120)


def test_this_environment_is_the_rows_lock() -> None:
    assert sys.version_info[:2] == {"bookworm": (3, 11), "trixie": (3, 13)}[ROW]
    for line in (ROOT / "locks" / f"ci-{ROW}.txt").read_text().splitlines():
        if line and not line.startswith("#"):
            name, _, locked = line.partition("==")
            assert version(name) == locked, name
    assert version("numpy").startswith({"bookworm": "1.", "trixie": "2."}[ROW])


def test_nothing_of_the_workshop_is_here() -> None:
    assert [name for name in ("tensorflow", "keras", "gymnasium", "matplotlib") if importlib.util.find_spec(name)] == []


def test_the_robot_runs(tmp_path: Path) -> None:
    result = edgebot("run", "--sim", "--policy", "light", "--seed", "7", "--duration", "5", "--json", cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    summary = json.loads(result.stdout)
    assert summary["ticks"] == 250 or summary["ended"] == "goal", summary
    assert summary["simulated"] and summary["goal"]["contact_speed_mps"] < 0.5


@pytest.mark.parametrize("arguments", [["demo"], ["train", "light", "--algo", "ppo"], ["eval", "."], ["convert", "."]])
def test_the_workshops_verbs_name_their_extra(arguments: list[str], tmp_path: Path) -> None:
    result = edgebot(*arguments, cwd=tmp_path)
    assert result.returncode == 2 and result.stderr.count("\n") == 1, result
    assert 'pip install "edgebot[workstation]"' in result.stderr


def test_the_chosen_interpreter_is_the_one_that_runs(tmp_path: Path) -> None:
    forced = os.environ["EDGEBOT_INTERPRETER"]
    code = (
        "import numpy as np\nfrom edge.perception.detector import Detector\n"
        "print(Detector(None).detect(np.zeros((480, 640, 3), np.uint8)))\n"
        "import sys; print([m for m in ('ai_edge_litert', 'tflite_runtime') if m in sys.modules])"
    )
    result = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert result.returncode == 0, result.stderr
    assert result.stdout.splitlines() == ["()", str([forced])]


@pytest.mark.skipif(ROW != "bookworm", reason="simplejpeg built against numpy 1 is Bookworm's")
def test_bookworms_simplejpeg_loads_beside_our_numpy() -> None:
    """picamera2 imports it, and a numpy of another major version than it was built against breaks it."""
    import numpy as np
    import simplejpeg

    image = np.full((48, 64, 3), 128, np.uint8)
    decoded = simplejpeg.decode_jpeg(simplejpeg.encode_jpeg(image))
    assert decoded.shape == image.shape and abs(int(decoded.mean()) - 128) <= 2
