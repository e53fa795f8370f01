"""The parts of a robot and their wires to the header, from its description."""

from __future__ import annotations

from dataclasses import dataclass

from edge.wiring.header import PIN_OF, pins_of
from robot.config import RobotConfig

PULL_DOWN = "10 kOhm to GND"


@dataclass(frozen=True, slots=True)
class Terminal:
    """One terminal of a part, and the wire from it."""

    name: str
    pin: int | None = None  # of the header; None: to what `note` says
    note: str = ""  # what is in the wire, or where it goes
    pull_down: bool = False  # a resistor to ground at this end


@dataclass(frozen=True, slots=True)
class Part:
    """One part."""

    title: str
    terminals: tuple[Terminal, ...]
    key: str = ""  # its table in robot.toml


def parts(config: RobotConfig) -> list[Part]:
    """Every part that hangs on the header, the bridge first. Grounds and supplies are given pins of their own."""
    grounds, threes, fives = iter(_middle_first("GND")), pins_of("3V3"), iter(pins_of("5V"))
    found = [_bridge(config, next(grounds), threes[1])]
    sonar = config.range
    found.append(
        Part(
            "HC-SR04 sonar",
            (
                Terminal("VCC", next(fives)),
                Terminal("Trig", PIN_OF[sonar.trigger_pin]),
                Terminal("Echo (5 V!)", PIN_OF[sonar.echo_pin], "divider: 330 Ohm in line, 470 Ohm to GND"),
                Terminal("GND", next(grounds)),
            ),
            "range",
        )
    )
    if config.light.kind == "ldr":
        found.append(
            Part(
                "Light: 2 LDRs, 2 capacitors 1 uF",
                (
                    Terminal("both LDRs", threes[0]),
                    Terminal("left: LDR + 330 Ohm", PIN_OF[config.light.left], "330 Ohm to 1 uF to GND"),
                    Terminal("right: LDR + 330 Ohm", PIN_OF[config.light.right], "330 Ohm to 1 uF to GND"),
                    Terminal("both capacitors", next(grounds)),
                ),
                "light",
            )
        )
    else:
        found.append(
            Part(
                "MCP3008 (light on its channels)",
                (
                    Terminal("VDD, VREF", threes[0]),
                    Terminal("CLK", PIN_OF[11]),
                    Terminal("DOUT", PIN_OF[9]),
                    Terminal("DIN", PIN_OF[10]),
                    Terminal("CS", PIN_OF[8]),
                    Terminal("AGND, DGND", next(grounds)),
                    Terminal(f"CH{config.light.left}", None, "left LDR to 3.3 V, 10 kOhm to GND"),
                    Terminal(f"CH{config.light.right}", None, "right LDR to 3.3 V, 10 kOhm to GND"),
                ),
                "light",
            )
        )
    if config.emergency_stop is not None:
        found.append(
            Part(
                "Emergency stop, contact 2",
                (
                    Terminal("normally closed", PIN_OF[config.emergency_stop.pin], "open = stop"),
                    Terminal("common", next(grounds)),
                ),
                "emergency_stop",
            )
        )
    if config.bumpers is not None:
        found.append(
            Part(
                "Bumpers, normally open",
                (
                    Terminal("left", PIN_OF[config.bumpers.left_pin], "to GND when pressed"),
                    Terminal("right", PIN_OF[config.bumpers.right_pin], "to GND when pressed"),
                    Terminal("common", next(grounds)),
                ),
                "bumpers",
            )
        )
    return found


def _bridge(config: RobotConfig, ground: int, three: int) -> Part:
    drive = config.drive
    enabled = drive.left.enable_pin is not None
    names = {"forward_pin": "IN1/AIN1", "backward_pin": "IN2/AIN2", "enable_pin": "ENA/PWMA"}
    terminals = []
    for side, motor in (("left", drive.left), ("right", drive.right)):
        for key, name in names.items():
            number = getattr(motor, key)
            if number is None:
                continue
            shown = name if side == "left" else name.replace("1", "3", 1).replace("2", "4", 1).replace("ENA", "ENB")
            shown = shown.replace("AIN", "BIN").replace("PWMA", "PWMB") if side == "right" else shown
            word = key.removesuffix("_pin")
            terminals.append(Terminal(f"{shown}  {side} {word}", PIN_OF[number], pull_down=True))
    # Else it sleeps: its own resistor pulls this pin down (datasheets of the TB6612FNG and the DRV8833).
    terminals.append(Terminal("VCC, STBY (TB6612)" if enabled else "nSLEEP (SLP, EEP)", three))
    terminals.append(Terminal("GND (common)", ground))
    terminals.append(Terminal("VM / VS", None, "motors' supply, see below"))
    chip = "L298N, TB6612" if enabled else "DRV8833"
    return Part(f"H-bridge ({chip})", tuple(terminals), "drive")


def _middle_first(name: str) -> list[int]:
    """The grounds, those that are easiest to reach first."""
    found = pins_of(name)
    return [pin for pin in (9, 39, 25, 34, 20, 14, 30, 6) if pin in found]


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the table of wires."""

    part: str
    terminal: str
    header: str
    name: str
    note: str


def table(found: list[Part]) -> list[Row]:
    """Every wire as text."""
    from edge.wiring.header import label

    rows = []
    for part in found:
        for terminal in part.terminals:
            pin = terminal.pin
            note = "; ".join(filter(None, (terminal.note, PULL_DOWN if terminal.pull_down else "")))
            where, name = ("-", "-") if pin is None else (f"pin {pin}", label(pin))
            rows.append(Row(part.title, terminal.name, where, name, note))
    return rows
