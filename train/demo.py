"""The whole line in one go: learn to seek light, convert, and drive one room to three goals; a film and a report.

Every step is the product's own: what `edgebot train`, `edgebot convert` and the runtime do when they are
called one by one. The same seed gives the same policy, the same drive and the same film.
"""

from __future__ import annotations

import csv
import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from edge.errors import EdgeError
from robot.config import RobotConfig
from robot.sim.rooms import make_room
from train.demo_drive import LIMIT_S, Drive, drive
from train.demo_film import SPEED_UP, Film, poster
from train.video import write_video

STEPS = 500_000
"""Of training: less than a minute on two cores; `edgebot train light` learns for longer, and better."""

ROOM_SEEDS = 1_000_000
"""The room of seed n is room 1,000,000 + n: training never sees it."""


class DemoError(EdgeError):
    """A step of the demo failed."""


@dataclass(frozen=True)
class Files:
    """Where the demo's results lie."""

    folder: Path

    def __post_init__(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)

    @property
    def run(self) -> Path:
        return self.folder / "train"

    @property
    def model(self) -> Path:
        return self.folder / "light.tflite"

    @property
    def recording(self) -> Path:
        return self.folder / "demo.mcap"

    @property
    def video(self) -> Path:
        return self.folder / "demo.mp4"

    @property
    def picture(self) -> Path:
        return self.folder / "demo.png"

    @property
    def report(self) -> Path:
        return self.folder / "report.html"

    def clear(self) -> None:
        """Remove an earlier demo's results, and nothing else."""
        if self.run.is_dir():
            shutil.rmtree(self.run)
        for path in (self.model, self.recording, self.video, self.picture, self.report):
            path.unlink(missing_ok=True)


@dataclass(frozen=True)
class Result:
    """What the demo found; seconds of the wall clock by step."""

    seed: int
    files: Files
    curve: list[dict[str, float]]  # rows of the training's progress.csv
    evaluation: dict[str, Any]
    parity: dict[str, Any]
    drive: Drive
    seconds: dict[str, float]


def run(config: RobotConfig, seed: int, folder: Path, console: Console, steps: int = STEPS) -> Result:
    """Run the demo, write its files into `folder`, and return what it found.

    Raises:
        EdgeError, RobotError: a step cannot be done; the message says which and why.
    """
    try:
        files = Files(folder)
        files.clear()
    except OSError as error:
        raise DemoError(f"{folder} cannot be written ({error.strerror}); give another folder with --out") from None
    seconds: dict[str, float] = {}

    def step(name: str, title: str, work: Callable[[], Any]) -> Any:
        console.print(f"\n[bold]{len(seconds) + 1}  {title}[/]")
        began = time.perf_counter()
        result = work()
        seconds[name] = time.perf_counter() - began
        return result

    step("train", f"PPO learns to seek light: {steps:,} steps in simulated rooms", lambda: _train(files, seed, steps))
    step("convert", "the policy becomes an int8 .tflite, if it proves itself", lambda: _convert(files))
    title = "one room: to the lamp, to an object, to a person"
    driven = step("drive", title, lambda: _drive(config, files, seed, console))
    step("film", "the film", lambda: _film(config, driven, files, console))

    from edge import manifest
    from train.demo_report import write_report

    result = Result(
        seed, files, _curve(files), _evaluation(files), manifest.read(files.model)[1].parity, driven, seconds
    )
    write_report(result, config)
    return result


def _train(files: Files, seed: int, steps: int) -> None:
    from train.commands.train import main as train

    arguments = ["light", "--algo", "ppo", "--seed", str(seed), "--steps", str(steps), "--run", str(files.run)]
    if train(arguments) != 0:
        raise KeyboardInterrupt  # the training has kept its best policy and said so


def _convert(files: Files) -> None:
    from train.commands.convert import main as convert

    if convert([str(files.run), "--quantize", "int8", "-o", str(files.model)]) != 0:
        raise DemoError(f"{files.run} was not converted; the lines above say why")


def _drive(config: RobotConfig, files: Files, seed: int, console: Console) -> Drive:
    room = make_room("demo", "easy", ROOM_SEEDS + seed)
    columns = (TextColumn("{task.description:<10}"), BarColumn(), TextColumn("{task.completed:.0f} simulated s"))
    with Progress(*columns, console=console) as shown:
        bars: dict[str, Any] = {}

        def told(task: str, now: float) -> None:
            if task not in bars:
                bars[task] = shown.add_task(task, total=LIMIT_S[task])
            shown.update(bars[task], completed=now)

        driven = drive(config, room, files.model, files.recording, seed, told)
        for leg in driven.legs:
            if leg.task in bars:
                shown.update(bars[leg.task], total=leg.seconds, completed=leg.seconds)
    return driven


def _film(config: RobotConfig, driven: Drive, files: Files, console: Console) -> None:
    film = Film(driven, config)
    columns = (TextColumn("{task.description:<10}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    fps = SPEED_UP * (config.camera.fps if config.camera is not None else 10.0)
    with Progress(*columns, console=console) as shown:
        bar = shown.add_task("frames", total=len(film))
        write_video(files.video, film.frames(lambda done: shown.update(bar, completed=done)), fps)
    poster(driven, config, files.picture)


def _curve(files: Files) -> list[dict[str, float]]:
    with (files.run / "progress.csv").open(encoding="utf-8") as file:
        return [{name: float(value) for name, value in row.items() if value} for row in csv.DictReader(file)]


def _evaluation(files: Files) -> dict[str, Any]:
    import json

    found: dict[str, Any] = json.loads((files.run / "evaluation.json").read_text(encoding="utf-8"))
    return found
