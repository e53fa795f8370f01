"""One training run of a detector from start to end: progress, logs, checkpoints, pictures, what is kept."""

from __future__ import annotations

import json
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn
from tensorboard.summary import Writer

from edge.errors import UsageError
from edge.manifest import DarknetDecode
from train.detector import picture
from train.detector.evaluate import Reader, Report, judge_network
from train.detector.examples import Examples
from train.detector.learn import Learner
from train.detector.pipeline import epoch_batches
from train.detector.settings import LearnSettings
from train.runs import EVALUATION, RunFolder

NAMES = ("step", "loss", "box", "objectness", "label", "ap", "recall", "precision")


@dataclass(frozen=True)
class Task:
    """What is learnt: the network, how it is fed and read, its labels, and the pictures."""

    network: keras.Model
    reader: Reader
    labels: tuple[str, ...]
    learning: DarknetDecode  # the heads that learn
    train: Examples
    check: Examples


class Session:
    """Trains one detector into `run`'s folder."""

    def __init__(self, run: RunFolder, task: Task, settings: LearnSettings, console: Console, workers: int) -> None:
        self.run, self.task, self.settings, self.console = run, task, settings, console
        self.rows: list[dict[str, float]] = []
        self.best, self.best_epoch = -1.0, 0
        self._best_weights: list[NDArray[Any]] = task.network.get_weights()
        size = min(settings.batch, len(task.train))
        self._per_epoch = len(task.train) // size
        self._epochs = max(1, -(-run.settings.steps // self._per_epoch))
        seed = run.settings.seed
        jitter = settings.jitter()
        first_calm = self._epochs - round(settings.calm * self._epochs)
        self.learner = Learner(
            task.network,
            task.reader.image,
            task.learning,
            settings,
            self._epochs,
            self._per_epoch,
            lambda epoch: epoch_batches(
                task.train, size, jitter.calm() if epoch >= first_calm else jitter, seed, epoch, workers
            ),
        )

    def resume(self) -> None:
        """Go back to the end of the last epoch that was saved. Raises `UsageError` where it does not fit."""
        arrays, meta = self.run.load_resume()
        try:
            self._best_weights = [arrays[f"best_{index}"] for index in range(len(self._best_weights))]
            self.learner.load(arrays)
            self.rows, self.best, self.best_epoch = meta["rows"], meta["best"], meta["best_epoch"]
        except (KeyError, ValueError, TypeError) as error:
            raise UsageError(
                f"the checkpoint in {self.run.path} does not fit its settings ({error}); train with another --run"
            ) from None

    def learn(self) -> bool:
        """Learn until the end, or until nothing gets better; True where Ctrl-C ended it."""
        with progress_bar(self.console) as progress, closing(Writer(str(self.run.path / "tensorboard"))) as log:
            total = self._epochs * self._per_epoch
            bar = progress.add_task("learn", total=total, completed=self.learner.step, told="")
            tell = partial(progress.update, bar)
            try:
                while self.learner.epoch < self._epochs and not self._stuck():
                    self._epoch(tell, log)
            except KeyboardInterrupt:
                return True
            except FloatingPointError as error:
                raise UsageError(
                    f"{error}, the training went astray; train again with a smaller --set learning_rate, "
                    f"such as {self.settings.learning_rate / 4:g}"
                ) from None
        return False

    def keep(self) -> Report:
        """Write the best network and all that tells of it; returns how good it is on the pictures that chose it."""
        task = self.task
        task.network.set_weights(self._best_weights)
        self.run.save_policy(task.network)
        found = judge_network(task.network, task.reader, task.check, task.labels)
        self.run.write_text(EVALUATION, json.dumps(found.as_json(), indent=2))
        settings = self.run.settings
        picture.curve(self.run.path / "curve.png", self.rows, f"{settings.task}, {settings.algo}, seed {settings.seed}")
        picture.sheet(self.run.path / "predictions.png", task.network, task.reader, task.check, task.labels)
        return found

    def _epoch(self, tell: Any, log: Writer) -> None:
        sums, count = np.zeros(4), 0
        for step in self.learner.learn_epoch():
            sums, count = sums + step[1:], count + 1
            best = f"  AP {self.best:.3f}" if self.best >= 0 else ""
            told = f"epoch {self.learner.epoch}/{self._epochs}  loss {sums[0] / count:.3f}{best}"
            tell(completed=step.step, told=told)
        row = {"step": float(self.learner.step)} | dict(zip(NAMES[1:5], (sums / count).tolist(), strict=True))
        last = self.learner.epoch == self._epochs
        if self.learner.epoch % self.settings.check_every == 0 or last:
            row |= self._check()
        self.rows.append(row)
        for name, value in row.items():
            group = "check" if name in NAMES[5:] else "loss"
            if name != "step":
                log.add_scalar(f"{group}/{name}", value, int(row["step"]))
        lines = [",".join(f"{row[name]:.6g}" if name in row else "" for name in NAMES) for row in self.rows]
        self.run.write_text("progress.csv", "\n".join([",".join(NAMES), *lines]) + "\n")
        kept = {f"best_{index}": weight for index, weight in enumerate(self._best_weights)}
        meta = {"rows": self.rows, "best": self.best, "best_epoch": self.best_epoch}
        self.run.save_resume(self.learner.state() | kept, meta)

    def _check(self) -> dict[str, float]:
        """Judge the averaged weights, and keep them where they are the best so far."""
        task = self.task
        with self.learner.averaged() as network:
            found = judge_network(network, task.reader, task.check, task.labels)
            if found.ap >= self.best:
                self.best, self.best_epoch = found.ap, self.learner.epoch
                self._best_weights = [np.array(weight) for weight in network.get_weights()]
                self.run.save_policy(network)
        return {"ap": found.ap, "recall": found.mean("recall"), "precision": found.mean("precision")}

    def _stuck(self) -> bool:
        patience = self.settings.patience
        return bool(patience) and self.learner.epoch - self.best_epoch >= patience


def progress_bar(console: Console) -> Progress:
    """A bar with what is told beside it, and the time left."""
    return Progress(
        TextColumn("[bold]{task.description}"), BarColumn(), TaskProgressColumn(),
        TextColumn("{task.fields[told]}"), TimeRemainingColumn(), TextColumn("left"),
        console=console, speed_estimate_period=15.0,
    )  # fmt: skip
