"""What can be learnt: a name, its settings, and the environments for training, choosing and evaluation.

A robot task is listed in `train.envs.ROBOT_TASKS`; any other name is taken as a Gymnasium id.
"""

from __future__ import annotations

import difflib
import importlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Protocol

import gymnasium
import numpy as np
from numpy.typing import NDArray

from edge.errors import UsageError
from train.envs import ROBOT_TASKS
from train.envs.batch import BatchEnv
from train.envs.gym_batch import GymBatch, Interface, make_one
from train.evaluation import Act
from train.settings import override, setting

OTHER_TASKS = {"detector": "train.detector.train:main"}
EVALUATION_SEEDS = 1_000_000
"""Seeds from here on are for evaluation; training and choosing stay below."""


class Task(Protocol):
    """One task with its settings."""

    name: str
    settings: Any
    """A frozen dataclass of `train.settings.setting` fields."""

    default_steps: int
    evaluation_episodes: int

    @property
    def continuous(self) -> bool:
        """Whether its actions are numbers, not choices."""

    def training(self, n: int) -> BatchEnv:
        """`n` environments to learn in."""

    def choosing(self) -> tuple[BatchEnv, int]:
        """Environments of training's own kind, to choose among policies, and the seed to reset them with."""

    def evaluation(self, episodes: int, seed: int) -> Iterator[tuple[BatchEnv, int]]:
        """Environments that training never sees, one for each episode, with the seeds to reset them with."""

    film_fps: float

    def film(self, act: Act, episode: int, seed: int) -> Iterator[NDArray[np.uint8]]:
        """One episode of the evaluation as RGB frames, all of one size."""

    def manifest(self) -> dict[str, Any]:
        """What the manifest of a converted policy says of observation and actions; {} where no robot runs it."""


@dataclass(frozen=True)
class GymSettings:
    """What we make of a Gymnasium environment."""

    scaled: bool = setting(False, "numbers observed between finite bounds are told as -1..1")


class GymTask:
    """Any registered Gymnasium environment whose observation is one row of numbers."""

    default_steps = 100_000
    evaluation_episodes = 100
    film_fps = 30.0

    def __init__(self, name: str) -> None:
        self.name = name
        self.settings = GymSettings()

    @property
    def continuous(self) -> bool:
        one = make_one(self.name)
        one.close()
        return isinstance(one.action_space, gymnasium.spaces.Box)

    def training(self, n: int) -> BatchEnv:
        return GymBatch(self.name, n, self.settings.scaled)

    def choosing(self) -> tuple[BatchEnv, int]:
        return self.training(100), EVALUATION_SEEDS - 1

    def evaluation(self, episodes: int, seed: int) -> Iterator[tuple[BatchEnv, int]]:
        size = 64
        for first in range(0, episodes, size):
            yield self.training(min(size, episodes - first)), EVALUATION_SEEDS + seed * 10_000 + first

    def film(self, act: Act, episode: int, seed: int) -> Iterator[NDArray[np.uint8]]:
        env = make_one(self.name, render_mode="rgb_array")
        yield from film(env, act, EVALUATION_SEEDS + seed * 10_000 + episode, scaled=self.settings.scaled)

    def manifest(self) -> dict[str, Any]:
        return {}


def film(
    env: gymnasium.Env[Any, Any], act: Act, seed: int, options: dict[str, Any] | None = None, scaled: bool = False
) -> Iterator[NDArray[np.uint8]]:
    """One greedy episode of `env` as the frames that it renders. Raises `UsageError` where it renders none."""
    between = Interface(env.spec.id if env.spec else "this task", env, scaled)
    try:
        seen, _ = env.reset(seed=seed, options=options)
        done = False
        while not done:
            frame = env.render()
            if not isinstance(frame, np.ndarray):
                raise UsageError(f"{env.spec.id if env.spec else 'this task'} renders no pictures; leave out --video")
            yield frame
            (action,) = between.act(act(between.see([seen])))
            seen, _, terminated, truncated, _ = env.step(action)
            done = terminated or truncated
    except gymnasium.error.DependencyNotInstalled as error:
        raise UsageError(f"a video of this task needs a package that is not installed ({error})") from None
    finally:
        env.close()


def make(name: str, settings: dict[str, Any] | None = None) -> Task:
    """The task called `name`, with `settings` over its defaults. Raises `UsageError` for an unknown one."""
    if name in ROBOT_TASKS:
        module, _, attribute = ROBOT_TASKS[name].partition(":")
        of: Callable[..., Task] = getattr(importlib.import_module(module), attribute)
        task = of()
    else:
        check_name(name)
        task = _gym_task(name)
    if settings:
        task.settings = override(task.settings, settings)
    return task


def _gym_task(name: str) -> Task:
    from train.envs.frames import shows_pictures  # with OpenCV, which most tasks do without
    from train.frame_task import FrameTask

    one = make_one(name)
    one.close()
    return FrameTask(name, EVALUATION_SEEDS) if shows_pictures(one.observation_space) else GymTask(name)


def check_name(name: str) -> None:
    """Raises `UsageError`, naming the nearest known task, where `name` is neither a robot task nor a Gymnasium id."""
    if name in ROBOT_TASKS or name in OTHER_TASKS or name in gymnasium.registry:
        return
    if ":" in name or "/" in name:  # "module:Name-v0" brings its own registration; gymnasium.make tells
        return
    names = [*ROBOT_TASKS, *OTHER_TASKS, *gymnasium.registry]
    near = difflib.get_close_matches(name, names, n=1, cutoff=0.5)
    hint = f"did you mean {near[0]!r}?" if near else "give a robot's task, detector or a Gymnasium id (CartPole-v1)"
    raise UsageError(f"unknown task {name!r}; {hint}")
