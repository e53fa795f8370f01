"""Draws the header with its wires: to the robot's parts, or from pin to pin for the loopback."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from edge.hil.jumpers import Jumpers
from edge.wiring.canvas import Box, Dot, Line, Shape, Text
from edge.wiring.header import HEADER, PIN_OF, label
from edge.wiring.parts import PULL_DOWN, Part, Terminal
from robot.config import RobotConfig

WIDTH = 1500
TOP, STEP = 130, 34
COLUMNS = (730, 770)  # x of the odd and the even pins
EDGES = (636, 864)  # where wires leave the labels
LANE = 13
BOXES = ((40, 310), (1190, 1460))
ROW = 34
PALETTE = (
    "#c2410c", "#0b63a5", "#15803d", "#7c3aed", "#be123c", "#0e7490", "#a16207", "#4d7c0f", "#9d174d", "#1d4ed8",
    "#b45309", "#047857", "#6d28d9", "#b91c1c",
)  # fmt: skip
GROUND, PLUS_3, PLUS_5 = "#111827", "#ea580c", "#dc2626"
GREY = "#94a3b8"


class Picture(NamedTuple):
    """Shapes and the size that holds them."""

    shapes: list[Shape]
    width: int
    height: int


def robot(config: RobotConfig, found: Sequence[Part]) -> Picture:
    """The header in the middle, the parts at both sides, the supplies below."""
    shapes = _title(f"{config.name}: wiring", "drawn from robot.toml; BCM numbers, pins counted as on the board")
    used = {t.pin for part in found for t in part.terminals if t.pin is not None}
    shapes += _header(used)
    sides: tuple[list[Part], list[Part]] = ([], [])
    for part in found:
        odd = sum(1 if t.pin % 2 else -1 for t in part.terminals if t.pin is not None)
        sides[0 if odd >= 0 or part.key == "drive" else 1].append(part)
    if not sides[1] and len(sides[0]) > 1:
        sides[1].append(sides[0].pop())
    colours = iter(PALETTE * 4)
    bottom = TOP + 20 * STEP
    for side, here in enumerate(sides):
        here.sort(key=lambda part: (part.key != "drive", _mean(part)))
        y, wires = TOP - 20.0, []
        for part in here:
            height = 40 + ROW * len(part.terminals)
            left, right = BOXES[side]
            shapes.append(Box(left, y, right - left, height, "#f1f5f9"))
            shapes.append(Text(left + 12, y + 20, part.title, 14, bold=True))
            for number, terminal in enumerate(part.terminals):
                at = y + 52 + ROW * number
                x, anchor = (right - 12, "end") if side == 0 else (left + 12, "start")
                shapes.append(Text(x, at + 4, terminal.name, 12.5, anchor=anchor))
                wires.append((terminal, at))
            y += height + 24
        shapes += _wires(side, wires, colours)
        bottom = max(bottom, int(y))
    shapes += _dots(used)  # over the wires that end there
    shapes += _supplies(config, bottom + 10)
    return Picture(shapes, WIDTH, bottom + 330)


def _wires(side: int, wires: list[tuple[Terminal, float]], colours: Iterable[str]) -> list[Shape]:
    """From each terminal along a lane of its own to the header."""
    shapes: list[Shape] = []
    edge, sign = EDGES[side], -1 if side == 0 else 1
    box = BOXES[side][1 - side]  # the edge that looks at the header
    joined = sorted((w for w in wires if w[0].pin is not None), key=lambda w: _y(w[0].pin or 1) - w[1])
    # Wires that go up take the outer lanes from the top, those that go down the other way: fewer cross.
    for number, (terminal, at) in enumerate(joined):
        assert terminal.pin is not None
        colour = {"GND": GROUND, "3V3": PLUS_3, "5V": PLUS_5}.get(HEADER[terminal.pin]) or next(iter(colours))
        lane = edge + sign * (LANE * (len(joined) - number))
        start = _leave(terminal.pin, side)
        shapes.append(Line([*start, (lane, start[-1][1]), (lane, at), (box, at)], colour, 2.2))
    for terminal, at in wires:
        shapes += _ends(terminal, box, at)
    return shapes


def _ends(terminal: Terminal, box: float, at: float) -> list[Shape]:
    """What is drawn at the part's end of a wire: a dot, a resistor to ground, a note."""
    shapes: list[Shape] = [Dot(box, at, 3.5, "#1e293b")]
    left = BOXES[0][1] == box
    if terminal.pull_down:
        x = box + 26 if left else box - 26
        shapes += [
            Dot(x, at, 2.5, "#1e293b"),
            Line([(x, at), (x, at + 5)]),
            Box(x - 3.5, at + 5, 7, 13),
            Line([(x, at + 18), (x, at + 22)]),
            Line([(x - 7, at + 22), (x + 7, at + 22)], width=2),
            Line([(x - 4, at + 25), (x + 4, at + 25)]),
        ]
    if terminal.note:
        x = box + 10 if left else box - 10
        if terminal.pin is None:
            shapes.append(Line([(box, at), (box + (22 if left else -22), at)], "#dc2626", 2.2))
            x = box + 28 if left else box - 28
            shapes.append(Text(x, at + 4, terminal.note, 11, "#475569", "start" if left else "end"))
        else:
            shapes.append(Text(x, at - 5, terminal.note, 10.5, "#475569", "start" if left else "end"))
    return shapes


