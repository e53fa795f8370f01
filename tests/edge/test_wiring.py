"""`edgebot wiring`: every pin of robot.toml has its wire, in the table, the SVG and the PNG."""

from __future__ import annotations

import json
import re
from xml.etree import ElementTree

import cv2
import numpy as np
import pytest

from edge.cli import main
from edge.hil.jumpers import jumpers
from edge.wiring import draw
from edge.wiring.canvas import Line, svg
from edge.wiring.header import HEADER, PIN_OF, label
from edge.wiring.parts import parts
from robot.config import Bumpers, load

CONFIG = load()
BARE = {"enable_pin": None}
DRIVE = CONFIG.drive.model_copy(
    update={"left": CONFIG.drive.left.model_copy(update=BARE), "right": CONFIG.drive.right.model_copy(update=BARE)}
)
ROBOTS = {
    "example": CONFIG,
    "bumpers": CONFIG.model_copy(update={"bumpers": Bumpers(left_pin=16, right_pin=19), "emergency_stop": None}),
    "mcp3008": CONFIG.model_copy(
        update={"light": CONFIG.light.model_copy(update={"kind": "mcp3008", "left": 0, "right": 1}), "drive": DRIVE}
    ),
}


def test_the_header_is_a_raspberry_pis():
    assert len(HEADER) == 40 and sorted(PIN_OF) == list(range(28))
    known = {2: 3, 4: 7, 14: 8, 17: 11, 18: 12, 27: 13, 22: 15, 10: 19, 9: 21, 25: 22, 5: 29, 12: 32, 21: 40, 26: 37}
    assert all(PIN_OF[gpio] == pin for gpio, pin in known.items())
    assert [pin for pin, name in HEADER.items() if name == "GND"] == [6, 9, 14, 20, 25, 30, 34, 39]
    assert (label(1), label(2), label(11)) == ("3.3 V", "5 V", "GPIO 17")


@pytest.mark.parametrize("robot", ROBOTS.values(), ids=ROBOTS)
def test_every_pin_has_one_wire(robot):
    found = parts(robot)
    wired = [t.pin for part in found for t in part.terminals if t.pin is not None]
    assert len(set(wired)) == len(wired)  # each header pin holds one wire
    gpios = {int(HEADER[pin]) for pin in wired if HEADER[pin].isdecimal()}
    assert gpios == set(robot.pins().values())
    motors = {PIN_OF[pin] for name, pin in robot.pins().items() if name.startswith("drive.")}
    assert {t.pin for part in found for t in part.terminals if t.pull_down} == motors
    # The datasheets: a TB6612 has a supply of its logic's and sleeps without STBY, a DRV8833 sleeps without nSLEEP.
    awake = "VCC, STBY (TB6612)" if robot.drive.left.enable_pin is not None else "nSLEEP (SLP, EEP)"
    assert [label(t.pin) for t in found[0].terminals if t.name == awake] == ["3.3 V"]


@pytest.mark.parametrize("robot", ROBOTS.values(), ids=ROBOTS)
def test_the_picture_draws_each_wire_to_its_pin(robot):
    found = parts(robot)
    picture = draw.robot(robot, found)
    begins = {line.points[0] for line in picture.shapes if isinstance(line, Line)}
    for part in found:
        for terminal in part.terminals:
            if terminal.pin is not None:
                assert (draw.COLUMNS[(terminal.pin + 1) % 2], draw._y(terminal.pin)) in begins
    text = svg(*picture)
    ElementTree.fromstring(text)
    for words in ("10 kOhm to GND", "EMERGENCY STOP, contact 1", "SEPARATE 5 V regulator", "monostable"):
        assert words in text
    inside = [
        0 <= x <= picture.width and 0 <= y <= picture.height
        for shape in picture.shapes
        for x, y in (shape.points if isinstance(shape, Line) else [(shape.x, shape.y)])
    ]
    assert all(inside)


def test_the_loopbacks_picture_and_table(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert main(["wiring", "--loopback", "-o", "l.svg", "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)
    wires = jumpers(CONFIG).wires
    assert len(rows) == len(wires) == 9 and rows[0]["name"] == f"GPIO {wires[0].source}"
    text = (tmp_path / "l.svg").read_text()
    for wire in wires:
        assert f"pin {PIN_OF[wire.source]} (GPIO {wire.source}) - pin {PIN_OF[wire.target]}" in text


def test_the_command(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert main(["wiring", "-o", "w.png"]) == 0
    said = capsys.readouterr().out
    assert re.search(r"Trig +pin 38 +GPIO 20", said) and "divider" in said
    image = cv2.imdecode(np.fromfile("w.png", np.uint8), cv2.IMREAD_COLOR)
    assert image.shape[1] == 2 * draw.WIDTH and len(np.unique(image.reshape(-1, 3), axis=0)) > 50
    mistakes = ((["-o", "w.gif"], ".svg or .png"), (["no.toml"], "no.toml"), (["-o", "w.png/x.svg"], "x.svg"))
    for arguments, why in mistakes:
        assert main(["wiring", *arguments]) == 2 and why in capsys.readouterr().err
