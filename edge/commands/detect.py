"""`edgebot detect`: find things in a photo, a folder, a video or a camera's picture."""

from __future__ import annotations

import contextlib
import json
import os
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edge.commands.arguments import Parser, add_layout, detector_of, number, whole

if TYPE_CHECKING:
    from edge.perception.detector import Detector
    from edge.perception.identities import Identities
    from edge.perception.sources import Shot, Source
    from edge.types import Detection

EXAMPLES = """\
examples:
  edgebot detect photo.jpg                              persons, with the model that comes with edgebot
  edgebot detect photo.jpg --model yolo.tflite --score 0.5 --save found.jpg
  edgebot detect street.mp4 --model yolo.tflite --save found.mp4
  edgebot detect street.mp4 --model yolo.tflite --track --save found.gif
                                                        an identity for each thing, in an animation
  edgebot detect photos/ --model yolo.tflite --json > found.jsonl
  edgebot detect usb:0                                  until Ctrl-C
  edgebot detect sim --seed 7 --save sim.mp4            what a simulated robot sees

json: one line per frame, {"source": ..., "frame": n, "detections": [{"label": ..., "score": ..., "box":
[x, y, w, h]}]}, the box in pixels of the original picture from its top left corner. With --track each detection
has a "track" too, the number of its identity, or null where it was not seen before. Ctrl-C ends with what was found
so far, and completes the file of --save. Exit code: 0; 2 for a mistake in the arguments or files; 130 where Ctrl-C
cut a video or folder short."""


def main(argv: list[str]) -> int:
    """Run the verb."""
    args = _parser().parse_args(argv)
    from edge.commands.save import open_saver
    from edge.perception.detector import Detector
    from edge.perception.geometry import CameraGeometry
    from edge.perception.identities import WEAK, Identities
    from edge.perception.sources import note_skipped, open_source
    from robot.config import load

    config = load(args.robot)
    own = args.source in ("sim", "pi") or args.source.startswith("usb:")
    lens = config.camera.ideal() if args.source == "sim" and config.camera else config.camera
    geometry = CameraGeometry(lens) if own and lens else None
    score = min(args.score, WEAK) if args.track else args.score
    detector = Detector(detector_of(args.model, args), score, args.threads, geometry)
    source = open_source(args.source, config, args.seed, args.frames)
    path = args.save
    if path is None and source.kind == "photo" and not args.json:
        path = Path(f"{Path(args.source).stem}-detected.jpg")
    saver = open_saver(path, source.kind, source.fps, args.source) if path is not None else None
    identities = Identities(source, args.score) if args.track else None
    told = _Told(args.json, source, identities)
    code = 0
    try:
        with _bar(source) as advance:
            for shot in source.shots:
                found = detector.detect(shot.image)
                if identities is not None:
                    found = identities.update(shot, found)
                if saver is not None:
                    from edge.perception.draw import draw

                    saver.write(draw(shot.image, found, detector.labels), shot.source, shot.frame)
                told.add(shot, found)
                advance()
    except KeyboardInterrupt:
        code = 0 if source.kind == "live" else 130  # a camera is ended this way, anything else is cut short
    except BrokenPipeError:  # the reader of our stdout (head, grep -q) has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        return 0
    finally:
        if saver is not None:
            saver.close()
        note_skipped(source)
    told.end(detector)
    if saver is not None and saver.written:
        print(f"wrote {saver.path}", file=sys.stderr)
    if code:
        print("interrupted", file=sys.stderr)
    return code