def _leave(pin: int, side: int) -> list[tuple[float, float]]:
    """From a pin to the edge of the labels at this side; one of the far column goes between the rows."""
    x, y = COLUMNS[(pin + 1) % 2], _y(pin)
    if (pin + 1) % 2 == side:
        return [(x, y), (EDGES[side], y)]
    across = COLUMNS[side]
    return [(x, y), ((x + across) / 2, y + STEP / 2), (EDGES[side], y + STEP / 2)]


def _y(pin: int) -> float:
    return TOP + STEP * ((pin - 1) // 2)


def _mean(part: Part) -> float:
    pins = [_y(t.pin) for t in part.terminals if t.pin is not None]
    return sum(pins) / max(1, len(pins))


def _title(title: str, more: str) -> list[Shape]:
    return [Text(40, 46, title, 24, bold=True), Text(40, 72, more, 13, "#475569")]


def _header(used: set[int]) -> list[Shape]:
    """The 40 pins with their names; those without a wire are grey."""
    left, right = COLUMNS
    shapes: list[Shape] = [
        Box(left - 18, TOP - 20, right - left + 36, 20 * STEP + 6, "#e2e8f0"),
        Text((left + right) / 2, TOP - 30, "Raspberry Pi, 40-pin header", 13, anchor="middle", bold=True),
    ]
    for pin in HEADER:
        place, anchor = (left - 26, "end") if pin % 2 else (right + 26, "start")
        ink = "#1e293b" if pin in used else GREY
        shapes.append(Text(place, _y(pin) - 4, label(pin), 11.5, ink, anchor, pin in used))
    return shapes


def _dots(used: set[int]) -> list[Shape]:
    """The pins themselves, numbered."""
    shapes: list[Shape] = []
    for pin, name in HEADER.items():
        x, y = COLUMNS[(pin + 1) % 2], _y(pin)
        fill = {"GND": GROUND, "3V3": PLUS_3, "5V": PLUS_5}.get(name, "#fde68a" if pin in used else "#f8fafc")
        ink = "#ffffff" if name in ("GND", "3V3", "5V") else "#1e293b"
        shapes += [Dot(x, y, 9, fill), Text(x, y + 3.5, str(pin), 9.5, ink, "middle")]
    return shapes


def _supplies(config: RobotConfig, top: float) -> list[Shape]:
    """The power side, left to right: battery, fuse, stop, bridge; and the Pi's own regulator."""
    shapes: list[Shape] = [Text(40, top + 24, "Supplies and safety parts", 17, bold=True)]
    y = top + 84

    def block(x: float, width: float, first: str, second: str, row: float = y, fill: str = "#f1f5f9") -> None:
        shapes.append(Box(x, row - 30, width, 60, fill))
        shapes.append(Text(x + width / 2, row - 4, first, 13, anchor="middle", bold=True))
        shapes.append(Text(x + width / 2, row + 15, second, 11, "#475569", "middle"))

    def wire(*points: tuple[float, float], colour: str = PLUS_5) -> None:
        shapes.append(Line(list(points), colour, 3))

    block(40, 180, "Battery", "of the motors' voltage")
    wire((220, y), (270, y))
    block(270, 140, "Fuse", "near the battery")
    wire((410, y), (470, y))
    fitted = config.emergency_stop is not None
    block(470, 300, "EMERGENCY STOP, contact 1", "normally closed, cuts the motors' supply", fill="#fee2e2")
    wire((770, y), (830, y))
    block(830, 190, "Motors' switch", "switched on last")
    wire((1020, y), (1080, y))
    block(1080, 180, "H-bridge VM", "100 uF or more beside it")
    wire((1260, y), (1300, y))
    block(1300, 160, "Motors", "left and right")
    low = y + 92
    wire((440, y), (440, low), (470, low))
    block(470, 300, "SEPARATE 5 V regulator", "3 A or more (Pi 5: 5 A)", low)
    wire((770, low), (830, low))
    block(830, 190, "Raspberry Pi", "USB-C or micro USB", low)
    shapes += [
        Text(1040, low - 12, "One common ground: battery, both supplies, bridge, Pi, sensors.", 12, "#475569"),
        Text(1040, low + 8, f"Each bridge input: {PULL_DOWN}, close to the bridge.", 12, "#475569"),
        Text(1040, low + 28, "Option: monostable on the enable line against a frozen Pi.", 12, "#475569"),
        Text(
            40, low + 72,
            "Contact 2 of the stop only lets the program know"
            + (", on its pin above." if fitted else ": robot.toml has no [emergency_stop] yet. It should have one.")
            + " No software does what contact 1 does.",
            12, "#b91c1c",
        ),
        Text(40, low + 94, "What belongs into /boot/firmware/config.txt: `edgebot units --robot robot.toml`.", 12),
    ]  # fmt: skip
    return shapes


def loopback(plan: Jumpers) -> Picture:
    """The jumpers of `edgebot hil --loopback`."""
    shapes = _title(
        f"{plan.config.name}: loopback jumpers",
        "a bare Pi, or one whose motors' supply is OFF and whose sensors are unplugged; female-to-female wires",
    )
    wires = plan.wires
    used = {PIN_OF[w.source] for w in wires} | {PIN_OF[w.target] for w in wires}
    shapes += _header(used)
    for number, wire in enumerate(wires):
        source, target = PIN_OF[wire.source], PIN_OF[wire.target]
        colour = PALETTE[number]
        side = (source + 1) % 2
        sign = -1 if side == 0 else 1
        lane = EDGES[side] + sign * (20 + 26 * number)
        begin, end = _leave(source, side), _leave(target, side)
        shapes.append(Line([*begin, (lane, begin[-1][1]), (lane, end[-1][1]), *reversed(end)], colour, 2.4))
        y = TOP + 44 * number
        shapes.append(Dot(1130, y - 4, 6, colour))
        shapes.append(
            Text(1146, y, f"{number + 1}. pin {source} (GPIO {wire.source}) - pin {target} (GPIO {wire.target})", 13,
                 bold=True)
        )  # fmt: skip
        shapes.append(Text(1146, y + 17, f"{wire.source_name} - {wire.target_name}", 11, "#475569"))
    shapes += _dots(used)
    return Picture(shapes, WIDTH, TOP + 20 * STEP + 30)
