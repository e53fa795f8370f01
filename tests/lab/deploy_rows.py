"""Rows of the proof of deploy.sh: the first deploys, broken releases, two robots at once, and the last of it all."""

from __future__ import annotations

import re
import shutil
import zipfile
from collections.abc import Callable
from pathlib import Path

from edge.deploy import wheels
from tests.lab.deploy_page import Found, Plan
from tests.lab.deploy_rig import ROOT, SLOW, Rig


def boots(rig: Rig) -> Found:
    """A bare guest."""
    rig.guest(bare=True)
    return True, f"{rig.facts['boot_s_a']:.0f} s to ssh"


def first(rig: Rig) -> Found:
    """Onto a bare system: packages, user, groups, environment."""
    if rig.running() != "none":
        rig.guest(bare=True)
    done = rig.deploy("--policy", "light", *SLOW)
    good, found = rig.runs(rig.running())
    told = "" if done.code == 0 else f"; told: {done.words}"
    rig.fact(whole_first_s=done.seconds - done.at("building the release") - (done.at("copying") - done.at("will: ")))
    return done.code == 0 and good, f"{found}; {done.seconds:.0f} s{told}"


def second(rig: Rig) -> Found:
    """The same again."""
    release = rig.deployed()
    rig.deploy("--policy", "light", *SLOW)
    look = "systemctl show -p MainPID edgebot edgebot-motord; ls -lR --time-style=full-iso /opt"
    before = rig.guest().ssh(look).stdout
    release = rig.running()
    done = rig.deploy("--policy", "light", *SLOW)
    after = rig.guest().ssh(look).stdout
    good = done.code == 0 and "nothing to change" in done.words and rig.running() == release and before == after
    what = "same files, times and processes" if before == after else "files or processes changed"
    return good, f"{what}; {done.seconds:.0f} s; {done.words}"


def update(rig: Rig) -> Found:
    """Another policy."""
    release = rig.deployed()
    policy = "range" if "--policy light" in unit(rig) else "light"
    done = rig.deploy("--policy", policy, *SLOW)
    updated = rig.running()
    good, found = rig.runs(updated)
    rig.fact(whole_update_s=done.seconds)
    copied = next((line.split(": ")[-1] for line in done.text if "copying" in line), "")
    good = good and done.code == 0 and updated != release and f"--policy {policy}" in unit(rig)
    return good, f"{found}; {done.seconds:.0f} s, {copied}"


def unit(rig: Rig) -> str:
    """The running release's unit of the runtime."""
    return rig.guest().ssh("cat /opt/edgebot/current/units/edgebot.service").stdout


def megabytes(rig: Rig) -> Found:
    """What one release comes to on the disk, in blocks and not only in bytes."""
    rig.deployed()
    rig.ask("--keep", "1", "--prune")
    said = rig.guest().ssh("du -smc /opt/edgebot /usr/local/lib/edgebot /etc/edgebot; du -sm /opt/edgebot/envs").stdout
    numbers = [int(found) for found in re.findall(r"^\d+", said, re.MULTILINE)]
    return numbers[-2] <= 350, f"{numbers[-2]} MB, of which the pinned wheels' environment {numbers[-1]} (bar: 350)"


def bad_wheel(rig: Rig) -> Found:
    """A wheel that is cut short, with a hash that says so: pip fails."""
    cache = altered(rig, "bad", lambda path: path.write_bytes(path.read_bytes()[:3000]))
    return _fails(rig, 1, "failed on the robot", "--policy", "range", *SLOW, cache=cache)


COLORZERO = "bookworm-*/colorzero-*.whl"  # of the pinned wheels: a release with another one has its own environment


def altered(rig: Rig, name: str, change: Callable[[Path], object], wheel: str = COLORZERO) -> Path:
    """A cache like this machine's but for one wheel."""
    wheels.pinned(wheels.SYSTEMS["12"])
    wheels.own()
    cache = rig.folder / f"cache-{name}"
    shutil.rmtree(cache, ignore_errors=True)
    shutil.copytree(wheels.CACHE, cache / "deploy")
    for victim in (cache / "deploy").glob(wheel):
        change(victim)
    return cache


