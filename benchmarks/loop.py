"""How punctual the loop is: 50 Hz on the wall clock, alone and beside 4 busy processes, against donkeycar's Vehicle.

The runtime is the real one: guard, simulated body, the shipped detector in its own process on 640 x 480 frames, the
recording. donkeycar's loop gets the same parts, each iteration the same calls, its camera and detector as threaded
parts. Every loop runs in a process of its own, one after the other, in one run of this program.

    python benchmarks/loop.py --donkeycar build/venvs/donkeycar      10 minutes a row; writes docs/benchmarks-loop.md
    python benchmarks/loop.py --donkeycar VENV --aside 2             the same, 2 minutes for what no bar hangs on
    python benchmarks/loop.py --donkeycar VENV --keep rows.json      rows that are there already are not run again
    ... --keep rows.json --beside alone                              only the rows that need a machine at rest
    python benchmarks/loop.py --minutes 0.1                          quickly, without the peer; writes nothing

The environment of `--donkeycar` is made where it is missing (that needs the network).
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import platform
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "benchmarks")]

import numpy as np  # noqa: E402
from loop_parts import RATE_HZ, render_film  # noqa: E402
from numpy.typing import NDArray  # noqa: E402

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
    aside: bool = False  # to compare with; no bar hangs on it, so it may be shorter


JOBS = (
    Job("bare sleep_until", "bare", seeing=False, aside=True),
    Job("edgebot", "edgebot", 0, "real time"),
    Job("edgebot", "edgebot", aside=True),
    Job("donkeycar", "donkeycar", aside=True),
    Job("edgebot", "edgebot", BUSY, "real time"),
    Job("edgebot", "edgebot", BUSY, aside=True),
    Job("donkeycar", "donkeycar", BUSY),
)


@dataclass(frozen=True)
class Row:
    """What came out; seconds."""

    job: Job
    ticks: int
    lateness: tuple[float, float, float, float]  # p50, p99, p99.9, max
    late: int  # iterations that began more than a period after they were due by their predecessor's beginning
    lost: int  # iterations that 50 a second would have had besides, in the time from the first to the last
    off_grid: int | None  # more than a period after their fixed deadline, and deadlines left out; None without any
    recorded: int | None  # of those, how many its own recording tells
    age: tuple[float, float]  # camera to motor, p50 and p99; NaN without a camera
    rate_hz: float  # reached
    steal: float  # share of the processors' time that the host took away
    at: str  # when it ended, by the clock


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
    began, period = stamps["began"], 1 / RATE_HZ
    lateness = np.maximum(began - stamps["due"], 0.0)
    missed = int(stamps.get("missed", 0))
    if job.loop == "edgebot" and missed < left_out(stamps["due"]):
        raise RuntimeError(f"{left_out(stamps['due'])} deadlines were left out, the summary counts {missed}")
    age = np.quantile(stamps["age"], [0.5, 0.99]) if stamps["age"].size else (float("nan"),) * 2
    grid, took = job.loop != "donkeycar", float(began[-1] - began[0])
    return Row(
        job, len(began), (*np.quantile(lateness, [0.5, 0.99, 0.999]).tolist(), float(lateness.max())),
        int((np.diff(began) > 2 * period).sum()), max(round(took * RATE_HZ) - (len(began) - 1), 0),
        int((lateness > period).sum()) + missed if grid else None, told,
        (float(age[0]), float(age[1])),
        (len(began) - 1) / took, (after[1] - before[1]) / max(after[0] - before[0], 1e-9), time.strftime("%H:%M"),
    )  # fmt: skip


def late_in(recording: Path) -> int:
    """Late iterations and deadlines left out, as the recording tells them.

    Its last line but one has both numbers, where there are any; what its iterations show by themselves must be among
    them (they miss what was left out after the last).
    """
    from mcap.reader import make_reader

    with open(recording, "rb") as file:
        loops = [json.loads(message.data) for _, _, message in make_reader(file).iter_messages(topics=["/loop"])]
    with open(recording, "rb") as file:
        lines = [json.loads(message.data)["message"] for _, _, message in make_reader(file).iter_messages(["/log"])]
    told = [re.fullmatch(r"(\d+) iterations began more than a period late, (\d+) .*", line) for line in lines]
    late, left = next(((int(found[1]), int(found[2])) for found in told if found), (0, 0))
    shown = sum(found["lateness"] > 1 / RATE_HZ for found in loops) + left_out(np.array([one["due"] for one in loops]))
    if shown > late + left + loops[-1]["dropped"]:  # what the recorder dropped looks as if it was left out
        raise RuntimeError(f"the recording tells of {late} late and {left} left out, and shows {shown}")
    return late + left


def left_out(due: NDArray[np.float64]) -> int:
    """Deadlines between those of consecutive iterations."""
    return int((np.round(np.diff(due) * RATE_HZ) - 1).clip(min=0).sum())


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
 | late > 1 period | lost | off the grid | told by the recording | camera to motor p50 (ms) | p99 | CPU steal |
|---|---|---|---|---|---|---|---|---|---|---|---|---|---|---|---|"""

