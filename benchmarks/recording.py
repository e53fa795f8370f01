"""What a recording costs: 50 Hz of senses and commands, 15 frames of 640 x 480 a second, with and without, in turn.

    python benchmarks/recording.py               24 blocks of 15 s; writes docs/benchmarks-recording.md
    python benchmarks/recording.py --blocks 4 --seconds 5       quickly; writes nothing

One process runs the real loop (guard, simulated body, light policy, a camera's thread that shows a film) in blocks,
every other one with a recorder. Three figures: the processor's time of the recorder's thread without the compressing of
frames (by the thread's own clock), what all of the process needs more than without (less the compressing), and the
loop's lateness in either kind of block.
"""

from __future__ import annotations

import argparse
import dataclasses
import os
import platform
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
sys.path.insert(0, str(Path(__file__).resolve().parent))

import cv2
import numpy as np
from loop_parts import ROOM, Film, render_film

from edge import messages
from edge.guard import Guard
from edge.loop import Loop, Tick
from edge.policies import make
from edge.recordings.recorder import Recorder
from robot.clock import WallClock
from robot.config import load
from robot.realtime import realtime
from robot.sim.body import SimBody
from robot.sim.rooms import make_room
from robot.types import Senses

ROOT = Path(__file__).resolve().parent.parent
TARGET = ROOT / "docs" / "benchmarks-recording.md"
BLOCKS, BLOCK_S = 24, 15.0
RATE_HZ, FPS = 50.0, 15.0
BAR = 0.05  # of one core, beside JPEG


@dataclass(frozen=True)
class Block:
    """One stretch of the loop; seconds."""

    recorded: bool
    wall: float
    lateness: np.ndarray
    process: float  # processor time of the whole process
    thread: float = 0.0  # of the recorder's thread
    pictures: float = 0.0  # of that, compressing frames
    handing: float = 0.0  # the loop's own: giving an iteration to the recorder, p50
    bytes: int = 0
    dropped: int = 0
    slowest_sync: float = 0.0


class Pictures:
    """Stands before `messages.compressed` and adds up what it costs, by the thread's own clock."""

    def __init__(self) -> None:
        self.seconds, self._compress = 0.0, messages.compressed
        messages.compressed = self  # type: ignore[assignment]

    def __call__(self, image: Any, kind: str) -> bytes:
        began = time.thread_time()
        data = self._compress(image, kind)
        self.seconds += time.thread_time() - began
        return data


def block(film: Film, seconds: float, folder: Path, pictures: Pictures, recorded: bool) -> Block:
    """Run the loop for a while."""
    config, clock = load(), WallClock()

    class FilmBody(SimBody):
        def sense(self) -> Senses:
            return dataclasses.replace(super().sense(), frame=film.newest)

    lateness = np.zeros(round(seconds * RATE_HZ) + 10)
    count = 0

    def on_tick(tick: Tick) -> None:
        nonlocal count
        lateness[count] = tick.now - tick.due
        count += 1

    path = folder / "run.mcap"
    path.unlink(missing_ok=True)
    recorder = Recorder(path) if recorded else None
    policy = make("light", config)
    with FilmBody(config, make_room("light", "easy", ROOM), clock, camera=False) as body:
        loop = Loop(body, policy, Guard.of(config, policy), clock, RATE_HZ, recorder=recorder)
        pictures.seconds, began = 0.0, clock.now()
        process = time.process_time()
        clock_of = None if recorder is None else time.pthread_getcpuclockid(recorder.thread.ident or 0)
        thread = 0.0 if clock_of is None else time.clock_gettime(clock_of)
        with realtime():  # as `edgebot run` does
            summary = loop.run(seconds, on_tick=on_tick)
        thread = 0.0 if clock_of is None else time.clock_gettime(clock_of) - thread
        process, wall = time.process_time() - process, clock.now() - began
    if summary.ended != "duration":
        raise RuntimeError(f"the loop ended by {summary.ended}: {summary.message}")
    if recorder is None:
        return Block(False, wall, lateness[:count], process)
    spent = pictures.seconds
    recorder.close()
    handing = summary.stages["recording"].p50_s
    return Block(
        True, wall, lateness[:count], process, thread, spent, handing, path.stat().st_size, recorder.dropped,
        recorder.slowest_sync_s,
    )  # fmt: skip


def base64_cost(film: Film) -> tuple[float, float]:
    """One frame's message without compressing, in seconds: protobuf as it is, and JSON with base64 as it could be."""
    import base64
    import json

    from edge.recordings import protobuf

    frame = film.newest.image
    _, jpeg = cv2.imencode(".jpg", frame, (cv2.IMWRITE_JPEG_QUALITY, messages.JPEG_QUALITY))
    data = jpeg.tobytes()

    def ours() -> bytes:
        return protobuf.image(protobuf.CompressedImage(1_500_000_000, "camera", data, "jpeg"))

    def text() -> bytes:
        stamp = {"sec": 1, "nsec": 500_000_000}
        content = {"timestamp": stamp, "frame_id": "camera", "data": base64.b64encode(data).decode(), "format": "jpeg"}
        return json.dumps(content, separators=(",", ":")).encode()

    costs = []
    for make_message in (ours, text):
        rounds = []
        for _ in range(200):
            began = time.perf_counter()
            make_message()
            rounds.append(time.perf_counter() - began)
        costs.append(float(np.median(rounds)))
    return costs[0], costs[1]


