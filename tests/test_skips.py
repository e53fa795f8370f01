"""CI prints every skip and fails for a reason that tests/skips.txt does not list, with workers and without."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

CONFTEST = Path(__file__).with_name("conftest.py")
PROJECT = '[tool.pytest.ini_options]\nmarkers = ["hardware: x"]\naddopts = ["--import-mode=importlib"]\n'


def run(folder: Path, listed: str, *options: str, ci: str = "true") -> subprocess.CompletedProcess[str]:
    (folder / "pyproject.toml").write_text(PROJECT)
    (folder / "tests" / "skips.txt").write_text(f"# a comment\n{listed}\n")
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST")} | {"CI": ci}
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *options]
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=120)


@pytest.fixture
def project(tmp_path: Path) -> Path:
    tests = tmp_path / "tests"
    tests.mkdir()
    shutil.copy(CONFTEST, tests)
    (tests / "test_some.py").write_text(
        "import pytest\n"
        "def test_runs(): pass\n"
        "def test_skips(): pytest.skip('no weather today')\n"
        "@pytest.mark.hardware\ndef test_robot(): raise AssertionError\n"
    )
    (tests / "test_module.py").write_text("import pytest\npytest.importorskip('no_such_library')\ndef test(): pass\n")
    return tmp_path


ALL = "no weather*\nneeds a robot: run with --hardware\ncould not import 'no_such_library'*"


@pytest.mark.slow
@pytest.mark.parametrize("workers", [(), ("-n", "2")], ids=["alone", "workers"])
def test_every_skip_is_printed_and_only_listed_reasons_pass(project: Path, workers: tuple[str, ...]) -> None:
    passed = run(project, ALL, *workers)
    assert passed.returncode == 0, passed.stdout
    assert "skipped: tests/test_some.py::test_skips: no weather today" in passed.stdout
    assert "skipped: tests/test_some.py::test_robot: needs a robot" in passed.stdout
    assert "skipped: tests/test_module.py: could not import 'no_such_library'" in passed.stdout

    for reason, where in (("no weather", "test_some.py::test_skips"), ("could not import", "test_module.py")):
        listed = "\n".join(line for line in ALL.splitlines() if not line.startswith(reason))
        failed = run(project, listed, *workers)
        assert failed.returncode == 1, failed.stdout
        assert f"FAILED tests/{where}: skipped for a reason not in tests/skips.txt: {reason}" in failed.stdout


@pytest.mark.slow
def test_outside_ci_a_skip_is_only_a_skip(project: Path) -> None:
    assert run(project, "", ci="").returncode == 0
    assert run(project, "", "--strict-skips", ci="").returncode == 1
