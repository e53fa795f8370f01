"""Planning and exploration on the robot's tasks: what tree search adds to its network, and who finds a hidden lamp.

    python benchmarks/robot_rl.py mcts --steps 40960 --seeds 10    tree search against its network, `light` with walls
    python benchmarks/robot_rl.py dock --steps 1000000     plain PPO, with curiosity, and with a curriculum, on `dock`
    python benchmarks/robot_rl.py dock-far --steps 1000000 --seeds 10     the same two doors away, by raw duties
    python benchmarks/robot_rl.py poet --steps 2500000 --seeds 10     POET and plain PPO four doors away, by raw duties
    python benchmarks/robot_rl.py follow --steps 10000000  PPO on `follow`; `wander` and `approach` likewise
    python benchmarks/robot_rl.py --write                  docs/benchmarks-robot-rl.md, of what is done

Runs are those of `edgebot train` and are not done again; each is judged in unseen rooms (seeds from 1,000,000 on), in
1,000 of them but for tree search and POET.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

import train.threads  # noqa: E402, F401  isort: skip

import numpy as np  # noqa: E402
from rich.progress import Progress  # noqa: E402

from benchmarks.pages import together  # noqa: E402
from train.evaluation import wilson  # noqa: E402

RESULTS, TARGET = ROOT / "runs" / "benchmarks" / "robot-rl", ROOT / "docs" / "benchmarks-robot-rl.md"
UNSEEN = 1000
HIDDEN = {
    "plain PPO": ["--algo", "ppo"],
    "PPO, curious": ["--algo", "ppo", "--set", "curiosity=0.5"],
    "PPO, curriculum": ["--algo", "ppo", "--set", "curriculum=true"],
}
"""The ways to a lamp in another room."""
WAYS = {
    "mcts": {"tree search's network": ["--algo", "mcts"]},
    "dock": HIDDEN,
    "dock-far": HIDDEN,
    "follow": {"PPO": ["--algo", "ppo"]},
    "wander": {"PPO": ["--algo", "ppo"]},
    "approach": {"PPO": ["--algo", "ppo"]},
}
"""Of each part the runs to make, by what they are called; `poet` makes its own."""
TASKS = {
    "mcts": ("light", "light, hard", []),
    "poet": ("dock", "dock, five rooms, by raw duties", []),
    "dock-far": (
        "dock", "dock, far, by raw duties",
        ["--set", "level=far", "--set", "wheels=true", "--set", "limit_s=120"],
    ),
}  # fmt: skip
"""Of a part that is not called as its task: the task, what the page calls it, and settings of all its runs."""


def train_one(part: str, name: str, steps: int, seed: int) -> Path:
    """The run folder, trained unless it is there."""
    from train.commands import train as training

    task, _, settings = TASKS.get(part, (part, part, []))
    path = RESULTS / f"{part}-{'-'.join(name.replace(',', '').split())}-{steps}-{seed}".replace("'", "")
    argv = [task, *settings, *WAYS[part][name], "--steps", str(steps), "--seed", str(seed), "--run", str(path)]
    if not (path / "evaluation.json").exists():
        code = training.main([*argv, "--resume"] if (path / "resume.npz").exists() else argv)
        if code:
            raise SystemExit(code)
    return path


def searched(run: Path, rooms: int) -> tuple[int, int]:
    """In the same rooms the successes of the network alone, and of a search with it before each decision."""
    from train import tasks
    from train.agents.mcts import MCTS, MCTSSettings
    from train.runs import RunFolder

    folder = RunFolder.open(run)
    task = tasks.make("light", folder.settings.environment)
    agent = MCTS(task.training(folder.settings.agent["envs"]), MCTSSettings(**folder.settings.agent), 0)
    arrays, _ = folder.load_resume()
    agent.load(arrays, task.training(folder.settings.agent["envs"]))
    successes = []
    for plan in (False, True):
        ((env, seed),) = task.evaluation(rooms, 0)
        seen, state = env.reset(seed)
        running, success = np.ones(rooms, np.bool_), np.zeros(rooms, np.bool_)
        while running.any():
            step = env.advance(agent.plan(env, seen, state) if plan else agent.greedy(seen))  # type: ignore[attr-defined]
            ended = running & (step.terminated | step.truncated)
            success |= ended & step.success
            running &= ~ended
            seen, state = step.observation, step.state
        successes.append(int(success.sum()))
    return successes[0], successes[1]


def poet(steps: int, rooms: int, seed: int) -> tuple[list[tuple[str, float, int]], int]:
    """POET until it took `steps`, then PPO for as many in the hardest challenge alone; both are paid by the lamp only.

    Returns what they reach in `rooms` unseen rooms of it, and the steps of either.
    """
    from train.agents import poet_dock
    from train.agents.poet import POET, POETSettings
    from train.agents.ppo import PPO, PPOSettings
    from train.envs.dock import DockBatch
    from train.tuned import tuned

    hardest, trainer = np.ones(poet_dock.DIMS), poet_dock.DockTrainer()
    search = POET(trainer, poet_dock.DIMS, POETSettings(), seed)
    with Progress() as progress:
        bar = progress.add_task("POET", total=steps)
        while trainer.steps < steps:
            search.step()
            progress.update(bar, completed=trainer.steps)
        agent, _ = search.solver(hardest)
        spent, hyper = trainer.steps, PPOSettings(**tuned("dock", "ppo"))
        env = DockBatch(
            poet_dock.rooms_of(hardest, 0, 500), hyper.envs, trainer.settings, goal_m=poet_dock.GOAL_TRAINED_M
        )
        learner = PPO(env, hyper, seed)
        bar = progress.add_task("plain PPO", total=spent)
        for iteration in learner.learn(env, spent):
            progress.update(bar, completed=iteration.steps)
    rates = trainer.judge(poet_dock.rooms_of(hardest, 1_000_000, rooms), [learner.learnt(), agent], 1_000_000).tolist()
    return [(name, rate, rooms) for name, rate in zip(("plain PPO", "POET"), rates, strict=True)], spent


def judged(run: Path) -> tuple[float, int]:
    """Success, and in how many rooms: the run's own evaluation, or one of `UNSEEN` where that was shorter."""
    from train import tasks
    from train.evaluation import evaluate
    from train.networks import FastMLP
    from train.runs import RunFolder

    told = json.loads((run / "evaluation.json").read_text(encoding="utf-8"))
    if told["episodes"] < UNSEEN:
        folder = RunFolder.open(run)
        act = FastMLP(folder.load_policy())
        task = tasks.make(folder.settings.task, folder.settings.environment)
        with Progress() as progress:
            bar = progress.add_task(f"{UNSEEN} rooms", total=UNSEEN)
            batches = task.evaluation(UNSEEN, 0)
            found = evaluate(lambda seen: act(seen).argmax(1), batches, lambda n: progress.update(bar, completed=n))
        told = found.as_json()
    return told["success_rate"], told["episodes"]