PAGE = """\
# The loop's punctuality

Written by `python benchmarks/loop.py` on {date}: {minutes:g} minutes a row at 50 Hz on the wall clock ({aside:g} for
the bare loop, donkeycar alone and edgebot at ordinary priority), Python {python}, {machine}, {cores} cores,
Linux {kernel}. The rows ran one after the other on the same machine, the first to end at {first}, the last at {last};
donkeycar is {peer}, in an environment of its own.

{table}

Camera, detector and recording run in every row but the first: 640 x 480 frames at 10 a second, the shipped detector,
JPEG and everything else into an MCAP file. "4 busy" are processes that only compute, at the ordinary priority.
"Late" is the same for every loop: an iteration that began more than one period after it was due, and due one period
after the one before *began*: a gap of more than 40 ms. That is donkeycar's own promise; it knows no other deadlines.
"Lost" are the iterations that 50 a second would have had besides in the same time: ticks that never came. edgebot's
deadlines lie on a grid that is fixed at the start: its lateness is measured against that, and "off the grid" counts
iterations that began more than 20 ms after their deadline and each deadline that was left out because of a late one.
"Real time" is what the units ask for (SCHED_FIFO, locked memory, idle processors that wake soon: see
[the doctor](doctor.md)), "ordinary" what anyone may have (`EDGEBOT_REALTIME=ordinary`); the bars hold for the former.

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
        off, told = ("-" if count is None else str(count) for count in (row.off_grid, row.recorded))
        lines.append(
            f"| {job.name} | {beside} | {job.scheduler} | {row.ticks} | {row.rate_hz:.2f} "
            f"| {figures} | {row.late} | {row.lost} | {off} | {told} | {ages} | {row.steal:.2%} |"
        )
    return "\n".join(lines)


def bars(rows: list[Row]) -> str:
    """The limits that the loop is held to, as Markdown."""
    ours = [row for row in rows if row.job.loop == "edgebot"]
    rival = next((row for row in rows if row.job.loop == "donkeycar" and row.job.busy), None)
    found = []
    for row in (row for row in ours if row.job.scheduler == "real time"):
        if not row.job.busy:
            found.append(("alone: p99 at most 1 ms", f"{1e3 * row.lateness[1]:.3f} ms", row.lateness[1] <= 1e-3))
            found.append(("alone: no iteration a period late", f"{row.off_grid} of {row.ticks}", not row.off_grid))
        elif rival is not None:
            mine, its = ((one.late + one.lost, one.ticks + one.lost) for one in (row, rival))
            counts = f"{mine[0]} of {mine[1]} against {its[0]} of {its[1]}"
            fewer = mine[0] / mine[1] < its[0] / its[1] / 10
            found.append(("busy: late and lost iterations fewer than a tenth of donkeycar's", counts, fewer))
    unseen = [(row.off_grid or 0) - (row.recorded or 0) for row in ours]
    found.append(("late iterations that the recording does not tell", str(sum(unseen)), not any(unseen)))
    return "\n".join(f"| {name} | {value} | {'met' if met else '**not met**'} |" for name, value, met in found)


def kept(path: Path | None) -> list[Row]:
    """Rows of an earlier call."""
    if path is None or not path.exists():
        return []
    found = json.loads(path.read_text())
    return [Row(**(row | {"job": Job(**row["job"]), "lateness": tuple(row["lateness"]), "age": tuple(row["age"])}))
            for row in found]  # fmt: skip


def write(rows: list[Row], minutes: float, aside: float, rival: str) -> None:
    """The page of documentation."""
    said = subprocess.run([rival, "-m", "pip", "show", PEER], capture_output=True, text=True).stdout
    page = PAGE.format(
        date=time.strftime("%-d %B %Y"), minutes=minutes, aside=aside, python=platform.python_version(),
        machine=platform.machine(), cores=os.cpu_count(), kernel=platform.release().split("-")[0], table=table(rows),
        bars=bars(rows), first=min(row.at for row in rows), last=max(row.at for row in rows),
        peer=next(line for line in said.splitlines() if "Version" in line).lower().replace("version: ", "version "),
    )  # fmt: skip
    (ROOT / "docs" / "benchmarks-loop.md").write_text(page, encoding="utf-8")


def main(argv: list[str] | None = None) -> int:
    """Run the benchmark and print its table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=BENCHMARK_MINUTES, help="a row (default %(default)s)")
    parser.add_argument("--aside", type=float, metavar="MINUTES", help="for the rows that no bar hangs on (the same)")
    parser.add_argument("--donkeycar", type=Path, metavar="VENV", help="its environment; made where it is missing")
    parser.add_argument("--beside", choices=["alone", "busy", "both"], default="both", help="only these rows")
    parser.add_argument("--keep", type=Path, metavar="FILE", help="rows as JSON: those there are taken, new ones added")
    parser.add_argument("--write", action="store_true", help="write the page though the rows are short")
    args = parser.parse_args(argv)
    from rich.progress import Progress

    rival = None if args.donkeycar is None else peer(args.donkeycar.absolute())
    aside = args.minutes if args.aside is None else args.aside
    rows = kept(args.keep)
    there = [row.job for row in rows]
    jobs = [job for job in JOBS if job not in there and (job.loop != "donkeycar" or rival is not None)]
    jobs = [job for job in jobs if args.beside in ("both", "busy" if job.busy else "alone")]
    with tempfile.TemporaryDirectory() as folder, Progress(refresh_per_second=1) as bar:
        film = Path(folder) / "film.npy"
        render_film(film)
        task = bar.add_task(f"{len(jobs)} loops", total=len(jobs))
        for job in jobs:
            python = rival if job.loop == "donkeycar" and rival is not None else sys.executable
            rows.append(run(job, 60.0 * (aside if job.aside else args.minutes), film, python))
            if args.keep is not None:
                args.keep.write_text(json.dumps([asdict(row) for row in rows], indent=1))
            bar.advance(task)
    rows.sort(key=lambda row: JOBS.index(row.job))
    print(f"{table(rows)}\n\n{bars(rows)}")
    if rival is not None and len(rows) == len(JOBS) and (args.write or args.minutes >= BENCHMARK_MINUTES):
        write(rows, args.minutes, aside, rival)
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)
