"""`edgebot sweep TASK --algo NAME --param ...`: many runs with other settings each, on Ray."""

from __future__ import annotations

import train.threads  # noqa: F401  isort: skip  # before numpy and TensorFlow load

import json
import sys
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

from edge.commands.arguments import Parser, whole
from edge.errors import UsageError
from train.plan import plan
from train.runs import stem
from train.settings import parse_pairs, switches
from train.sweep import Distribution, Sweep, keep, results
from train.sweep_report import draw, ranked, table, write_csv

EXAMPLES = """\
distributions: log(LOW,HIGH), uniform(LOW,HIGH), choice(A,B,...); with values that hold commas, choice(32,32|64,64)

examples:
  edgebot sweep CartPole-v1 --algo ppo --param lr=log(1e-4,1e-2) --trials 8
  edgebot sweep light --algo ppo --param lr=log(1e-4,1e-2) --param "hidden=choice(32,32|64,64)" --trials 16
  edgebot sweep CartPole-v1 --algo dqn --double --param "n_step=choice(1,3,8)" --trials 6 --steps 20000
  edgebot sweep CartPole-v1 --algo ppo --param lr=log(1e-4,1e-2) --trials 64 --address ray://head:10001

Ctrl-C stops it; the same command goes on with what is missing, and with a greater --trials adds to it.
"""


def _parser() -> Parser:
    parser = Parser("sweep", "Many runs with other settings each, on this machine or a Ray cluster.", EXAMPLES)
    parser.add_argument("task", metavar="TASK", help="as of `edgebot train`")
    parser.add_argument("--algo", metavar="NAME", required=True, help="as of `edgebot train`")
    parser.add_argument(
        "--param", action="append", default=[], metavar="NAME=DIST", help="a setting to vary, and how; may be repeated"
    )
    parser.add_argument("--trials", type=whole(1, 10_000), default=8, metavar="N", help="runs, of one core each (8)")
    parser.add_argument("--steps", type=whole(1, 10**12), metavar="N", help="environment steps of each")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="a setting for all of them")
    parser.add_argument("--variant", metavar="NAME", help="another tuned set of settings to start from")
    parser.add_argument(
        "--seed", type=whole(0, 2**31 - 1), default=0, metavar="N", help="what is tried, and each run, follow from it"
    )
    parser.add_argument("--run", type=Path, metavar="DIR", help="the sweep's folder (runs/sweep-TASK-ALGO-SEED)")
    parser.add_argument(
        "--address", metavar="ADDR", help="of a Ray cluster whose machines have edgebot: ray://HOST:10001 or HOST:6379"
    )
    parser.add_argument("--parallel", type=whole(1, 1000), metavar="N", help="at once, without --address (one a core)")
    parser.add_argument("--json", action="store_true", help="print what was found, best first")
    return parser


def main(argv: list[str]) -> int:
    """Run the verb; 0, 1 where a trial broke off, 130 after Ctrl-C."""
    args, extra = _parser().parse_known_args(argv)
    if not args.param:
        raise UsageError("nothing to vary; say what and how, for example --param lr=log(1e-4,1e-2)")
    params = tuple(Distribution.parse(text) for text in args.param)
    names = [param.name for param in params]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice:
        raise UsageError(f"--param {twice} is given twice; give each setting once")
    plain = plan(args.task, args.algo, args.variant)
    given = parse_pairs(args.set) | switches(extra, plain.agent, plain.task.settings)
    steps = args.steps or plain.steps
    sweep = Sweep(args.task, args.algo, args.variant, given, steps, args.seed, params)
    sweep.check()
    import ray  # noqa: F401  # before a folder is made, to say what brings it

    folder = args.run or Path("runs") / f"sweep-{stem(args.task, args.algo, args.seed)}"
    console = Console(stderr=True)
    began = sweep.begin(folder)
    trials = sweep.trials(args.trials)
    done = {result["index"] for result in results(folder, trials)}
    missing = [trial for trial in trials if trial.index not in done]
    if began:
        console.print(f"{folder} goes on: {len(done)} of {len(trials)} trials are done", highlight=False)
    interrupted, broken = False, []
    if missing:
        try:
            broken = _run(sweep, folder.resolve(), missing, args.address, args.parallel, console)
        except KeyboardInterrupt:
            interrupted = True
    found = results(folder, trials)
    if found:
        write_csv(folder / "results.csv", sweep, found)
        draw(folder / "sweep.png", sweep, found)
        console.print(table(sweep, found))
        best = ranked(found)[0]
        place = folder / f"trial-{best['index']:03d}"
        console.print(f"best: {place}; results.csv and sweep.png in {folder}", soft_wrap=True, highlight=False)
    if args.json:
        print(json.dumps(ranked(found)))
    for sentence in broken:
        console.print(f"a trial broke off: {sentence}", soft_wrap=True, highlight=False)
    if interrupted:
        console.print(f"interrupted; {len(found)} of {len(trials)} trials are done, the same command goes on")
        return 130
    return 1 if broken else 0


def _run(
    sweep: Sweep, folder: Path, missing: list[Any], address: str | None, parallel: int | None, console: Console
) -> list[str]:
    from train.sweep_ray import connected, run

    with connected(address, parallel), Progress(
        TextColumn("[bold]{task.description}"), BarColumn(), TaskProgressColumn(), TextColumn("{task.fields[told]}"),
        TimeRemainingColumn(), TextColumn("left"), console=console, speed_estimate_period=30.0,
    ) as progress:  # fmt: skip
        bar = progress.add_task("sweep", total=len(missing) * sweep.steps, told="")
        over: list[dict[str, Any]] = []

        def told(steps: dict[int, int]) -> None:
            ended = {result["index"]: sweep.steps for result in over}
            best = max((r["evaluation"]["return_mean"] for r in over if r.get("evaluation")), default=None)
            text = f"{len(over)} of {len(missing)} trials" + ("" if best is None else f", best return {best:.2f}")
            progress.update(bar, completed=sum((steps | ended).values()), told=text)

        def finished(result: dict[str, Any]) -> None:
            keep(folder, result)
            over.append(result)

        return run(sweep, folder, missing, told, finished)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
