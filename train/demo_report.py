"""The demo's report: one HTML page with everything inside it, drawn as SVG, readable on a phone too."""

from __future__ import annotations

import base64
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import cv2
import numpy as np
from jinja2 import Environment, FileSystemLoader, StrictUndefined, select_autoescape

from robot.config import RobotConfig
from robot.files import write_atomically
from train.demo_drive import Leg
from train.demo_map import LEG_COLOURS, RoomMap
from train.demo_map import Path as MapPath

if TYPE_CHECKING:
    from train.demo import Result

TITLES = {"light": "Seek the light", "range": "Approach an object", "person": "Find a person"}
STAGES = {
    "sense": "read the senses (and render the frame)",
    "perception": "perception, in the loop",
    "inference": "detector, one frame",
    "policy": "policy",
    "guard": "guard",
    "actuation": "wheels",
    "recording": "recording",
}


@dataclass(frozen=True)
class Axis:
    """From data to pixels, and where its ticks are."""

    low: float
    high: float
    start: float
    end: float

    def at(self, value: float) -> float:
        """The pixel of a value."""
        return self.start + (value - self.low) / (self.high - self.low) * (self.end - self.start)

    def ticks(self, count: int = 5) -> list[float]:
        """Round values within the axis."""
        span = self.high - self.low
        step = 10 ** math.floor(math.log10(span / count))
        step *= next((factor for factor in (1, 2, 5, 10) if span / (step * factor) <= count), 10)
        first = math.ceil(self.low / step - 1e-9)
        return [step * k for k in range(first, math.floor(self.high / step + 1e-9) + 1)]


def write_report(result: Result, config: RobotConfig) -> None:
    """Write the page beside the demo's other files."""
    from train.commands.demo import next_commands

    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent / "templates"),
        autoescape=select_autoescape(["html", "j2"]),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    page = environment.get_template("demo.html.j2").render(
        seed=result.seed,
        room=result.drive.room,
        success=result.drive.success,
        legs=[(TITLES[leg.task], leg, goal_sentence(leg), _hex(LEG_COLOURS[leg.task])) for leg in result.drive.legs],
        curve=curve_svg(result.curve),
        curve_has_success=any("success" in row for row in result.curve),
        steps=int(result.curve[-1]["steps"]) if result.curve else 0,
        evaluation=result.evaluation,
        parity=result.parity,
        stages=stage_rows(result.drive.legs),
        picture=_data("image/png", result.files.picture.read_bytes()),
        path=_data("image/png", path_picture(result, config)),
        video=result.files.video.name,
        recording=result.files.recording.name,
        model=result.files.model.name,
        seconds=result.seconds,
        commands=next_commands(result),
    )
    write_atomically(result.files.report, page.encode("utf-8"))


def goal_sentence(leg: Leg) -> str:
    """How a leg ended, in words."""
    measure = leg.verdict.measure
    what = {
        "light": f"{measure:.2f} m from the lamp",
        "range": f"{measure:.2f} m in front of the object" if math.isfinite(measure) else "not facing the object",
        "person": f"{measure:.2f} m in front of the person",
    }[leg.task]
    touch = f", touched something at {leg.verdict.contact_speed:.2f} m/s" if leg.verdict.touched else ""
    return f"{what}, after {leg.seconds:.1f} s{touch}"


def stage_rows(legs: Sequence[Leg]) -> list[tuple[str, list[tuple[str, str, str] | None]]]:
    """For each stage of the loop, its p50, p99 and max in each leg, as text."""
    rows = []
    for name, title in STAGES.items():
        cells: list[tuple[str, str, str] | None] = []
        for leg in legs:
            stage = leg.summary.stages.get(name)
            cells.append(None if stage is None else (_ms(stage.p50_s), _ms(stage.p99_s), _ms(stage.max_s)))
        if any(cell is not None for cell in cells):
            rows.append((title, cells))
    return rows


def curve_svg(rows: Sequence[dict[str, float]], width: int = 720, height: int = 300) -> str:
    """Over environment steps, as SVG: return on the right axis; success, or else an episode's length, on the left."""
    if len(rows) < 2:
        return ""
    left_name = "success" if any("success" in row for row in rows) else "length"
    across = Axis(0.0, rows[-1]["steps"], 52.0, width - 52.0)
    left, right = _upward(rows, left_name, height), _upward(rows, "return", height)
    if left_name == "success":
        left = Axis(0.0, 1.0, left.start, left.end)
    parts = [f'<svg viewBox="0 0 {width} {height}" role="img" aria-label="learning curve">']
    for tick in left.ticks(5):
        y, label = left.at(tick), f"{tick:.0%}" if left_name == "success" else f"{tick:g}"
        parts.append(f'<line class="grid" x1="52" x2="{width - 52}" y1="{y:.1f}" y2="{y:.1f}"/>')
        parts.append(f'<text class="left" x="44" y="{y + 4:.1f}" text-anchor="end">{label}</text>')
    for tick in right.ticks(5):
        parts.append(f'<text class="return" x="{width - 44}" y="{right.at(tick) + 4:.1f}">{tick:g}</text>')
    for tick in across.ticks(5):
        label = f"{tick / 1000:g}k" if tick else "0"
        parts.append(f'<text x="{across.at(tick):.1f}" y="{height - 20}" text-anchor="middle">{label}</text>')
    parts.append(f'<text x="{width / 2:.0f}" y="{height - 3}" text-anchor="middle">environment steps</text>')
    for name, axis, style in (("return", right, "return"), (left_name, left, "left")):
        line = " ".join(f"{across.at(r['steps']):.1f},{axis.at(r[name]):.1f}" for r in rows if name in r)
        parts.append(f'<polyline class="line {style}" points="{line}"/>')
    parts.append("</svg>")
    return "".join(parts)


def _upward(rows: Sequence[dict[str, float]], name: str, height: int) -> Axis:
    """The vertical axis for one column, with a little air above and below."""
    values = [row[name] for row in rows if name in row] or [0.0, 1.0]
    low, high = min(values), max(values)
    air = 0.06 * (high - low) or 0.5
    return Axis(low - air, high + air, height - 40.0, 16.0)


def path_picture(result: Result, config: RobotConfig) -> bytes:
    """The room with the path of each leg, as PNG."""
    drive = result.drive
    wide, long = drive.room.size_m
    room = RoomMap(drive.room, config, 900, max(300, round(900 * long / wide)))
    shot = drive.shots[-1]
    paths = [MapPath(leg.task, leg.path) for leg in drive.legs if len(leg.path) > 1]
    image = room.draw(shot.pose, shot.persons, paths, None, (), "")
    room.start(image, tuple(drive.room.start))
    done, png = cv2.imencode(".png", np.ascontiguousarray(image[..., ::-1]), [cv2.IMWRITE_PNG_COMPRESSION, 9])
    assert done
    return png.tobytes()


def _ms(seconds: float) -> str:
    return f"{1e3 * seconds:.3f}" if seconds < 0.01 else f"{1e3 * seconds:.1f}"


def _hex(colour: tuple[int, int, int]) -> str:
    return "#{:02x}{:02x}{:02x}".format(*colour)


def _data(media: str, data: bytes) -> str:
    return f"data:{media};base64,{base64.b64encode(data).decode()}"
