"""One training run from start to end: progress, logs, checkpoints, interruption, final evaluation.

What belongs to an algorithm is in `train.agents`; what any run needs is here, once.
"""

from __future__ import annotations

import json
import math
import time
from collections import deque
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

from edge.errors import UsageError
from train.curiosity import Curious
from train.envs.batch import BatchEnv
from train.evaluation import Evaluation, evaluate
from train.history import History
from train.learner import Iteration, Learner
from train.runs import EVALUATION, PROGRESS, RESUME, RunFolder

CHECKPOINTS, CHECKPOINT_STEPS = 12, 250_000
"""A run keeps a point to resume from so many times, or after so many steps where that is more often."""
CANDIDATES = CHECKPOINTS // 2
"""The policies of so many last checkpoints stand for choice in the end: one that learns may forget, and learn again."""

Weights = list[NDArray[Any]]
Batches = Iterable[tuple[BatchEnv, int]]


class Session:
    """Trains `agent` in `env`, as `run` says, and keeps what it finds in the run's folder.

    `told` is called with the figures of each iteration.
    """

    def __init__(
        self,
        run: RunFolder,
        agent: Learner,
        env: BatchEnv,
        console: Console,
        told: Callable[[dict[str, float]], None] = lambda row: None,
    ) -> None:
        self.run, self.agent, self.env, self.console, self._told = run, agent, env, console, told
        self.history = History(env.n)
        self.best: Weights = agent.weights()
        self._candidates: deque[Weights] = deque(maxlen=CANDIDATES)
        self._log = tf.summary.create_file_writer(str(run.path / "tensorboard"))

    def resume(self) -> None:
        """Go back to the run's last checkpoint. Raises `UsageError` where it does not fit."""
        arrays, meta = self.run.load_resume()
        try:
            self.best = _read(arrays, "best")
            self._candidates.extend(_read(arrays, f"candidate_{k}") for k in range(int(arrays["candidates"])))
            self.agent.load(arrays, self.env)
            if isinstance(self.env, Curious):  # after the episodes were played again, which is nothing new
                self.env.load(arrays)
            self.history = History.from_json(meta, self.env.n)
        except (KeyError, ValueError, TypeError) as error:
            raise UsageError(
                f"the checkpoint in {self.run.path} does not fit its settings ({error}); train with another --run"
            ) from None

    def train(self, total_steps: int) -> bool:
        """Learn until `total_steps`; True where Ctrl-C ended it before. Either way the best policy is kept.

        Raises:
            UsageError: a loss that is not finite; what was kept before it stays.
        """
        span = math.ceil(min(total_steps / CHECKPOINTS, CHECKPOINT_STEPS))
        interrupted = False
        with self._progress() as progress:
            bar = progress.add_task("train", total=total_steps, completed=self.agent.steps, told="")
            before, steps_before = time.perf_counter(), self.agent.steps
            try:
                for iteration in self.agent.learn(self.env, total_steps):
                    self._check(iteration)
                    if self.history.add(iteration) or self.history.best is None:  # too few episodes to tell: the last
                        self.best = self.agent.weights()
                    now = time.perf_counter()
                    rate = (iteration.steps - steps_before) / (now - before)
                    kept, due = steps_before // span, iteration.steps // span
                    before, steps_before = now, iteration.steps
                    self._tell(progress, bar, rate)
                    if due > kept and iteration.steps < total_steps:
                        self._checkpoint()
                self._checkpoint()
            except KeyboardInterrupt:
                interrupted = True
        self._keep(interrupted)
        return interrupted

    def choose(self, choosing: Callable[[], tuple[BatchEnv, int]]) -> None:
        """Keep the best in greedy episodes like training's: of the last checkpoints, and the best while exploring."""
        chosen = [self.agent.weights()]
        for weights in (*reversed(self._candidates), self.best):
            if not any(all(map(np.array_equal, weights, other)) for other in chosen):
                chosen.append(weights)
        self.best = chosen[0]
        if len(chosen) > 1:
            with self._progress(evaluation=True) as progress:
                bar = progress.add_task("choose", total=len(chosen), told="greedy, among the last policies")
                scores = []
                for weights in chosen:
                    self.agent.set_policy(weights)
                    scores.append(evaluate(self.agent.greedy, [choosing()]).score)
                    progress.advance(bar)
            self.best = chosen[scores.index(max(scores))]  # of equals the latest
        self.agent.set_policy(self.best)
        self._keep(False)

    def evaluate(self, batches: Batches, episodes: int) -> Evaluation:
        """Greedy evaluation of the policy that was kept, written beside it."""
        self.agent.set_policy(self.best)
        with self._progress(evaluation=True) as progress:
            bar = progress.add_task("evaluate", total=episodes, told="greedy, unseen episodes")
            result = evaluate(self.agent.greedy, batches, lambda done: progress.update(bar, completed=done))
        self.run.write_text(EVALUATION, json.dumps(result.as_json(), indent=2))
        return result

    def _check(self, iteration: Iteration) -> None:
        for name, value in iteration.losses.items():
            if not math.isfinite(value):
                before = (self.run.path / RESUME).exists()
                kept = f"the checkpoint before it stays in {self.run.path}" if before else "there was no checkpoint yet"
                raise UsageError(
                    f"{name} is {value} at step {iteration.steps:,}, expected a finite number; {kept}; "
                    "train with a smaller learning_rate"
                )

    def _checkpoint(self) -> None:
        self._candidates.append(self.agent.weights())
        arrays = self.agent.state() | {"candidates": np.asarray(len(self._candidates))}
        arrays |= self.env.arrays() if isinstance(self.env, Curious) else {}
        for name, policy in [("best", self.best), *((f"candidate_{k}", c) for k, c in enumerate(self._candidates))]:
            arrays |= {f"{name}_{i}": weights for i, weights in enumerate(policy)}
        self.run.save_resume(arrays, self.history.as_json())
        self._keep(False)

    def _keep(self, interrupted: bool) -> None:
        """Write the best policy and the curve."""
        if not self.history.rows:
            return
        last, model = self.agent.weights(), self.agent.policy
        model.set_weights(self.best)
        self.run.save_policy(model)
        model.set_weights(last)
        self.run.write_text(PROGRESS, self.history.csv())
        settings = self.run.settings
        title = f"{settings.task}, {settings.algo}, seed {settings.seed}" + (", interrupted" if interrupted else "")
        self.history.draw(self.run.path / "curve.png", title)
        self._log.flush()

    def _tell(self, progress: Progress, bar: Any, rate: float) -> None:
        row = self.history.rows[-1]
        self._told(row)
        told = f"return {row['return']:.2f}  " if "return" in row else ""
        if "success" in row:
            told += f"success {row['success']:.1%}  "
        progress.update(bar, completed=row["steps"], told=f"{told}{rate:,.0f} steps/s")
        with self._log.as_default(step=int(row["steps"])):
            for name, value in row.items():
                if name != "steps":
                    group = "episode" if name in ("return", "length", "success", "episodes") else "loss"
                    tf.summary.scalar(f"{group}/{name}", value)
            tf.summary.scalar("speed/steps_per_second", rate)

    def _progress(self, evaluation: bool = False) -> Progress:
        return Progress(
            TextColumn("[bold]{task.description}"), BarColumn(), TaskProgressColumn(),
            TextColumn("{task.fields[told]}"), TimeRemainingColumn(), TextColumn("left"),
            console=self.console, speed_estimate_period=10.0,
        )  # fmt: skip


def _read(arrays: dict[str, NDArray[Any]], name: str) -> Weights:
    """A policy's weights out of a checkpoint."""
    return [arrays[f"{name}_{i}"] for i in range(sum(key.startswith(f"{name}_") for key in arrays))]
