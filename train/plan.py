"""What one training run is to do, made of names and settings, and done: shared by `train` and `sweep`."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from rich.console import Console

from edge.errors import UsageError
from train import algorithms, tasks
from train.curiosity import CuriositySettings
from train.learner import Learner
from train.runs import RunFolder, RunSettings, versions
from train.settings import override, split
from train.tuned import tuned


@dataclass
class Plan:
    """A task, an algorithm, and every setting of both."""

    task: tasks.Task
    algo: str
    learner: type[Learner]
    agent: Any
    curiosity: CuriositySettings
    steps: int

    @property
    def groups(self) -> tuple[Any, Any, Any]:
        """The settings of the algorithm, of the task, and of curiosity."""
        return self.agent, self.task.settings, self.curiosity

    def change(self, values: Mapping[str, Any]) -> None:
        """Set settings by name. Raises `UsageError` for an unknown name or a value that does not fit."""
        of_agent, of_task, of_curiosity = split(values, *self.groups)
        self.agent, self.curiosity = override(self.agent, of_agent), override(self.curiosity, of_curiosity)
        self.task.settings = override(self.task.settings, of_task)

    def check(self) -> None:
        """Raises `UsageError` where the task cannot be made, or the algorithm does not drive it."""
        env = self.task.training(1)
        env.close()
        algorithms.check_fit(self.algo, self.task.name, env)
        if self.curiosity.curiosity > 0.0 and hasattr(env, "frame_shape"):
            raise UsageError(f"curiosity does not see pictures, which {self.task.name} shows; leave it out")

    def create(self, path: Path, seed: int) -> RunFolder:
        """A new run folder for it. Raises `UsageError` where one is there already."""
        settings = RunSettings(
            task=self.task.name, algo=self.algo, seed=seed, steps=self.steps, agent=asdict(self.agent),
            environment=asdict(self.task.settings), curiosity=asdict(self.curiosity), manifest=self.task.manifest(),
            versions=versions(),
        )  # fmt: skip
        return RunFolder.create(path, settings)


def plan(task: str, algo: str, variant: str | None = None) -> Plan:
    """With the tuned settings of `task`, where there are some. Raises `UsageError` for an unknown name."""
    tasks.check_name(task)
    algorithms.check_name(algo)
    learner, made = algorithms.find(algo), tasks.make(task)
    table = tuned(task, algo, variant)
    steps = table.pop("steps", learner.default_steps or made.default_steps)
    found = Plan(made, algo, learner, learner.Settings(), CuriositySettings(), steps)
    found.change(table)
    return found


def resumed(run: RunFolder) -> Plan:
    """The plan that an existing run was made by."""
    settings = run.settings
    learner, task = algorithms.find(settings.algo), tasks.make(settings.task, settings.environment)
    agent = override(learner.Settings(), settings.agent)
    return Plan(task, settings.algo, learner, agent, override(CuriositySettings(), settings.curiosity), settings.steps)


def learn(
    run: RunFolder,
    plan: Plan,
    resume: bool,
    console: Console,
    told: Callable[[dict[str, float]], None] = lambda row: None,
) -> dict[str, Any] | None:
    """Train as planned, keep the best policy in `run`, and evaluate it.

    Args:
        resume: go on from the run's last checkpoint.
        told: is called with the figures of each iteration: `steps`, and `return` where an episode ended.

    Returns:
        what the evaluation found; None where Ctrl-C ended the training before.
    """
    import train.threads
    from train.session import Session

    train.threads.one_thread()
    started = time.perf_counter()
    env = plan.task.training(plan.agent.envs)
    if plan.curiosity.curiosity > 0.0:
        from train.curiosity import Curious

        env = Curious(env, plan.curiosity, run.settings.seed)
    agent = plan.learner(env, plan.agent, run.settings.seed)
    session = Session(run, agent, env, console, told)

    def say(text: str) -> None:
        console.print(text, soft_wrap=True, highlight=False)

    if resume:
        session.resume()
        say(f"resuming {run.path} at {agent.steps:,} of {plan.steps:,} steps")
    interrupted = session.train(plan.steps)
    env.close()
    say(f"{agent.steps:,} steps in {time.perf_counter() - started:.1f} s; run folder {run.path}")
    if interrupted:
        kept = "the best policy is kept" if session.history.rows else "before anything was learnt"
        say(f"interrupted; {kept}, --run {run.path} --resume goes on from the last checkpoint")
        return None
    session.choose(plan.task.choosing)
    episodes = plan.task.evaluation_episodes
    result = session.evaluate(plan.task.evaluation(episodes, 0), episodes).as_json()
    text = f"return {result['return_mean']:.2f} +- {result['return_std']:.2f}"
    if "success_rate" in result:
        text = f"success {result['success_rate']:.1%} (95 % interval from {result['success_low']:.1%}), {text}"
    say(f"greedy, {episodes} unseen episodes: {text}")
    if run.settings.manifest:
        say(f"next: edgebot convert {run.path}")
    return result
