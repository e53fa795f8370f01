"""`edgebot train TASK --algo NAME`: a policy by reinforcement learning, or a detector."""

from __future__ import annotations

import train.threads  # noqa: F401  isort: skip  # before numpy and TensorFlow load

import argparse
import importlib
import sys
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

from rich.console import Console

from edge.commands.arguments import Parser, whole
from edge.errors import UsageError
from train import algorithms, tasks
from train.learner import Learner
from train.runs import RunFolder, RunSettings, fresh_path, latest_path, versions
from train.settings import describe, override, parse_pairs, split, switches

EXAMPLES = """\
examples:
  edgebot train light --algo ppo                     a policy that finds the lamp in hard rooms
  edgebot train CartPole-v1 --algo ppo --seed 3      any Gymnasium id with a flat observation, discrete actions
  edgebot train light --algo ppo --run runs/mine --resume
  edgebot train light --algo ppo --set level=easy --set hidden=32,32
  edgebot train CartPole-v1 --algo dqn --double --dueling
  edgebot train CartPole-v1 --algo reinforce --set baseline=value
  edgebot train detector                             the person detector, from rendered scenes
"""


def _parser() -> Parser:
    parser = Parser("train", "A policy by reinforcement learning, or a detector.", EXAMPLES)
    parser.add_argument("task", metavar="TASK", help="light, a Gymnasium id, or detector")
    parser.add_argument("--algo", metavar="NAME", required=True, help=", ".join(algorithms.ALGORITHMS))
    parser.add_argument("--seed", type=whole(0, 2**31 - 1), metavar="N", help="everything random follows from it (0)")
    parser.add_argument("--run", type=Path, metavar="DIR", help="run folder (runs/TASK-ALGO-SEED)")
    parser.add_argument("--steps", type=whole(1, 10**12), metavar="N", help="environment steps; the schedules' length")
    parser.add_argument("--resume", action="store_true", help="go on from the run folder's last checkpoint")
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        help="change one of --settings (or --NAME, --no-NAME)",
    )
    parser.add_argument("--settings", action="store_true", help="list every setting of TASK and --algo, and stop")
    return parser


def main(argv: list[str]) -> int:
    """Run the verb; 0, or 130 where Ctrl-C ended the training (the best policy is kept)."""
    if argv and argv[0] in tasks.OTHER_TASKS:
        module, _, attribute = tasks.OTHER_TASKS[argv[0]].partition(":")
        return int(getattr(importlib.import_module(module), attribute)(argv[1:]))
    args, extra = _parser().parse_known_args(argv)
    tasks.check_name(args.task)
    algorithms.check_name(args.algo)
    return _train(args, extra)


def _train(args: argparse.Namespace, extra: list[str]) -> int:
    learner = algorithms.find(args.algo)
    default = learner.Settings()
    task = tasks.make(args.task)
    given = parse_pairs(args.set) | switches(extra, default, task.settings)
    if args.settings:
        agent_settings = override(default, task.settings_for(args.algo))
        print(f"{args.algo}:\n{describe(agent_settings)}\n{args.task}:\n{describe(task.settings)}".rstrip(": \n"))
        return 0
    if args.resume:
        run = _open(args, given)
        task = tasks.make(args.task, run.settings.environment)
        agent_settings = override(default, run.settings.agent)
        steps = args.steps or run.settings.steps
    else:
        of_agent, of_task = split(given, default, task.settings)
        agent_settings = override(override(default, task.settings_for(args.algo)), of_agent)
        task.settings = override(task.settings, of_task)
        seed, steps = args.seed or 0, args.steps or learner.default_steps or task.default_steps
        path = args.run or fresh_path(args.task, args.algo, seed)
        env = task.training(1)  # whatever is wrong with the task shows before a folder is made
        env.close()
        run = RunFolder.create(
            path,
            RunSettings(
                task=args.task,
                algo=args.algo,
                seed=seed,
                steps=steps,
                agent=asdict(agent_settings),
                environment=asdict(task.settings),
                manifest=task.manifest(),
                versions=versions(),
            ),
        )
    return _learn(run, task, learner, agent_settings, steps, args.resume)


def _open(args: argparse.Namespace, given: dict[str, str]) -> RunFolder:
    run = RunFolder.open(args.run or latest_path(args.task, args.algo, args.seed or 0))
    found = run.settings
    for name, want, have in (
        ("task", args.task, found.task),
        ("algo", args.algo, found.algo),
        ("seed", args.seed, found.seed),
    ):
        if want is not None and want != have:
            raise UsageError(
                f"{run.path} is a run of {name} {have!r}, not {want!r}; resume it with what it was made with"
            )
    if given:
        raise UsageError(
            f"--set {next(iter(given))}=... cannot change a run that resumes; begin a new one without --resume"
        )
    return run


def _learn(
    run: RunFolder, task: tasks.Task, learner: type[Learner], agent_settings: Any, steps: int, resume: bool
) -> int:
    from train.session import Session

    train.threads.one_thread()
    console = Console(stderr=True)
    started = time.perf_counter()
    env = task.training(agent_settings.envs)
    agent = learner(env, agent_settings, run.settings.seed)
    session = Session(run, agent, env, console)

    def say(text: str) -> None:
        console.print(text, soft_wrap=True, highlight=False)

    if resume:
        session.resume()
        say(f"resuming {run.path} at {agent.steps:,} of {steps:,} steps")
    interrupted = session.train(steps)
    env.close()
    say(f"{agent.steps:,} steps in {time.perf_counter() - started:.1f} s; run folder {run.path}")
    if interrupted:
        kept = "the best policy is kept" if session.history.rows else "before anything was learnt"
        say(f"interrupted; {kept}, --run {run.path} --resume goes on from the last checkpoint")
        return 130
    session.choose(task.choosing)
    episodes = task.evaluation_episodes
    result = session.evaluate(task.evaluation(episodes, 0), episodes).as_json()
    told = f"return {result['return_mean']:.2f} +- {result['return_std']:.2f}"
    if "success_rate" in result:
        told = f"success {result['success_rate']:.1%} (95 % interval from {result['success_low']:.1%}), {told}"
    say(f"greedy, {episodes} unseen episodes: {told}")
    if run.settings.manifest:
        say(f"next: edgebot convert {run.path}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
