"""Two hours of one run, per policy: nothing may grow. Memory, threads and open files of the runtime in simulated time.

Each policy drives in a process of its own, with camera and detector where it needs them, and records into a folder
that rotates and is capped. Each two minutes of simulated time the robot is put back to its start, so that it has
something to do. Memory is what is resident beyond the first minute's.

    python benchmarks/soak.py                        2 simulated hours a policy; writes docs/benchmarks-soak.md
    python benchmarks/soak.py --keep rows.json       the same; policies that are there already are not run again
    python benchmarks/soak.py --hours 0.05 --policies light,range        a sample; writes nothing
"""

from __future__ import annotations

import argparse
import gc
import json
import os
import platform
import subprocess
import sys
import tempfile
import threading
import time
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))
for _name in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(_name, "1")

HOURS = 2.0
FIRST_S, EACH_S, BACK_S = 60.0, 20.0, 120.0
MOST_BYTES = 5_000_000
KEEP_BYTES = 40_000_000
BUILT_IN = ("light", "range", "person", "follow")
POLICIES = (*BUILT_IN, str(ROOT / "tests" / "edge" / "data" / "light_policy.tflite"))


@dataclass(frozen=True)
class Row:
    """One policy's two hours."""

    policy: str
    hours: float
    ticks: int
    real_s: float
    memory_bytes: int  # resident after the first minute
    growth_bytes: int  # the most that was resident after it, beyond that
    end_bytes: int  # what was resident at the end, beyond that
    threads: tuple[int, int]  # after the first minute, and the most after it
    files: tuple[int, int]
    recordings: int  # files left in the folder

    @property
    def holds(self) -> bool:
        """Whether nothing grew."""
        steady = self.threads[1] <= self.threads[0] and self.files[1] <= self.files[0] + 1  # one being rotated
        return self.growth_bytes <= MOST_BYTES and steady


def resident() -> int:
    """Bytes of this process in memory, without what is only mapped from files."""
    with open("/proc/self/smaps_rollup", "rb") as file:
        for line in file:
            if line.startswith(b"Anonymous:"):
                return int(line.split()[1]) * 1024
    raise RuntimeError("the kernel does not tell")


def soak(policy: str, hours: float) -> Row:
    """Drive for so many simulated hours in this process."""
    from edge.loop import Tick
    from edge.policies import make
    from edge.recordings.rotation import Rotation
    from edge.session import Settings, open_session
    from robot.config import load
    from robot.sim.rooms import make_room

    config = load()
    task = policy if policy in BUILT_IN else "light"
    chosen = make(policy, config)
    found: list[tuple[int, int, int]] = []
    with tempfile.TemporaryDirectory() as folder:
        rotation = Rotation(keep_bytes=KEEP_BYTES)
        room = make_room(task, "easy", 1_000_000)
        settings = Settings(room=room, task=task, record=Path(folder), rotation=rotation)
        with open_session(config, chosen, settings) as session:
            world = session.body.world  # type: ignore[attr-defined]
            start = world.pose.copy()

            def on_tick(tick: Tick) -> None:
                if tick.index and tick.index % round(BACK_S * settings.rate_hz) == 0:
                    world.pose[:] = start
                if tick.index % round(EACH_S * settings.rate_hz) == 0 and tick.now >= FIRST_S:
                    while session.recorder is not None and session.recorder.waiting:  # frames that wait are no growth
                        time.sleep(0.001)
                    gc.collect()  # garbage that waits to be collected is no growth
                    files = len(os.listdir("/proc/self/fd"))
                    found.append((resident(), threading.active_count(), files))

            began = time.monotonic()
            summary = session.run(3600.0 * hours, on_tick, until=lambda: False)
            real_s = time.monotonic() - began
        if summary.ended != "duration" or session.recording_error:
            raise RuntimeError(f"{policy} ended by {summary.ended}: {summary.message or session.recording_error}")
        recordings = len(os.listdir(folder))
    memory, threads, files = zip(*found, strict=True)
    return Row(
        Path(policy).name, hours, summary.ticks, real_s, memory[0], max(memory) - memory[0], memory[-1] - memory[0],
        (threads[0], max(threads)), (files[0], max(files)), recordings,
    )  # fmt: skip


