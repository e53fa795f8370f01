"""How punctual the loop is: 50 Hz on the wall clock, alone and beside 4 busy processes, against donkeycar's Vehicle.

The runtime is the real one: guard, simulated body, the shipped detector in its own process on 640 x 480 frames, the
recording. donkeycar's loop gets the same parts, each iteration the same calls, its camera and detector as threaded
parts. Every loop runs in a process of its own, one after the other, in one run of this program.

    python benchmarks/loop.py --donkeycar build/venvs/donkeycar      10 minutes a row; writes docs/benchmarks-loop.md
    python benchmarks/loop.py --minutes 0.1                          quickly, without the peer; writes nothing

The environment of `--donkeycar` is made where it is missing (that needs the network).
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import platform
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "benchmarks")]

import numpy as np  # noqa: E402
from loop_parts import RATE_HZ, render_film  # noqa: E402

BENCHMARK_MINUTES = 10.0
BUSY = 4
PEER = "donkeycar"


@dataclass(frozen=True)
class Job:
    """One loop to run."""

    name: str
    loop: str  # a key of loop_workers.LOOPS
    busy: int = 0
    scheduler: str = "ordinary"  # or "real time", where the kernel grants it
    seeing: bool = True  # with camera, detector and recording


JOBS = (
    Job("bare sleep_until", "bare", seeing=False),
    Job("edgebot", "edgebot"),
    Job("donkeycar", "donkeycar"),
    Job("edgebot", "edgebot", BUSY),
    Job("edgebot", "edgebot", BUSY, "real time"),
    Job("donkeycar", "donkeycar", BUSY),
)


@dataclass(frozen=True)
class Row:
    """What came out; seconds."""

    job: Job
    ticks: int
    lateness: tuple[float, float, float, float]  # p50, p99, p99.9, max
    late: int  # iterations that began more than a period after they were due, and deadlines left out because of one
    recorded: int | None  # of those, how many its own recording tells; None where it knows no deadlines
    age: tuple[float, float]  # camera to motor, p50 and p99; NaN without a camera
    rate_hz: float  # reached
    steal: float  # share of the processors' time that the host took away


def run(job: Job, seconds: float, film: Path, python: str) -> Row:
    """One loop, and what its stamps say."""
    with tempfile.TemporaryDirectory() as folder:
        out, recording = Path(folder) / "stamps.npz", Path(folder) / "loop.mcap"
        worker = str(ROOT / "benchmarks" / "loop_workers.py")
        command = [python, worker, job.loop, "--seconds", str(seconds), "--out", str(out)]
        if job.seeing:
            command += ["--film", str(film), "--recording", str(recording)]
        environment = os.environ | {"EDGEBOT_REALTIME": "ordinary" if job.scheduler == "ordinary" else ""}
        with busy(job.busy):
            before = processor_time()
            done = subprocess.run(command, env=environment, capture_output=True, text=True, cwd=folder)
            after = processor_time()
        if done.returncode:
            raise RuntimeError(f"{job.name} failed: {done.stderr[-2000:]}")
        stamps = dict(np.load(out))
        told = late_in(recording) if job.loop == "edgebot" else None
    lateness = np.maximum(stamps["began"] - stamps["due"], 0.0)
    missed = int(stamps.get("missed", 0))
    if job.loop == "edgebot" and int(stamps["overruns"]) < missed:
        raise RuntimeError("deadlines were left out without being counted")
    age = np.quantile(stamps["age"], [0.5, 0.99]) if stamps["age"].size else (float("nan"),) * 2
    began = stamps["began"]
    return Row(
        job, len(began), (*np.quantile(lateness, [0.5, 0.99, 0.999]).tolist(), float(lateness.max())),
        int((lateness > 1 / RATE_HZ).sum()) + missed, told, (float(age[0]), float(age[1])),
        (len(began) - 1) / (began[-1] - began[0]), (after[1] - before[1]) / max(after[0] - before[0], 1e-9),
    )  # fmt: skip


def late_in(recording: Path) -> int:
    """Late iterations and deadlines left out, as the recording tells them."""
    from mcap.reader import make_reader

    with open(recording, "rb") as file:
        loops = [json.loads(message.data) for _, _, message in make_reader(file).iter_messages(topics=["/loop"])]
    due = np.round(np.array([found["due"] for found in loops]) * RATE_HZ)
    left_out = int((np.diff(due) - 1).clip(min=0).sum())
    return sum(found["lateness"] > 1 / RATE_HZ for found in loops) + left_out


def spin() -> None:
    """Work that never ends."""
    number = 0
    while True:
        number = (number * 1103515245 + 12345) % 2147483648


@contextmanager
def busy(processes: int) -> Iterator[None]:
    """Beside so many processes that only compute, at the ordinary priority."""
    workers = [multiprocessing.get_context("spawn").Process(target=spin, daemon=True) for _ in range(processes)]
    for worker in workers:
        worker.start()
    if workers:
        time.sleep(1.0)
    try:
        yield
    finally:
        for worker in workers:
            worker.kill()
            worker.join()


def processor_time() -> tuple[float, float]:
    """All processors' time so far, and how much of it the host took away; zeros where the system does not tell."""
    try:
        fields = [float(part) for part in Path("/proc/stat").read_text().splitlines()[0].split()[1:9]]
    except OSError:
        return 0.0, 0.0
    return sum(fields), fields[7]


