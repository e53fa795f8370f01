"""Judges: what conversion must prove, but cannot know by itself, about the models that training makes.

`convert` measures a model through its judge before and after quantisation, on the same episodes.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from edge.errors import UsageError
from train import tasks
from train.evaluation import evaluate
from train.networks import FastMLP
from train.runs import RunFolder

if TYPE_CHECKING:
    from convert.parity import Judge

Predict = Callable[[NDArray[Any]], NDArray[Any]]

EPISODES = 300
SEED = 7
"""Of the judge's episodes: others than those that `edgebot eval` counts by default."""
MAY_DROP = 0.02
"""How much of its success a policy may lose by quantisation: six of 300 rooms."""
CALIBRATION = 2048


def policy_judge(run: Path) -> Judge:
    """The judge of a policy's run: greedy success, in rooms that training never saw."""
    from convert.parity import Judge

    folder = RunFolder.open(run)
    if not folder.settings.manifest:
        raise UsageError(f"{run} is a run of {folder.settings.task}, which no robot here runs; convert a run of light")
    task = tasks.make(folder.settings.task, folder.settings.environment)

    def measure(predict: Predict) -> float:
        result = evaluate(lambda seen: predict(seen).argmax(1), task.evaluation(EPISODES, SEED))
        return result.score[0]

    def calibration() -> NDArray[np.float32]:
        return observations(FastMLP(folder.load_policy()), task, CALIBRATION)

    return Judge(f"greedy success in {EPISODES} unseen rooms", measure, calibration, MAY_DROP)


def observations(predict: Predict, task: tasks.Task, count: int) -> NDArray[np.float32]:
    """`count` observations that the policy itself meets in training's rooms, (count, size)."""
    n = 64
    env = task.training(n)
    rows = []
    seen, _ = env.reset(0)
    rng = np.random.default_rng(0)
    for _ in range(-(-4 * count // n)):
        rows.append(seen)
        seen = env.step(predict(seen).argmax(1)).observation
    env.close()
    # A longer walk, thinned out: neighbours in time are all but alike.
    found = np.concatenate(rows)
    return found[rng.permutation(len(found))[:count]]


def _detector_judge(run: Path) -> Judge:
    from train.detector.judge import detector_judge

    judge: Judge = detector_judge(run)
    return judge


def judges() -> dict[str, Callable[[Path], Judge]]:
    """By the task that a run folder's settings name."""
    return {"light": policy_judge, "detector": _detector_judge}
