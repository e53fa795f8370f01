"""Judges: what conversion must prove, but cannot know by itself, about the models that training makes.

`convert` measures a model through its judge before and after quantisation, on the same episodes.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edge.errors import UsageError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from convert.parity import Judge
    from train.tasks import Task

Predict = Callable[["NDArray[Any]"], "NDArray[Any]"]

EPISODES = 300
SEED = 7
"""Of the judge's episodes: others than those that `edgebot eval` counts by default."""
MAY_DROP = 0.02
"""How much of its success a policy may lose by quantisation: six of 300 rooms."""
MAY_DROP_RETURN = 0.05
"""The same of a return, as a share of it."""
CALIBRATION = 4096
WALKERS, WALK, STRAY = 32, 512, 0.1
"""How many walk for calibration, and how many steps: long enough for what slowly changes to have changed."""


def policy_judge(run: Path) -> Judge:
    """The judge of a policy's run: greedy success, or mean return where the task knows none, on unseen episodes."""
    # Here and not above: `edgebot convert --help` need not wait for Keras.
    from convert.parity import Judge
    from train import tasks
    from train.envs.batch import decide
    from train.evaluation import evaluate
    from train.networks import fast
    from train.runs import RunFolder

    folder = RunFolder.open(run)
    task = tasks.make(folder.settings.task, folder.settings.environment)
    of_success = task.name in tasks.ROBOT_TASKS
    episodes = EPISODES if of_success else min(EPISODES, task.evaluation_episodes)

    def measure(predict: Predict) -> float:
        result = evaluate(lambda seen: decide(predict(seen), task.continuous), task.evaluation(episodes, SEED))
        return result.score[0 if of_success else 1]

    def calibration() -> NDArray[np.float32]:
        return observations(fast(folder.load_policy()), task, CALIBRATION)

    if of_success:
        return Judge(f"greedy success in {episodes} unseen rooms", measure, calibration, MAY_DROP, task.continuous)
    may_drop = MAY_DROP_RETURN * abs(measure(fast(folder.load_policy())))
    return Judge(f"mean return of {episodes} unseen episodes", measure, calibration, may_drop, task.continuous)


def observations(predict: Predict, task: Task, count: int) -> NDArray[np.float32]:
    """About `count` observations that the policy itself meets in training's rooms, (count, size).

    Half of the environments stray: a tenth of their actions are random, so that what is beside the policy's own way,
    where rounding may lead it, is known too.
    """
    import numpy as np

    from train.envs.batch import decide

    env, rng = task.training(WALKERS), np.random.default_rng(0)
    rows = []
    seen, _ = env.reset(0)
    for _ in range(WALK):
        rows.append(seen[rng.permutation(WALKERS)[: -(-count // WALK)]])
        actions = decide(predict(seen), env.continuous)
        stray = (rng.random(WALKERS) < STRAY) & (np.arange(WALKERS) % 2 == 0)
        if env.continuous:
            actions = np.where(stray[:, None], rng.uniform(-1.0, 1.0, actions.shape), actions).astype(np.float32)
        else:
            actions = np.where(stray, rng.integers(env.actions, size=WALKERS), actions)
        seen = env.step(actions).observation
    env.close()
    return np.concatenate(rows)[:count]


def _detector_judge(run: Path) -> Judge:
    from train.detector.evaluation import detector_judge

    judge: Judge = detector_judge(run)
    return judge


class Judges(dict[str, Callable[[Path], "Judge"]]):
    """By the task that a run folder's settings name; whatever may be a Gymnasium id has the judge of policies."""

    def __contains__(self, task: object) -> bool:
        if super().__contains__(task):
            return True
        from train.tasks import check_name

        try:
            check_name(str(task))
        except UsageError:
            return False
        return True

    def __missing__(self, task: str) -> Callable[[Path], Judge]:
        return policy_judge


def judges() -> Judges:
    """All judges."""
    return Judges(light=policy_judge, detector=_detector_judge)
