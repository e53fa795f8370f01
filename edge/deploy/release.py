"""A release: every file that a robot needs beyond its operating system, and the index that hashes each."""

from __future__ import annotations

import hashlib
import json
import subprocess
import zipfile
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from edge.deploy import wheels
from edge.deploy.wheels import ROOT, System
from edge.errors import UsageError
from edge.units.render import MOTORD_JSON, Place, render
from robot import calibration
from robot.config import RobotConfig, load

CURRENT = "/opt/edgebot/current"
HOLD = "/run/edgebot-deploy/hold"
USER = "edgebot"


@dataclass(frozen=True)
class Wanted:
    """What a robot is to run, checked before anything is copied."""

    robot: Path
    policy: str  # a name, or a file on this machine
    models: tuple[Path, ...]
    sim: bool
    arguments: tuple[str, ...]

    @property
    def policy_there(self) -> str:
        """The policy as the robot's runtime is told of it."""
        return f"{CURRENT}/models/{Path(self.policy).name}" if self.policy.endswith(".tflite") else self.policy


def checked(wanted: Wanted) -> Wanted:
    """Refuse what could not run: a description that does not validate, a model that is damaged, an unknown policy.

    Raises:
        RobotError, EdgeError: one sentence.
    """
    from edge.manifest import read
    from edge.policies import make

    config = load(wanted.robot)
    models = {path.name: path for path in wanted.models}
    if wanted.policy.endswith(".tflite"):
        models.setdefault(Path(wanted.policy).name, Path(wanted.policy))
    if len(models) < len(set(wanted.models)):
        raise UsageError("two models have the same file name; rename one, since they lie in one folder on the robot")
    for path in models.values():
        read(path)
    if wanted.policy != "link":
        make(wanted.policy, config)
    unnamable = [name for name in models if any(sign.isspace() for sign in name)]
    if wanted.policy.endswith(".tflite") and Path(wanted.policy).name in unnamable:
        raise UsageError(f"a unit cannot name {Path(wanted.policy).name!r}; rename the model without spaces")
    _rendered(config, wanted)
    from edge.commands.run import parser

    parser().parse_args(["--policy", wanted.policy, *wanted.arguments])
    return Wanted(wanted.robot, wanted.policy, tuple(models.values()), wanted.sim, wanted.arguments)


@dataclass(frozen=True)
class Release:
    """Files by their path in the release, and what the index says."""

    name: str
    sources: dict[str, Path | bytes]
    index: dict[str, Any]


def build(wanted: Wanted, system: System) -> Release:
    """Put a release together for one operating system."""
    rendered = _rendered(load(wanted.robot), wanted)
    sources: dict[str, Path | bytes] = {
        "robot.toml": wanted.robot, "requirements.txt": system.lock, MOTORD_JSON: rendered.pop(MOTORD_JSON).encode()
    }  # fmt: skip
    if (measured := calibration.beside(wanted.robot)) is not None:
        sources[calibration.NAME] = measured
    sources |= {f"units/{name}": text.encode() for name, text in rendered.items()}
    sources |= {f"models/{path.name}": path for path in wanted.models}
    sources |= {f"wheels/{path.name}": path for path in (wheels.own(), *wheels.pinned(system))}
    words = {
        "os": system.name, "python": system.python, "policy": wanted.policy_there, "sim": wanted.sim,
        "edgebot": wheels.own().name.split("-")[1], "commit": commit(),
    }  # fmt: skip
    return _release(sources, {name: _entry(source) for name, source in sources.items()}, words)


def _rendered(config: RobotConfig, wanted: Wanted) -> dict[str, str]:
    """Units and what belongs to them, by name."""
    place = Place(
        robot=f"{CURRENT}/robot.toml", bin=f"{CURRENT}/venv/bin", user=USER, policy=wanted.policy_there,
        arguments=wanted.arguments, hold=HOLD, sim=wanted.sim,
    )  # fmt: skip
    return render(config, place)


MODELS, CONFIG = ("models/",), ("robot.toml", calibration.NAME, MOTORD_JSON, "units/")


def partly(new: Release, running: dict[str, Any], parts: tuple[str, ...]) -> Release:
    """The running release with only some parts of a new one, whose paths begin so."""
    files = {name: entry for name, entry in running["files"].items() if not name.startswith(parts)}
    files |= {name: entry for name, entry in new.index["files"].items() if name.startswith(parts)}
    words = {key: value for key, value in running.items() if key not in ("files", "made", "identity", "name")}
    if "units/" in parts:
        words |= {key: new.index[key] for key in ("policy", "sim")}
    return _release({name: new.sources[name] for name in files if name in new.sources}, files, words)


def _release(sources: dict[str, Path | bytes], files: dict[str, Any], words: dict[str, Any]) -> Release:
    identity = hashlib.sha256(json.dumps(files, sort_keys=True).encode()).hexdigest()
    made = datetime.now(UTC)
    name = f"{made:%Y%m%dT%H%M%S}-{identity[:8]}"
    words |= {"name": name, "made": made.isoformat(timespec="seconds"), "identity": identity}
    return Release(name, sources, words | {"files": files})


def _entry(source: Path | bytes) -> dict[str, Any]:
    data = source if isinstance(source, bytes) else source.read_bytes()
    return {"sha256": hashlib.sha256(data).hexdigest(), "bytes": len(data)}


def commit() -> str:
    """Of the source tree, marked where it has changes; empty outside of a repository."""
    said = subprocess.run(
        ["git", "describe", "--always", "--dirty", "--exclude=*"], cwd=ROOT, capture_output=True, text=True
    )
    return said.stdout.strip()


def agent(folder: Path) -> Path:
    """deploy's program for the robot as one file: the same bytes for the same source."""
    path = folder / "agent.pyz"
    source = ROOT / "edge"
    names = ["edge/__init__.py", "edge/deploy/__init__.py"]
    names += sorted(str(file.relative_to(ROOT)) for file in (source / "deploy" / "pi").iterdir() if file.is_file())
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name in names:
            archive.writestr(zipfile.ZipInfo(name), (ROOT / name).read_bytes())
        start = "import sys\nfrom edge.deploy.pi.main import main\nsys.exit(main(sys.argv[1:]))\n"
        archive.writestr(zipfile.ZipInfo("__main__.py"), start)
    return path
