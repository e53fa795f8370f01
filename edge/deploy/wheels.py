"""The laptop's cache: edgebot's wheel from this source tree, and the pinned wheels of each Raspberry Pi OS."""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from edge.errors import EdgeError

ROOT = Path(__file__).resolve().parents[2]
CACHE = Path(os.environ.get("EDGEBOT_CACHE") or Path.home() / ".cache" / "edgebot") / "deploy"
ROOMS = ("robot", "edge", "convert", "train")
EPOCH = "1577836800"  # 1 January 2020: a wheel of the same files has the same bytes


@dataclass(frozen=True)
class System:
    """One operating system of a Raspberry Pi."""

    name: str
    version: str  # VERSION_ID
    python: str
    glibc: int  # its minor number

    @property
    def lock(self) -> Path:
        """Its pins."""
        return ROOT / "locks" / f"pi-{self.name}.txt"


SYSTEMS = {"12": System("bookworm", "12", "3.11", 36), "13": System("trixie", "13", "3.13", 41)}


def pinned(system: System) -> list[Path]:
    """The wheels of a system's lock, downloaded the first time.

    Raises:
        EdgeError: one cannot be had.
    """
    text = system.lock.read_text(encoding="utf-8")
    folder = CACHE / f"{system.name}-{hashlib.sha256(text.encode()).hexdigest()[:16]}"
    with _alone(folder):
        if not folder.is_dir():
            with _beside(folder) as part:
                platforms = ["any", "linux_aarch64", "manylinux2014_aarch64"]
                platforms += [f"manylinux_2_{minor}_aarch64" for minor in range(system.glibc, 16, -1)]
                abi = "cp" + system.python.replace(".", "")
                _pip(
                    "download", "-q", "--no-deps", "--only-binary=:all:", "--dest", str(part), "-r", str(system.lock),
                    "--implementation", "cp", "--python-version", system.python,
                    "--abi", abi, "--abi", "abi3", "--abi", "none",
                    *(word for platform in platforms for word in ("--platform", platform)),
                )  # fmt: skip
    return sorted(folder.glob("*.whl"))


def own() -> Path:
    """edgebot's wheel, built anew when a file of it has changed.

    Raises:
        EdgeError: it cannot be built.
    """
    found = sorted(path for room in ROOMS for path in (ROOT / room).rglob("*"))
    files = [path for path in found if path.is_file() and "__pycache__" not in path.parts]
    files += [ROOT / name for name in ("pyproject.toml", "README.md", "LICENSE")]
    digest = hashlib.sha256()
    for path in files:
        digest.update(f"{path.relative_to(ROOT)}\0".encode() + hashlib.sha256(path.read_bytes()).digest())
    folder = CACHE / f"edgebot-{digest.hexdigest()[:16]}"
    with _alone(folder):
        if not folder.is_dir():
            with _beside(folder) as part, tempfile.TemporaryDirectory() as name:
                for path in files:
                    copy = Path(name) / path.relative_to(ROOT)
                    copy.parent.mkdir(parents=True, exist_ok=True)
                    shutil.copyfile(path, copy)
                _pip("wheel", "-q", "--no-deps", "--no-build-isolation", "--wheel-dir", str(part), name)
    (wheel,) = folder.glob("*.whl")
    return wheel


def _pip(*words: str) -> None:
    environment = os.environ | {"SOURCE_DATE_EPOCH": EPOCH, "PIP_DISABLE_PIP_VERSION_CHECK": "1"}
    done = subprocess.run([sys.executable, "-m", "pip", *words], capture_output=True, text=True, env=environment)
    if done.returncode != 0:
        lines = [line for line in done.stderr.splitlines() if line.strip()]
        said = next((line for line in lines if line.startswith("ERROR")), lines[-1] if lines else "no reason given")
        raise EdgeError(f"`pip {words[0]}` failed on this machine: {said}")


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Two deploys at once do not fetch or build the same thing twice."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    with folder.with_name(f".{folder.name}.lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


@contextmanager
def _beside(folder: Path) -> Iterator[Path]:
    """A folder that gets its name when it is complete."""
    part = Path(tempfile.mkdtemp(dir=folder.parent, prefix=f".{folder.name}."))
    try:
        yield part
        part.chmod(0o755)
        part.rename(folder)
    finally:
        shutil.rmtree(part, ignore_errors=True)
