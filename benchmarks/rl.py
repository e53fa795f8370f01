"""Every algorithm on the classic tasks, ten seeds each: greedy returns, steps and seconds to the threshold, and int8.

    python benchmarks/rl.py                                   all rows that are not done yet, hours; Ctrl-C at any time
    python benchmarks/rl.py --rows cartpole --seeds 3         those whose name holds "cartpole"
    python benchmarks/rl.py --again                           convert and play in pairs what is trained already anew
    python benchmarks/rl.py --write                           render what is done into docs/benchmarks-rl.md

A row is `edgebot train TASK --algo NAME [--variant NAME]` with the tuned settings of `train/tuned/`, one process for
each seed. Its policy is evaluated greedily over 100 episodes that training never saw, then converted to int8 and
played against itself over 1,000 more, pair by pair. What is done is kept in `runs/benchmarks-rl/` and not done again;
rows of the page that were made elsewhere stay as they are until they are run here.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import platform
import shutil
import subprocess
import sys
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

import train.threads  # noqa: E402, F401  isort: skip

import numpy as np  # noqa: E402

from benchmarks.pages import mean_within, rows  # noqa: E402

RESULTS, TARGET = ROOT / "runs" / "benchmarks-rl", ROOT / "docs" / "benchmarks-rl.md"
PAIRED_EPISODES, PAIRED_SEED = 1000, 11
SEEDS = 10
CHECKS, CHECK_EPISODES, CHECK_SEED = 20, 20, 12  # greedy, while training: how often, of how many, and which
MAY_LOSE = 0.02


@dataclass(frozen=True)
class Row:
    """One algorithm on one task, and its bar."""

    task: str
    algo: str
    bar: float  # greedy return: mean over the seeds, or of each one
    each: bool = False
    variant: str | None = None
    asked: bool = True  # or told only

    @property
    def name(self) -> str:
        return "-".join(filter(None, (self.task, self.algo, self.variant))).lower()


ROWS = (
    Row("CartPole-v1", "reinforce", 475, True, "baseline"),
    Row("CartPole-v1", "dqn", 475, True),
    Row("CartPole-v1", "a2c", 475, True),
    Row("CartPole-v1", "ppo", 475, True),
    Row("CartPole-v1", "a3c", 475),
    Row("CartPole-v1", "genetic", 475),
    Row("CartPole-v1", "cem", 475),
    Row("Acrobot-v1", "dqn", -85),
    Row("Acrobot-v1", "a2c", -90),
    Row("Acrobot-v1", "ppo", -80),
    Row("MountainCar-v0", "dqn", -110),
    Row("MountainCar-v0", "ppo", -110, variant="curious"),
    Row("MountainCar-v0", "ppo", -110, asked=False),  # beside the curious one
    Row("Pendulum-v1", "sac", -160),
    Row("Pendulum-v1", "ppo", -180),
    Row("LunarLander-v3", "ppo", 240),
    Row("LunarLander-v3", "dqn", 200),
    Row("LunarLander-v3", "reinforce", 200, variant="baseline"),
)


@dataclass
class Clock:
    """The processor's seconds of a training, without the greedy episodes between."""

    began: float
    checking: float = 0.0
    reached: tuple[int, float] | None = None  # steps and seconds until the bar

    def seconds(self) -> float:
        return time.process_time() - self.began - self.checking


def timed(row: Row) -> tuple[Any, Clock]:
    """The plan of a row whose learner is played greedily now and then, and its clock."""
    from train.evaluation import evaluate
    from train.plan import plan as planned

    plan = planned(row.task, row.algo, row.variant)
    learner, clock = plan.learner, Clock(time.process_time())

    class Checked(learner):  # type: ignore[misc, valid-type]
        def learn(self, env: Any, total_steps: int) -> Any:
            due = total_steps / CHECKS
            for iteration in super().learn(env, total_steps):
                yield iteration
                if clock.reached is None and iteration.steps >= due:
                    due = iteration.steps + total_steps / CHECKS
                    now, seconds = time.process_time(), clock.seconds()
                    found = evaluate(self.greedy, plan.task.evaluation(CHECK_EPISODES, CHECK_SEED)).returns.mean()
                    clock.reached = (iteration.steps, seconds) if found >= row.bar else None
                    clock.checking += time.process_time() - now

    plan.learner = Checked
    return plan, clock


