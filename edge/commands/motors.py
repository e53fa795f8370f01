"""`edgebot motors`: look at the motors' own process, stop it for good, and let it go on."""

from __future__ import annotations

import json
import math
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edge.commands.arguments import Parser, writing
from edge.errors import UsageError

if TYPE_CHECKING:
    from robot.motor_report import Report

EXAMPLES = """\
actions:
  status        what is on the wheels, why, who drives, and whether the emergency stop holds
  stop          wheels to zero, and kept there until acknowledged; anyone may, while another drives
  acknowledge   let the robot drive again: after the emergency stop's switch has been released, or after `stop`
  config        write what edgebot-motord has to know of a robot (flat JSON)

examples:
  edgebot motors status
  edgebot motors acknowledge
  edgebot motors config --robot robot.toml -o motord.json
  edgebot motors status --socket /tmp/motord.sock --json

The emergency stop is latched: it outlives a restart of edgebot-motord, and both are needed, the released switch and
the acknowledgement. A policy that still runs drives on at once then. Exit code: 0; `status` gives 1 while the
emergency stop holds; 2 where edgebot-motord does not run, or refuses."""

ACTIONS = ("status", "stop", "acknowledge", "config")


def main(argv: list[str]) -> int:
    """Ask, or write. Returns the exit code."""
    args = _parser().parse_args(argv)
    if args.action != "config" and (args.robot or args.output):
        raise UsageError(f"--robot and -o are for `edgebot motors config`, not for {args.action!r}; leave them out")
    if args.action == "config":
        return _config(args.robot, args.output)
    from robot.motord.client import ask
    from robot.motord.protocol import Kind

    path = args.socket or _socket()
    kinds = {"status": Kind.ASK, "stop": Kind.HALT, "acknowledge": Kind.ACKNOWLEDGE}
    report = ask(path, kinds[args.action])
    if args.json:
        print(json.dumps(as_json(report)))
    else:
        print("\n".join(f"{name:<16}{value}" for name, value in rows(report)), file=sys.stderr)
    return 1 if args.action == "status" and report.stopped else 0


def _socket() -> Path:
    """Of the one that EDGEBOT_MOTORD names, else the machine's own, else the one that a running `edgebot` brought."""
    from robot.motord.child import running
    from robot.motord.protocol import PATH_VARIABLE, SOCKET

    if os.environ.get(PATH_VARIABLE) or SOCKET.exists():
        return Path(os.environ.get(PATH_VARIABLE) or SOCKET)
    children = running()
    if len(children) > 1:
        raise UsageError(f"{len(children)} runs have a motor process of their own; name one: --socket {children[0]}")
    return children[0] if children else SOCKET


def as_json(report: Report) -> dict[str, Any]:
    """A report as plain data; what is infinite is null."""
    return {
        "applied": {"left": report.applied.left, "right": report.applied.right},
        "cause": report.cause.name.lower(),
        "age_s": None if math.isinf(report.age_s) else report.age_s,
        "emergency_stop": report.stopped,
        "switch": report.switch.name.lower(),
        "flags": [str(flag.name).lower() for flag in report.flags],
        "pid": report.pid,
        "driver": report.driver or None,
        "up_s": report.stamp - report.started,
        "commands": report.commands,
        "expiries": report.expiries,
        "refusals": report.refusals,
    }


def rows(report: Report) -> list[tuple[str, str]]:
    """A report in words, for people."""
    from robot.motor_report import SENTENCES, Flag, Switch

    switch = {
        Switch.RELEASED: "released",
        Switch.PRESSED: "pressed, or its wire is broken",
        Switch.ABSENT: "none is fitted",
        Switch.FAILED: "cannot be read",
    }[report.switch]
    held = ", latched until `edgebot motors acknowledge`" if Flag.LATCHED in report.flags else ""
    found = [
        ("wheels", f"{report.applied.left:+.2f} {report.applied.right:+.2f}  {SENTENCES[report.cause]}"),
        ("last command", "none yet" if math.isinf(report.age_s) else f"{report.age_s:.2f} s ago"),
        ("emergency stop", switch + held),
        ("driver", f"process {report.driver}" if Flag.DRIVEN in report.flags else "none"),
        ("since the start", f"{report.commands} commands, {report.expiries} expired, {report.refusals} refused"),
        ("process", f"{report.pid}, up for {report.stamp - report.started:.0f} s{_favours(report)}"),
    ]
    warnings = {
        Flag.MOCK: "mock pins: no wheel turns",
        Flag.UNCHECKED: "the check of the firmware's settings was waived",
        Flag.UNSTORED: "the latch could not be written: a restart forgets the emergency stop",
    }
    return found + [("WARNING", text) for flag, text in warnings.items() if flag in report.flags]


def _favours(report: Report) -> str:
    from robot.motor_report import Flag

    names = {Flag.REALTIME: "real-time priority", Flag.LOCKED: "memory locked"}
    return "".join(f", {name}" for flag, name in names.items() if flag in report.flags)


def _config(robot: Path | None, output: Path | None) -> int:
    from robot.config import load
    from robot.files import write_atomically
    from robot.motord.config import of_robot

    if robot is None:
        raise UsageError("say which robot: edgebot motors config --robot robot.toml")
    text = of_robot(load(robot)).text()
    if output is None:
        print(text, end="")
        return 0
    with writing(output):
        write_atomically(output, text.encode())
    print(output, file=sys.stderr)
    return 0


def _parser() -> Parser:
    parser = Parser("motors", "Look at the motors' own process, stop the wheels, and let them go on.", EXAMPLES)
    parser.add_argument("action", choices=ACTIONS, metavar="ACTION", help=", ".join(ACTIONS))
    parser.add_argument("--socket", type=Path, metavar="PATH", help="default: the machine's own, or a run's")
    parser.add_argument("--robot", type=Path, metavar="FILE", help="config: the robot.toml")
    parser.add_argument("-o", "--output", type=Path, metavar="FILE", help="config: where to; else to stdout")
    parser.add_argument("--json", action="store_true", help="print the status as JSON to stdout")
    return parser
