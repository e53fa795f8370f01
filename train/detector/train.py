"""`edgebot train detector`: a detector of your own from labelled photos, or that of persons from rendered rooms."""

from __future__ import annotations

import os

# These networks are large enough for oneDNN's convolutions; see train.threads for the small ones.
os.environ["TF_ENABLE_ONEDNN_OPTS"] = "1"
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import argparse
import sys
import time
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console

from edge.commands.arguments import Parser, whole
from edge.errors import UsageError
from train.detector.settings import (
    EPOCHS,
    EPOCHS_EXTEND,
    EPOCHS_FROM,
    LearnSettings,
    PhotoSettings,
    SceneSettings,
    defaults,
)
from train.runs import RunFolder, RunSettings, fresh_path, latest_path, versions
from train.settings import describe, override, parse_pairs, split

if TYPE_CHECKING:
    from convert.source import Source
    from edge.manifest import DarknetDecode
    from train.detector.evaluate import Report
    from train.detector.origins import Origin
    from train.detector.session import Session

ALGO = "yolo"

EXAMPLES = """\
examples:
  edgebot train detector --data data.yaml                     your photos, a network from scratch
  edgebot train detector --data data.yaml --from yolo.tflite  from one that `edgebot convert darknet` made
  edgebot train detector --data data.yaml --from yolo.tflite --freeze --classes person,lamp
  edgebot train detector --data data.yaml --from yolo.tflite --extend   what it knows stays as it is
  edgebot train detector --data instances.json --epochs 60    COCO's JSON
  edgebot train detector                                      the person detector, from rendered rooms
  edgebot train detector --run runs/detector-yolo-0 --resume  goes on after a kill or Ctrl-C
then:
  edgebot eval runs/detector-yolo-0
  edgebot convert runs/detector-yolo-0 -o mine.tflite         the proven int8 .tflite
  edgebot detect photo.jpg --model mine.tflite
"""


def _parser() -> Parser:
    parser = Parser("train detector", str(__doc__), EXAMPLES)
    add, most = parser.add_argument, 10**9
    add("--data", type=Path, metavar="FILE", help="data.yaml (path, train, val, names) or a COCO .json")
    add("--from", dest="source", type=Path, metavar="MODEL", help="train on from this: a converted .tflite, or a run")
    add("--freeze", action="store_true", help="with --from: only the heads and what leads to one alone learn")
    add("--extend", action="store_true", help="with --from: new heads learn the classes that it does not know")
    add("--classes", metavar="NAMES", default="", help="learn only these of the data's classes (person,lamp)")
    many = f"{EPOCHS}; with --from {EPOCHS_FROM}, with --extend {EPOCHS_EXTEND}"
    add("--epochs", type=whole(1, most), metavar="N", help=many)
    add("--steps", type=whole(1, most), metavar="N", help="batches, instead of --epochs")
    add("--seed", type=whole(0, 2**31 - 1), metavar="N", help="everything random follows from it (0)")
    add("--run", type=Path, metavar="DIR", help="run folder (runs/detector-yolo-SEED)")
    add("--resume", action="store_true", help="go on from the end of the run's last epoch")
    add("--workers", type=whole(1, 256), default=2, metavar="N", help="pictures drawn at a time (2)")
    add("--set", action="append", default=[], metavar="KEY=VALUE", help="change a setting, see --settings")
    add("--settings", action="store_true", help="list every setting, and stop")
    add("--algo", metavar="NAME", default=ALGO, choices=[ALGO], help=f"{ALGO}, the only one")
    return parser


