"""Learned policies against the hand-written ones for the same task, in the same unseen rooms, pair by pair.

    python benchmarks/learned.py light runs/light-ppo-0              1,000 hard rooms
    python benchmarks/learned.py approach runs/approach-ppo-0 --rooms 200
    python benchmarks/learned.py --write                             docs/benchmarks-learned.md, of what is done

Both are judged alike: an episode ends in success when the world's truth says so (`edge.goal`: the lamp is near; the
robot rests before the right object, untouched), else it fails at the time limit. The hand-written policy drives in the
real runtime (loop at 50 Hz, guard, simulated body, virtual clock); the learned one in its task's batched environment,
whose guard rules and late senses are those of the runtime. Results are kept in `runs/benchmarks/learned/`; what is
there of the hand-written policy is not run again.
"""

from __future__ import annotations

import argparse
import json
import math
import platform
import sys
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

import train.threads  # noqa: E402, F401  isort: skip

import numpy as np  # noqa: E402
from rich.progress import track  # noqa: E402

RESULTS, TARGET = ROOT / "runs" / "benchmarks" / "learned", ROOT / "docs" / "benchmarks-learned.md"
FIRST_SEED, TOUCH_MPS = 1_000_000, 0.05
# task: rooms' task, level, hand-written policy, time limit, share of the mean time that is to be saved
TASKS = {"light": ("light", "hard", "light", 30.0, 0.25), "approach": ("range", "easy", "range", 45.0, 0.15)}


def by_hand(task: str, seed: int) -> tuple[bool, float, bool]:
    """Success, seconds and whether anything was hit, of the hand-written policy in one room."""
    from edge.goal import Goal
    from edge.guard import Guard
    from edge.loop import Loop
    from edge.policies import make
    from robot.clock import VirtualClock
    from robot.config import load
    from robot.sim.body import SimBody
    from robot.sim.rooms import make_room

    rooms, level, name, limit, _ = TASKS[task]
    config, clock = load(), VirtualClock(0.02)
    policy = make(name, config)
    with SimBody(config, make_room(rooms, level, seed), clock, seed=seed) as body:
        goal = Goal(body.world, rooms)
        Loop(body, policy, Guard.of(config, policy), clock).run(limit, until=goal)
        verdict = goal.verdict()
    return verdict.success, clock.now(), verdict.touched


def learned(task: str, run: Path, count: int) -> list[tuple[bool, float, bool]]:
    """The same of a run's policy, in the rooms from `FIRST_SEED` on."""
    from train import tasks
    from train.envs.batch import decide
    from train.envs.robot import RobotBatch
    from train.networks import FastMLP
    from train.runs import RunFolder

    folder = RunFolder.open(run)
    limit = TASKS[task][3]
    made = tasks.make(task, {**folder.settings.environment, "level": TASKS[task][1], "limit_s": limit})
    act = FastMLP(folder.load_policy())
    found = []
    for env, seed in made.evaluation(count, 0):
        assert isinstance(env, RobotBatch)
        seen, _ = env.reset(seed)
        result: list[tuple[bool, float, bool] | None] = [None] * env.n
        for decision in range(1, 10**6):
            step = env.advance(decide(act(seen), env.continuous))  # those whose episode is over stay where they are
            seen = step.observation
            assert env.world is not None and step.success is not None
            for i in np.flatnonzero(step.terminated | step.truncated):
                if result[i] is None:
                    touched = bool(env.world.contact_speed[i] > TOUCH_MPS)
                    result[i] = (bool(step.success[i]), decision * env.settings.period_s, touched)
            if None not in result:
                break
        found += [one for one in result if one is not None]
    return found


def compare(task: str, run: Path, count: int) -> dict[str, Any]:
    """Run both; the figures."""
    RESULTS.mkdir(parents=True, exist_ok=True)
    kept = RESULTS / f"{task}-by-hand.jsonl"
    known = [json.loads(line) for line in kept.read_text().splitlines()] if kept.exists() else []
    with kept.open("a") as file:
        for seed in track(range(FIRST_SEED + len(known), FIRST_SEED + count), "hand-written"):
            known.append(by_hand(task, seed))
            file.write(json.dumps(known[-1]) + "\n")
            file.flush()
    limit = TASKS[task][3]
    hand, mine = (np.array(rows, np.float64) for rows in (known[:count], learned(task, run, count)))
    seconds = [np.where(rows[:, 0] > 0, np.minimum(rows[:, 1], limit), limit) for rows in (hand, mine)]
    better = mine[:, 0] - hand[:, 0]
    half = 1.96 * better.std() / math.sqrt(count)
    return {
        "task": task, "rooms": count, "run": json.loads((run / "settings.json").read_text())["steps"],
        "success": [float(hand[:, 0].mean()), float(mine[:, 0].mean())],
        "difference": [float(better.mean() - half), float(better.mean() + half)],
        "seconds": [float(each.mean()) for each in seconds],
        "touched": [float(hand[:, 2].mean()), float(mine[:, 2].mean())],
        "date": time.strftime("%Y-%m-%d"), "machine": f"{platform.machine()}, Python {platform.python_version()}",
    }  # fmt: skip


def render(results: list[dict[str, Any]]) -> str:
    """The page."""
    from train.evaluation import wilson

    lines = [
        "| task | rooms | policy | success | lower bound | contact > 0.05 m/s | mean time (s) |",
        "|---|---|---|---|---|---|---|",
    ]
    for found in results:
        count = found["rooms"]
        for k, name in enumerate(("hand-written", f"learned (PPO, {found['run']:,} steps)")):
            rate = found["success"][k]
            lines.append(
                f"| {found['task']} | {count} | {name} | {rate:.3f} | {wilson(round(rate * count), count)[0]:.3f} | "
                f"{found['touched'][k]:.1%} | {found['seconds'][k]:.1f} |"
            )
    for found in results:
        saved = 1.0 - found["seconds"][1] / found["seconds"][0]
        low, high = found["difference"]
        wanted = TASKS[found["task"]][4]
        met = "met" if saved >= wanted and found["success"][1] >= found["success"][0] else "**missed**"
        lines.append(
            f"\n`{found['task']}`: success learned less hand-written {low:+.3f} to {high:+.3f} (95 %, paired); mean "
            f"time {saved:.0%} lower; the bar is not less success and {wanted:.0%} less time: {met}."
        )
    told = max(results, key=lambda found: found["date"], default={"date": "never", "machine": "-"})
    return f"""# Learned against hand-written

Written by `python benchmarks/learned.py --write`; {told["date"]}, {told["machine"]}. The same unseen rooms (seeds from
{FIRST_SEED:,} on; `light` in hard rooms, `approach` in easy ones), judged by the same truth: within 0.5 m of the lamp
inside 30 s; at rest 0.25 +- 0.05 m before the object that was nearest at the start, nothing touched, inside 45 s. The
hand-written policies drive in the real runtime, the learned ones in their batched environment. A failure counts as the
whole time limit.

{chr(10).join(lines)}
"""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("task", nargs="?", choices=tuple(TASKS))
    parser.add_argument("run", nargs="?", type=Path, help="the learned policy's run folder")
    parser.add_argument("--rooms", type=int, default=1000)
    parser.add_argument("--write", action="store_true", help=f"write {TARGET.relative_to(ROOT)}")
    args = parser.parse_args()
    if args.task and args.run:
        found = compare(args.task, args.run, args.rooms)
        (RESULTS / f"{args.task}.json").write_text(json.dumps(found))
    page = render([json.loads(path.read_text()) for path in sorted(RESULTS.glob("*.json"))])
    print(page)
    if args.write:
        TARGET.write_text(page, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
