"""`edgebot bench`: what things cost on this machine."""

from __future__ import annotations

import json
import os
import platform
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from edge.commands.arguments import Parser, add_layout, detector_of, whole
from edge.errors import UsageError

if TYPE_CHECKING:
    from edge.bench.detect import Row

EXAMPLES = """\
examples:
  edgebot bench detect                                  the shipped detector, on every interpreter that is here
  edgebot bench detect yolo.tflite yolo-int8.tflite     float beside int8
  edgebot bench detect yolo.tflite --threads 1,2,4 --photo crowd.jpg
  edgebot bench detect yolo.tflite --json > bench.json

`invoke` is the model alone, `frame to boxes` all that the robot does with a picture of 640 x 480; both are timed in
turn, each row in a process of its own. Close other programs first."""


def main(argv: list[str]) -> int:
    """Run the verb."""
    if argv[:1] and argv[0] in SUBJECTS:
        return SUBJECTS[argv[0]](argv[1:])
    if argv[:1] and not argv[0].startswith("-"):
        raise UsageError(f"bench does not know {argv[0]!r}, expected {', '.join(SUBJECTS)}; `edgebot bench --help`")
    parser = Parser("bench", "Measure what a thing costs on this machine.", EXAMPLES)
    parser.add_argument("subject", choices=tuple(SUBJECTS), help="detect: a detector, from a frame to boxes")
    parser.parse_args(argv)
    return 0


def detect(argv: list[str]) -> int:
    """`edgebot bench detect`."""
    parser = Parser("bench detect", "Time a detector, from a camera's frame to boxes.", EXAMPLES)
    parser.add_argument("model", nargs="*", metavar="MODEL", help="detectors' .tflite files (default: the shipped one)")
    add_layout(parser)
    parser.add_argument("--threads", type=_threads, default=(1,), metavar="N,N", help="of the interpreter (1)")
    parser.add_argument("--photo", type=Path, metavar="FILE", help="look at this instead of the simulated camera's")
    parser.add_argument("--frames", type=whole(5, 100_000), default=200, metavar="N", help="timed frames a row (200)")
    parser.add_argument("--json", action="store_true", help="print the rows as JSON to stdout")
    args = parser.parse_args(argv)
    from edge.bench.detect import available, rows
    from edge.commands.bar import bar
    from edge.perception.detector import SHIPPED
    from edge.perception.model_file import ModelFile

    files = [detector_of(model, args) or ModelFile(SHIPPED) for model in args.model or ["person"]]
    interpreters = available()
    if not interpreters:
        raise UsageError("no working TFLite interpreter is installed; pip install ai-edge-litert")
    found = []
    with bar("measuring", len(files) * len(interpreters) * len(args.threads)) as advance:
        for row in rows(files, interpreters, args.threads, args.photo, args.frames):
            found.append(row)
            advance(1)
    if args.json:
        print(json.dumps({"machine": machine(), "frames": args.frames, "rows": [row.as_dict() for row in found]}))
    else:
        _tell(found, args.frames)
    return 0


SUBJECTS: dict[str, Callable[[list[str]], int]] = {"detect": detect}


def machine() -> dict[str, str | float | int]:
    """What the figures belong to."""
    import cv2
    import numpy as np

    model = Path("/proc/device-tree/model")  # a Raspberry Pi's name
    return {
        "machine": model.read_text().strip("\0 \n") if model.is_file() else platform.machine(),
        "cores": os.cpu_count() or 1,
        "python": platform.python_version(),
        "numpy": np.__version__,
        "opencv": cv2.__version__,
        "load": round(os.getloadavg()[0], 1),
    }


def table(found: list[Row]) -> tuple[tuple[str, ...], list[tuple[str, ...]]]:
    """Headings and rows, for the screen and for docs/benchmarks-detect.md."""
    headings = ("model", "input", "arithmetic", "interpreter", "threads", "invoke", "prepare", "decode + NMS",
                "frame to boxes", "p99", "ratio", "frames/s", "memory", "found")  # fmt: skip
    lines: list[tuple[str, ...]] = [
        (row.model, row.size, row.arithmetic, row.interpreter, str(row.threads), f"{row.invoke_us:.0f} us",
         f"{row.prepare_us:.0f} us", f"{row.decode_us:.0f} us", f"{row.p50_us:.0f} us", f"{row.p99_us:.0f} us",
         f"{row.ratio:.2f}", f"{row.fps:.0f}", f"{row.peak_mb:.0f} MB", f"{row.found:.1f}")
        for row in found
    ]  # fmt: skip
    return headings, lines


def note(frames: int) -> str:
    """How the figures were taken, and where."""
    from edge.bench.detect import LONGEST_S

    here = machine()
    return (
        f"{frames} frames of 640 x 480 a row, or {LONGEST_S:.0f} s of them, medians; invoke and the whole way timed in "
        f"turn. ratio is frame to boxes over the bare invoke, memory the whole process at its largest, found the "
        f"detections per frame. "
        f"{here['machine']}, {here['cores']} cores, Python {here['python']}, numpy {here['numpy']}, "
        f"OpenCV {here['opencv']}, load {here['load']}."
    )


def _tell(found: list[Row], frames: int) -> None:
    from rich.console import Console
    from rich.table import Table

    headings, lines = table(found)
    shown = Table(title="frame to boxes", title_justify="left", box=None)
    for heading in headings:
        shown.add_column(heading, justify="left" if heading in ("model", "arithmetic", "interpreter") else "right")
    for line in lines:
        shown.add_row(*line)
    console = Console(width=None if sys.stdout.isatty() else 190)
    console.print(shown)
    console.print(note(frames))


def _threads(text: str) -> tuple[int, ...]:
    return tuple(whole(1, 64)(one) for one in text.split(","))
