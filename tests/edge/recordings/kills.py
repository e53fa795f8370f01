"""SIGKILL at random moments, then `edgebot recording repair`: what is lost, by the stamps of what was handed over.

    python -m tests.edge.recordings.kills --kills 200 --write      about 12 minutes; the table goes to docs/recording.md
    python -m tests.edge.recordings.kills --kills 10
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import os
import platform
import random
import signal
import subprocess
import sys
import tempfile
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mcap.reader import make_reader

from edge.commands.recording import main as recording

ROOT = Path(__file__).resolve().parents[3]
DOCUMENT = ROOT / "docs" / "recording.md"
SECOND = 1.0  # the promise: the last second, and one fsync
START_S = 120.0
_PRINTING = threading.Lock()


@dataclass(frozen=True)
class Handed:
    """One line of a victim's trace."""

    index: int
    stamp: float
    slowest_sync_s: float
    lateness_s: float
    dropped: int


@dataclass(frozen=True)
class Outcome:
    """One death and what was left."""

    after_s: float  # of recording
    handed: int  # iterations until then
    recovered: int
    lost_s: float  # from the last recovered iteration's handing over to the last one's
    slowest_sync_s: float
    stall_s: float  # how long the machine kept the victim waiting at its worst
    dropped: int
    saved: int  # messages out of half a chunk
    damaged: bool  # whether the file needed repair

    @property
    def bound_s(self) -> float:
        """What may be lost: a second and one fsync; on a machine that starves its processes, that time too."""
        return SECOND + self.slowest_sync_s


def trace(path: Path) -> list[Handed]:
    """A victim's whole lines."""
    lines = path.read_text(errors="replace").split("\n")[:-1]
    return [
        Handed(int(index), float(stamp), float(slowest), float(late), int(dropped))
        for index, stamp, slowest, late, dropped in (line.split() for line in lines)
    ]


def kill(folder: Path, seed: int, shortest_s: float = 0.0, longest_s: float = 6.0) -> Outcome:
    """Start a victim, kill it at a random moment, repair what it left, and compare."""
    file, told = folder / f"{seed}.mcap", folder / f"{seed}.txt"
    command = [sys.executable, "-m", "tests.edge.recordings.victim", str(file), str(told)]
    process = subprocess.Popen(command, cwd=ROOT, stderr=subprocess.PIPE)
    try:
        until = time.monotonic() + START_S
        while not (told.exists() and told.stat().st_size):
            if process.poll() is not None or time.monotonic() > until:
                raise RuntimeError(f"the victim did not begin: {process.stderr and process.stderr.read().decode()}")
            time.sleep(0.01)
        time.sleep(random.Random(seed).uniform(shortest_s, longest_s))
        process.send_signal(signal.SIGKILL)
    finally:
        process.kill()
        process.wait()
    return judge(file, trace(told))


def judge(file: Path, handed: list[Handed]) -> Outcome:
    """Repair a file and hold it against what its writer was given."""
    before = file.read_bytes()
    said = io.StringIO()
    # One at a time: what is printed belongs to the process, not to a thread.
    with _PRINTING, contextlib.redirect_stdout(said), contextlib.redirect_stderr(io.StringIO()):
        if recording(["repair", str(file), "--json"]):
            raise AssertionError(f"{file} was not repaired")
    report = json.loads(said.getvalue())
    kept = Path(report["original"]) if report["original"] else file
    if kept.read_bytes() != before:
        raise AssertionError("the damaged file was changed")
    numbers = sorted(tick["index"] for tick in read(file))
    dropped = handed[-1].dropped if handed else 0
    if not dropped and numbers != list(range(len(numbers))):
        raise AssertionError(f"iterations are missing in the middle: {set(range(len(numbers))) - set(numbers)}")
    stamps = {item.index: item.stamp for item in handed}
    last = handed[-1].stamp if handed else 0.0
    reached = numbers[-1] if numbers else -1
    since = stamps.get(reached, last if reached >= 0 else handed[0].stamp if handed else last)
    gaps = [after.stamp - one.stamp for one, after in zip(handed, handed[1:], strict=False)]
    return Outcome(
        after_s=last - handed[0].stamp if handed else 0.0, handed=len(handed), recovered=len(numbers),
        lost_s=max(0.0, last - since), slowest_sync_s=max((item.slowest_sync_s for item in handed), default=0.0),
        stall_s=max([0.0, *(gap - 0.02 for gap in gaps), *(item.lateness_s for item in handed)]), dropped=dropped,
        saved=report["saved"], damaged=not report["whole"],
    )  # fmt: skip


