"""`edgebot recording`: look into recordings, mend them, and make other files of them."""

from __future__ import annotations

import argparse
import importlib
import json
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from edge.commands.arguments import Parser
from edge.errors import UsageError

if TYPE_CHECKING:
    from edge.recordings.info import Info
    from edge.recordings.repair import Report

HELP = """\
usage: edgebot recording info FILE... [--json]
       edgebot recording repair FILE... [-o FILE] [--json]
       edgebot recording export FILE... --format csv|video|yolo|lerobot [-o PATH]

  info     what is in a recording: topics and rates, the guard's reasons, what is missing, whether it is whole
  repair   make a whole file of one that a crash, a power cut or a bad disk left behind
  export   a LeRobot dataset, tables (CSV), a video with boxes, or a YOLO dataset

`edgebot recording VERB --help` teaches each, with examples."""

INFO = """\
examples:
  edgebot recording info run.mcap
  edgebot recording info recordings/*.mcap
  edgebot recording info run.mcap --json | jq .topics

Every byte is read and every CRC checked. State: whole; not closed (all chunks are right, the end is missing: a
crash); damaged. A recording of either kind is mended by `edgebot recording repair`. Exit code: 0 where every
file could be read, 2 where one is no recording."""

REPAIR = """\
examples:
  edgebot recording repair run.mcap             run.mcap is whole then; the damaged file stays as run.mcap.damaged
  edgebot recording repair run.mcap -o whole.mcap     run.mcap is not touched
  edgebot recording repair recordings/*.mcap    whole ones are left alone

The whole file is written beside the damaged one and forced to the disk before it takes its name. Exit code: 0
where every file is whole now, 2 where one could not be mended; that one is left as it is."""

VERBS: dict[str, str] = {
    "info": "edge.commands.recording:info",
    "repair": "edge.commands.recording:repair",
    "export": "edge.commands.recording_export:main",
}


def main(argv: list[str]) -> int:
    """Hand on to the verb. Returns the exit code."""
    if not argv or argv[0] in ("-h", "--help", "help"):
        print(HELP)
        return 0
    if argv[0] not in VERBS:
        raise UsageError(f"`edgebot recording` does not know {argv[0]!r}; it knows {', '.join(VERBS)}")
    module, function = VERBS[argv[0]].split(":")
    return int(getattr(importlib.import_module(module), function)(argv[1:]))


def info(argv: list[str]) -> int:
    """`edgebot recording info`."""
    parser = Parser("recording info", "Tell what is in recordings, and whether they are whole.", INFO)
    args = _parse(parser, argv)
    from edge.recordings.info import inspect

    found = []
    with _progress("reading", args.files) as advance:
        for path in args.files:
            found.append(inspect(path, advance))
    if args.json:
        plain = [one.as_dict() for one in found]
        print(json.dumps(plain[0] if len(plain) == 1 else plain))
        return 0
    for one in found:
        _show(one)
    return 0


def repair(argv: list[str]) -> int:
    """`edgebot recording repair`."""
    parser = Parser("recording repair", "Make whole recordings of damaged ones.", REPAIR)
    parser.add_argument("-o", "--output", type=Path, metavar="FILE", help="write it there and leave FILE as it is")
    args = _parse(parser, argv)
    if args.output is not None and len(args.files) > 1:
        raise UsageError("-o names one file, but several are to be repaired; give one, or leave -o out")
    from edge.recordings.repair import RepairError
    from edge.recordings.repair import repair as mend

    reports, failed = [], 0
    with _progress("repairing", args.files) as advance:
        for path in args.files:
            try:
                reports.append(mend(path, args.output, advance))
            except RepairError as error:
                if len(args.files) == 1:
                    raise
                print(f"edgebot: {error}", file=sys.stderr)
                failed += 1
    if args.json:
        plain = [report.as_dict() for report in reports]
        print(json.dumps(plain[0] if len(args.files) == 1 else plain))
    for report in reports:
        print(_sentence(report), file=sys.stderr)
    return 2 if failed else 0


def _parse(parser: Parser, argv: list[str]) -> argparse.Namespace:
    parser.add_argument("files", nargs="+", type=Path, metavar="FILE", help="an .mcap file")
    parser.add_argument("--json", action="store_true", help="print the result as JSON to stdout")
    return parser.parse_args(argv)


@contextmanager
def _progress(what: str, files: list[Path]) -> Iterator[Callable[[int], None] | None]:
    """A bar on stderr for what takes long; yields what takes the bytes that have been dealt with."""
    from rich.console import Console
    from rich.progress import Progress

    console = Console(stderr=True)
    size = sum(path.stat().st_size for path in files if path.is_file())
    if not console.is_terminal or size < 20_000_000:
        yield None
        return
    with Progress(console=console, transient=True) as bar:
        task = bar.add_task(what, total=size)
        yield lambda count: bar.advance(task, count)


def _sentence(report: Report) -> str:
    if report.whole:
        return f"{report.path} is whole: {report.messages} messages; nothing was changed"
    span = "" if report.first_s is None or report.last_s is None else f" over {report.last_s - report.first_s:.1f} s"
    saved = f", {report.saved} of them out of a chunk that was cut off" if report.saved else ""
    kept = f"; the damaged file is {report.original}" if report.original else ""
    what = "; ".join(report.damage)
    return f"{report.path} is whole now: {report.messages} messages{span}{saved}; it was damaged {what}{kept}"


def _show(info: Info) -> None:
    """One file as tables on stderr."""
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    console = Console(stderr=True, highlight=False)
    if not console.is_terminal:
        console.width = 200  # nobody's terminal: nothing is wrapped
    about = Table(title=escape(info.path), title_justify="left", show_header=False, box=None)
    colour = {"whole": "green", "not closed": "yellow"}.get(info.state, "red")
    mend = "" if info.state == "whole" else f"; `edgebot recording repair {escape(info.path)}` mends it"
    about.add_row("state", f"[{colour}]{info.state}[/]{mend}")
    for damage in info.damage if info.state == "damaged" else ():
        about.add_row("", damage)
    about.add_row("size", f"{info.bytes / 1e6:.2f} MB, {info.duration_s:.1f} s, {info.messages} messages")
    for key, text in info.metadata.items():
        about.add_row(key, escape(text))
    for name, size in info.attachments.items():
        about.add_row("holds", f"{escape(name)}, {size} bytes")
    for kind, count in info.frames.items():
        about.add_row("frames", f"{count}, {kind}")
    total = max(sum(info.reasons.values()), 1)
    for reason, count in info.reasons.items():
        about.add_row("guard", f"{count / total:6.1%} {reason}")
    about.add_row("missing", f"{info.dropped} items dropped, {info.overruns} overruns of the loop")
    for line in info.warnings[-5:]:
        about.add_row("log", escape(line))
    if len(info.warnings) > 5:
        about.add_row("", f"and {len(info.warnings) - 5} earlier warnings")
    console.print(about)
    table = Table(box=None)
    for name in ("topic", "schema", "messages", "Hz", "kB"):
        table.add_column(name, justify="left" if name in ("topic", "schema") else "right")
    for topic in info.topics:
        table.add_row(topic.name, topic.schema, str(topic.count), f"{topic.rate_hz:.1f}", f"{topic.bytes / 1e3:.0f}")
    console.print(table)
    console.print()
