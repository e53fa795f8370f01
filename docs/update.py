"""Writes `robot-toml.md`, the reference of all keys, and the pictures of the wiring. Run as `make docs`."""

from __future__ import annotations

import ast
import inspect
import sys
from pathlib import Path
from typing import get_args

from pydantic import BaseModel
from pydantic.fields import FieldInfo

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from robot import config  # noqa: E402
from robot.config_errors import describe, unit  # noqa: E402

TARGET = ROOT / "docs" / "robot-toml.md"
INTRODUCTION = """\
# robot.toml

<!-- Written by `make docs` from robot/config.py; a test holds the two together. -->

A robot describes itself in one file. Start from the example, [robot/example.toml](../robot/example.toml): copy it,
put your pins in, and measure what can be measured. Every number states its unit in its name; x is forward, y is to the
left, and angles turn counter-clockwise. Pins are BCM numbers (GPIO 17, not header pin 11).

A file is checked as a whole before anything moves: an unknown key, a wrong type, a number out of bounds, a pin that is
given twice, or a motor pin that pulls up at boot (GPIO 0-8) is told in one sentence, and nothing starts.

    edgebot run --robot robot.toml --policy light
"""


def tables(model: type[BaseModel] = config.RobotConfig, path: str = "") -> list[str]:
    """The model's chapter, then those of the tables inside it."""
    lines = [f"## {f'[{path}]' if path else 'At the top'}", "", _documentation(model), ""]
    lines += ["| key | what it is | type | unit | values | default |", "|---|---|---|---|---|---|"]
    inner: list[str] = []
    comments = _comments(model)
    for name, field in model.model_fields.items():
        kind, bounds = describe(field)
        if kind == "table":
            part = next(option for option in (field.annotation, *get_args(field.annotation)) if _is_model(option))
            where = f"{path}.{name}" if path else name
            inner += tables(part, where)
            kind = f"table `[{where}]`"
        lines.append(
            f"| `{name}` | {comments[name]} | {kind} | {unit(name)} | {bounds.replace('|', '')} | {_default(field)} |"
        )
    return [*lines, "", *inner]


def _is_model(option: object) -> bool:
    return isinstance(option, type) and issubclass(option, BaseModel)


def _documentation(model: type[BaseModel]) -> str:
    return " ".join((inspect.getdoc(model) or "").split())


def _comments(model: type[BaseModel]) -> dict[str, str]:
    """Each field's comment, which stands at the end of its line."""
    lines, start = inspect.getsourcelines(model)
    source = "".join(lines)
    found = {}
    for node in ast.parse(source).body[0].body:  # type: ignore[attr-defined]
        if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            line = lines[(node.end_lineno or 1) - 1]
            comment = line.encode()[node.end_col_offset or 0 :].decode().partition("#")[2].strip()
            if not comment:
                raise SystemExit(f"robot/config.py:{start + node.lineno - 1}: {node.target.id} lacks its comment")
            found[node.target.id] = comment
    return found


def _default(field: FieldInfo) -> str:
    if field.is_required():
        return "required"
    if field.default is None:
        return "none"
    if _is_model(type(field.default)):
        return "its keys' defaults"
    return f"`{field.default!r}`".replace("'", '"')


def text() -> str:
    return "\n".join([INTRODUCTION, *tables()]).rstrip() + "\n"


def pictures() -> dict[Path, str]:
    """The example robot's wiring and its loopback, as SVG."""
    from edge.hil.jumpers import jumpers
    from edge.wiring import draw
    from edge.wiring.canvas import svg
    from edge.wiring.parts import parts

    robot = config.load()
    folder = TARGET.parent / "images"
    return {
        folder / "wiring.svg": svg(*draw.robot(robot, parts(robot))),
        folder / "loopback.svg": svg(*draw.loopback(jumpers(robot))),
    }


if __name__ == "__main__":
    for path, written in {TARGET: text(), **pictures()}.items():
        path.write_text(written, encoding="utf-8")
        print(path.relative_to(ROOT))