def read(file: Path) -> list[dict[str, Any]]:
    """The `/loop` messages of a whole file, by the ordinary reader, every CRC checked."""
    with file.open("rb") as stream:
        reader = make_reader(stream, validate_crcs=True)
        return [json.loads(message.data) for _, _, message in reader.iter_messages(topics=["/loop"])]


def campaign(kills: int, jobs: int, first: int = 0, shortest_s: float = 0.0) -> list[Outcome]:
    """So many deaths, several at a time, none before `shortest_s` seconds of recording."""
    with tempfile.TemporaryDirectory() as folder, ThreadPoolExecutor(jobs) as pool:
        outcomes = []
        for outcome in pool.map(lambda seed: kill(Path(folder), seed, shortest_s), range(first, first + kills)):
            outcomes.append(outcome)
            print(f"\r{len(outcomes)} of {kills}", end="", file=sys.stderr, flush=True)
        print(file=sys.stderr)
        return outcomes


def table(outcomes: list[Outcome], what: str) -> str:
    """The deaths as Markdown."""
    lost = sorted(outcome.lost_s for outcome in outcomes)
    held = sum(outcome.lost_s <= outcome.bound_s for outcome in outcomes)
    let = sum(outcome.lost_s <= outcome.bound_s + outcome.stall_s for outcome in outcomes)
    rows = (
        (what, str(len(outcomes))),
        ("files that `edgebot recording repair` made whole", f"{len(outcomes)} of {len(outcomes)}"),
        ("iterations handed over until then", str(sum(outcome.handed for outcome in outcomes))),
        ("iterations recovered", str(sum(outcome.recovered for outcome in outcomes))),
        ("lost at the end: median (s)", f"{lost[len(lost) // 2]:.2f}"),
        ("lost at the end: most (s)", f"{lost[-1]:.2f}"),
        ("slowest fsync (s)", f"{max(o.slowest_sync_s for o in outcomes):.3f}"),
        ("lost no more than 1 s and the run's slowest fsync", f"{held} of {len(outcomes)}"),
        ("the same, and the longest time that the machine did not let the run go on", f"{let} of {len(outcomes)}"),
        ("that time at its longest (s)", f"{max(o.stall_s for o in outcomes):.3f}"),
        ("holes in the middle", "none"),
    )  # fmt: skip
    return "\n".join(["| what | found |", "|---|---|", *(f"| {name} | {value} |" for name, value in rows)])


def write_section(name: str, text: str) -> None:
    """Replace what stands between `<!-- NAME -->` and `<!-- /NAME -->` in docs/recording.md."""
    document = DOCUMENT.read_text(encoding="utf-8")
    head, rest = document.split(f"<!-- {name} -->")
    _, tail = rest.split(f"<!-- /{name} -->")
    DOCUMENT.write_text(f"{head}<!-- {name} -->\n{text}\n<!-- /{name} -->{tail}", encoding="utf-8")


def about(command: str) -> str:
    """When and on what a table was made."""
    return (
        f"Written by `{command}` on {time.strftime('%-d %B %Y')}: Python {platform.python_version()}, "
        f"{platform.machine()}, {os.cpu_count()} cores."
    )


def main(argv: list[str]) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--jobs", type=int, default=2, help="victims at a time (default %(default)s)")
    parser.add_argument("--write", action="store_true", help="into docs/recording.md")
    args = parser.parse_args(argv)
    outcomes = campaign(args.kills, args.jobs)
    text = table(outcomes, "SIGKILL at a random moment of the first 6 s, times")
    print(text)
    if args.write:
        command = f"python -m tests.edge.recordings.kills --kills {args.kills} --write"
        write_section("kills", f"{about(command)}\n\n{text}")
    return 0 if all(outcome.lost_s <= outcome.bound_s + outcome.stall_s for outcome in outcomes) else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
