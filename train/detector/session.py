"""One training run of the detector from start to end: scenes, progress, logs, pictures, what is kept."""

from __future__ import annotations

import json
from collections.abc import Sequence

import tensorflow as tf
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

from train.detector import picture
from train.detector.judge import Verdict
from train.detector.learn import DetectorSettings, Learner, judge_examples
from train.detector.model import HEIGHT, WIDTH
from train.detector.scenes import Examples, gather, render
from train.runs import RunFolder

CHECK_FRAMES = 5


class Session:
    """Trains one detector into `run`'s folder."""

    def __init__(self, run: RunFolder, settings: DetectorSettings, console: Console) -> None:
        self.run, self.settings, self.console = run, settings, console
        self.rows: list[dict[str, float]] = []
        self.learner: Learner | None = None
        self._examples: tuple[Examples, Examples] | None = None

    def draw(self, rooms: Sequence[int], check: Sequence[int], workers: int) -> bool:
        """Draw the pictures of the rooms to learn from and of those to check by; False where Ctrl-C ended it."""
        parts: list[list[Examples]] = [[], []]
        with self._progress() as progress:
            bar = progress.add_task("draw scenes", total=len(rooms) + len(check), told="")
            try:
                for seeds, frames, into in ((rooms, self.settings.frames, parts[0]), (check, CHECK_FRAMES, parts[1])):
                    for part in render(seeds, frames, WIDTH, HEIGHT, workers):
                        into.append(part)
                        progress.advance(bar)
            except KeyboardInterrupt:
                return False
        self._examples = gather(parts[0]), gather(parts[1])
        return True

    def learn(self) -> bool:
        """Learn from the pictures; True where Ctrl-C ended it."""
        assert self._examples is not None, "draw() comes first"
        run = self.run.settings
        self.learner = Learner(self.settings, run.seed, run.steps, *self._examples)
        log = tf.summary.create_file_writer(str(self.run.path / "tensorboard"))
        with self._progress() as progress, log.as_default():
            bar = progress.add_task("learn", total=run.steps, told="")
            try:
                for found in self.learner.learn():
                    row = {"step": found.step, "loss": found.loss, "box": found.box, "objectness": found.objectness}
                    if found.verdict is not None:
                        row |= {
                            "ap": found.verdict.ap,
                            "recall": found.verdict.recall,
                            "precision": found.verdict.precision,
                        }
                    self.rows.append({name: float(value) for name, value in row.items()})
                    for name, value in row.items():
                        tf.summary.scalar(
                            f"{'check' if name in ('ap', 'recall', 'precision') else 'loss'}/{name}", value, found.step
                        )
                    if found.verdict is not None and found.verdict.ap >= self.learner.best:
                        self._save_best()
                    best = f"  AP {self.learner.best:.3f}" if self.learner.best >= 0 else ""
                    progress.update(bar, completed=found.step, told=f"loss {found.loss:.2f}{best}")
            except KeyboardInterrupt:
                return True
        return False

    def keep(self) -> Verdict:
        """Write the best network and all that tells of it; returns how good it is on the rooms that chose it."""
        assert self.learner is not None and self._examples is not None
        learner, check = self.learner, self._examples[1]
        self._save_best()
        learner.model.set_weights(learner.best_weights)
        found = judge_examples(learner.model, check)
        self.run.write_text("evaluation.json", json.dumps(found._asdict(), indent=2))
        names = ("step", "loss", "box", "objectness", "ap", "recall", "precision")
        lines = [
            ",".join(names),
            *(",".join(f"{row[name]:g}" if name in row else "" for name in names) for row in self.rows),
        ]
        self.run.write_text("progress.csv", "\n".join(lines) + "\n")
        settings = self.run.settings
        picture.curve(self.run.path / "curve.png", self.rows, f"{settings.task}, {settings.algo}, seed {settings.seed}")
        picture.sheet(self.run.path / "predictions.png", learner.model, check)
        return found

    def _save_best(self) -> None:
        """What is written while training goes on is not lost with it."""
        assert self.learner is not None
        model = self.learner.model
        current = model.get_weights()
        model.set_weights(self.learner.best_weights)
        self.run.save_policy(model)
        model.set_weights(current)

    def _progress(self) -> Progress:
        return Progress(
            TextColumn("[bold]{task.description}"), BarColumn(), TaskProgressColumn(),
            TextColumn("{task.fields[told]}"), TimeRemainingColumn(), TextColumn("left"),
            console=self.console, speed_estimate_period=15.0,
        )  # fmt: skip
