"""docs/proof-deploy.md: the proof's rows as a page, and the sources that they are true of."""

from __future__ import annotations

import hashlib
import os
import re
import subprocess
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
PROVEN = ("deploy.sh", "edge/deploy", "edge/units", "robot/motord")
Found = tuple[bool, str]  # whether it holds, and what was seen
Known = dict[str, Any]  # sources, commit, and rows by name, as the rig keeps them


@dataclass(frozen=True)
class Plan:
    """A row that a whole proof has."""

    name: str
    what: str
    do: Callable[[Any], Found]  # given the rig
    cut: str = ""  # the kind of cut, which are counted together
    long: bool = False  # not in a quick run


@dataclass(frozen=True)
class Page:
    """Where a proof is told, and the words around its table; `{words}` in the head are filled in."""

    path: Path
    head: str
    tail: str
    held: bool = True  # continuous integration holds the sources by it


HEAD = """\
# Deploy, proven on arm64 with systemd

{state} `python tests/lab/deploy.py --write` wrote this on {date} for commit `{commit}`; its rows took {minutes:.0f}
minutes on {cores} shared cores. Seconds below are the emulator's, and no Pi's.

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
* Trixie, real GPIO lines, and a virtual disk that is killed with its guest: [on a board](proof-board.md).
"""
DEPLOY = Page(ROOT / "docs" / "proof-deploy.md", HEAD, TAIL)
SOURCES = """
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


def sources_in(text: str) -> dict[str, str]:
    """The sources that a page was written for; none where it is of no whole proof."""
    return dict(re.findall(r"^(\S+) ([0-9a-f]{16})$", text, re.MULTILINE))


def commit() -> str:
    """Of the sources, marked where they have changes."""
    asked = ["git", "rev-parse", "--short", "HEAD"]
    name = subprocess.run(asked, cwd=ROOT, capture_output=True, text=True).stdout.strip()
    changed = subprocess.run(["git", "diff", "--quiet", "HEAD", "--", *PROVEN], cwd=ROOT).returncode != 0
    return f"{name}-dirty" if changed else name


def merged(parts: Sequence[Known], across: bool = False) -> Known:
    """Rows that several calls kept, each with its guest, as those of one proof.

    Args:
        parts: what each call kept. A row that holds in several is the first one's.
        across: rows of other sources than the first part's are taken too; they keep their commit, and the page tells
            what has changed since.

    Raises:
        ValueError: they are of different sources.
    """
    newest = parts[0]["sources"]
    rows: dict[str, Any] = {}
    earlier: dict[str, list[str]] = {}
    for part in parts:
        own: dict[str, Any] = {}
        if part["sources"] != newest:
            if not across:
                raise ValueError("these rows are not of the same sources; run those that are older again")
            own = {"commit": part["commit"]}
            names = sorted({*newest, *part["sources"]})
            earlier[part["commit"]] = [name for name in names if newest.get(name) != part["sources"].get(name)]
        for name, row in part["rows"].items():
            if name not in rows or (row["good"] and not rows[name]["good"]):
                rows[name] = {**row, **own}
    return {**parts[0], "rows": rows, "earlier": earlier}


def whole(known: Known, planned: Sequence[Plan]) -> bool:
    """Whether every planned row is there and holds."""
    return all(known["rows"].get(row.name, {}).get("good") for row in planned)


def document(known: Known, planned: Sequence[Plan], page: Page = DEPLOY) -> str:
    """The page. Only a whole proof names its sources, by which continuous integration holds it."""
    rows = [(row, known["rows"][row.name]) for row in planned if row.name in known["rows"]]
    missing = [row.what for row in planned if row.name not in known["rows"]]
    failed = sum(not found["good"] for _, found in rows)
    complete = whole(known, planned)
    earlier = known.get("earlier", {})
    state = "**Every row holds.**" if earlier else "**Whole.**"
    if not complete:
        state = f"**Not a whole proof: {failed} rows fail, {len(missing)} were not reached.**"
    for old, changed in earlier.items():
        count = sum(found.get("commit") == old for _, found in rows)
        state += f" {count} of {len(rows)} rows, marked {old}, are of that commit; proven sources changed since: "
        state += f"{', '.join(changed)}."
    last = max((found["at"] for _, found in rows), default=0.0)
    head = page.head.format(
        state=state, date=f"{datetime.fromtimestamp(last, UTC):%Y-%m-%d}", commit=known["commit"],
        minutes=sum(found["seconds"] for _, found in rows) / 60, cores=os.cpu_count(),
    )  # fmt: skip
    table = [
        f"| {_cell(found['what'])} | {'holds' if found['good'] else '**fails**'} "
        f"| {_cell(found['found'])}{' (' + found['commit'] + ')' if 'commit' in found else ''} |"
        for _, found in rows
    ]
    for kind in dict.fromkeys(row.cut for row in planned if row.cut):
        cuts = [bool(found["good"]) for row, found in rows if row.cut == kind]
        if cuts:
            table.append(f"| {kind}, in all | {'holds' if all(cuts) else '**fails**'} | {sum(cuts)} of {len(cuts)} |")
    lines = "".join(f"* Not reached: {what}.\n" for what in missing)
    listed = "\n".join(f"{name} {digest}" for name, digest in known["sources"].items())
    held = SOURCES.format(sources=listed) if complete and page.held else ""
    return head + "\n".join(table) + "\n" + page.tail + lines + held


def _cell(text: object) -> str:
    return str(text).replace("|", "/").replace("\n", " ").replace(str(Path.home()), "~")