def work(part: str, steps: int, rooms: int, seed: int) -> dict[str, Any]:
    """Train and judge one part; its figures."""
    began = time.process_time()
    rows: list[tuple[str, float, int]] = []
    if part == "poet":
        rows, steps = poet(steps, rooms, seed)
    for name in WAYS.get(part, ()):
        run = train_one(part, name, steps, seed)
        if part == "mcts":
            alone, planned = searched(run, rooms)
            rows += [(name, alone / rooms, rooms), ("with the search", planned / rooms, rooms)]
        else:
            rows.append((name, *judged(run)))
    return {
        "part": part, "rows": rows, "steps": steps, "seed": seed, "date": time.strftime("%Y-%m-%d"),
        "processor_seconds": time.process_time() - began,
        "machine": f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}",
    }  # fmt: skip


def render(results: list[dict[str, Any]], before: str) -> str:
    """The page; rows of which nothing is known here are those of the page `before`."""
    lines = [
        "| task | policy | steps | seeds | unseen rooms | success | 95 % interval (Wilson) | of each seed, % |",
        "|---|---|---|---|---|---|---|---|",
    ]
    parts: dict[str, list[dict[str, Any]]] = {}
    for found in results:
        parts.setdefault(found["part"], []).append(found)
    for part, seeds in parts.items():
        _, task, _ = TASKS.get(part, ("", part, []))
        steps = round(float(np.mean([found["steps"] for found in seeds])))
        for index, (name, _, rooms) in enumerate(seeds[0]["rows"]):
            rates = [found["rows"][index][1] for found in seeds]
            count = rooms * len(rates)
            low, high = wilson(round(float(np.mean(rates)) * count), count)
            lines.append(
                f"| {task} | {name} | {steps:,} | {len(rates)} | {rooms} | {np.mean(rates):.1%} "
                f"| {low:.3f} to {high:.3f} | {', '.join(f'{100 * rate:.0f}' for rate in rates)} |"
            )
    told = max(results, key=lambda found: found["date"], default={"date": "never", "machine": "-"})
    return f"""# Planning and exploration on the robot's tasks

Written by `python benchmarks/robot_rl.py --write`; last run {told["date"]}, {told["machine"]}.
The interval is of the rooms of all seeds together. Tree search is asked for 10 points of success more than its network
alone; `follow` and `wander` for a lower bound of 0.88; `approach` and `light` are measured against the hand-written
policies on [a page of their own](benchmarks-learned.md). `dock`, whose lamp stands in another room and pays only when
it is reached, is asked for a way that solves it where plain PPO does not. Next door plain PPO meets the lamp by luck on
most seeds, and learns the way, and on others never does; two and four doors away there is seldom such luck. A
curriculum begins near the lamp; POET where nothing stands between. Beside POET plain PPO has the hardest rooms alone,
and as many steps as all POET's agents together with their judging.

{together(before, chr(10).join(lines))}
"""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("part", nargs="?", choices=(*WAYS, "poet"))
    parser.add_argument("--steps", type=int, default=2_000_000)
    parser.add_argument("--rooms", type=int, default=200, help="that tree search and POET are judged in (200)")
    parser.add_argument("--seed", type=int, default=0, help="the first")
    parser.add_argument("--seeds", type=int, default=1, help="how many; those that are done are not done again")
    parser.add_argument("--write", action="store_true", help=f"write {TARGET.relative_to(ROOT)}")
    args = parser.parse_args()
    RESULTS.mkdir(parents=True, exist_ok=True)
    for seed in range(args.seed, args.seed + args.seeds) if args.part else ():
        place = RESULTS / f"{args.part}-{seed}.json"
        if not place.exists():
            place.write_text(json.dumps(work(args.part, args.steps, args.rooms, seed)), encoding="utf-8")
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