def interval(differences: np.ndarray) -> tuple[float, float]:
    """95 % of the mean of paired differences, by bootstrap."""
    random = np.random.default_rng(0)
    means = random.choice(differences, (10_000, len(differences))).mean(axis=1)
    low, high = np.quantile(means, [0.025, 0.975])
    return float(low), float(high)


PAGE = """\
# What a recording costs

Written by `python benchmarks/recording.py` on {date}: {blocks} blocks of {seconds:g} s in one process, every other one
with a recorder; Python {python}, {machine}, {cores} cores. 50 iterations a second, {fps:g} frames of 640 x 480 a second
as JPEG; nothing here was measured on a Raspberry Pi, whose cores are several times slower.

{table}

The recorder's thread is measured by its own clock, compressing included and then taken off. "All of the process" is
the difference of the whole process's time with and without a recorder, less the compressing: it holds what the loop's
thread does for the recording and what the two cost each other.

Frames are protobuf and not JSON: one frame's message costs {ours:.0f} us so, and {text:.0f} us as base64 in JSON, which
is a third larger too.
"""


def table(blocks: list[Block]) -> tuple[str, bool]:
    """The figures as Markdown, and whether they keep the bars."""
    on, off = ([found for found in blocks if found.recorded is kind] for kind in (True, False))
    wall = sum(found.wall for found in on)
    thread = sum(found.thread - found.pictures for found in on) / wall
    pictures = sum(found.pictures for found in on) / wall
    whole = (sum(found.process - found.pictures for found in on)) / wall
    whole -= sum(found.process for found in off) / sum(found.wall for found in off)
    late = [np.concatenate([found.lateness for found in group]) for group in (off, on)]
    p99 = [float(np.quantile(found, 0.99)) for found in late]
    pairs = np.array(
        [
            np.quantile(one.lateness, 0.99) - np.quantile(other.lateness, 0.99)
            for one, other in zip(on, off, strict=True)
        ]
    )
    low, high = interval(pairs)
    good = thread <= BAR and whole <= BAR and low <= 0
    verdict = "unchanged" if low <= 0 <= high else "better" if high < 0 else "worse"
    rows = (
        ("the recorder's thread, without compressing frames", f"{thread:.2%} of one core", f"<= {BAR:.0%}"),
        ("all of the process, without compressing frames", f"{whole:.2%} of one core", f"<= {BAR:.0%}"),
        ("compressing frames", f"{pictures:.2%} of one core", "-"),
        ("the loop hands an iteration over in (p50)", f"{1e6 * np.median([b.handing for b in on]):.0f} us", "-"),
        ("lateness p99 without, with", f"{1e3 * p99[0]:.3f} ms, {1e3 * p99[1]:.3f} ms", "-"),
        ("its difference, block by block, 95 % interval", f"{1e3 * low:+.3f} to {1e3 * high:+.3f} ms", "holds 0"),
        ("so the lateness is", verdict, "unchanged"),
        ("lateness p50 without, with", ", ".join(f"{1e3 * np.median(found):.3f} ms" for found in late), "-"),
        ("iterations, dropped", f"{sum(len(b.lateness) for b in on)}, {sum(b.dropped for b in on)}", "none dropped"),
        ("slowest fsync", f"{1e3 * max(b.slowest_sync for b in on):.0f} ms", "-"),
        ("written", f"{sum(b.bytes for b in on) / wall / 1e3:.0f} kB/s", "-"),
    )  # fmt: skip
    lines = ["| what | found | bar |", "|---|---|---|", *(f"| {' | '.join(row)} |" for row in rows)]
    return "\n".join(lines), good and not any(found.dropped for found in on)


def main(argv: list[str] | None = None) -> int:
    """Run the benchmark and print its table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--blocks", type=int, default=BLOCKS, help="an even number (default %(default)s)")
    parser.add_argument("--seconds", type=float, default=BLOCK_S, help="a block (default %(default)s)")
    parser.add_argument("--write", action="store_true", help="write the document of a short run too")
    args = parser.parse_args(argv)
    from rich.progress import Progress

    sys.setswitchinterval(0.0005)  # as `edgebot run` does
    pictures, blocks = Pictures(), list[Block]()
    with tempfile.TemporaryDirectory(dir=ROOT) as name, Progress(refresh_per_second=1) as bar:
        folder = Path(name)  # on the repository's disk: /tmp may be memory, where fsync costs nothing
        render_film(folder / "film.npy")
        film = Film(folder / "film.npy", FPS).start()
        block(film, 2.0, folder, pictures, True)  # imports and caches
        task = bar.add_task("blocks", total=args.blocks)
        for number in range(args.blocks // 2):
            for recorded in (number % 2 == 0, number % 2 == 1):  # each order as often: what drifts cancels
                blocks.append(block(film, args.seconds, folder, pictures, recorded))
                bar.advance(task)
        ours, text = base64_cost(film)
        film.close()
    figures, good = table(blocks)
    print(figures)
    if args.write or (args.blocks >= BLOCKS and args.seconds >= BLOCK_S):
        page = PAGE.format(
            date=time.strftime("%-d %B %Y"), blocks=args.blocks, seconds=args.seconds, fps=FPS, table=figures,
            python=platform.python_version(), machine=platform.machine(), cores=os.cpu_count(), ours=1e6 * ours,
            text=1e6 * text,
        )  # fmt: skip
        TARGET.write_text(page, encoding="utf-8")
    return 0 if good else 1


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)
