"""Rows of the proof of deploy.sh: its options, and what it refuses, against a robot that runs."""

from __future__ import annotations

import json
import shutil
import time
from typing import Any

from edge.manifest import read, save
from tests.lab.deploy_page import Found, Plan
from tests.lab.deploy_rig import ACCEPT, ROOT, SLOW, USUAL, Rig
from tests.lab.deploy_rows import unit

SHIPPED = ROOT / "edge/models/person.tflite"


def rollback(rig: Rig) -> Found:
    """To the release that ran before."""
    before = rig.deployed()
    if len(releases(rig)) < 2:
        rig.deploy("--policy", other(rig), *SLOW)
        before = rig.running()
    done = rig.ask("--rollback", *ACCEPT)
    good, found = rig.runs(rig.running())
    return done.code == 0 and good and rig.running() != before, f"{found}; {done.seconds:.0f} s; {done.words}"


def releases(rig: Rig) -> list[str]:
    """Those that are on the robot."""
    return rig.guest().ssh("cd /opt/edgebot/releases && ls -d */").stdout.split()


def other(rig: Rig) -> str:
    """A policy that is not the running one."""
    return "range" if "--policy light" in unit(rig) else "light"


def status(rig: Rig) -> Found:
    """Told, and as data."""
    release = rig.deployed()
    rig.settled()
    done = rig.ask("--status", "--json")
    table: dict[str, Any] = next((json.loads(line) for line in done.text if line.startswith("[{")), [{}])[0]
    good = done.code == 0 and table.get("running") == release and table.get("wrong") == []
    return good and "edgebot active" in done.words, f"{done.seconds:.0f} s; {done.words}"


def dry(rig: Rig) -> Found:
    """What an update would change, without changing it."""
    release = rig.deployed()
    done = rig.deploy("--dry-run", "--policy", other(rig), *SLOW)
    good = done.code == 0 and "would change" in done.words and rig.running() == release
    return good, f"{done.words}; {rig.running()} still runs"


def config_only(rig: Rig) -> Found:
    """A description with another name: no code, no model goes along."""
    before = rig.deployed()
    path = rig.folder / "it's bob's robot.toml"
    path.write_text((ROOT / "robot/example.toml").read_text().replace('name = "example"', 'name = "bob"'))
    done = rig.ask("--robot", str(path), "--sim", "--yes", *ACCEPT, "--config-only", "--policy", other(rig), *SLOW)
    good, found = rig.runs(rig.running())
    named = 'name = "bob"' in rig.guest().ssh("cat /etc/edgebot/robot.toml").stdout
    copied = next((line.split(": ")[-1] for line in done.text if "copying" in line), "")
    return done.code == 0 and good and named and rig.running() != before, f"{copied}; {found}"


def models_only(rig: Rig) -> Found:
    """One more model; code and description stay."""
    before = rig.deployed()
    flatbuffer, manifest = read(SHIPPED)
    model = rig.folder / "one more.tflite"
    save(model, flatbuffer, manifest.model_copy(update={"name": f"of {time.time():.0f}"}))
    done = rig.deploy("--models-only", "--model", str(model))
    good, found = rig.runs(rig.running())
    there = rig.guest().ssh("ls -1 /opt/edgebot/current/models").stdout.split("\n")
    copied = next((line.split(": ")[-1] for line in done.text if "copying" in line), "")
    good = good and done.code == 0 and "one more.tflite" in there and rig.running() != before
    return good, f"{copied}; {found}" + ("" if done.code == 0 else f"; {done.words}")


def keep(rig: Rig) -> Found:
    """Old releases go; the running one and the one to go back to stay."""
    rig.deployed()
    if len(releases(rig)) < 2:
        rig.deploy("--policy", other(rig), *SLOW)
    running = rig.running()
    done = rig.ask("--keep", "1", "--prune")
    good, found = rig.runs(running)
    return done.code == 0 and good and releases(rig) == [f"{running}/"], f"{done.words}; {found}"


