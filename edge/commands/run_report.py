"""What a run shows and tells: a live line or a log while it drives, the summary after it, the exit code."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from edge.session import Session
    from edge.summary import Summary
    from edge.tick import Tick
    from robot.sim.verdict import Verdict

CODES = {"duration": 0, "goal": 0, "fault": 1, "interrupted": 130, "terminated": 143}


@contextmanager
def heard_by_nobody() -> Iterator[None]:
    """Lets standard error be closed or full: what a run came to does not hang on its log."""
    try:
        yield
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 2)


def exit_code(summary: Summary, session: Session) -> int:
    """The exit code, after a sentence on what failed, where something did."""
    faults = [incident.message for incident in summary.incidents if incident.reason == "fault"]
    failed = summary.message if summary.ended == "fault" else session.recording_error or (faults[-1] if faults else "")
    if failed:
        with heard_by_nobody():
            print(f"edgebot: {failed}", file=sys.stderr, flush=True)
    code = CODES[summary.ended]
    return 1 if code == 0 and failed else code


@contextmanager
def progress(session: Session, duration_s: float | None) -> Iterator[Any]:
    """A live line on stderr, drawn by a thread of its own, or a log's lines; yields what takes each tick."""
    from rich.console import Console
    from rich.progress import BarColumn, Progress, ProgressColumn, Task, TextColumn
    from rich.text import Text

    from edge.commands.journal import Journal
    from robot.clock import VirtualClock

    console = Console(stderr=True)
    start = session.clock.now()
    if not console.is_terminal:
        if isinstance(session.clock, VirtualClock):  # over before anybody could read it
            yield None
            return
        with Journal(start) as journal:
            yield journal.on_tick
        return
    newest: list[Tick] = []

    class Status(ProgressColumn):
        def render(self, task: Task) -> Text:
            return Text(status(newest[0], start) if newest else "", overflow="ellipsis", no_wrap=True)

    columns = (TextColumn("{task.description}"), BarColumn(24), Status())
    with Progress(*columns, console=console, refresh_per_second=5, transient=True) as bar:
        task = bar.add_task(session.loop.policy.name, total=duration_s)

        def on_tick(tick: Tick) -> None:
            newest[:] = (tick,)
            if tick.index % 10 == 0:
                bar.update(task, completed=tick.now - start)

        yield on_tick


def status(tick: Tick, start: float) -> str:
    """One iteration in a few words; `start` is when the run began, by the same clock."""
    senses = tick.senses
    echo = "----" if senses.range.value is None else f"{senses.range.value:4.2f}"
    left, right = (None if light.value is None else light.value for light in (senses.light_left, senses.light_right))
    light = "/".join("----" if value is None else f"{value:.2f}" for value in (left, right))
    seen = f"  sees {len(tick.detections.items)}" if tick.detections is not None else ""
    wheels = f"{tick.applied.left:+.2f} {tick.applied.right:+.2f}"
    why = f"{tick.reason} {tick.message}"
    return f"{tick.now - start:6.1f} s  wheels {wheels}  range {echo} m  light {light}{seen}  {why}"


def as_json(summary: Summary, verdict: Verdict | None, session: Session) -> dict[str, Any]:
    """The summary, the verdict and the recording as plain data."""
    settings, recorder = session.settings, session.recorder
    room = settings.room
    goal = None
    if verdict is not None:
        goal = {
            "task": settings.task,
            "success": verdict.success,
            "measure_m": verdict.measure if verdict.measure < 1e9 else None,
            "contact_speed_mps": verdict.contact_speed,
            "touched": verdict.touched,
        }
    return summary.as_dict() | {
        "robot": session.config.name,
        "simulated": room is not None,
        "seed": settings.seed,
        "room": None if room is None else {"task": room.task, "level": room.level, "seed": room.seed},
        "goal": goal,
        "recording": None if recorder is None else recorder.as_dict(),
        "link": link() if (link := getattr(session.body, "link", None)) is not None else None,
    }


def report(summary: Summary, verdict: Verdict | None, session: Session) -> None:
    """The summary as tables on stderr."""
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    from edge.guard import SENTENCES, Reason

    console = Console(stderr=True, highlight=False)
    table = Table(title=f"{summary.policy} on {session.config.name}", title_justify="left", show_header=False, box=None)
    ended = {
        "goal": "[bold green]goal reached[/]" if verdict is not None else "as asked",
        "duration": "time is up",
        "interrupted": "interrupted",
        "terminated": "terminated",
        "fault": "[bold red]failed[/]",
    }[summary.ended]
    table.add_row("ended", f"{ended} after {summary.duration_s:.1f} s, {summary.ticks} iterations")
    if verdict is not None:
        table.add_row("goal", _goal(session.settings.task, verdict))
    table.add_row("driven", f"{summary.distance_m:.2f} m")
    for reason, count in sorted(summary.reasons.items(), key=lambda item: -item[1]):
        share = count / max(summary.ticks, 1)
        table.add_row(f"{share:6.1%}", SENTENCES[Reason(reason)])
    for incident in summary.incidents:
        often = f", {incident.times} times" if incident.times > 1 else ""
        what = SENTENCES[Reason(incident.reason)] + (f": {incident.message}" if incident.message else "")
        table.add_row(f"{incident.first_s:.1f} s", f"{escape(what)} ({incident.stopped_s:.2f} s{often})")
    if summary.policy_faults:
        table.add_row("policy", f"[red]raised in {summary.policy_faults} iterations[/]")
    if note := getattr(session.loop.policy, "note", ""):
        table.add_row(session.loop.policy.name, note)
    if note := getattr(session.body, "note", ""):
        table.add_row("body", escape(note))
    if summary.perception_restarts:
        table.add_row("perception", f"[red]restarted {summary.perception_restarts} times[/]")
    if summary.overruns:
        latest = f"{1e3 * summary.stages['lateness'].max_s:.0f} ms at worst"
        late = f"{summary.late} began a period late, {summary.missed} deadlines were left out"
        table.add_row("overruns", f"{summary.overruns} iterations took too long ({latest}); {late}")
    if session.recorder is not None:
        table.add_row("recording", escape(session.recorder.sentence()))
    costs = Table(title="milliseconds", title_justify="left", box=None)
    for name in ("stage", "p50", "p99", "max"):
        costs.add_column(name, justify="left" if name == "stage" else "right")
    for name, stage in summary.stages.items():
        costs.add_row(name, *(f"{1e3 * part:.3f}" for part in (stage.p50_s, stage.p99_s, stage.max_s)))
    with console.capture() as text:  # rich's own way with a closed pipe would end the program, and standard output too
        console.print(table)
        console.print(costs)
    sys.stderr.write(text.get())
    sys.stderr.flush()


def _goal(task: str, verdict: Verdict) -> str:
    what = {
        "light": f"{verdict.measure:.2f} m from the lamp",
        "range": f"{verdict.measure:.2f} m before the object" if verdict.measure < 1e9 else "not facing the object",
        "person": f"{verdict.measure:.2f} m from the person",
        "follow": f"{verdict.measure:.2f} m from the person at the end",
    }[task]
    touch = f", touched something at {verdict.contact_speed:.2f} m/s" if verdict.touched else ""
    return f"{'[green]reached[/]' if verdict.success else '[yellow]not reached[/]'}: {what}{touch}"