def in_a_process(policy: str, hours: float) -> Row:
    """`soak` in a process of its own."""
    command = [sys.executable, __file__, "--hours", str(hours), "--one", policy]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(f"{policy} failed: {done.stderr[-2000:]}")
    return row_of(json.loads(done.stdout))


def row_of(data: dict[str, Any]) -> Row:
    """A row that was kept as JSON."""
    return Row(**{name: tuple(value) if isinstance(value, list) else value for name, value in data.items()})


HEAD = """\
| policy | simulated | iterations | real time | memory after the first minute | most beyond it | at the end\
 | threads | open files | recordings kept | |
|---|---|---|---|---|---|---|---|---|---|---|"""

PAGE = """\
# Two hours without growth

Written by `python benchmarks/soak.py` on {date}: Python {python}, {machine}. Each policy drives for {hours:g} simulated
hours in one run, in a process of its own, with camera and detector where it needs them, and records into a folder that
rotates and holds at most 40 MB. Memory is the process's own (anonymous pages), sampled each 20 simulated seconds; the
limit is 5 MB beyond the first minute's. Threads and open files: after the first minute, and the most after it; a
recording that is being rotated may have one file more open.

{table}
"""


def table(rows: list[Row]) -> str:
    """The rows as Markdown."""
    lines = [HEAD]
    for row in rows:
        lines.append(
            f"| {row.policy} | {row.hours:g} h | {row.ticks} | {row.real_s:.0f} s | {row.memory_bytes / 1e6:.1f} MB "
            f"| {row.growth_bytes / 1e6:.2f} MB | {row.end_bytes / 1e6:+.2f} MB | {row.threads[0]}, {row.threads[1]} "
            f"| {row.files[0]}, {row.files[1]} | {row.recordings} | {'holds' if row.holds else '**grows**'} |"
        )
    return "\n".join(lines)


def main(argv: list[str] | None = None) -> int:
    """Run the soak; exit code 1 where something grew."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--hours", type=float, default=HOURS, help="simulated, a policy (default %(default)s)")
    parser.add_argument("--policies", default=",".join(POLICIES), help="names or .tflite files, with commas")
    parser.add_argument("--jobs", type=int, default=1, help="policies at a time (default %(default)s)")
    parser.add_argument("--keep", type=Path, metavar="FILE", help="rows as JSON: those there are taken, new ones added")
    parser.add_argument("--one", metavar="POLICY", help=argparse.SUPPRESS)
    args = parser.parse_args(argv)
    if args.one is not None:
        print(json.dumps(asdict(soak(args.one, args.hours))))
        return 0
    from rich.progress import Progress

    policies = args.policies.split(",")
    rows: dict[str, Row] = {}
    if args.keep is not None and args.keep.exists():
        kept = json.loads(args.keep.read_text())
        rows = {policy: row_of(data) for policy, data in kept.items() if data["hours"] == args.hours}
    missing = [policy for policy in policies if policy not in rows]
    with Progress(refresh_per_second=1) as bar, ThreadPoolExecutor(args.jobs) as pool:
        task = bar.add_task(f"{len(missing)} policies", total=len(missing))
        waiting = {pool.submit(in_a_process, policy, args.hours): policy for policy in missing}
        for future in as_completed(waiting):
            rows[waiting[future]] = future.result()
            bar.advance(task)
            if args.keep is not None:
                args.keep.write_text(json.dumps({policy: asdict(row) for policy, row in rows.items()}, indent=1))
    found = [rows[policy] for policy in policies]
    text = table(found)
    print(text)
    if args.hours >= HOURS and args.policies == parser.get_default("policies"):
        page = PAGE.format(
            date=time.strftime("%-d %B %Y"), python=platform.python_version(), machine=platform.machine(),
            hours=args.hours, table=text,
        )  # fmt: skip
        (ROOT / "docs" / "benchmarks-soak.md").write_text(page, encoding="utf-8")
    return 0 if all(row.holds for row in found) else 1


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)
