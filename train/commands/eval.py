"""`edgebot eval RUN|MODEL`: greedy evaluation, on episodes that training never saw."""

from __future__ import annotations

import train.threads  # noqa: F401  isort: skip  # before numpy and TensorFlow load

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from edge.commands.arguments import Parser, whole
from edge.errors import UsageError
from train import tasks
from train.envs.batch import decide
from train.evaluation import Act, evaluate
from train.runs import RunFolder

EXAMPLES = """\
examples:
  edgebot eval runs/light-ppo-0                      1,000 unseen rooms
  edgebot eval light.tflite --episodes 200 --json    the converted model, in the same rooms
  edgebot eval runs/light-ppo-0 --video light.mp4    some episodes, seen from above
  edgebot eval runs/detector-yolo-0                  a detector: average precision on what it did not learn from
  edgebot eval mine.tflite --data data.yaml          the same of a model; --data rooms: rendered rooms
"""

VIDEO_EPISODES = 4


def main(argv: list[str]) -> int:
    """Run the verb."""
    parser = Parser("eval", "Greedy evaluation, on episodes that training never saw.", EXAMPLES)
    parser.add_argument("source", metavar="RUN|MODEL", type=Path, help="a run folder, or a .tflite file")
    parser.add_argument("--episodes", type=whole(1, 100_000), metavar="N", help="1,000 rooms; 100 for a Gymnasium id")
    parser.add_argument("--seed", type=whole(0, 999_999), default=0, metavar="N", help="chooses the episodes (0)")
    parser.add_argument("--video", type=Path, metavar="FILE", help=f"film the first {VIDEO_EPISODES} episodes")
    parser.add_argument("--data", type=Path, metavar="FILE", help="of a detector: what judges it, see the examples")
    parser.add_argument("--json", action="store_true", help="print the figures as JSON to stdout")
    args = parser.parse_args(argv)
    if _is_detector(args.source):
        from train.detector.eval import main as detector

        if args.video is not None:
            raise UsageError(f"--video films policies; `edgebot detect` shows what {args.source} finds")
        return int(detector(args, Console(stderr=True)))
    if args.data is not None:
        raise UsageError(f"--data is for detectors, {args.source} is none")
    if args.video is not None:
        from train.video import check_path

        check_path(args.video)
    task, act = _open(args.source)
    episodes = args.episodes or task.evaluation_episodes
    console = Console(stderr=True)
    with Progress(console=console) as progress:
        bar = progress.add_task("evaluate", total=episodes)
        batches = task.evaluation(episodes, args.seed)
        result = evaluate(act, batches, lambda done: progress.update(bar, completed=done)).as_json()
    if args.json:
        print(json.dumps(result))
    else:
        Console().print(_table(args.source, result))
    if args.video is not None:
        _film(args.video, task, act, min(episodes, VIDEO_EPISODES), args.seed)
        console.print(f"video: {args.video}")
    return 0


def _is_detector(source: Path) -> bool:
    if source.is_dir():
        return RunFolder.open(source).settings.task == "detector"
    if not source.is_file():
        return False
    from edge.manifest import read

    return read(source)[1].kind == "detector"


def _open(source: Path) -> tuple[tasks.Task, Act]:
    """The task of a run or a model, and how it acts."""
    if source.is_dir() or not source.exists() and source.suffix != ".tflite":
        import keras

        run = RunFolder.open(source)
        model = run.load_policy()
        if not isinstance(model, keras.Sequential):
            raise UsageError(f"{source} holds no policy network that eval knows; train it again")
        from train.networks import fast

        network = fast(model)
        task = tasks.make(run.settings.task, run.settings.environment)
        return task, lambda seen: decide(network(seen), task.continuous)
    from edge.policies.learned import LearnedPolicy

    policy = LearnedPolicy(source)
    environment = policy.manifest.provenance.get("environment", {})
    if policy.name not in tasks.ROBOT_TASKS:
        raise UsageError(f"{source} is a policy for {policy.name!r}; eval knows {', '.join(tasks.ROBOT_TASKS)}")

    task = tasks.make(policy.name, environment)

    def act(seen: NDArray[np.float32]) -> NDArray[Any]:
        if task.continuous:
            return decide(np.array([policy.logits(row) for row in seen]), True)
        return np.array([max(policy.choose(row), 0) for row in seen])

    return task, act


def _table(source: Path, result: dict[str, Any]) -> Table:
    table = Table(title=f"{source.name}: greedy, unseen episodes", title_justify="left", show_header=False)
    for name, value in result.items():
        table.add_row(name, f"{value:,}" if isinstance(value, int) else f"{value:.4g}")
    return table


def _film(path: Path, task: tasks.Task, act: Act, episodes: int, seed: int) -> None:
    from train.video import write_video

    def frames() -> Iterator[NDArray[np.uint8]]:
        for episode in range(episodes):
            yield from task.film(act, episode, seed)

    write_video(path, frames(), task.film_fps)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
