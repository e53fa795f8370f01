"""Writes the locks beside it: one file of exact versions for each platform that edgebot is run on.

Run as `make locks`; needs uv. A row whose name begins with `ci-` is a robot's row on the x86-64 machine that tests it:
its versions are held to those of the robot's lock, so that what CI tests is what the robot installs.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

LOCKS = Path(__file__).resolve().parent
ROOT = LOCKS.parent


class Row(NamedTuple):
    """One lock: for whom, which extras, which Python, and the platform as uv names it (`*` as sys.platform)."""

    name: str
    title: str
    extras: tuple[str, ...]
    python: str
    platform: str
    more: tuple[str, ...] = ()
    held_to: str = ""


ROWS = (
    Row("workstation-linux", "Linux workstation, Python 3.11 to 3.13, x86-64 and arm64",
        ("workstation", "sweep", "dev"), "3.11", "*linux"),
    Row("workstation-macos", "macOS workstation (Apple silicon), Python 3.11 to 3.13",
        ("workstation", "sweep", "dev"), "3.11", "*darwin"),
    Row("pi-bookworm", "Raspberry Pi OS Bookworm, 64-bit, Python 3.11; its picamera2 needs numpy 1",
        ("pi", "tflite-runtime"), "3.11", "aarch64-manylinux_2_36"),
    Row("pi-trixie", "Raspberry Pi OS Trixie, 64-bit, Python 3.13; lgpio comes from the operating system",
        ("pi",), "3.13", "aarch64-manylinux_2_40"),
    # The last simplejpeg built against numpy 1: it stands for the one that Bookworm's picamera2 imports.
    Row("ci-bookworm", "pi-bookworm on x86-64, with the test tools",
        ("tflite-runtime", "dev"), "3.11", "x86_64-manylinux_2_36", ("simplejpeg==1.7.2",), "pi-bookworm"),
    Row("ci-trixie", "pi-trixie on x86-64, with the test tools",
        ("dev",), "3.13", "x86_64-manylinux_2_36", (), "pi-trixie"),
)  # fmt: skip

# uv does not heed an upper bound on a package's Python (backports-strenum 1.3 is for Python below 3.11), pip does.
CONSTRAINTS = ("backports-strenum<1.3",)


def main() -> int:
    uv = shutil.which("uv")
    if uv is None:
        print("locks: uv is not installed; `pip install uv` brings it", file=sys.stderr)
        return 2
    for row in ROWS:
        text = header(row) + simplified(resolve(uv, row), row)
        (LOCKS / f"{row.name}.txt").write_text(text, encoding="utf-8")
        print(f"locks/{row.name}.txt: {len(text.splitlines()) - 2} packages")
    return 0


def header(row: Row) -> str:
    return f"# {row.title}.\n# Made by `make locks` from pyproject.toml; not edited by hand.\n"


def resolve(uv: str, row: Row) -> str:
    """The lock's lines, resolved by uv in a scratch folder that holds the row's variant of the project."""
    folder = ROOT / "build" / "locks" / row.name
    folder.mkdir(parents=True, exist_ok=True)
    command = [uv, "pip", "compile", "pyproject.toml", "more.in", "--python-version", row.python, "--quiet"]
    command += ["--upgrade", "--no-header", "--no-annotate", "--no-emit-index-url", "--no-emit-find-links"]
    for extra in row.extras:
        command += ["--extra", extra]
    project = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    if row.platform.startswith("*"):
        where = f"sys_platform == '{row.platform[1:]}' and python_version < '3.14'"
        project += f'\n[tool.uv]\nenvironments = ["{where}"]\n'
        command.append("--universal")
    else:  # wheels only: nothing is compiled on a robot
        command += ["--python-platform", row.platform, "--only-binary", ":all:"]
    held = (LOCKS / f"{row.held_to}.txt").read_text(encoding="utf-8") if row.held_to else ""
    (folder / "constraints.in").write_text("\n".join((*CONSTRAINTS, held)), encoding="utf-8")
    command += ["--constraints", "constraints.in"]
    (folder / "pyproject.toml").write_text(project, encoding="utf-8")
    (folder / "more.in").write_text("\n".join(row.more) + "\n", encoding="utf-8")
    environment = os.environ | {"UV_PYTHON_DOWNLOADS": "never"}
    return subprocess.run(command, cwd=folder, env=environment, stdout=subprocess.PIPE, text=True, check=True).stdout


def simplified(lock: str, row: Row) -> str:
    """The lock without the marker that holds on the whole row, which uv repeats on every line."""
    for always in (r"python_full_version < '3\.14'", rf"sys_platform == '{row.platform[1:]}'"):
        if row.platform.startswith("*"):
            lock = re.sub(rf" and {always}| ; {always}$|(?<= ; ){always} and ", "", lock, flags=re.MULTILINE)
    return lock


if __name__ == "__main__":
    sys.exit(main())