def locked(rig: Rig) -> Found:
    """Two deploys at once: one says who holds the lock, another waits for it."""
    release = rig.deployed()
    first = rig.start(*USUAL, *ACCEPT, "--policy", other(rig), *SLOW)
    until = time.monotonic() + 120
    while not any("building" in line for line in first.done.text) and time.monotonic() < until:
        time.sleep(0.2)
    waits = rig.start("--status", "--wait", "900")
    done = rig.ask("--status", "--wait", "0")
    ended, waited = first.end(), waits.end()
    good, found = rig.runs(rig.running())
    told = "has been deploying to it for" in done.words and any("waiting: " in line for line in waited.text)
    good = good and told and done.code == 1 and (ended.code, waited.code) == (0, 0) and rig.running() != release
    return good, f"told: {done.words}; the other waited {waited.seconds:.0f} s; {found}"


def disk_full(rig: Rig) -> Found:
    """The disk fills up while files come."""
    release = rig.deployed()
    cache = "/home/pi/.cache/edgebot"
    rig.guest().ssh(f"mkdir -p {cache}; mount -t tmpfs -o size=256k,uid=1000 none {cache}")
    big = rig.folder / f"big{time.time():.0f}.tflite"
    flatbuffer, manifest = read(SHIPPED)
    save(big, flatbuffer, manifest.model_copy(update={"name": big.stem}))
    try:
        done = rig.deploy("--policy", "range", "--model", str(big), *SLOW)
    finally:
        rig.guest().ssh(f"umount {cache}")
        big.unlink()
    good, found = rig.runs(release)
    return done.code == 1 and good and "disk is full" in done.words, f"{found}; told: {done.words}"


def no_sudo(rig: Rig) -> Found:
    """A user who may not."""
    done = rig.ask("--status", user="nobodi")
    return done.code == 1 and "may not use sudo" in done.words, done.words


def clock(rig: Rig) -> Found:
    """A robot a year behind."""
    # The clock is the host's, which a container may not set: date there is one that lies.
    guest = rig.guest()
    guest.ssh("mv /usr/bin/date /usr/bin/date.own; printf '#!/bin/sh\\necho 1700000000\\n' > /usr/bin/date; "
              "chmod 755 /usr/bin/date")  # fmt: skip
    try:
        done = rig.deploy("--policy", "light", *SLOW)
    finally:
        guest.ssh("mv /usr/bin/date.own /usr/bin/date")
    return done.code == 1 and "its clock is behind by" in done.words and "--set-clock" in done.words, done.words


def hil(rig: Rig) -> Found:
    """The hardware tests there, their reports here."""
    rig.deployed()
    here = rig.folder / "it's hil"
    shutil.rmtree(here, ignore_errors=True)
    done = rig.ask("--hil", "--sim", "--only", "range", "-o", str(here))
    files = sorted(path.name for path in here.glob("*")) if here.is_dir() else []
    left = rig.guest().ssh("ls -A /home/pi/.cache/edgebot/hil 2>/dev/null || true").stdout.split()
    good = done.code == 0 and {"report.html", "junit.xml", "results.json"} <= set(files) and not left
    return good, f"{', '.join(files)}; exit code {done.code}; {done.seconds:.0f} s"


ROWS = (
    Plan("status", "--status", status),
    Plan("dry", "--dry-run of an update", dry, long=True),
    Plan("config", "--config-only, from a file with spaces and quotes in its name", config_only, long=True),
    Plan("models", "--models-only, with one more model", models_only, long=True),
    Plan("rollback", "rollback", rollback),
    Plan("locked", "two deploys to one robot at once", locked, long=True),
    Plan("full", "disk full while files come", disk_full),
    Plan("sudo", "a user without sudo", no_sudo),
    Plan("clock", "a wrong clock", clock),
    Plan("hil", "--hil: the cases there, the reports here", hil, long=True),
    Plan("keep", "--keep 1 --prune", keep, long=True),
)
