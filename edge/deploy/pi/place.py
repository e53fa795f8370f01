"""Where a deployed edgebot lives on a robot, and files there that appear whole or not at all.

    /opt/edgebot/releases/ID/       one release: index.json and every file that it names, but the pinned wheels
    /opt/edgebot/releases/ID.json   what became of it: ready, confirmed, failed
    /opt/edgebot/releases/ID/venv   a link to the environment that it runs in
    /opt/edgebot/envs/              pinned wheels, and over them edgebot's, each installed once for all releases with it
    /opt/edgebot/current            a link to the release that runs; its change is the switch
    /opt/edgebot/pending.json       there while a release is on trial: whoever finds it after a crash reverts
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

UNITS = ("edgebot-motord.service", "edgebot.service")
OWN_UNITS = ("edgebot-recover.service", "edgebot-activate.service")
USER = "edgebot"
OWN = "wheels/edgebot-"  # how the path of edgebot's own wheel begins in a release


class AgentError(Exception):
    """What was asked cannot be done on this robot. One sentence."""


class Place:
    """The paths, under `root` where tests put a robot's file tree."""

    def __init__(self, root: str | Path = "/") -> None:
        self.root = Path(root)
        self.opt = self.root / "opt/edgebot"
        self.releases = self.opt / "releases"
        self.envs = self.opt / "envs"
        self.current = self.opt / "current"
        self.pending = self.opt / "pending.json"
        self.setup = self.opt / "setup.json"  # what deploy changed in the system, for status and uninstall
        self.etc = self.root / "etc/edgebot"
        self.systemd = self.root / "etc/systemd/system"
        self.watchdog = self.root / "etc/systemd/system.conf.d/edgebot-watchdog.conf"
        self.agent = self.root / "usr/local/lib/edgebot/agent.pyz"
        self.command = self.root / "usr/local/bin/edgebot"
        self.state = self.root / "var/lib/edgebot"
        self.motord_state = self.root / "var/lib/edgebot-motord"
        self.run = self.root / "run/edgebot-deploy"  # gone after a reboot
        self.hold = self.run / "hold"  # while it is there the runtime keeps the wheels at zero
        self.order = self.opt / "order.json"  # what the activation is to do
        self.progress = self.run / "progress.json"  # how far it is
        self.confirm = self.run / "confirm"
        self.heartbeat = self.run / "heartbeat"  # its age is the link's
        self.lock = self.root / "run/edgebot-deploy.lock"

    def inside(self, path: Path) -> str:
        """A path as the robot's own programs name it."""
        return "/" + str(path.relative_to(self.root))

    def release(self, name: str) -> Path:
        """The folder of a release."""
        return self.releases / name

    def running(self) -> str | None:
        """The release that `current` leads to; None before the first."""
        try:
            name = Path(os.readlink(self.current)).name
        except OSError:
            return None
        return name if self.release(name).is_dir() else None

    def index(self, name: str) -> dict[str, Any]:
        """A release's index; empty where it cannot be read."""
        return read_json(self.release(name) / "index.json")

    def all_releases(self) -> list[str]:
        """Every release that was completed, oldest first."""
        return sorted(path.stem for path in self.releases.glob("*.json") if self.release(path.stem).is_dir())

    def note(self, name: str, **words: Any) -> None:
        """Remember what became of a release."""
        path = self.releases / f"{name}.json"
        write_json(path, read_json(path) | words)

    def noted(self, name: str) -> dict[str, Any]:
        """What became of it."""
        return read_json(self.releases / f"{name}.json")


def read_json(path: Path) -> dict[str, Any]:
    """An object from a file; empty where there is none that can be read."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def write_json(path: Path, content: dict[str, Any]) -> None:
    """Whole or not at all, and on the disk when it returns."""
    write(path, json.dumps(content, indent=1, sort_keys=True).encode() + b"\n")


def write(path: Path, data: bytes, mode: int = 0o644) -> None:
    """Whole or not at all, and on the disk when it returns."""
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(f".{path.name}.new")
    with beside.open("wb") as file:
        file.write(data)
        file.flush()
        os.fchmod(file.fileno(), mode)
        os.fsync(file.fileno())
    os.replace(beside, path)
    sync(path.parent)


def link(path: Path, target: str) -> None:
    """Make `path` a link to `target`, by one rename."""
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(f".{path.name}.new")
    beside.unlink(missing_ok=True)
    beside.symlink_to(target)
    os.replace(beside, path)
    sync(path.parent)


def remove(path: Path) -> None:
    """A file, link or folder, where it is there."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


def sync(folder: Path) -> None:
    """A folder's entries onto the disk: a rename is safe from a power cut only after this."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def sha256(path: Path) -> str:
    """Of a file's bytes."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def pinned(name: str) -> bool:
    """Whether a file of a release is a wheel of the lock, which is kept installed, in `envs/`, and not as a file."""
    return name.startswith("wheels/") and not name.startswith(OWN)


def wrong_files(folder: Path, index: dict[str, Any]) -> Iterator[str]:
    """Each file of an index that is missing under `folder`, or has other bytes."""
    for name, entry in index.get("files", {}).items():
        if not pinned(name) and differs(folder / name, entry):
            yield name


def differs(path: Path, entry: dict[str, Any]) -> bool:
    """Whether a file is missing, or is not what an index says of it."""
    return not path.is_file() or path.stat().st_size != entry["bytes"] or sha256(path) != entry["sha256"]