def learn(row: Row, seed: int, run: Path) -> dict[str, Any]:
    """Train and evaluate; what came out."""
    from rich.console import Console

    from train.plan import learn as train_as

    plan, clock = timed(row)
    shutil.rmtree(run, ignore_errors=True)  # of a run that was cut off the seconds are not known
    folder = plan.create(run, seed)
    began = time.perf_counter()
    found = train_as(folder, plan, False, Console(stderr=True))
    if found is None:
        raise SystemExit(130)
    return {
        "row": row.name, "seed": seed, "return": found["return_mean"], "steps": plan.steps,
        "seconds": time.perf_counter() - began, "processor_seconds": clock.seconds(), "to_bar": clock.reached,
        "machine": f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}",
        "versions": folder.settings.versions, "date": time.strftime("%Y-%m-%d"),
    }  # fmt: skip


def in_pairs(row: Row, run: Path) -> dict[str, float]:
    """Convert to int8; what the float policy and it reach in the same episodes."""
    from convert.policy import convert
    from convert.predict import tflite_logits
    from convert.progress import steps
    from train.envs.batch import decide
    from train.evaluation import evaluate
    from train.judges import policy_judge
    from train.networks import fast
    from train.runs import RunFolder
    from train.tasks import make

    folder = RunFolder.open(run)
    task = make(row.task, folder.settings.environment)
    model = folder.load_policy()
    calibrating = replace(policy_judge(run), measure=lambda predict: 0.0)  # that is measured below, for longer
    draft = {"kind": "policy", "name": row.task}
    with steps() as told:
        flatbuffer = convert(model, draft, "int8", calibrating, told, row.name).flatbuffer
    returns = []
    for predict in (fast(model), tflite_logits(flatbuffer)):
        batches = task.evaluation(PAIRED_EPISODES, PAIRED_SEED)
        returns.append(evaluate(lambda seen, p=predict: decide(p(seen), task.continuous), batches).returns)
    return {
        "float": float(returns[0].mean()), "int8": float(returns[1].mean()),
        "difference_std": float((returns[1] - returns[0]).std()),
    }  # fmt: skip


def int8_bound(results: list[dict[str, Any]]) -> float:
    """The 95 % lower bound of int8's return less the float policy's, over all pairs, as a share of the return."""
    differences = np.array([result["int8"] - result["float"] for result in results])
    squares = np.array([result["difference_std"] for result in results]) ** 2 + differences**2
    spread = math.sqrt(squares.mean() - differences.mean() ** 2)
    low = differences.mean() - 1.96 * spread / math.sqrt(PAIRED_EPISODES * len(results))
    return float(low / abs(np.mean([result["float"] for result in results])))


