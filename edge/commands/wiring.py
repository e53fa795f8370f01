"""`edgebot wiring`: what goes to which pin, as a table and a picture."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from edge.commands.arguments import Parser, writing
from edge.errors import UsageError

if TYPE_CHECKING:
    from edge.hil.jumpers import Jumper
    from edge.wiring.parts import Row

EXAMPLES = """\
examples:
  edgebot wiring robot.toml                       the table of all wires
  edgebot wiring robot.toml -o wiring.svg         and the picture; .png works too
  edgebot wiring robot.toml --loopback -o loopback.png
                                                  the jumpers of `edgebot hil --loopback`
  edgebot wiring                                  of the example robot"""


def main(argv: list[str]) -> int:
    """Draw and tell. Returns the exit code."""
    args = _parser().parse_args(argv)
    if args.output is not None and args.output.suffix.lower() not in (".svg", ".png"):
        raise UsageError(f"-o {str(args.output)!r} is no picture that can be drawn; name it .svg or .png")
    from edge.wiring import draw
    from edge.wiring.parts import parts, table
    from robot.config import load
    from robot.files import write_atomically

    config = load(args.robot)
    if args.loopback:
        from edge.hil.jumpers import jumpers

        plan = jumpers(config)
        rows, picture = loopback_table(plan.wires), draw.loopback(plan)
    else:
        found = parts(config)
        rows, picture = table(found), draw.robot(config, found)
    if args.output is not None:
        from edge.wiring.canvas import png, svg

        painted = args.output.suffix.lower() == ".png"
        data = png(*picture) if painted else svg(*picture).encode()
        with writing(args.output):
            write_atomically(args.output, data)
        print(f"drawn: {args.output}", file=sys.stderr)
    if args.json:
        print(json.dumps([asdict(row) for row in rows]))
    else:
        show(rows)
    return 0


def loopback_table(wires: list[Jumper]) -> list[Row]:
    """The jumpers as rows."""
    from edge.wiring.header import PIN_OF
    from edge.wiring.parts import Row

    return [
        Row(f"jumper {number + 1}", wire.source_name, f"pin {PIN_OF[wire.source]}", f"GPIO {wire.source}",
            f"to pin {PIN_OF[wire.target]} (GPIO {wire.target}): {wire.target_name}")
        for number, wire in enumerate(wires)
    ]  # fmt: skip


def show(rows: list[Row]) -> None:
    """The table on standard output."""
    from rich.console import Console
    from rich.table import Table

    grid = Table(box=None, pad_edge=False)
    for name in ("part", "terminal", "header", "name", "note"):
        grid.add_column(name, overflow="fold", no_wrap=name in ("header", "name"))
    before = ""
    for row in rows:
        grid.add_row("" if row.part == before else row.part, row.terminal, row.header, row.name, row.note)
        before = row.part
    Console(width=None if sys.stdout.isatty() else 140, highlight=False, markup=False).print(grid)


def _parser() -> Parser:
    parser = Parser("wiring", "What goes to which pin of the 40-pin header, from a robot's description.", EXAMPLES)
    parser.add_argument("robot", type=Path, nargs="?", metavar="FILE", help="robot.toml; the example without it")
    parser.add_argument("--loopback", action="store_true", help="the jumper wires of `edgebot hil --loopback`")
    parser.add_argument("-o", "--output", type=Path, metavar="FILE", help="draw a picture: .svg or .png")
    parser.add_argument("--json", action="store_true", help="the table as JSON")
    return parser
