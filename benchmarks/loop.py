"""How punctual the loop is: 50 Hz on the wall clock, against a bare loop that only sleeps until its deadline.

The runtime is the real one: guard, body, the shipped detector in its own process on 640 x 480 frames at the camera's
10 per second, and the recording. Frames are rendered before the clock starts and handed out as a camera's thread
would: a robot has no renderer. Rows add one part after the other; the ratios are to the bare loop of the same run.

    python benchmarks/loop.py                  60 s a row, writes docs/benchmarks-loop.md
    python benchmarks/loop.py --seconds 5      quickly; writes nothing
"""

from __future__ import annotations

import argparse
import dataclasses
import os
import platform
import sys
import tempfile
import time
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))
for _name in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(_name, "1")

RATE_HZ = 50.0
FRAMES = 40
BENCHMARK_S = 60.0


@dataclass(frozen=True)
class Row:
    """One loop's punctuality, seconds."""

    name: str
    ticks: int
    p50: float
    p99: float
    largest: float
    late: int  # iterations that began more than one period after their deadline, and deadlines left out
    detections: int = 0
    inference: float = 0.0


def bare(seconds: float) -> Row:
    """Nothing but the sleep: what the operating system and Python allow."""
    from edge.timing import Latency
    from robot.clock import WallClock

    clock, period, lateness = WallClock(), 1.0 / RATE_HZ, Latency()
    start, late = clock.now(), 0
    ticks = round(seconds * RATE_HZ)
    for step in range(ticks):
        due = start + step * period
        clock.sleep_until(due)
        behind = clock.now() - due
        lateness.add(behind)
        late += behind > period
    stage = lateness.stage()
    return Row("bare sleep_until", ticks, stage.p50_s, stage.p99_s, stage.max_s, late)


def film() -> list[Any]:
    """Frames that a robot sees while it turns round in a room with a person."""
    import numpy as np

    from robot.config import load
    from robot.sim.camera import Camera
    from robot.sim.rooms import make_room
    from robot.sim.world import World

    config, room = load(), make_room("person", "easy", 1_000_000)
    assert config.camera is not None
    camera, world = Camera(config.camera, room), World(config, [room])
    x, y, _ = room.start
    persons = world.persons(0)
    return [
        camera.render(np.array([x, y, yaw]), persons, step)
        for step, yaw in enumerate(np.linspace(0, 2 * np.pi, FRAMES, endpoint=False))
    ]


def loop(name: str, seconds: float, frames: list[Any] | None, record: bool, detector: Path | None) -> Row:
    """The runtime's loop, with perception where there are frames."""
    from edge.guard import Guard
    from edge.loop import Loop, Tick
    from edge.perception.runner import make_perception
    from edge.policies import make
    from edge.recording import Recorder
    from robot.clock import WallClock
    from robot.config import load
    from robot.sim.body import SimBody
    from robot.sim.rooms import make_room
    from robot.types import Frame, Senses

    config, clock = load(), WallClock()
    assert config.camera is not None
    period_s = 1.0 / config.camera.fps

    class FilmBody(SimBody):
        """A simulated body whose camera shows a film."""

        newest: Frame | None = None

        def sense(self) -> Senses:
            senses = super().sense()
            number = int((senses.stamp - start) / period_s)
            if frames is not None and (self.newest is None or senses.stamp - self.newest.stamp >= period_s):
                self.newest = Frame(frames[number % len(frames)], start + number * period_s)
            return dataclasses.replace(senses, frame=self.newest)

    late = 0

    def on_tick(tick: Tick) -> None:
        nonlocal late
        late += tick.now - tick.due > 1.0 / RATE_HZ

    with ExitStack() as stack:
        perception = None
        if frames is not None:
            perception = make_perception(config, clock, detector)
            stack.callback(perception.close)
        recorder = None
        if record:
            folder = stack.enter_context(tempfile.TemporaryDirectory())
            recorder = stack.enter_context(Recorder(Path(folder) / "loop.mcap"))
        room = make_room("light", "easy", 1_000_000)
        body = stack.enter_context(FilmBody(config, room, clock, camera=False))
        start = clock.now()
        run = Loop(body, make("light", config), Guard(config), clock, RATE_HZ, perception, recorder)
        summary = run.run(seconds, on_tick=on_tick)
    lateness, inference = summary.stages["lateness"], summary.stages.get("inference")
    if summary.ended != "duration":
        raise RuntimeError(f"the loop ended by {summary.ended}: {summary.message}")
    return Row(
        name, summary.ticks, lateness.p50_s, lateness.p99_s, lateness.max_s, late + summary.missed,
        0 if inference is None else inference.count, 0.0 if inference is None else inference.p50_s,
    )  # fmt: skip


HEAD = """\
| loop at 50 Hz | ticks | lateness p50 (ms) | p99 | max | p99, ratio to bare | late > 1 period | detections/s |\
 inference p50 (ms) |
|---|---|---|---|---|---|---|---|---|"""

PAGE = """\
# The loop's punctuality

Written by `python benchmarks/loop.py` on {date}: {seconds:g} s a row at 50 Hz on the wall clock, Python {python},
{machine}, {cores} cores. Lateness is how long after its deadline an iteration began. The bare loop does nothing but
sleep until the same deadlines; ratios are to it, in the same run. The detector is the shipped one, in its own process,
on 640 x 480 frames at 10 per second. "late" counts iterations that began more than one period (20 ms) after their
deadline, and deadlines that were left out because of one.

{table}
"""


def table(rows: list[Row], seconds: float) -> str:
    """The rows as Markdown."""
    lines = [HEAD]
    for row in rows:
        seen = f"{row.detections / seconds:.1f} | {1e3 * row.inference:.2f}" if row.detections else "- | -"
        lines.append(
            f"| {row.name} | {row.ticks} | {1e3 * row.p50:.3f} | {1e3 * row.p99:.3f} | {1e3 * row.largest:.3f} "
            f"| {row.p99 / rows[0].p99:.2f} | {row.late} | {seen} |"
        )
    return "\n".join(lines)


def main(argv: list[str] | None = None) -> int:
    """Run the benchmark and print its table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=BENCHMARK_S, help="a row (default %(default)s)")
    parser.add_argument("--detector", type=Path, help="another detector's .tflite")
    args = parser.parse_args(argv)
    from rich.progress import Progress

    sys.setswitchinterval(0.0005)  # as `edgebot run` does
    seconds = args.seconds
    frames = film()
    jobs = (
        lambda: bare(seconds),
        lambda: loop("loop, guard, simulated body", seconds, None, False, None),
        lambda: loop("the same, detector running", seconds, frames, False, args.detector),
        lambda: loop("the same, and recording", seconds, frames, True, args.detector),
    )
    rows = []
    with Progress(refresh_per_second=1) as bar:
        task = bar.add_task("four loops", total=len(jobs))
        for job in jobs:
            rows.append(job())
            bar.advance(task)
    text = table(rows, seconds)
    print(text)
    if seconds >= BENCHMARK_S and args.detector is None:
        page = PAGE.format(
            date=time.strftime("%-d %B %Y"), seconds=seconds, python=platform.python_version(),
            machine=platform.machine(), cores=os.cpu_count(), table=text,
        )  # fmt: skip
        (ROOT / "docs" / "benchmarks-loop.md").write_text(page, encoding="utf-8")
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)
