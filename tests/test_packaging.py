"""What is installed: a wheel with all that the product needs, refused beside a rival; locks that hold together."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
ROOMS = ("robot", "edge", "convert", "train")
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


def run(*command: str | Path, cwd: Path, code: int = 0) -> subprocess.CompletedProcess[str]:
    result = subprocess.run([str(part) for part in command], cwd=cwd, capture_output=True, text=True, timeout=300)
    assert result.returncode == code, f"{command}: {result.returncode}\n{result.stdout}\n{result.stderr}"
    return result


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, built from a copy of the sources without touching the network."""
    folder = tmp_path_factory.mktemp("wheel")
    for room in ROOMS:
        shutil.copytree(ROOT / room, folder / room, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, folder)
    run(sys.executable, "-m", "pip", "wheel", "-q", "--no-index", "--no-deps", "--no-build-isolation", ".", cwd=folder)
    return next(folder.glob("*.whl"))


@pytest.mark.slow
def test_the_wheel_holds_every_module_and_all_data(wheel: Path) -> None:
    inside = set(zipfile.ZipFile(wheel).namelist())
    wanted = {
        path.relative_to(ROOT).as_posix()
        for room in ROOMS
        for path in (ROOT / room).rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    assert "robot/example.toml" in wanted
    assert wanted <= inside, f"not in the wheel: {sorted(wanted - inside)}"
    tops = {name.split("/")[0] for name in inside if ".dist-info" not in name}
    assert tops == set(ROOMS)


def rival_wheel(folder: Path, package: str) -> Path:
    """A distribution `rival-NAME` that owns `package`, as a wheel made by hand."""
    path = folder / f"rival_{package}-1.0-py3-none-any.whl"
    info = f"rival_{package}-1.0.dist-info"
    files = {
        f"{package}/__init__.py": "raise RuntimeError('a rival was imported')\n",
        f"{package}/errors.py": "",
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: rival-{package}\nVersion: 1.0\n",
        f"{info}/WHEEL": "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    record = "".join(f"{name},,\n" for name in [*files, f"{info}/RECORD"])
    with zipfile.ZipFile(path, "w") as archive:
        for name, text in {**files, f"{info}/RECORD": record}.items():
            archive.writestr(name, text)
    return path


@pytest.mark.slow
@pytest.mark.parametrize(("package", "first"), [("robot", "edgebot"), ("robot", "rival"), ("edge", "rival")])
def test_a_rival_in_the_same_environment_is_refused(wheel: Path, tmp_path: Path, package: str, first: str) -> None:
    rival = rival_wheel(tmp_path, package)
    venv = tmp_path / "venv"
    run(sys.executable, "-m", "venv", "--without-pip", venv, cwd=tmp_path)
    for package_file in (wheel, rival) if first == "edgebot" else (rival, wheel):
        run(sys.executable, "-m", "pip", "--python", venv / "bin" / "python", "install", "-q", "--no-index",
            "--no-deps", "--force-reinstall", package_file, cwd=tmp_path)  # fmt: skip
    assert "usage: edgebot" in run(venv / "bin" / "edgebot", "--help", cwd=tmp_path).stdout
    refused = run(venv / "bin" / "edgebot", "run", "--sim", "--policy", "light", cwd=tmp_path, code=2)
    assert refused.stderr.count("\n") == 1
    assert re.search(rf"the package '{package}' belongs to rival_{package} here", refused.stderr), refused.stderr
    assert "environment of its own" in refused.stderr


def test_a_rival_that_is_found_first_is_refused(tmp_path: Path) -> None:
    with zipfile.ZipFile(rival_wheel(tmp_path, "robot")) as archive:
        archive.extractall(tmp_path / "site")
    code = (
        f"import sys; sys.path[:0] = [{str(tmp_path / 'site')!r}, {str(ROOT)!r}]; from edge.cli import main;"
        "sys.exit(main(['run', '--sim', '--policy', 'light']))"
    )
    refused = run(sys.executable, "-c", code, cwd=tmp_path, code=2)
    assert "the package 'robot' belongs to rival-robot here" in refused.stderr
    assert refused.stderr.count("\n") == 1


def test_a_folder_of_the_same_name_is_refused(tmp_path: Path) -> None:
    (tmp_path / "convert.py").write_text("")
    code = (
        f"import sys; sys.path[:0] = [{str(tmp_path)!r}, {str(ROOT)!r}]; from edge.cli import main;"
        "sys.exit(main(['run', '--sim', '--policy', 'light']))"
    )
    refused = run(sys.executable, "-c", code, cwd=tmp_path, code=2)
    assert f"the package 'convert' belongs to another package here ({tmp_path / 'convert.py'})" in refused.stderr


def locked(name: str) -> dict[str, str]:
    """Package -> version of a lock, without markers (the first of several)."""
    lines = (ROOT / "locks" / f"{name}.txt").read_text().splitlines()
    pairs = [line.split(" ;")[0].split("==") for line in lines if line and not line.startswith("#")]
    assert all(len(pair) == 2 for pair in pairs), f"locks/{name}.txt holds a line that is no exact version"
    return dict(reversed(pairs))  # type: ignore[arg-type]


LOCKS = sorted(path.stem for path in (ROOT / "locks").glob("*.txt"))


def names(requirements: list[str]) -> set[str]:
    return {re.split(r"[^A-Za-z0-9._-]", requirement)[0].lower() for requirement in requirements}


@pytest.mark.parametrize("name", LOCKS)
def test_a_lock_has_exact_versions_of_all_that_the_project_asks_for(name: str) -> None:
    text = (ROOT / "locks" / f"{name}.txt").read_text()
    assert "://" not in text and "--" not in text
    versions = locked(name)
    assert names(PROJECT["dependencies"]) <= set(versions)
    extras = PROJECT["optional-dependencies"]
    if name.startswith("workstation"):
        assert names(extras["workstation"]) - {"tensorflow-cpu"} <= set(versions)
        assert names(extras["dev"]) <= set(versions)
    else:
        assert not {"tensorflow", "tensorflow-cpu", "gymnasium", "keras"} & set(versions)


def test_the_base_install_is_a_robots() -> None:
    base = names(PROJECT["dependencies"])
    assert not {"tensorflow", "tensorflow-cpu", "gymnasium", "keras", "matplotlib", "tensorboard"} & base
    assert set(PROJECT["optional-dependencies"]) >= {"pi", "workstation", "dev", "tflite-runtime"}


@pytest.mark.parametrize("row", ["bookworm", "trixie"])
def test_what_is_tested_is_what_the_robot_installs(row: str) -> None:
    robot, tested = locked(f"pi-{row}"), locked(f"ci-{row}")
    assert {name: tested.get(name) for name in robot if name != "lgpio"} == {
        name: version for name, version in robot.items() if name != "lgpio"
    }


def test_the_bookworm_lock_suits_its_picamera2() -> None:
    versions = locked("pi-bookworm")
    assert versions["numpy"].startswith("1.26.") and versions["opencv-python-headless"].startswith("4.11.")
    assert versions["tflite-runtime"] == "2.14.0" and "ai-edge-litert" in versions
    assert "lgpio" in versions and "lgpio" not in locked("pi-trixie")
    assert locked("pi-trixie")["numpy"].startswith("2.")


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["3.99"], "edgebot: Python 3.99 is needed, and only python3 "),
        (["3.11 3.12 3.13", "no-such-python"], "edgebot: Python 3.11 to 3.13 is needed, and no-such-python is not"),
    ],
)
def test_a_python_that_does_not_do_is_one_sentence(arguments: list[str], sentence: str) -> None:
    result = run("sh", "locks/find-python.sh", *arguments, cwd=ROOT, code=2)
    assert result.stderr.startswith(sentence) and result.stderr.count("\n") == 1 and result.stdout == ""


