"""`edgebot doctor`: should this machine drive a robot, and what has to be mended first."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

from edge.commands.arguments import Parser, number
from edge.errors import UsageError

if TYPE_CHECKING:
    from edge.doctor.rows import Examined, Row

EXAMPLES = """\
examples:
  edgebot doctor                              this machine: on a Raspberry Pi as a robot, else for simulated ones
  edgebot doctor --robot robot.toml           for this robot
  edgebot doctor --robot robot.toml --policy person        its camera and model must work too
  edgebot doctor --sim --json                 for simulated robots only, as JSON

Each warning and failure comes with the one command that mends it. Exit code: 0 where the machine may drive, 1 where
it should not, 2 for a mistake in the arguments or files. With --sim, and on a machine that is no Raspberry Pi, the
question is a simulated robot; with --robot it is always the real one. `edgebot run` and `edgebot drive` ask the quick
questions by themselves before they drive a real robot."""

COLOURS = {"ok": "green", "note": "cyan", "warning": "yellow", "failure": "bold red", "skipped": "dim"}
INSTALLED = Path("/etc/edgebot/robot.toml")


def main(argv: list[str]) -> int:
    """Examine, tell. Returns the exit code."""
    args = _parser().parse_args(argv)
    if args.sim and args.robot is not None:
        raise UsageError("--sim and --robot ask for different machines; leave one of them out")
    from rich.console import Console

    from edge.doctor.checks import examine, fit
    from edge.doctor.machine import Machine
    from edge.doctor.rows import Examined
    from edge.policies import make
    from robot.config import load

    machine = Machine()
    robot = args.robot
    if robot is None and not args.sim and machine.is_pi:
        robot = next((path for path in (Path("robot.toml"), INSTALLED) if path.is_file()), None)
    config = load(robot)
    models = tuple(Path(text) for text in (args.policy,) if text is not None and text.endswith(".tflite"))
    camera = args.policy is not None and make(args.policy, config).needs_camera
    real = not args.sim and (args.robot is not None or machine.is_pi)
    examined = Examined(machine, config, robot, real, camera, models, args.jitter)
    console = Console(stderr=True, highlight=False)
    with console.status("") as status:
        rows = examine(examined, args.quick, lambda name: status.update(name))
    drives = fit(rows)
    if args.json:
        print(json.dumps(as_json(examined, rows, drives)))
    else:
        report(examined, rows, drives)
    return 0 if drives else 1


def as_json(examined: Examined, rows: list[Row], drives: bool) -> dict[str, object]:
    """The table as plain data."""
    return {
        "drives": drives,
        "robot": "real" if examined.real else "simulated",
        "description": str(examined.robot) if examined.robot is not None else None,
        "computer": examined.machine.model or examined.machine.architecture(),
        "rows": [
            {"check": row.check, "level": str(row.level), "found": row.found, "mend": row.mend or None} for row in rows
        ],
    }


def report(examined: Examined, rows: list[Row], drives: bool) -> None:
    """The table, on stderr."""
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    console = Console(stderr=True, highlight=False)
    table = Table(box=None, pad_edge=False)
    for name in ("", "what", "found"):
        table.add_column(name, overflow="fold", no_wrap=name != "found")
    for row in rows:
        mend = f"\n[bold]$ {escape(row.mend)}[/]" if row.mend else ""
        table.add_row(f"[{COLOURS[row.level]}]{row.level}[/]", row.check, escape(row.found) + mend)
    console.print(table)
    what = "a real robot" if examined.real else "a simulated robot"
    failures = sum(row.level == "failure" for row in rows)
    console.print(
        f"[bold green]This machine may drive {what}.[/]"
        if drives
        else f"[bold red]This machine should not drive {what}: {failures} to mend.[/]"
    )


def _parser() -> Parser:
    parser = Parser("doctor", "Should this machine drive a robot? One table, each failure with its cure.", EXAMPLES)
    parser.add_argument("--robot", type=Path, metavar="FILE", help="robot.toml of the real robot that it is to drive")
    parser.add_argument("--sim", action="store_true", help="it is to drive simulated robots only")
    parser.add_argument("--policy", metavar="NAME|MODEL", help="what is to drive: its model and camera are looked at")
    parser.add_argument("--jitter", type=number(0.1, 600, "seconds"), default=5.0, metavar="S",
                        help="how long the loop's punctuality is measured (default 5)")  # fmt: skip
    parser.add_argument("--quick", action="store_true", help="only what takes no time, as before each drive")
    parser.add_argument("--json", action="store_true", help="print the table as JSON to stdout")
    return parser
