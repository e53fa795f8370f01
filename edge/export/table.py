"""Recordings as a table: one row an iteration of the loop, numbers in full, what is missing left empty."""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from edge.export.formats import Options
from edge.messages import SENSES
from edge.recordings.reader import Moment, Recording
from robot.types import Command, Twist

Cell = str | int | float | None

COLUMNS = (
    "index", "now_s", "due_s", "acted_s",
    *(column for name in SENSES for column in (name, f"{name}_stamp_s")),
    *(f"{what}_{part}" for what in ("wanted", "command") for part in ("form", "v_mps", "omega_radps", "left", "right")),
    "applied_left", "applied_right", "reason", "message", "overruns", "frame_stamp_s",
    "detections", "detections_stamp_s", "best_label", "best_score", "best_x", "best_y", "best_width", "best_height",
    "best_bearing_rad", "pose_x_m", "pose_y_m", "pose_yaw_rad",
)  # fmt: skip


def export(runs: Sequence[Recording], place: Path, options: Options, advance: Callable[[float], None]) -> str:
    """See `edge.export.formats.Writer`."""
    count = 0
    with place.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(COLUMNS)
        for moment in runs[0].moments(advance=advance):
            writer.writerow("" if cell is None else cell for cell in row(moment))
            count += 1
    return f"{count} rows of {len(COLUMNS)} columns"


def row(moment: Moment) -> Iterator[Cell]:
    """The cells of one iteration, as in `COLUMNS`."""
    tick = moment.tick
    yield from (tick.index, tick.now, tick.due, tick.acted)
    for name in SENSES:
        reading = getattr(tick.senses, name)
        yield from (None, None) if reading is None else (reading.value, reading.stamp)
    for command in (tick.wanted, tick.command):
        yield from _command(command)
    yield from (tick.applied.left, tick.applied.right, str(tick.reason), tick.message, tick.overruns)
    yield None if moment.picture is None else moment.picture.stamp
    seen = tick.detections
    yield from (None, None) if seen is None else (len(seen.items), seen.stamp)
    best = max(seen.items, key=lambda item: item.score) if seen is not None and seen.items else None
    yield from (None,) * 7 if best is None else (best.label, best.score, *best.box, best.bearing)
    yield from (None,) * 3 if moment.pose is None else moment.pose


def _command(command: Command) -> tuple[Cell, ...]:
    if isinstance(command, Twist):
        return "twist", command.v, command.omega, None, None
    return "wheels", None, None, command.left, command.right
