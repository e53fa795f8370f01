"""Releases on the robot: what is there already, a new one put together beside the running one, old ones removed."""

from __future__ import annotations

import hashlib
import os
import pwd
import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from edge.deploy.pi import programs
from edge.deploy.pi.place import OWN, AgentError, Place, differs, link, pinned, remove, write, write_json, wrong_files
from edge.deploy.pi.system import pip_wheel

Say = Callable[[str], None]
ENVIRONMENT_GROWS = 4.0  # what wheels come to when they are installed and compiled, times their own size
MARGIN_BYTES = 100_000_000


def held(place: Place) -> dict[str, Path]:
    """Every file of the releases here, by its hash."""
    found: dict[str, Path] = {}
    for name in place.all_releases():
        for path, entry in place.index(name).get("files", {}).items():
            file = place.release(name) / path
            if not differs(file, entry):
                found[entry["sha256"]] = file
    return found


def missing(place: Place, index: dict[str, Any]) -> list[str]:
    """The files of an index that no release here has, nor needs: pinned wheels that are installed are not kept."""
    have, installed = held(place), ready(place, index)
    return [
        name for name, entry in index["files"].items()
        if not (installed and pinned(name)) and entry["sha256"] not in have
    ]  # fmt: skip


def refuse_full(place: Place, index: dict[str, Any], needed: list[str]) -> None:
    """Raises `AgentError` where the disk has no room for a release."""
    size = {name: index["files"][name]["bytes"] for name in needed}
    wheels = sum(count for name, count in size.items() if pinned(name))
    # Twice: what comes lies in the deploying user's folder until it is adopted. Pinned wheels are installed from there.
    wanted = int(2 * (sum(size.values()) - wheels) + (1 + ENVIRONMENT_GROWS) * wheels) + MARGIN_BYTES
    folder = next(path for path in (place.opt, *place.opt.parents) if path.exists())
    free = shutil.disk_usage(folder).free
    if free < wanted:
        raise AgentError(
            f"the disk has {free / 1e6:.0f} MB free and this release needs {wanted / 1e6:.0f} MB; "
            "remove old recordings, or releases (`./deploy.sh HOST --keep 1 --prune`)"
        )


def adopt(place: Place, name: str, index: dict[str, Any], incoming: Path, builder: str, say: Say) -> None:
    """Put a release together beside the running one: its files, then its environment.

    Args:
        incoming: where the deploying user put the files that were missing.
        builder: whose rights pip gets; the result belongs to root.

    Raises:
        AgentError: a file is missing or has other bytes than the index says; the disk is full; a wheel is bad.
    """
    folder = place.release(name)
    tidy(place)
    have = held(place)
    try:
        for path, entry in index["files"].items():
            target = folder / path
            if folder.resolve() not in target.resolve().parents:
                raise AgentError(f"the index names {path!r}, which lies outside the release")
            if pinned(path):
                continue  # installed into the environment, from where it came
            target.parent.mkdir(parents=True, exist_ok=True)
            if entry["sha256"] in have:
                os.link(have[entry["sha256"]], target)
            else:
                try:
                    shutil.copyfile(incoming / path, target)
                except FileNotFoundError:
                    raise AgentError(f"{path} did not arrive; deploy again") from None
                os.chmod(target, 0o644)
        write_json(folder / "index.json", index)
        for path in wrong_files(folder, index):
            remove(incoming / path)  # what came damaged has to come anew
            raise AgentError(f"{path} is not what the index says; deploy again")
        _environment(place, index, incoming, builder, say)
        _own(place, index, folder, say)
        os.sync()
        write_json(place.releases / f"{name}.json", {"ready": time.time()})
    except OSError as error:
        remove(folder)
        raise AgentError(f"the release cannot be written: {error.strerror or error}") from error
    except BaseException:
        remove(folder)
        raise
    remove(incoming)


def environment(place: Place, index: dict[str, Any]) -> Path:
    """Where the pinned wheels of a release are installed, for every release with the same ones."""
    wheels = sorted(entry["sha256"] for name, entry in index["files"].items() if pinned(name))
    return place.envs / hashlib.sha256("\n".join(wheels).encode()).hexdigest()[:16]


def application(place: Place, index: dict[str, Any]) -> Path:
    """Where edgebot's own wheel is installed over those, for every release with the same one."""
    own = [entry["sha256"] for name, entry in index["files"].items() if name.startswith(OWN)]
    words = "\n".join((environment(place, index).name, *own))
    return place.envs / f"edgebot-{hashlib.sha256(words.encode()).hexdigest()[:16]}"


def ready(place: Place, index: dict[str, Any]) -> bool:
    """Whether the environment of its pinned wheels is complete."""
    return (environment(place, index) / "ready").exists()


def wrong(place: Place, name: str) -> Iterator[str]:
    """What of a release that lies here is missing or was altered."""
    index = place.index(name)
    yield from wrong_files(place.release(name), index)
    if not ready(place, index):
        yield "the environment of its pinned wheels"
    if not (application(place, index) / "ready").exists():
        yield "the environment of its wheel of edgebot"


