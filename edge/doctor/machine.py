"""What the checks may ask of a machine, all of it in one place: tests give another machine's answers."""

from __future__ import annotations

import importlib.util
import os
import platform
import shutil
import subprocess
import sys
import time
from contextlib import suppress
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from edge.doctor.lines import Chip, Line, chip_of, line_of


@dataclass(frozen=True)
class Space:
    """The file system under a path."""

    free_bytes: int
    writable: bool


@dataclass
class Machine:
    """This machine, or one whose files lie under `root`."""

    root: Path = Path("/")
    environment: dict[str, str] = field(default_factory=lambda: dict(os.environ))

    def text(self, path: str) -> str | None:
        """A file's text without its end; None where it cannot be read. `path` is absolute, on that machine."""
        try:
            data = (self.root / path.lstrip("/")).read_bytes()
        except OSError:
            return None
        return data.decode(errors="replace").strip("\0\n ")

    def names(self, folder: str) -> list[str]:
        """What lies in a folder, sorted; nothing where it cannot be read."""
        with suppress(OSError):
            return sorted(os.listdir(self.root / folder.lstrip("/")))
        return []

    def exists(self, path: str) -> bool:
        """Whether there is such a path."""
        return (self.root / path.lstrip("/")).exists()

    def run(self, *command: str, limit_s: float = 5.0) -> str | None:
        """What a command prints to stdout, whatever its exit code; None where it is missing or hangs."""
        if shutil.which(command[0]) is None:
            return None
        try:
            done = subprocess.run(command, capture_output=True, text=True, errors="replace", timeout=limit_s)
        except (OSError, subprocess.TimeoutExpired):
            return None
        return done.stdout.strip()

    def version(self, distribution: str) -> str | None:
        """The version of an installed Python distribution."""
        try:
            return version(distribution)
        except PackageNotFoundError:
            return None

    def has_module(self, name: str) -> bool:
        """Whether Python finds a module, without importing it."""
        try:
            return importlib.util.find_spec(name) is not None
        except (ImportError, ValueError):
            return False

    def import_error(self, module: str) -> str:
        """What importing a module in a process of its own says; empty where it works."""
        try:
            done = subprocess.run(
                [sys.executable, "-c", f"import {module}"], capture_output=True, text=True, errors="replace", timeout=60
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            return str(error)
        lines = done.stderr.strip().splitlines()
        return "" if done.returncode == 0 else lines[-1] if lines else f"exit code {done.returncode}"

    def python(self) -> tuple[int, int]:
        """Python's version."""
        return sys.version_info[0], sys.version_info[1]

    def bits(self) -> int:
        """Of a pointer of this Python: 64, or 32."""
        return 64 if sys.maxsize > 2**32 else 32

    def architecture(self) -> str:
        """The processor's family, as `uname -m` says it."""
        return platform.machine()

    def user(self) -> str:
        """Whose process this is."""
        import pwd

        with suppress(KeyError):
            return pwd.getpwuid(os.geteuid()).pw_name
        return str(os.geteuid())

    def groups(self) -> set[str]:
        """The groups of this process, by name."""
        import grp

        found = set()
        for number in {os.getegid(), *os.getgroups()}:
            with suppress(KeyError):
                found.add(grp.getgrgid(number).gr_name)
        return found

    def may_use(self, path: str) -> bool:
        """Whether this process may read and write a device."""
        return os.access(self.root / path.lstrip("/"), os.R_OK | os.W_OK)

    def space(self, path: str) -> Space | None:
        """The file system that holds `path`; None where that is unknown."""
        try:
            found = os.statvfs(path)
        except OSError:
            return None
        return Space(found.f_bavail * found.f_frsize, not found.f_flag & os.ST_RDONLY)

    def chips(self) -> list[Chip]:
        """The GPIO chips that this process may look at."""
        paths = [self.root / "dev" / name for name in self.names("/dev") if name.startswith("gpiochip")]
        return [chip for path in paths if (chip := chip_of(path)) is not None]

    def line(self, chip: Chip, number: int) -> Line | None:
        """What a GPIO line is used for."""
        return line_of(chip, number)

    def clock(self) -> float:
        """Seconds since 1970, by the wall clock."""
        return time.time()

    @property
    def model(self) -> str:
        """The board's name where it has a device tree, else an empty text."""
        return self.text("/proc/device-tree/model") or ""

    @property
    def is_pi(self) -> bool:
        """Whether it is a Raspberry Pi."""
        return self.model.startswith("Raspberry Pi")

    @property
    def pins(self) -> str:
        """gpiozero's pin factory: lgpio unless the environment names another."""
        return self.environment.get("GPIOZERO_PIN_FACTORY", "lgpio")
