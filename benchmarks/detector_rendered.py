"""The shipped detector of persons in rendered rooms that no training saw, beside a detector by colour threshold.

    python benchmarks/detector_rendered.py              400 rooms, 1,600 pictures: about three minutes
    python benchmarks/detector_rendered.py --rooms 50 --model runs/detector-yolo-0/model.tflite

The int8 file runs through the runtime's own `Detector`. The colour thresholds are tuned on training rooms.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from rich.console import Console  # noqa: E402
from rich.progress import Progress  # noqa: E402
from rich.table import Table  # noqa: E402

from edge.perception.detector import SHIPPED, Detector  # noqa: E402
from robot.sim.rooms import EVALUATION_SEEDS  # noqa: E402
from train.detector.baseline import tune  # noqa: E402
from train.detector.judge import Tally  # noqa: E402
from train.detector.scenes import scenes  # noqa: E402

TUNING_ROOMS, TUNING_TRIES = 60, 300


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, default=SHIPPED)
    parser.add_argument("--rooms", type=int, default=400)
    parser.add_argument("--frames", type=int, default=4, help="pictures of each room")
    parser.add_argument("--first", type=int, default=EVALUATION_SEEDS + 500_000, help="the first room's seed")
    args = parser.parse_args()
    detector = Detector(args.model, score=0.005)
    console = Console()
    with Progress(console=Console(stderr=True)) as progress:
        bar = progress.add_task("tune thresholds", total=None)
        tuning = [scene for seed in range(TUNING_ROOMS) for scene in scenes(seed, 3)]
        threshold, tuned = tune(tuning, TUNING_TRIES)
        progress.update(bar, description="look", total=args.rooms)
        own = {"1/2": Tally(), "1/3": Tally(visible=1 / 3), "1/5": Tally(visible=1 / 5), "1 pixel": Tally(visible=0.0)}
        colour = Tally()
        for seed in range(args.first, args.first + args.rooms):
            for scene in scenes(seed, args.frames):
                boxes, scores, _ = detector.boxes(scene.image)
                for tally in own.values():
                    tally.add(boxes, scores, scene)
                colour.add(*threshold.find(scene.image), scene)
            progress.advance(bar)
    pictures = f"{args.rooms * args.frames} pictures of {args.rooms} unseen rendered rooms"
    table = Table(title=f"persons in {pictures}, recall and so on at 0.4")
    for column in ("", "in view", "AP@0.5", "times colour", "recall", "precision", "false per picture", "persons"):
        table.add_column(column, justify="left" if not column else "right")
    least = colour.verdict().ap
    for name, view, tally in [*(("detector", view, tally) for view, tally in own.items()), ("colour", "1/2", colour)]:
        found = tally.verdict()
        table.add_row(
            name, view, f"{found.ap:.3f}", f"{found.ap / max(least, 1e-9):.1f}", f"{found.recall:.3f}",
            f"{found.precision:.3f}", f"{found.false_per_image:.3f}", str(found.things),
        )  # fmt: skip
    console.print(table)
    seen = f"{len(tuning)} pictures of {TUNING_ROOMS} training rooms"
    console.print(f"colour tuned on {seen}, AP {tuned:.3f}: {threshold}")


if __name__ == "__main__":
    main()
