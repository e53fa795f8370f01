"""`calibration.toml`: what `edgebot hil` has measured of one robot, laid over its `robot.toml` wherever that is read.

It lies beside `robot.toml`, names the robot that it belongs to, and may hold these keys of it and no others. So the
runtime, the motors' process and the simulator all take the measured robot without being told.
"""

from __future__ import annotations

import difflib
import tomllib
from pathlib import Path
from typing import Any

from robot.errors import ConfigError

NAME = "calibration.toml"
KEYS = {
    "drive": ("top_speed_mps", "braking_mps2", "dead_band_duty", "gain_left", "gain_right"),
    "range": ("offset_m",),
    "light": ("dark", "bright"),
}
"""By table, what may be measured; each key is explained in `robot.config`."""

HEAD = ("robot", "measured")
"""Keys outside of the tables: whose it is, and when it was measured."""


def beside(robot: Path) -> Path | None:
    """The calibration that lies beside this `robot.toml`, or beside what it links to; None where there is none."""
    places = (robot.with_name(NAME), robot.resolve().with_name(NAME))
    return next((path for path in places if path.is_file()), None)


def tables(robot: Path) -> dict[str, dict[str, float]]:
    """What the calibration beside this `robot.toml` holds, by table and key; the robot was loaded with it before."""
    path = beside(robot)
    found = {} if path is None else tomllib.loads(path.read_text(encoding="utf-8"))
    return {table: values for table, values in found.items() if table not in HEAD}


def overlay(robot: dict[str, Any], measured: dict[str, Any], source: str) -> dict[str, Any]:
    """The tables of `robot.toml` with what was measured in place of what they say.

    Raises:
        ConfigError: it belongs to another robot, or holds a key that is not measured.
    """
    name, own = measured.get("robot"), robot.get("name", "robot")
    if name != own:
        raise ConfigError(
            f"{source} was measured on {name!r}, and this robot is {own!r}; run `edgebot hil` on it, or move that "
            "file away"
        )
    merged = dict(robot)
    for table, values in measured.items():
        if table in HEAD:
            continue
        if table not in KEYS or not isinstance(values, dict):
            raise ConfigError(f"{source}: unknown key {table!r}{_hint(table, (*KEYS, *HEAD))}")
        for key in values:
            if key not in KEYS[table]:
                raise ConfigError(f"{source}: unknown key '{table}.{key}'{_hint(key, KEYS[table])}")
        if not isinstance(merged.get(table, {}), dict):
            continue  # not a table: that is told of robot.toml itself
        merged[table] = {**merged.get(table, {}), **values}
    return merged


def text(robot: str, measured: str, values: dict[str, dict[str, float]], simulated: bool = False) -> str:
    """The file.

    Args:
        robot: the robot's name. measured: when, for people. values: by table and key, as in `KEYS`.
        simulated: they are a simulated robot's; the file says so.
    """
    real = "Measured by `edgebot hil`. Keep it beside robot.toml: its values are taken in place of those there."
    lines = [
        "# Simulated: `edgebot hil --sim` measured no real robot. Keep it away from robot.toml." if simulated
        else f"# {real}",
        f"robot = {_quoted(robot)}",
        f"measured = {_quoted(measured)}",
    ]
    for table, keys in KEYS.items():
        found = {key: values[table][key] for key in keys if key in values.get(table, {})}
        if found:
            lines += ["", f"[{table}]", *(f"{key} = {value:.4f}" for key, value in found.items())]
    return "\n".join(lines) + "\n"


def _quoted(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return '"' + "".join(c if c.isprintable() else f"\\u{ord(c):04x}" for c in escaped) + '"'


def _hint(key: str, known: tuple[str, ...]) -> str:
    near = difflib.get_close_matches(key, known, n=1, cutoff=0.5)
    return f"; did you mean {near[0]!r}?" if near else f"; known here: {', '.join(known)}"