def peer(folder: Path) -> str:
    """donkeycar's Python, its environment made where it is missing."""
    python = folder / "bin" / "python"
    if not python.exists():
        subprocess.run([sys.executable, "-m", "venv", str(folder)], check=True)
        needed = ["pydantic", "mcap", "ai-edge-litert", "opencv-python-headless<5", "gpiozero"]
        subprocess.run([python, "-m", "pip", "install", "-q", PEER, *needed], check=True)
    return str(python)


HEAD = """\
| loop at 50 Hz | beside it | scheduler | ticks | reached (Hz) | lateness p50 (ms) | p99 | p99.9 | max\
 | late > 1 period | told by the recording | camera to motor p50 (ms) | p99 | CPU steal |
|---|---|---|---|---|---|---|---|---|---|---|---|---|---|"""

PAGE = """\
# The loop's punctuality

Written by `python benchmarks/loop.py` on {date}: {minutes:g} minutes a row at 50 Hz on the wall clock, Python {python},
{machine}, {cores} cores, Linux {kernel}. All rows are of one run.

{table}

Camera, detector and recording run in every row but the first: 640 x 480 frames at 10 a second, the shipped detector,
JPEG and everything else into an MCAP file. "4 busy" are processes that only compute, at the ordinary priority.
edgebot's iterations are due on a grid that is fixed at the start; an iteration is late when it begins more than one
period (20 ms) after that, and each deadline that is left out because of one counts as well. donkeycar's loop knows no
grid: its iterations count as due one period after the one before *began*, the mildest reading, in which a lost
second is one late iteration and the drift shows under "reached". "Real time" is what the units ask for (SCHED_FIFO and
locked memory), "ordinary" what anyone may have (`EDGEBOT_REALTIME=ordinary`).

| bar | found | |
|---|---|---|
{bars}
"""


def table(rows: list[Row]) -> str:
    """The rows as Markdown."""
    lines = [HEAD]
    for row in rows:
        job = row.job
        ages = " | ".join("-" if np.isnan(part) else f"{1e3 * part:.1f}" for part in row.age)
        figures = " | ".join(f"{1e3 * part:.3f}" for part in row.lateness)
        beside = f"{job.busy} busy" if job.busy else "-"
        told = "-" if row.recorded is None else str(row.recorded)
        lines.append(
            f"| {job.name} | {beside} | {job.scheduler} | {row.ticks} | {row.rate_hz:.2f} "
            f"| {figures} | {row.late} | {told} | {ages} | {row.steal:.2%} |"
        )
    return "\n".join(lines)


def bars(rows: list[Row]) -> str:
    """The limits that the loop is held to, as Markdown."""
    ours = [row for row in rows if row.job.loop == "edgebot"]
    alone = [row for row in ours if not row.job.busy]
    loaded = [row for row in ours if row.job.busy]
    rival = next((row for row in rows if row.job.loop == "donkeycar" and row.job.busy), None)
    found = [
        ("alone: p99 at most 1 ms", f"{1e3 * max(row.lateness[1] for row in alone):.3f} ms",
         all(row.lateness[1] <= 1e-3 for row in alone)),
        ("alone: no iteration a period late", str(sum(row.late for row in alone)), not any(row.late for row in alone)),
    ]  # fmt: skip
    if rival is not None:
        for row in loaded:
            found.append(
                (f"busy, {row.job.scheduler}: late iterations fewer than a tenth of donkeycar's",
                 f"{row.late} of {row.ticks} against {rival.late} of {rival.ticks}", row.late < rival.late / 10)
            )  # fmt: skip
    unseen = [row.late - (row.recorded or 0) for row in ours]
    found.append(("late iterations that the recording does not tell", str(sum(unseen)), not any(unseen)))
    return "\n".join(f"| {name} | {value} | {'met' if met else '**not met**'} |" for name, value, met in found)


def main(argv: list[str] | None = None) -> int:
    """Run the benchmark and print its table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=BENCHMARK_MINUTES, help="a row (default %(default)s)")
    parser.add_argument("--donkeycar", type=Path, metavar="VENV", help="its environment; made where it is missing")
    parser.add_argument("--write", action="store_true", help="write the page though the rows are short")
    args = parser.parse_args(argv)
    from rich.progress import Progress

    rival = None if args.donkeycar is None else peer(args.donkeycar.absolute())
    jobs = [job for job in JOBS if job.loop != "donkeycar" or rival is not None]
    rows = []
    with tempfile.TemporaryDirectory() as folder, Progress(refresh_per_second=1) as bar:
        film = Path(folder) / "film.npy"
        render_film(film)
        task = bar.add_task(f"{len(jobs)} loops", total=len(jobs))
        for job in jobs:
            python = rival if job.loop == "donkeycar" and rival is not None else sys.executable
            rows.append(run(job, 60.0 * args.minutes, film, python))
            bar.advance(task)
    text = table(rows)
    print(f"{text}\n\n{bars(rows)}")
    if args.write or (args.minutes >= BENCHMARK_MINUTES and rival is not None):
        page = PAGE.format(
            date=time.strftime("%-d %B %Y"), minutes=args.minutes, python=platform.python_version(),
            machine=platform.machine(), cores=os.cpu_count(), kernel=platform.release().split("-")[0], table=text,
            bars=bars(rows),
        )  # fmt: skip
        (ROOT / "docs" / "benchmarks-loop.md").write_text(page, encoding="utf-8")
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)