def main(argv: list[str]) -> int:
    """Run the verb; 0, or 130 where Ctrl-C ended the training (the best network is kept)."""
    args = _parser().parse_args(argv)
    default, epochs = defaults(bool(args.data), bool(args.source), args.extend)
    place: Any = PhotoSettings() if args.data else SceneSettings()
    if args.settings:
        print(f"{describe(default)}\n{describe(place)}")
        return 0
    for name, needs in (("classes", "data"), ("freeze", "source"), ("extend", "source"), ("extend", "data")):
        if getattr(args, name) and not getattr(args, needs) and not args.resume:
            raise UsageError(f"--{name} goes with {'--data' if needs == 'data' else '--from'}, which is not given")
    console = Console(stderr=True)
    if args.resume:
        return _train(_open(args), console, args.workers, resume=True)
    of_learning, of_place = split(parse_pairs(args.set), default, place)
    settings = override(default, of_learning)
    from train.detector.origins import Photos, Scenes

    classes = tuple(name.strip() for name in args.classes.split(",") if name.strip())
    if len(set(classes)) != len(classes):
        raise UsageError(f"--classes {args.classes} names a class twice")
    place = override(place, of_place)
    origin: Origin = Photos(args.data, classes, place) if args.data else Scenes(place)
    seed = args.seed or 0
    per_epoch = max(1, origin.pictures // settings.batch)
    how = {"freeze": args.freeze, "extend": args.extend}
    given = {"source": str(args.source.resolve())} | how if args.source else {}
    source = _source(origin, given, seed)
    environment = origin.as_json() | {"from": given}
    steps = args.steps or (args.epochs or epochs) * per_epoch
    run = RunFolder.create(
        args.run or fresh_path("detector", ALGO, seed),
        RunSettings("detector", ALGO, seed, steps, asdict(settings), environment, _draft(source), versions()),
    )
    return _train(run, console, args.workers, (origin, source))


def _open(args: argparse.Namespace) -> RunFolder:
    run = RunFolder.open(args.run or latest_path("detector", ALGO, args.seed or 0))
    if run.settings.task != "detector":
        raise UsageError(f"{run.path} is a run of {run.settings.task}, not of detector; give another --run")
    for name, value in (
        ("--data", args.data), ("--from", args.source), ("--set", args.set), ("--classes", args.classes),
        ("--epochs", args.epochs), ("--steps", args.steps), ("--freeze", args.freeze), ("--extend", args.extend),
    ):  # fmt: skip
        if value:
            raise UsageError(f"{name} cannot change a run that resumes; begin a new one without --resume")
    if args.seed is not None and args.seed != run.settings.seed:
        raise UsageError(f"{run.path} has the seed {run.settings.seed}, not {args.seed}; resume it without --seed")
    return run


def _source(origin: Origin, given: dict[str, Any], seed: int) -> Source:
    import keras

    from train.detector import extend, transfer
    from train.detector.origins import Photos

    keras.utils.set_random_seed(seed)
    if not given:
        return origin.untrained(seed)
    found = transfer.find(Path(given["source"]))
    if given.get("extend") and isinstance(origin, Photos):
        return extend.extended(found, origin, seed)
    return transfer.for_classes(found, origin.labels, seed)


def _draft(source: Source) -> dict[str, Any]:
    """What the file's manifest will say."""
    return {
        "kind": "detector",
        "name": source.labels[0] if len(source.labels) == 1 else "detector",
        "image": source.image.model_dump(mode="json"),
        "decode": source.decode.model_dump(mode="json"),
        "labels": list(source.labels),
    }


def _train(
    run: RunFolder, console: Console, workers: int, made: tuple[Origin, Source] | None = None, resume: bool = False
) -> int:
    from train.detector import extend, transfer

    started = time.perf_counter()
    said = dict(run.settings.environment)
    given = said.pop("from", {})
    try:
        settings = LearnSettings(**run.settings.agent)
        origin, source = made or _again(said, given, run.settings.seed)
    except TypeError as error:
        raise UsageError(f"{run.path} was made by another edgebot ({error}); train again with another --run") from None
    learning = source.decode
    if given.get("extend"):
        extend.freeze(source.keras)
        learning = extend.learning(source.decode)
    else:
        transfer.freeze(source.keras, bool(given.get("freeze")), settings.keep_norm)
    try:
        session = _session(run, console, workers, origin, source, learning, settings)
    except KeyboardInterrupt:
        console.print(f"[yellow]interrupted before anything was learnt[/]; --run {run.path} --resume begins")
        return 130
    if resume and (run.path / "resume.npz").exists():
        session.resume()
        console.print(f"resuming {run.path} after epoch {session.learner.epoch}", highlight=False)
    interrupted = session.learn()
    if session.best < 0:
        console.print(f"[yellow]interrupted before there was anything to keep[/]; --run {run.path} --resume goes on")
        return 130
    _tell(run, session.keep(), console, (time.perf_counter() - started) / 60, interrupted, session)
    return 130 if interrupted else 0


def _again(said: dict[str, Any], given: dict[str, Any], seed: int) -> tuple[Origin, Source]:
    """What the run began with."""
    from train.detector.origins import reopen

    origin = reopen(said)
    return origin, _source(origin, given, seed)


def _session(
    run: RunFolder,
    console: Console,
    workers: int,
    origin: Origin,
    source: Source,
    learning: DarknetDecode,
    settings: LearnSettings,
) -> Session:
    """Read or draw the pictures, say what was wrong with them, and make ready."""
    from train.detector.evaluate import Reader
    from train.detector.session import Session, Task, progress_bar

    with progress_bar(console) as progress:
        bar = progress.add_task("pictures", total=origin.work, told="")
        train, check = origin.examples(source, settings.memory_mb, workers, lambda: progress.advance(bar))
    if len(origin.damage):
        run.write_text("damaged.txt", origin.damage.listing())
        console.print(f"[yellow]of the data {len(origin.damage)} things are damaged[/] ({run.path / 'damaged.txt'}):")
        for line in origin.damage.summary():
            console.print(f"  {line}", highlight=False, soft_wrap=True)
    there = sum(int((truth[:, 4] >= 0).sum()) for truth in train.truth)
    console.print(
        f"{len(train)} pictures with {there} boxes to learn from, {len(check)} to judge by; "
        f"{len(source.labels)} classes; {source.keras.count_params():,} weights",
        highlight=False,
    )
    task = Task(source.keras, Reader(source.image, source.decode), source.labels, learning, train, check)
    return Session(run, task, settings, console, workers)


def _tell(run: RunFolder, found: Report, console: Console, minutes: float, interrupted: bool, session: Session) -> None:
    why = ", interrupted" if interrupted else ""
    if not interrupted and session.learner.epoch < session.learner.epochs:
        why = f", stopped after {session.settings.patience} epochs without a better one"
    console.print(
        f"[bold]{run.path}[/]: AP@0.5 {found.ap:.3f} on {found.images} pictures that it did not learn from, "
        f"best after epoch {session.best_epoch} ({minutes:.1f} min{why})",
        soft_wrap=True,
    )
    worst = sorted(found.classes.items(), key=lambda item: item[1].ap)
    if len(worst) > 1:
        shown = ", ".join(f"{label} {verdict.ap:.2f}" for label, verdict in worst[:5])
        console.print(f"of the classes the weakest: {shown}", highlight=False, soft_wrap=True)
    console.print(f"next: edgebot convert {run.path}", soft_wrap=True)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
