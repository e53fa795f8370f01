"""How many robot-steps a second the simulated world does on one core, and how many frames the camera renders.

A robot-step is one tick of 20 ms of motion with collision handling, and all senses but the camera: five sonar rays, two
light rays with the bounce, noise on both. Robots drive about (new random duties each ten ticks) in `hard` rooms of 28
segments; those that end up against something stay in the figures. Time is this process's CPU time, the best of several
stretches, so that other work on the machine is left out as far as it can be; rooms are made before.

NumPy is the reference; where Numba is installed (the workstation extra), its kernels are timed beside it in one run.

    python benchmarks/world.py              the table; exit code 1 below 400,000 robot-steps/s at N = 4096 with NumPy,
                                            or 1,500,000 with Numba
    python benchmarks/world.py --quick      a few seconds
    python benchmarks/world.py --write      the table into docs/benchmarks-world.md
"""

from __future__ import annotations

import argparse
import os
import platform
import sys
import time
from collections.abc import Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
for _name in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[_name] = "1"  # one core, and before numpy is imported

import cv2  # noqa: E402
import numpy as np  # noqa: E402
from rich.console import Console  # noqa: E402
from rich.progress import track  # noqa: E402
from rich.table import Table  # noqa: E402

from robot import config  # noqa: E402
from robot.sim.camera import Camera  # noqa: E402
from robot.sim.layout import NUMPY  # noqa: E402
from robot.sim.rooms import RoomPool  # noqa: E402
from robot.sim.world import World  # noqa: E402
from train.kernels import fastest  # noqa: E402

BARS = {"NumPy": 400_000, "Numba": 1_500_000}  # robot-steps/s at N = 4096
TARGET = Path(__file__).resolve().parent.parent / "docs" / "benchmarks-world.md"
MANY = 4096
TURN = 10  # ticks between new duties


def rate(count: int, work: Callable[[], None], seconds: float, stretches: int = 7) -> float:
    """`count` things done by each `work()`, per second: the best of several stretches of a total of `seconds`."""
    work()
    begin = time.process_time()
    work()
    once = max(time.process_time() - begin, 1e-6)
    repeats = max(1, round(seconds / stretches / once))
    best = float("inf")
    for _ in range(stretches):
        begin = time.process_time()
        for _ in range(repeats):
            work()
        best = min(best, (time.process_time() - begin) / repeats)
    return count / best


def driven(world: World, rng: np.random.Generator, *after: Callable[[], object]) -> Callable[[], None]:
    """One turn of ten ticks with fresh duties, and whatever comes `after` each tick."""

    def turn() -> None:
        duty = rng.uniform(-0.2, 1.0, (2, world.n))
        world.set_duty(duty[0], duty[1])
        for _ in range(TURN):
            world.step()
            for sense in after:
                sense()

    return turn


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--rooms", type=int, default=1024, help="different rooms, shared by the robots (default 1024)")
    parser.add_argument("--quick", action="store_true", help="64 rooms and short measurements")
    parser.add_argument("--write", action="store_true", help=f"write {TARGET.relative_to(TARGET.parents[1])}")
    options = parser.parse_args()
    cv2.setNumThreads(1)
    console = Console(width=110 if not sys.stdout.isatty() else None)
    robot = config.load()
    seconds, rooms = (0.7, 64) if options.quick else (4.0, options.rooms)
    pool = RoomPool("light", "hard", range(rooms))
    begin = time.process_time()
    ready = list(track(pool, "rooms", console=Console(stderr=True), transient=True))
    per_room = (time.process_time() - begin) / rooms * 1e3
    rng = np.random.default_rng(0)

    engines = {"NumPy": NUMPY} if fastest() is NUMPY else {"NumPy": NUMPY, "Numba": fastest()}
    figures: list[tuple[str, float]] = []
    reached: dict[str, float] = {}
    for engine, kernels in engines.items():
        for n in (1, 64, 1024, MANY):
            world = World(robot, [ready[i % rooms] for i in range(n)], seed=1, kernels=kernels)
            work = driven(world, rng, world.sense_light, world.sense_range)
            figures.append((f"{engine}, N = {n}: motion, light, range", rate(n * TURN, work, seconds)))
        reached[engine] = figures[-1][1]
        parts = (
            ("motion alone", ()),
            ("motion and light", (world.sense_light,)),
            ("motion and range", (world.sense_range,)),
        )
        for name, after in parts:
            figures.append((f"{engine}, N = {MANY}: {name}", rate(MANY * TURN, driven(world, rng, *after), seconds)))
    share = float(world.contact.mean())
    whole = reached["NumPy"]

    table = Table(
        title=f"robot-steps per second, one core, hard rooms ({rooms} different), {world.tick_s * 1e3:.0f} ms ticks"
    )
    table.add_column("what")
    table.add_column("per second", justify="right")
    table.add_column("against NumPy, N = 1", justify="right")
    table.add_column(f"against NumPy, N = {MANY}, all", justify="right")
    for name, figure in figures:
        table.add_row(name, f"{figure:,.0f}", f"{figure / figures[0][1]:.1f}x", f"{figure / whole:.2f}x")
    console.print(table)
    boxes = min(len(room.obstacles) for room in ready)
    about = (
        f"{4 + 4 * boxes} segments, {100 * share:.0f} % of the robots in contact at the end; a room takes "
        f"{per_room:.1f} ms to make, with its maps."
    )
    console.print(about)
    rendered = frames(robot, console, seconds)
    for engine, figure in reached.items():
        verdict = "passed" if figure >= BARS[engine] else "FAILED"
        console.print(f"{engine}, N = {MANY}: {figure:,.0f} robot-steps/s, the bar is {BARS[engine]:,}: {verdict}")
    if options.write:
        TARGET.write_text(page(figures, reached, rendered, about), encoding="utf-8")
    return 0 if all(figure >= BARS[engine] for engine, figure in reached.items()) else 1