def _parser() -> Parser:
    parser = Parser("detect", "Find persons and things in pictures.", EXAMPLES)
    parser.add_argument("source", metavar="SOURCE", help="a photo, a folder, a video, usb:0, pi or sim")
    parser.add_argument("--model", metavar="MODEL", help="a .tflite, or a name of `edgebot models list` (person)")
    add_layout(parser)
    parser.add_argument(
        "--score", type=number(0.001, 0.999), default=0.25, metavar="S", help="least score, 0.001 to 0.999 (0.25)"
    )
    parser.add_argument("--save", type=Path, metavar="PATH", help="picture, folder, video or animation, with boxes")
    parser.add_argument("--track", action="store_true", help="tell who is who from frame to frame of a video or camera")
    parser.add_argument("--json", action="store_true", help="one line of JSON per frame on stdout")
    parser.add_argument("--frames", type=whole(1, 10**9), metavar="N", help="end after N frames")
    parser.add_argument("--robot", type=Path, metavar="FILE", help="robot.toml, for the camera of usb:0, pi and sim")
    parser.add_argument("--seed", type=whole(0, 2**31 - 1), default=0, metavar="N", help="of the simulated room (0)")
    parser.add_argument("--threads", type=whole(1, 64), default=1, metavar="N", help="for the model (1)")
    return parser


class _Told:
    """What the user is told: JSON line by line, or a table at the end."""

    def __init__(self, as_json: bool, source: Source, identities: Identities | None) -> None:
        self._json = as_json
        self._film = source.kind in ("video", "live", "sim")
        self._identities = identities
        self._rows: list[tuple[str, ...]] = []
        self._frames = 0
        self._seen: Counter[str] = Counter()
        self._boxes: Counter[str] = Counter()
        self._best: dict[str, float] = {}

    def add(self, shot: Shot, found: tuple[Detection, ...]) -> None:
        self._frames += 1
        if self._json:
            items = [
                {
                    "label": one.label,
                    "score": round(one.score, 4),
                    "box": [round(value, 2) for value in one.box],
                }
                | ({} if self._identities is None else {"track": one.track})
                for one in found
            ]
            print(json.dumps({"source": shot.source, "frame": shot.frame, "detections": items}), flush=True)
        for one in found:
            self._boxes[one.label] += 1
            self._best[one.label] = max(self._best.get(one.label, 0.0), one.score)
        self._seen.update({one.label for one in found})
        if self._film or self._json:
            return
        for one in found:
            box = tuple(f"{value:.0f}" for value in one.box)
            self._rows.append((Path(shot.source).name, one.label, f"{one.score:.2f}", *box))

    def end(self, detector: Detector) -> None:
        if self._json:
            return
        from rich.console import Console
        from rich.table import Table

        table = Table(title=f"{detector.manifest.name}, {self._frames} frame{'s' if self._frames != 1 else ''}")
        if self._film:
            headings: tuple[str, ...] = ("label", "frames", "boxes", "best score")
            rows: list[tuple[str, ...]] = [
                (label, str(count), str(self._boxes[label]), f"{self._best[label]:.2f}")
                for label, count in self._seen.most_common()
            ]
        else:
            headings = ("picture", "label", "score", "x", "y", "width", "height")
            rows = self._rows
        for heading in headings:
            table.add_column(heading, justify="left" if heading in ("picture", "label") else "right")
        for row in rows:
            table.add_row(*row)
        # A pipe has no width: never fold the table there.
        console = Console(width=None if sys.stdout.isatty() else 160)
        console.print(table if rows else f"{detector.manifest.name}: nothing found on {self._frames} frames")
        if self._identities is not None:
            console.print(self._identities.sentence())


@contextlib.contextmanager
def _bar(source: Source) -> Iterator[Any]:
    """A progress bar with frames per second, for sources that take a while."""
    if source.kind == "photo":
        yield lambda: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, ProgressColumn, Task, TextColumn
    from rich.text import Text

    class Rate(ProgressColumn):
        def render(self, task: Task) -> Text:
            return Text(f"{task.finished_speed or task.speed or 0.0:6.1f} frames/s")

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), Rate())
    with Progress(*columns, console=Console(stderr=True)) as progress:
        task = progress.add_task("detecting", total=source.total)
        yield lambda: progress.advance(task)
        count = progress.tasks[0].completed
        progress.update(task, total=count)  # what was skipped or cut short
