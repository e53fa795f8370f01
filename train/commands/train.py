"""`edgebot train TASK --algo NAME`: a policy by reinforcement learning, or a detector."""

from __future__ import annotations

import train.threads  # noqa: F401  isort: skip  # before numpy and TensorFlow load

import argparse
import importlib
import json
import sys
from pathlib import Path

import numpy as np
from rich.console import Console

from edge.commands.arguments import Parser, whole
from edge.errors import UsageError
from train import algorithms, tasks
from train.plan import learn, resumed
from train.plan import plan as planned
from train.runs import EVALUATION, PROGRESS, RunFolder, fresh_path, latest_path, stem
from train.settings import describe, parse_pairs, switches

EXAMPLES = """\
examples:
  edgebot train light --algo ppo                     a policy that finds the lamp in hard rooms
  edgebot train CartPole-v1 --algo ppo --seed 3      any Gymnasium id with a flat observation
  edgebot train light --algo ppo --run runs/mine --resume
  edgebot train light --algo ppo --set level=easy --set hidden=32,32
  edgebot train CartPole-v1 --algo dqn --double --dueling
  edgebot train CartPole-v1 --algo reinforce --variant baseline
  edgebot train Pendulum-v1 --algo sac --seeds 10    ten runs, and the curves of all in one picture
  edgebot train MountainCar-v0 --algo ppo --set curiosity=1
  edgebot train wander --algo ppo --continuous --wheels   raw duties of the wheels
  edgebot train dock --algo ppo --curriculum
  edgebot train detector                             the person detector, from rendered scenes
"""


def _parser() -> Parser:
    parser = Parser("train", "A policy by reinforcement learning, or a detector.", EXAMPLES)
    parser.add_argument("task", metavar="TASK", help=f"{', '.join(tasks.ROBOT_TASKS)}, a Gymnasium id, or detector")
    parser.add_argument("--algo", metavar="NAME", required=True, help=", ".join(algorithms.ALGORITHMS))
    parser.add_argument("--seed", type=whole(0, 2**31 - 1), metavar="N", help="everything random follows from it (0)")
    parser.add_argument("--seeds", type=whole(2, 1000), metavar="N", help="N runs, of this seed and the next ones")
    parser.add_argument("--variant", metavar="NAME", help="another tuned set of settings, such as `baseline`")
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
    plan = planned(args.task, args.algo, args.variant)
    given = parse_pairs(args.set) | switches(extra, plan.agent, plan.task.settings)
    console = Console(stderr=True)
    if args.resume:
        run = _open(args, given)
        plan = resumed(run)
        plan.steps = args.steps or plan.steps
        return 0 if learn(run, plan, True, console) else 130
    plan.change(given)
    plan.steps = args.steps or plan.steps
    if args.settings:
        for name, group in zip((args.algo, args.task, "any"), plan.groups, strict=True):
            print(f"{name}:\n{describe(group)}")
        return 0
    plan.check()  # whatever is wrong with the task shows before a folder is made
    runs, first = [], args.seed or 0
    for seed in range(first, first + (args.seeds or 1)):
        path = args.run or fresh_path(args.task, args.algo, seed)
        path = path / f"seed-{seed}" if args.run and args.seeds else path
        runs.append(plan.create(path, seed))
        if not learn(runs[-1], plan, False, console):
            return 130
    if args.seeds:
        _together(runs, (args.run or fresh_path(args.task, args.algo, first)).parent)
    return 0


def _together(runs: list[RunFolder], folder: Path) -> None:
    """A table and a picture of several seeds' runs."""
    from rich.table import Table

    from train.history import draw_together

    table = Table(title="greedy, unseen episodes", title_justify="left")
    for column in ("seed", "return", "success"):
        table.add_column(column, justify="right")
    found = [json.loads((run.path / EVALUATION).read_text(encoding="utf-8")) for run in runs]
    for run, result in zip(runs, found, strict=True):
        rate = f"{result['success_rate']:.1%}" if "success_rate" in result else "-"
        table.add_row(str(run.settings.seed), f"{result['return_mean']:.2f}", rate)
    returns = [result["return_mean"] for result in found]
    table.add_row("mean", f"{np.mean(returns):.2f} +- {np.std(returns):.2f}", "")
    console = Console(stderr=True)
    console.print(table)
    first = runs[0].settings
    picture = folder / f"{stem(first.task, first.algo, 'seeds')}.png"
    draw_together([run.path / PROGRESS for run in runs], picture, f"{first.task}, {first.algo}, {len(runs)} seeds")
    console.print(f"curves: {picture}", soft_wrap=True, highlight=False)


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


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
