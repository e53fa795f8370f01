"""docs/proof-deploy.md: the proof's rows as a page, and the sources that they are true of."""

from __future__ import annotations

import hashlib
import os
import re
import subprocess
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs" / "proof-deploy.md"
PROVEN = ("deploy.sh", "edge/deploy", "edge/units", "robot/motord")

HEAD = """\
# Deploy, proven on arm64 with systemd

`python tests/lab/deploy.py --write` wrote this on {date} for commit `{commit}`, in {minutes:.0f} minutes on {cores}
cores (load {load:.0f} at its end: seconds below are the emulator's on a shared machine, and no Pi's).

The guest is Debian bookworm for arm64 under systemd-nspawn and qemu-user, with its own systemd, sshd and network. A
drop-in takes what an emulator lacks out of the units (PrivateNetwork, IPAddressDeny, real-time priority) and gives the
watchdogs more time; everything else is what a robot gets. The robot is simulated (`--sim`, motord on mock pins).

| what | | found |
|---|---|---|
"""

TAIL = """
## What this does not show

* **No Raspberry Pi**: neither its camera, pins, firmware lines and reboot, hardware watchdog, nor any time of its own.
  python3-picamera2 and python3-lgpio are not among Debian bookworm's packages, and deploy said so.
* A guest that is killed keeps what its kernel had not yet written, which is the host's: writes that a power cut would
  lose are not lost here. Each step is flushed (fsync of file and folder) before the next one counts on it.
* Resident memory is that of the emulator with the program in it, so more than a Pi's.
{missing}
## Sources

Continuous integration fails when one of these has changed since.

```
{sources}
```
"""


def sources() -> dict[str, str]:
    """SHA-256 of every file whose change asks for a new proof, by path."""
    found = {}
    for name in PROVEN:
        path = ROOT / name
        for file in [path] if path.is_file() else sorted(path.rglob("*")):
            if file.is_file() and "__pycache__" not in file.parts:
                found[file.relative_to(ROOT).as_posix()] = hashlib.sha256(file.read_bytes()).hexdigest()[:16]
    return found


def written() -> dict[str, str]:
    """The sources that the page in docs/ was written for."""
    return dict(re.findall(r"^(\S+) ([0-9a-f]{16})$", PAGE.read_text(encoding="utf-8"), re.MULTILINE))


PLANNED = (
    "first deploy", "second deploy", "update", "on disk", "resident", "a bad wheel", "a bad model",
    "a runtime that crashes", "a health that is never green", "the link cut", "the power cut", "edgebot doctor",
    "the shipped detector", "the simulated body", "SIGKILL", "SIGSTOP", "rollback", "disk full", "a user without sudo",
    "two at once", "uninstall",
)  # fmt: skip
# Planned, and not written: tests/lab has the x86 guest with simulated lines in its place (docs/proof-motord.md).
NOT_THERE = (
    "Trixie with Python 3.13 in a guest with a kernel of its own: GPIO lines through real lgpio there, and a virtual "
    "disk that is killed with the guest in the middle of a deploy"
)


def commit() -> str:
    """Of the sources, marked where they have changes."""
    described = ["git", "describe", "--always", "--dirty", "--exclude=*"]
    return subprocess.run(described, cwd=ROOT, capture_output=True, text=True).stdout.strip()


def document(rows: list[dict[str, Any]]) -> str:
    """The page of a proof's rows, the first of which knows commit and sources."""
    head = HEAD.format(
        date=f"{datetime.fromtimestamp(rows[0]['at'], UTC):%Y-%m-%d}", commit=rows[0]["commit"],
        minutes=(rows[-1]["at"] - rows[0]["at"]) / 60, cores=os.cpu_count(), load=os.getloadavg()[0],
    )  # fmt: skip
    missing = [name for name in PLANNED if not any(str(row["what"]).startswith(name) for row in rows)]
    table = [
        f"| {_cell(row['what'])} | {'holds' if row['good'] else '**fails**'} | {_cell(row['found'])} |" for row in rows
    ]
    for kind in ("the link cut", "the power cut"):
        cuts = [row for row in rows if row.get("cut") == kind]
        if cuts:
            held = sum(bool(row["good"]) for row in cuts)
            table.append(
                f"| {kind}, in all | {'holds' if held == len(cuts) else '**fails**'} | {held} of {len(cuts)} |"
            )
    lines = f"* Not proven anywhere: {NOT_THERE}.\n"
    lines += f"* Not reached in this run: {', '.join(missing)}.\n" if missing else ""
    listed = "\n".join(f"{name} {digest}" for name, digest in rows[0]["sources"].items())
    return head + "\n".join(table) + "\n" + TAIL.format(missing=lines, sources=listed)


def _cell(text: object) -> str:
    return str(text).replace("|", "/")
