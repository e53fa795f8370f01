"""`edgebot recording export`: a recording for other programs."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from edge.commands.arguments import Parser, add_layout, detector_of, number
from edge.commands.bar import bar
from edge.errors import UsageError

if TYPE_CHECKING:
    from edge.recordings.reader import Recording

EXAMPLES = """\
examples:
  edgebot recording export run.mcap --format csv               run.csv: one row an iteration of the loop
  edgebot recording export run.mcap --format video -o run.mp4  what the camera saw, with boxes and commands
  edgebot recording export run.mcap --format yolo -o rooms     pictures and boxes to correct and to train on
  edgebot recording export *.mcap --format lerobot -o drives   a LeRobot data set v3, each run an episode

An export is written beside its place and renamed when it is whole. The parts of a rotated run, given together, are
one run. The recording itself is never changed."""


def main(argv: list[str]) -> int:
    """Run the verb."""
    args = _parser().parse_args(argv)
    from edge.export.formats import FORMATS, Options, load, place_for
    from edge.export.staging import staged
    from edge.perception.detector import SHIPPED
    from edge.recordings.reader import episodes
    from edge.signals import Interrupted, stop_on_signal

    chosen = next(found for found in FORMATS if found.name == args.format)
    runs = episodes(args.file)
    if len(runs) > 1 and not chosen.many:
        raise UsageError(f"{chosen.name} takes one run, and these files hold {len(runs)}; export them one by one")
    write = load(chosen.target)
    detector = None if args.detector is None else detector_of(args.detector, args) or SHIPPED
    options = Options(args.fps, args.task, detector, args.score, args.val, args.empty, args.change)
    place = place_for(chosen, runs[0].path, args.output)
    try:
        with (
            stop_on_signal(lambda: None),
            staged(place, chosen.mark, args.overwrite) as part,
            bar(f"writing {place.name}", sum(run.size for run in runs)) as advance,
        ):
            said = write(runs, part, options, advance)
    except Interrupted as signal:
        print(f"edgebot: {signal.ended} by {signal.name}; nothing was written", file=sys.stderr)
        return 128 + signal.number
    _tell(place, said, runs, args.json)
    return 0


def _tell(place: Path, said: str, runs: Sequence[Recording], as_json: bool) -> None:
    from rich.console import Console

    console = Console(stderr=True, highlight=False, soft_wrap=True)
    for run in runs:
        if run.cut:
            console.print(f"{run.paths[-1]}: {run.cut}; `edgebot recording repair` makes it whole", style="yellow")
    console.print(f"wrote {place}: {said}")
    if as_json:
        sources = [str(path) for run in runs for path in run.paths]
        print(json.dumps({"path": str(place), "wrote": said, "recordings": sources}))


def _parser() -> Parser:
    from edge.export.formats import FORMATS

    parser = Parser("recording export", "Write a recording in a form that other programs read.", EXAMPLES)
    parser.add_argument("file", nargs="+", type=Path, metavar="FILE", help="recordings, or the parts of one run")
    parser.add_argument(
        "--format", required=True, choices=[found.name for found in FORMATS],
        help="; ".join(f"{found.name}: {found.help}" for found in FORMATS),
    )  # fmt: skip
    parser.add_argument("-o", "--output", type=Path, metavar="PATH", help="file or folder (default: named like FILE)")
    parser.add_argument("--overwrite", action="store_true", help="replace an earlier export")
    parser.add_argument("--fps", type=number(0.1, 240), metavar="N", help="video, lerobot: frames a second (camera's)")
    parser.add_argument("--task", default="", metavar="TEXT", help="lerobot: what the robot did, in words")
    parser.add_argument("--detector", type=Path, metavar="MODEL", help="yolo: look again with this one (or `person`)")
    add_layout(parser)
    parser.add_argument("--score", type=number(0.001, 0.999), metavar="S", help="video, yolo: boxes above it (all)")
    parser.add_argument("--val", type=number(0, 0.9), default=0.2, metavar="SHARE", help="yolo: to judge by (0.2)")
    parser.add_argument(
        "--empty", type=number(0, 1), default=0.5, metavar="SHARE", help="yolo: pictures without a box at most (0.5)"
    )
    parser.add_argument(
        "--change", type=number(0, 255), default=4.0, metavar="LEVELS",
        help="yolo: leave out pictures that differ by less from the one before (4 grey levels of 255)",
    )  # fmt: skip
    parser.add_argument("--json", action="store_true", help="print what was written as JSON to stdout")
    return parser
