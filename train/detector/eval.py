"""`edgebot eval` of a detector: a run or a `.tflite` on labelled photos, or on rendered rooms."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from edge.errors import UsageError
from train.detector.evaluate import Report
from train.detector.evaluation import ROOMS, judge_photos, judge_rooms, load_run, photos_for

DEFAULT_ROOMS = 400


def main(args: argparse.Namespace, console: Console) -> int:
    """Judge `args.source` by `args.data`, or by what the run itself was judged by."""
    held_out = 0.1
    if args.source.is_dir():
        predict, labels, origin = load_run(args.source)
        held_out = origin.get("held_out", held_out)
        data = args.data or Path(origin.get("data", ROOMS))
    else:
        from edge.perception.detector import Detector

        detector = Detector(args.source, score=0.005)
        predict, labels, data = detector.boxes, detector.labels, args.data
        if data is None:
            raise UsageError(f"--data tells what to judge {args.source} by: a data.yaml, a COCO .json, or {ROOMS!r}")
    with Progress(console=console) as progress:
        if data == Path(ROOMS):
            if labels != ("person",):
                raise UsageError(f"{args.source} finds {', '.join(labels[:5])}; rendered rooms are for persons alone")
            rooms = args.episodes or DEFAULT_ROOMS
            bar = progress.add_task("look into rooms", total=rooms)
            found = judge_rooms(predict, rooms, lambda: progress.advance(bar))
        else:
            photos = photos_for(labels, data, held_out)
            bar = progress.add_task("look at photos", total=len(photos))
            found = judge_photos(predict, photos, labels, lambda: progress.advance(bar))
    if args.json:
        print(json.dumps(found.as_json()))
    else:
        Console().print(_table(found, f"{args.source.name} on {found.images} pictures of {data.name}"))
    return 0


def _table(found: Report, title: str) -> Table:
    table = Table(title=title, title_justify="left")
    for heading in ("class", "AP@0.5", "recall at 0.4", "precision", "boxes"):
        table.add_column(heading, justify="left" if heading == "class" else "right")
    for label, verdict in found.classes.items():
        table.add_row(
            label, f"{verdict.ap:.3f}", f"{verdict.recall:.3f}", f"{verdict.precision:.3f}", str(verdict.things)
        )
    table.add_section()
    boxes = sum(verdict.things for verdict in found.classes.values())
    means = [found.ap, found.mean("recall"), found.mean("precision")]
    table.add_row("mean", *(f"{value:.3f}" for value in means), str(boxes))
    return table