def render(results: list[dict[str, Any]], before: str) -> str:
    """The page, of what is done; rows of which nothing is known here are those of the page `before`."""
    lines = [
        "| task | algorithm | steps | seeds | greedy return, mean and 95 % interval | worst seed | bar | "
        "steps to the bar | seconds to the bar | seconds in all | int8: lower bound (the worst seed's) |",
        "|---|---|---|---|---|---|---|---|---|---|---|",
    ]
    known = rows(before)
    for row in ROWS:
        mine = [result for result in results if result["row"] == row.name]
        algorithm = f"{row.algo} {row.variant or ''}".strip()
        if not mine:
            bar = f"{row.bar:g}" if row.asked else "-"
            unknown = f"| {row.task} | {algorithm} | - | 0 | not run yet | | {bar} | | | | |"
            lines.append(known.get((row.task, algorithm), unknown))
            continue
        returns = np.array([result["return"] for result in mine])
        _, wide = mean_within(returns.tolist())
        spread = f" +- {wide:.1f}" if len(returns) > 1 else ""
        met = (returns.min() if row.each else returns.mean()) >= row.bar
        verdict = f"{row.bar:g}{' each' if row.each else ''}: {'met' if met else '**missed**'}"
        verdict += "" if len(mine) >= SEEDS else " so far"
        bar = verdict if row.asked else "-"
        reached = [result["to_bar"] for result in mine if result["to_bar"]]
        steps, seconds = np.median(reached, axis=0) if reached else (0, 0.0)
        cost = f"{steps:,.0f} ({len(reached)} of {len(mine)}) | {seconds:.1f}" if reached else "- | -"
        lines.append(
            f"| {row.task} | {algorithm} | {mine[0]['steps']:,} | {len(mine)} | "
            f"{returns.mean():.1f}{spread} | {returns.min():.1f} | {bar} | {cost} | "
            f"{np.median([r['processor_seconds'] for r in mine]):.0f} | {int8_bound(mine):+.2%} "
            f"({min(int8_bound([r]) for r in mine):+.2%}) |"
        )
    told = max(results, key=lambda result: result["date"], default={"date": "never", "machine": "-"})
    return f"""# Reinforcement learning: ten seeds

Written by `python benchmarks/rl.py --write`; last run {told["date"]}, {told["machine"]}. Each run is
`edgebot train TASK --algo NAME [--variant NAME]` with the tuned settings of `train/tuned/`. Returns are greedy, over
100 episodes apart from training; "steps to the bar" and "seconds to the bar" are those until {CHECK_EPISODES} greedy
episodes, played {CHECKS} times in a run, first reached it, median of the seeds that did. Seconds are the processor's,
with compiling, without those greedy episodes. int8 and float play the same {PAIRED_EPISODES:,} episodes for each seed;
the bound is of their paired difference as a share of the return and should stay above {-MAY_LOSE:.0%}. A row is
finished with {SEEDS} seeds; what is missing is made by the same program, which goes on where it stopped. LunarLander's
settings were chosen on seeds from 100 on; those of DQN and REINFORCE were changed again after some seeds below failed
with earlier ones.

{chr(10).join(lines)}
"""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", default="", help="only rows whose name holds this")
    parser.add_argument("--seeds", type=int, default=SEEDS)
    parser.add_argument("--again", action="store_true", help="also convert and compare anew what is done")
    parser.add_argument("--write", action="store_true", help=f"write {TARGET.relative_to(ROOT)} and run nothing")
    parser.add_argument("--one", nargs=2, metavar=("ROW", "SEED"), help=argparse.SUPPRESS)
    args = parser.parse_args()
    RESULTS.mkdir(parents=True, exist_ok=True)
    if args.one:
        row = next(row for row in ROWS if row.name == args.one[0])
        place, run = (RESULTS / f"{row.name}-{args.one[1]}{suffix}" for suffix in (".json", ""))
        # What was measured while it was trained cannot be measured again.
        result = json.loads(place.read_text("utf-8")) if place.exists() else learn(row, int(args.one[1]), run)
        result |= in_pairs(row, run)
        place.with_suffix(".part").write_text(json.dumps(result), encoding="utf-8")
        place.with_suffix(".part").replace(place)
        return 0
    if not args.write:
        for seed in range(args.seeds):
            for row in ROWS:
                run = RESULTS / f"{row.name}-{seed}"
                done = run.with_suffix(".json").exists()
                if args.rows.lower() in row.name and (run.is_dir() if done and args.again else not done):
                    print(f"== {row.name}, seed {seed}", flush=True)
                    if subprocess.run([sys.executable, __file__, "--one", row.name, str(seed)]).returncode == 130:
                        return 130
    results = [json.loads(path.read_text(encoding="utf-8")) for path in sorted(RESULTS.glob("*.json"))]
    page = render(results, TARGET.read_text(encoding="utf-8"))
    print(page)
    if args.write:
        TARGET.write_text(page, encoding="utf-8")
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)
