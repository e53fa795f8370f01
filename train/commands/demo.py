"""`edgebot demo`: the whole line in one seeded room, into runs/demo/."""

from __future__ import annotations

import train.threads  # noqa: F401  isort: skip  # before numpy and TensorFlow load

import time
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console

from edge.commands.arguments import Parser, whole

if TYPE_CHECKING:
    from train.demo import Result

SEED = 3
"""The default; of the first sixteen seeds' rooms the robot reaches all three goals in about thirteen."""

EXAMPLES = """\
examples:
  edgebot demo                            about four minutes on two cores; then open runs/demo/report.html
  edgebot demo --seed 4 --out runs/four   another room, another policy

It trains a policy that seeks light (PPO), converts it to an int8 .tflite with a parity report, and lets a
simulated robot seek the lamp with it, approach an object by sonar, and find a person through the camera.
Exit code 1 where the robot did not reach its goals."""


def main(argv: list[str]) -> int:
    """Run the verb; 0 where all three goals were reached, else 1."""
    parser = Parser("demo", "The whole line in one seeded room: learn, convert, drive; a film and a report.", EXAMPLES)
    add, out = parser.add_argument, Path("runs/demo")
    add("--seed", type=whole(0, 999_999), default=SEED, help="of room and training (default %(default)s)")
    add("--out", type=Path, default=out, metavar="DIR", help="where the files go (default %(default)s)")
    add("--steps", type=whole(32_768, 10**9), metavar="N", help="of training (default: about a minute's)")
    args = parser.parse_args(argv)

    from robot.config import load
    from train.demo import STEPS, run

    console = Console(stderr=True, highlight=False)
    began = time.perf_counter()
    result = run(load(), args.seed, args.out, console, args.steps or STEPS)
    return tell(result, console, time.perf_counter() - began)


def tell(result: Result, console: Console, seconds: float) -> int:
    """Say what was done, where the files are, and what to try next; returns the exit code."""
    from train.demo_report import goal_sentence

    files = result.files
    console.print(f"\n[bold]Done in {seconds:.0f} s.[/]")
    rate = result.evaluation.get("success_rate")
    if rate is not None:
        console.print(f"  learned   finds the lamp in {rate:.1%} of {result.evaluation['episodes']} unseen hard rooms")
    for figure in result.parity.get("figures", []):
        console.print(f"  int8      {figure['name']}: {figure['before']:.3f} before, {figure['after']:.3f} after")
    for leg in result.drive.legs:
        mark = "[green]reached[/]" if leg.verdict.success else "[red]missed [/]"
        console.print(f"  {leg.task:<9} {mark}  {goal_sentence(leg)}")
    console.print("\n[bold]Look at[/]")
    for path, what in (
        (files.report, "the report, with all of it"),
        (files.video, "the film"),
        (files.recording, "the recording, for Foxglove"),
        (files.model, "the policy, as a robot runs it"),
    ):
        console.print(f"  {path!s:<28} {what}")
    console.print("\n[bold]Try next[/]")
    for command in next_commands(result):
        console.print(f"  {command}", soft_wrap=True)
    if result.drive.success:
        return 0
    missed = [task for task in ("light", "range", "person") if task not in _reached(result)]
    console.print(f"\n[red]The robot did not reach: {', '.join(missed)}.[/] Another --seed gives another room.")
    return 1


def next_commands(result: Result) -> tuple[str, str, str]:
    """Three commands that lead on from here."""
    return (
        f"edgebot run --sim --policy {result.files.model} --seed 5",
        "edgebot train light --algo ppo --set level=hard",
        "edgebot drive --sim --task person",
    )


def _reached(result: Result) -> set[str]:
    return {leg.task for leg in result.drive.legs if leg.verdict.success}
