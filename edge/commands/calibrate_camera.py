"""`edgebot calibrate camera`: the lens from pictures of a chessboard, as a file that `robot.toml` names."""

from __future__ import annotations

import argparse
import json
import math
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from edge.commands.arguments import Parser, number, whole, writing
from edge.commands.bar import bar
from edge.errors import UsageError

if TYPE_CHECKING:
    from edge.perception.chessboard import Calibrated, Corners
    from edge.perception.sources import Shot, Source

EXAMPLES = """\
examples:
  edgebot calibrate camera usb:0                       a live camera: show it the board from all sides
  edgebot calibrate camera pi --robot robot.toml       the robot's own
  edgebot calibrate camera photos/ --board 9x6         a folder of pictures of one size, or a video
  edgebot calibrate camera photos/ -o front.toml --json

Print a chessboard (of 10 x 7 squares: 9 x 6 inner corners), glue it to something flat, and show it near and far, in
the middle and at all edges, tilted by 30 degrees and more. Of a camera or a video a picture is taken whenever the
board has moved on. The result goes into camera.toml; with `calibration = "camera.toml"` in the [camera] table of
robot.toml, bearings and distances are reckoned with the lens as it is."""

MOVED = 0.06  # of the picture's width: how far the board must have moved for another picture


def main(argv: list[str]) -> int:
    """Run it."""
    args = _parser().parse_args(argv)
    from edge.perception.chessboard import calibrate
    from edge.perception.sources import note_skipped, open_source
    from robot.config import load
    from robot.files import write_atomically

    source = open_source(args.source, load(args.robot), frames=args.frames)
    views, names, size = _views(source, args.board, args.views)
    note_skipped(source)
    found = calibrate(views, size, args.board, args.square)
    with writing(args.output):
        write_atomically(args.output, _toml(found).encode())
    if args.json:
        print(json.dumps(found.intrinsics.model_dump() | {"views": len(views), "covered": found.covered}))
    else:
        _report(found, names)
    print(f'wrote {args.output}; name it in robot.toml: [camera] calibration = "{args.output}"', file=sys.stderr)
    return 0


def _parser() -> Parser:
    parser = Parser("calibrate camera", "Measure a camera's lens by a chessboard.", EXAMPLES)
    parser.add_argument("source", metavar="SOURCE", help="a folder of pictures, a video, usb:0 or pi")
    parser.add_argument("--board", type=_board, default=(9, 6), metavar="AxB", help="inner corners (9x6)")
    parser.add_argument(
        "--square", type=number(0.001, 1, "metres"), default=0.025, metavar="M", help="side of a square (0.025 m)"
    )
    parser.add_argument("--views", type=whole(6, 500), default=25, metavar="N", help="at most so many pictures (25)")
    parser.add_argument("--frames", type=whole(1, 10**9), metavar="N", help="look at N frames at most")
    parser.add_argument("--robot", type=Path, metavar="FILE", help="robot.toml, for the camera of usb:0 and pi")
    parser.add_argument("-o", "--output", type=Path, default=Path("camera.toml"), metavar="FILE", help="(camera.toml)")
    parser.add_argument("--json", action="store_true", help="print the result as JSON to stdout")
    return parser


def _board(text: str) -> tuple[int, int]:
    match = re.fullmatch(r"(\d+)x(\d+)", text)
    if match is None or not all(3 <= int(part) <= 50 for part in match.groups()):
        raise argparse.ArgumentTypeError(f"{text!r} is no board; write its inner corners like 9x6, each 3 to 50")
    return int(match[1]), int(match[2])


def _views(source: Source, board: tuple[int, int], most: int) -> tuple[list[Corners], list[str], tuple[int, int]]:
    """Corners of the board on the pictures that show it, where each is from, and the pictures' size."""
    views: list[Corners] = []
    names: list[str] = []
    size = (0, 0)
    film = source.kind in ("video", "live")
    with bar(f"looking for the board, {most} views at most", None if film else source.total) as advance:
        try:
            for shot in source.shots:
                new = (shot.image.shape[1], shot.image.shape[0])
                if size not in ((0, 0), new):
                    raise UsageError(
                        f"{shot.source} has {new[0]} x {new[1]} pixels, the pictures before it {size[0]} x {size[1]}; "
                        "all must be of one camera in one size"
                    )
                size = new
                view = _look(shot, board)
                if view is not None and not (film and views and _still(views, view, size)):
                    views.append(view)
                    names.append(f"{Path(shot.source).name} {shot.frame}" if film else Path(shot.source).name)
                    if source.kind == "live":
                        print(f"view {len(views)} of {most}", file=sys.stderr)
                advance(1)
                if len(views) >= most:
                    break
        except KeyboardInterrupt:
            if source.kind != "live":
                raise
    return views, names, size


def _look(shot: Shot, board: tuple[int, int]) -> Corners | None:
    from edge.perception.chessboard import find_corners

    return find_corners(shot.image, board)


def _still(views: list[Corners], view: Corners, size: tuple[int, int]) -> bool:
    """Whether the board was seen in nearly this place before."""
    return any(float(np.abs(view - one).max()) < MOVED * size[0] for one in views)


def _toml(found: Calibrated) -> str:
    lines = ["# The camera's lens, measured by `edgebot calibrate camera`.", "[camera.intrinsics]"]
    lines += [f"{name} = {value!r}" for name, value in found.intrinsics.model_dump().items()]
    return "\n".join(lines) + "\n"


def _report(found: Calibrated, names: list[str]) -> None:
    from rich.console import Console
    from rich.table import Table

    lens = found.intrinsics
    fov = math.degrees(2 * math.atan(lens.width_px / 2 / lens.fx_px))
    table = Table(title=f"the lens, from {sum(one is not None for one in found.errors)} views", show_header=False)
    table.add_row("focal length", f"{lens.fx_px:.1f} x {lens.fy_px:.1f} px, known to {found.spread:.2%}")
    table.add_row("middle", f"{lens.cx_px:.1f}, {lens.cy_px:.1f} px of {lens.width_px} x {lens.height_px}")
    table.add_row("field of view", f"{fov:.1f} degrees from left to right, without distortion")
    table.add_row("distortion", f"k1 {lens.k1:+.4f}  k2 {lens.k2:+.4f}  p1 {lens.p1:+.5f}  p2 {lens.p2:+.5f}")
    table.add_row("reprojection error", f"{lens.error_px:.3f} px, root mean square")
    worst = max((error, name) for error, name in zip(found.errors, names, strict=True) if error is not None)
    table.add_row("worst view", f"{worst[0]:.3f} px, {worst[1]}")
    if left := [name for error, name in zip(found.errors, names, strict=True) if error is None]:
        table.add_row("left out", f"{', '.join(left)}: fitted much worse than the others")
    hint = "" if found.covered >= 0.75 else "; show the board nearer to the picture's edges, too"
    table.add_row("picture covered", f"{found.covered:.0%}{hint}")
    Console(width=None if sys.stdout.isatty() else 120).print(table)
