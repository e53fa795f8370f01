"""PPO, DQN and SAC beside Stable-Baselines3's: the same algorithm, network, batches, environments and epochs.

    python -m venv build/venvs/stable-baselines3 && build/venvs/stable-baselines3/bin/pip install stable-baselines3
    python benchmarks/stable_baselines3.py [--seconds S] [--write]

Each learns on the same task with one thread, one after the other; figures are steps for each second of processor time
(so that a busy machine tells nearly the same), processor seconds until a greedy 475 on CartPole (20 episodes each 4,096
steps, not counted), and the greedy return over 100 episodes at the end. Ours counts what it compiles in the seconds to
475, not in its steps a second; PPO's kernels are kept on disk, so that only the first run on a machine compiles them
(two seconds) and others load them (a fifth of one). A run ends after its steps, or after `--seconds` (then its return
is of less learning).
`--cases` runs some of them alone (`--cases ""` none); the page has the last figures of each.
"""

from __future__ import annotations

import argparse
import json
import math
import platform
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

import train.threads  # noqa: E402, F401  isort: skip

from benchmarks.pages import mean_within  # noqa: E402
from train.agents.dqn import DQN, DQNSettings  # noqa: E402
from train.agents.ppo import PPO, PPOSettings  # noqa: E402
from train.agents.sac import SAC, SACSettings  # noqa: E402
from train.envs.gym_batch import GymBatch  # noqa: E402
from train.evaluation import evaluate  # noqa: E402
from train.threads import one_thread  # noqa: E402

RESULTS, TARGET = ROOT / "runs" / "benchmarks" / "stable-baselines3", ROOT / "docs" / "benchmarks-stable-baselines3.md"
CASES: dict[str, tuple[str, Any, Any, int, float]] = {
    # task, learner, settings, steps, the ratio of steps a second that is asked
    "ppo": (
        "CartPole-v1", PPO, PPOSettings(envs=64, horizon=32, epochs=4, minibatch=256, learning_rate=3e-3), 100_000, 8.0
    ),
    "dqn": ("CartPole-v1", DQN, DQNSettings(n_step=1), 50_000, 5.0),
    "sac": ("Pendulum-v1", SAC, SACSettings(), 20_000, 2.0),
}

SEEDS = 5


def ours(case: str, seconds: float, seed: int) -> dict[str, Any]:
    """The figures of our learner."""
    task, learner, settings, steps, _ = CASES[case]
    env = GymBatch(task, settings.envs)
    began, apart, reached, due = time.process_time(), 0.0, None, 4_096
    agent = learner(env, settings, seed)
    warm: tuple[float, int] | None = None
    for iteration in agent.learn(env, steps):
        used = time.process_time() - began - apart
        if warm is None and iteration.losses:
            warm = used, iteration.steps  # from here on everything is compiled
        if task == "CartPole-v1" and reached is None and iteration.steps >= due:
            due += 4_096
            now = time.process_time()
            reached = used if evaluate(agent.greedy, [(GymBatch(task, 20), 7)]).returns.mean() >= 475.0 else None
            apart += time.process_time() - now
        if used > seconds:
            break
    used = time.process_time() - began - apart
    assert warm is not None
    found = evaluate(agent.greedy, [(GymBatch(task, 100), 1_000_000)]).returns.mean()
    rate = (agent.steps - warm[1]) / (used - warm[0])
    return {"rate": rate, "reached": reached, "return": float(found), "steps": agent.steps}


def theirs(case: str, seconds: float, seed: int, python: Path) -> dict[str, Any]:
    """The same of Stable-Baselines3."""
    # -P: the folder of the worker, which has this file, is no place to import stable_baselines3 from.
    worker = str(Path(__file__).with_name("stable_baselines3_worker.py"))
    told = _asked([str(python), "-P", worker, case, str(seconds), str(seed)])
    return {**told, "rate": told["steps"] / told["seconds"]}


