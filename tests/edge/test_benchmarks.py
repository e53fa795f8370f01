"""Samples of the benchmarks of the loop: the whole runs are `python benchmarks/loop.py` and `benchmarks/soak.py`."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import edge.policies
from robot.types import Twist

BENCHMARKS = Path(__file__).resolve().parents[2] / "benchmarks"
HOURS = float(os.environ.get("EDGEBOT_SOAK_HOURS", "0.02"))


def load(name: str) -> Any:
    spec = importlib.util.spec_from_file_location(f"benchmark_{name}", BENCHMARKS / f"{name}.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look there for their own module
    spec.loader.exec_module(module)
    return module


@pytest.mark.slow
@pytest.mark.parametrize("policy", ["light", "person"])
def test_nothing_grows(policy: str) -> None:
    row = load("soak").in_a_process(policy, HOURS)
    assert row.ticks == round(HOURS * 3600 * 50)
    assert row.holds, row


class Leaky:
    """Drives, and forgets nothing."""

    name, needs_camera, period_s = "light", False, 0.02

    def __init__(self) -> None:
        self.kept: list[bytes] = []

    def reset(self) -> None:
        pass

    def act(self, observation: object) -> Twist:
        self.kept.append(os.urandom(8000))
        return Twist(0.0, 1.0)


def leak() -> None:
    """In a process of its own: one that has run other tests may give what it freed before it grows."""
    edge.policies.REGISTRY["light"] = lambda config: Leaky()
    row = load("soak").soak("light", 0.025)
    assert not row.holds and row.growth_bytes > 5_000_000, row


@pytest.mark.slow
def test_the_soak_sees_what_grows() -> None:
    code = "import runpy, sys; runpy.run_path(sys.argv[1])['leak']()"
    done = subprocess.run([sys.executable, "-c", code, __file__], cwd=BENCHMARKS.parent, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


@pytest.mark.slow
def test_every_late_iteration_is_told_by_the_recording(tmp_path: Path) -> None:
    loop = load("loop")
    film = tmp_path / "film.npy"
    loop.render_film(film)
    row = loop.run(loop.Job("edgebot", "edgebot", busy=4), 4.0, film, sys.executable)
    assert row.ticks > 40
    assert row.off_grid == row.recorded
    assert "| edgebot | 4 busy | ordinary |" in loop.table([row])


def test_deadlines_that_were_left_out_are_counted() -> None:
    import numpy as np

    left_out = load("loop").left_out
    assert left_out(np.array([0.0, 0.02, 0.04, 0.1, 0.12])) == 2
    assert left_out(np.arange(0, 10, 0.02)) == 0


def test_those_who_walk_about_keep_their_identities() -> None:
    track = load("track")
    times, count, switches = track.ours(*track.crowd(5))
    assert len(times) == 200 and min(times) > 0 and switches <= 3
    assert 5 <= count <= 8  # boxes meet, and one in ten frames lacks each


def test_persons_are_cut_out_of_photos_whole(shared_data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    photos = load("photos")
    found = photos.persons()
    assert len(found) >= 10
    for picture in found:
        high, wide, _ = picture.shape
        assert high > 100 and 2 < high / wide < 5