def page(figures: list[tuple[str, float]], reached: dict[str, float], rendered: dict[str, float], about: str) -> str:
    """The page of the docs."""
    rows = "\n".join(f"| {name} | {figure:,.0f} | {figure / reached['NumPy']:.2f}x |" for name, figure in figures)
    seen = "\n".join(f"| {size} | {figure:.0f} |" for size, figure in rendered.items())
    bars = "; ".join(
        f"{engine} {figure:,.0f}, asked {BARS[engine]:,}: {'met' if figure >= BARS[engine] else '**missed**'}"
        for engine, figure in reached.items()
    )
    return f"""# The simulated world's speed

Written by `python benchmarks/world.py --write` on {time.strftime("%Y-%m-%d")}, {platform.machine()}, Python
{platform.python_version()}, NumPy {np.__version__}, one core, load {os.getloadavg()[0]:.0f}. A robot-step is a tick of
20 ms of motion with collisions and all senses but the camera: five sonar rays, two light rays with the bounce, noise on
both, in `hard` rooms. Time is processor time, the best of seven stretches. Rooms: {about}

At N = {MANY}: {bars}.

| what | robot-steps per second | against NumPy, N = {MANY} |
|---|---|---|
{rows}

| rendered camera frames | per second |
|---|---|
{seen}
"""


def frames(robot: config.RobotConfig, console: Console, seconds: float) -> dict[str, float]:
    """Rendered frames per second by size, in rooms with persons and distractors."""
    assert robot.camera is not None
    pool = RoomPool("person", "easy", range(12), walkers=1)
    world = World(robot, list(pool), seed=1)
    table = Table(title="rendered frames per second, one core, rooms with two persons and five distractors")
    table.add_column("size")
    table.add_column("per second", justify="right")
    table.add_column("against 640x480", justify="right")
    found: dict[str, float] = {}
    for width, height in ((640, 480), (320, 240)):
        cameras = [Camera(robot.camera, room, width, height) for room in pool]
        angle = 0.0

        def turn(cameras: list[Camera] = cameras) -> None:
            nonlocal angle
            angle += 0.4  # every room from ever new directions
            for i, camera in enumerate(cameras):
                x, y, _ = world.pose[:, i]
                camera.render((x, y, angle + i), world.persons(i), i)

        figure = rate(len(cameras), turn, seconds, stretches=3)
        found[f"{width}x{height}"] = figure
        table.add_row(f"{width}x{height}", f"{figure:.0f}", f"{figure / found['640x480']:.1f}x")
    console.print(table)
    return found


if __name__ == "__main__":
    sys.exit(main())