def _asked(command: list[str]) -> dict[str, Any]:
    """What a process of its own, for each run of either side, tells in its last line."""
    run = subprocess.run(command, check=True, capture_output=True, text=True)
    told: dict[str, Any] = json.loads(run.stdout.splitlines()[-1])
    return told


def together(runs: list[dict[str, Any]]) -> tuple[float, list[str]]:
    """Of one side's seeds the median of steps a second, and its cells: seconds to 475 (median), return (mean)."""
    reached = statistics.median(math.inf if run["reached"] is None else run["reached"] for run in runs)
    steps = statistics.median_low(run["steps"] for run in runs)
    mean, within = mean_within([run["return"] for run in runs])
    cells = [f"{reached:.1f}" if math.isfinite(reached) else "-", f"{mean:.1f} +- {within:.1f} ({steps:,} steps)"]
    return statistics.median(run["rate"] for run in runs), cells


def less(mine: list[dict[str, Any]], others: list[dict[str, Any]]) -> str:
    """Our mean return less theirs, and half the 95 % interval of that."""
    (mean, within), (other, around) = (mean_within([run["return"] for run in runs]) for runs in (mine, others))
    return f"{mean - other:+.1f} +- {math.hypot(within, around):.1f}"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--python", type=Path, default=ROOT / "build/venvs/stable-baselines3/bin/python")
    parser.add_argument("--seconds", type=float, default=180.0, help="processor seconds for each run at most (180)")
    parser.add_argument("--cases", default=",".join(CASES))
    parser.add_argument("--write", action="store_true", help=f"write {TARGET.relative_to(ROOT)}")
    parser.add_argument("--one", type=int, metavar="SEED", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.one is not None:
        one_thread()
        print(json.dumps(ours(args.cases, args.seconds, args.one)))
        return 0
    if not args.python.exists():
        parser.error(f"{args.python} is not there; make the venv as above")
    lines = [
        "| algorithm | task | seeds | steps/s ours | theirs | ratio | asked | seconds to 475 ours | theirs "
        "| return ours | theirs | ours less theirs |",
        "|---|---|---|---|---|---|---|---|---|---|---|---|",
    ]
    RESULTS.mkdir(parents=True, exist_ok=True)
    for case in filter(None, args.cases.split(",")):
        task, *_, asked = CASES[case]
        others = [theirs(case, args.seconds, seed, args.python) for seed in range(SEEDS)]
        own = [sys.executable, __file__, "--seconds", str(args.seconds), "--cases", case, "--one"]
        runs = [_asked([*own, str(seed)]) for seed in range(SEEDS)]
        mine, my_cells = together(runs)
        other, other_cells = together(others)
        pairs = " | ".join(cell for pair in zip(my_cells, other_cells, strict=True) for cell in pair)
        line = (
            f"| {case} | {task} | {SEEDS} | {mine:,.0f} | {other:,.0f} | {mine / other:.1f}x | {asked:g}x "
            f"| {pairs} | {less(runs, others)} |"
        )
        print(line, flush=True)
        kept = {"line": line, "versions": others[0]["versions"]}
        (RESULTS / f"{case}.json").write_text(json.dumps(kept), encoding="utf-8")
    places = [place for case in CASES if (place := RESULTS / f"{case}.json").exists()]
    known = [json.loads(place.read_text(encoding="utf-8")) for place in places]
    lines += [each["line"] for each in known]
    page = f"""# Beside Stable-Baselines3

Written by `python benchmarks/stable_baselines3.py --write` on {time.strftime("%Y-%m-%d")}, {platform.machine()}, Python
{platform.python_version()}, {known[-1]["versions"]}. The same algorithm, network,
batches, number of environments and epochs, one thread each, one after the other on the same machine; seconds are
processor time, evaluations are not counted. The entropy bonus of PPO is constant there and annealed here, to the same
mean. Of the seeds the speed and the seconds are medians, the return is the mean with its 95 % interval; it is that of
the last policy, greedy, over 100 episodes. DQN is plain here: its best policy is not its last.

{chr(10).join(lines)}
"""
    print(page)
    if args.write:
        TARGET.write_text(page, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