def _environment(place: Place, index: dict[str, Any], incoming: Path, builder: str, say: Say) -> None:
    """A venv with the system's packages and the release's pinned wheels, made by `builder`, then given to root.

    The wheels are checked, installed from where they came, and not kept: they would be a quarter of the disk's share.
    """
    if ready(place, index):
        return
    target = environment(place, index)
    remove(target)
    names = [name for name in index["files"] if pinned(name)]
    for name in names:
        if not (incoming / name).is_file():
            raise AgentError(f"{name} did not arrive; deploy again")
        if differs(incoming / name, index["files"][name]):
            remove(incoming / name)
            raise AgentError(f"{name} is not what the index says; deploy again")
    target.mkdir(parents=True)
    say(f"environment: installing {len(names)} wheels")
    try:
        _give(target, builder)
        venv = ("/usr/bin/python3", "-I", "-m", "venv", "--system-site-packages", "--without-pip", str(target))
        programs.run(*venv, user=builder)
        # The system's pip runs from its wheel and installs itself along with the others: ensurepip would take as long.
        wheels = [str(pip := pip_wheel()), *(str(incoming / name) for name in names)]
        install = (str(target / "bin/python"), "-I", f"{pip}/pip", "install", "-q", "--no-index", "--no-deps")
        # What the system has in another version is not touched: the environment's own comes first on its path.
        programs.run(*install, "--no-cache-dir", "--ignore-installed", *wheels, user=builder)
        _give(target, "root")
        os.sync()  # what is called ready survives a power cut
        write(target / "ready", "".join(f"{Path(name).name}\n" for name in sorted(names)).encode())
    except BaseException:
        remove(target)
        raise


def _own(place: Place, index: dict[str, Any], folder: Path, say: Say) -> None:
    """The release's own environment: edgebot's wheel over the pinned ones, shared by releases with the same ones."""
    own = [str(folder / name) for name in index["files"] if name.startswith(OWN)]
    if not own:
        raise AgentError("the release has no wheel of edgebot")
    target = application(place, index)
    if not (target / "ready").exists():
        say("environment: installing edgebot")
        remove(target)
        try:
            _install(environment(place, index), target, own)
        except BaseException:
            remove(target)
            raise
    link(folder / "venv", os.path.relpath(target, folder))


def _install(base: Path, target: Path, own: list[str]) -> None:
    python = str(target / "bin/python")
    programs.run("/usr/bin/python3", "-I", "-m", "venv", "--system-site-packages", "--without-pip", str(target))
    (site,) = target.glob("lib/python3*/site-packages")
    (shared,) = base.glob("lib/python3*/site-packages")
    (site / "edgebot-pinned.pth").write_text(f"{shared}\n")
    # edgebot's own wheel was built by who deploys; installing a wheel runs none of its code.
    pip = (str(base / "bin/python"), "-I", "-m", "pip", "--python", python, "install", "-q", "--no-index", "--no-deps")
    programs.run(*pip, "--no-cache-dir", "--ignore-installed", *own)
    programs.run(python, "-I", "-c", "import edge.cli, edge.session, robot.motord.main")
    os.sync()
    write(target / "ready", b"")


def _give(folder: Path, user: str) -> None:
    if os.geteuid() != 0:
        return
    person = pwd.getpwnam(user)
    for path in (folder, *folder.rglob("*")):
        os.chown(path, person.pw_uid, person.pw_gid, follow_symlinks=False)


def tidy(place: Place) -> None:
    """Remove what a deploy left behind that did not come to its end."""
    for path in place.releases.glob("*"):
        if path.is_dir() and not path.with_name(f"{path.name}.json").exists():
            remove(path)
    for path in place.envs.glob("*"):
        if not (path / "ready").exists():
            remove(path)


def keep(place: Place, count: int, dry: bool = False) -> list[str]:
    """Leave the running release, the one to go back to, and the newest, `count` in all; returns what was removed.

    Args:
        dry: leave them all, and return what would have been removed.
    """
    names, running = place.all_releases(), place.running()
    good = [name for name in names if "confirmed" in place.noted(name)]
    wanted = [name for name in (running, back(place)) if name is not None][: max(1, count)]
    wanted += [name for name in reversed(good) if name not in wanted][: max(0, count - len(wanted))]
    gone = [name for name in names if name not in wanted]
    if dry:
        return gone
    for name in gone:
        # The note first: a folder without one is rubbish to the next deploy, a note without a folder is nothing.
        remove(place.releases / f"{name}.json")
        remove(place.release(name))
    indexes = [place.index(name) for name in place.all_releases()]
    used = {where(place, index) for index in indexes for where in (environment, application)}
    for path in place.envs.glob("*"):
        if path not in used:
            remove(path)
    return gone


def back(place: Place) -> str | None:
    """The release to go back to: the newest that ran before the running one, and was healthy."""
    running = place.running()
    noted = {name: place.noted(name) for name in place.all_releases() if name != running}
    good = {name: note["confirmed"] for name, note in noted.items() if "confirmed" in note and not note.get("failed")}
    return max(good, key=lambda name: good[name], default=None)
