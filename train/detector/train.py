"""`edgebot train detector`: the person detector, from rendered scenes, into a run folder."""

from __future__ import annotations

import os

# This network is large enough for oneDNN's convolutions; see train.threads for the small ones.
os.environ["TF_ENABLE_ONEDNN_OPTS"] = "1"
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import argparse
import sys
import time
from dataclasses import asdict
from pathlib import Path

from rich.console import Console

from edge.commands.arguments import Parser
from edge.errors import UsageError
from robot.sim.rooms import EVALUATION_SEEDS
from train.runs import RunFolder, RunSettings, fresh_path, versions
from train.settings import describe, override, parse_pairs, split

ALGO = "yolo"
STEPS = 4000
CHECK_SEED = 900_000
"""Rooms from here choose the best weights; those below are learnt from, those from `EVALUATION_SEEDS` judge."""

EXAMPLES = """\
examples:
  edgebot train detector                          about ten minutes on two cores
  edgebot train detector --seed 3 --run runs/mine
  edgebot train detector --steps 400 --set rooms=150
  edgebot convert runs/detector-yolo-0            the int8 .tflite from it
"""


def _parser() -> Parser:
    parser = Parser("train detector", str(__doc__), EXAMPLES)
    parser.add_argument("--algo", metavar="NAME", default=ALGO, choices=[ALGO], help=f"{ALGO}, the only one")
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="everything random follows from it (0)")
    parser.add_argument("--run", type=Path, metavar="DIR", help="run folder (runs/detector-yolo-SEED)")
    parser.add_argument("--steps", type=int, default=STEPS, metavar="N", help=f"batches to learn from ({STEPS})")
    parser.add_argument("--workers", type=int, default=2, metavar="N", help="processes that draw the scenes (2)")
    parser.add_argument(
        "--set", action="append", default=[], metavar="KEY=VALUE", help="change a setting, see --settings"
    )
    parser.add_argument("--settings", action="store_true", help="list every setting, and stop")
    parser.add_argument("--resume", action="store_true", help=argparse.SUPPRESS)
    return parser


def main(argv: list[str]) -> int:
    """Run the verb; 0, or 130 where Ctrl-C ended the training (the best network is kept)."""
    args = _parser().parse_args(argv)
    from train.detector.learn import DetectorSettings

    if args.settings:
        print(describe(DetectorSettings()))
        return 0
    if args.resume:
        raise UsageError("a detector's training cannot be resumed; begin a new one without --resume, it takes minutes")
    given = parse_pairs(args.set)
    split(given, DetectorSettings())
    settings = override(DetectorSettings(), given)
    for name, least in (("seed", 0), ("steps", 1), ("workers", 1)):
        if getattr(args, name) < least:
            raise UsageError(f"--{name} is {getattr(args, name)}; expected at least {least}")
    if settings.rooms > CHECK_SEED or settings.check_rooms > EVALUATION_SEEDS - CHECK_SEED:
        raise UsageError(f"there are {CHECK_SEED} rooms to learn from; expected fewer than rooms={settings.rooms}")
    from train.detector.model import manifest

    run = RunFolder.create(
        args.run or fresh_path("detector", ALGO, args.seed),
        RunSettings("detector", ALGO, args.seed, args.steps, asdict(settings), {}, manifest(), versions()),
    )
    return _train(run, settings, args.workers)


def _train(run: RunFolder, settings: object, workers: int) -> int:
    from train.detector.learn import DetectorSettings
    from train.detector.session import Session

    assert isinstance(settings, DetectorSettings)
    console = Console(stderr=True)
    started = time.perf_counter()
    session = Session(run, settings, console)
    rooms = range(settings.rooms)
    check = range(CHECK_SEED, CHECK_SEED + settings.check_rooms)
    interrupted = not session.draw(rooms, check, workers) or session.learn()
    if session.learner is None or session.learner.best < 0:
        console.print(f"[yellow]interrupted before there was anything to keep[/]; {run.path} holds the settings only")
        return 130
    found = session.keep()
    minutes = (time.perf_counter() - started) / 60
    console.print(
        f"[bold]{run.path}[/]: AP@0.5 {found.ap:.3f} on {found.images} pictures of rooms that it did not learn from "
        f"({minutes:.1f} min{', interrupted' if interrupted else ''})"
    )
    console.print(f"next: edgebot convert {run.path}")
    return 130 if interrupted else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