def bad_model(rig: Rig) -> Found:
    """A model with one bit that is not as it was: refused here, before anything is copied."""
    model = rig.folder / "bad.tflite"
    model.write_bytes(flipped((ROOT / "edge/models/person.tflite").read_bytes()))
    return _fails(rig, 2, "sha256", "--policy", "range", "--model", str(model), *SLOW)


def flipped(data: bytes) -> bytes:
    """With one bit that is another."""
    third = len(data) // 3
    return data[:third] + bytes([data[third] ^ 1]) + data[third + 1 :]


def crash(rig: Rig) -> Found:
    """A detector that is not there."""
    words = ("--policy", "range", *SLOW, "--camera", "--detector", "/nowhere.tflite")
    return _fails(rig, 1, "died 3 times: edgebot: model /nowhere.tflite cannot be read", *words)


def never_green(rig: Rig) -> Found:
    """The loop goes round, but the doctor finds a shipped model that is not what its manifest says."""
    cache = altered(rig, "green", _spoil, "edgebot-*/edgebot-*.whl")
    return _fails(rig, 1, "person.tflite was altered", "--policy", "range", *SLOW, cache=cache)


def _spoil(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        files = {entry: archive.read(entry) for entry in archive.infolist()}
    with zipfile.ZipFile(wheel, "w", zipfile.ZIP_DEFLATED) as archive:
        for entry, data in files.items():
            archive.writestr(entry, flipped(data) if entry.filename.endswith("models/person.tflite") else data)


def _fails(rig: Rig, code: int, sentence: str, *words: str, cache: Path | None = None) -> Found:
    release = rig.deployed()
    done = rig.deploy(*words, cache=cache)
    good, found = rig.runs(release)
    return done.code == code and good and sentence in done.words, f"{found}; told: {done.words[:200]}"


def two(rig: Rig) -> Found:
    """Two robots side by side; the second's disk is too small."""
    rig.deployed()
    other = rig.guest("b", bare=True)
    other.ssh("mkdir -p /opt/edgebot; mount -t tmpfs -o size=60m none /opt/edgebot")
    policy = "range" if "--policy light" in unit(rig) else "light"
    done = rig.deploy("--policy", policy, *SLOW, on=("a", "b"))
    good, found = rig.runs(rig.running())
    lines = [line for line in done.text if " ok: " in line or " FAILED: " in line]
    well = len(lines) == 2 and " ok: " in lines[0] and "MB free" in lines[1] and f"--policy {policy}" in unit(rig)
    return done.code == 1 and well and good, "; ".join(line[:120] for line in lines) + f"; {found}"


def uninstall(rig: Rig) -> Found:
    """Every file that was not there before the first deploy; an empty ~/.cache is the user's, whoever made it."""
    rig.deployed()
    done = rig.ask("--uninstall", "--yes")
    # useradd keeps the files as they were before.
    left = [name for name in rig.left() if not re.search(r"/etc/(group|passwd|shadow|gshadow)-$|/\.cache$", name)]
    look = "systemctl list-units --all --plain --no-legend 'edgebot*'; ps -eo args | grep '[/]opt/edgebot' || true"
    units = rig.guest().ssh(look).stdout.strip()
    good = done.code == 0 and not left and not units
    same = f"the same files as before the first deploy, but for an empty ~/.cache; {done.words}"
    return good, ", ".join(left[:6]) + units or same


ARRIVE = (
    Plan("boots", "the guest boots", boots),
    Plan("first", "first deploy to a bare system", first),
    Plan("second", "second deploy of the same thing", second),
    Plan("update", "update (another policy)", update),
    Plan("disk", "on disk beyond the system's packages", megabytes),
)
BROKEN = (
    Plan("wheel", "a bad wheel: the release before runs", bad_wheel, long=True),
    Plan("model", "a bad model: the release before runs", bad_model),
    Plan("crash", "a runtime that crashes at start: the release before runs", crash),
    Plan("green", "a health that is never green: the release before runs", never_green, long=True),
)
LEAVE = (
    Plan("two", "two at once, the disk of one too small", two, long=True),
    Plan("uninstall", "uninstall leaves nothing", uninstall),
)