def fake_python(folder: Path, version: str, venv: bool) -> Path:
    """A command that answers find-python's two questions as a Python of this version would."""
    path = folder / "python"
    path.write_text(
        f'#!/bin/sh\ncase "$2" in *version_info*) echo "{version} $0" ;; *) exit {0 if venv else 1} ;; esac\n'
    )
    path.chmod(0o755)
    return path


@pytest.mark.parametrize(
    ("version", "venv", "code", "sentence"),
    [
        ("3.12", True, 0, ""),
        ("3.10", True, 2, "and only {python} (3.10) is here"),
        ("3.14", True, 2, "and only {python} (3.14) is here"),
        ("3.11", False, 2, "{python} has no venv module; on Debian and Ubuntu, 'sudo apt install python3-venv'"),
    ],
)
def test_the_python_is_chosen_by_what_it_says(
    version: str, venv: bool, code: int, sentence: str, tmp_path: Path
) -> None:
    python = fake_python(tmp_path, version, venv)
    result = run("sh", "locks/find-python.sh", "3.11 3.12 3.13", python, cwd=ROOT, code=code)
    assert sentence.format(python=python) in result.stderr
    assert result.stdout == (f"{python}\n" if code == 0 else "")
    assert result.stderr.count("\n") == (0 if code == 0 else 1)
