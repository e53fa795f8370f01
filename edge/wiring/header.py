"""The 40-pin header of every Raspberry Pi since the B+ (Raspberry Pi documentation, "GPIO and the 40-pin header")."""

from __future__ import annotations

_ROWS = (
    "3V3 5V", "2 5V", "3 GND", "4 14", "GND 15", "17 18", "27 GND", "22 23", "3V3 24", "10 GND", "9 25", "11 8",
    "GND 7", "0 1", "5 GND", "6 12", "13 GND", "19 16", "26 20", "GND 21",
)  # fmt: skip

HEADER: dict[int, str] = {
    2 * row + column + 1: name for row, names in enumerate(_ROWS) for column, name in enumerate(names.split())
}
"""Pin of the header (1 to 40; odd ones nearer the board's middle) -> BCM number, "GND", "3V3" or "5V"."""

PIN_OF = {int(name): pin for pin, name in HEADER.items() if name.isdecimal()}
"""BCM number -> pin of the header."""


def label(pin: int) -> str:
    """A header pin in words: "GPIO 17", "GND", "5 V"."""
    name = HEADER[pin]
    return f"GPIO {name}" if name.isdecimal() else {"3V3": "3.3 V", "5V": "5 V"}.get(name, name)


def pins_of(name: str) -> list[int]:
    """The header's pins of this name, such as all of "GND"."""
    return [pin for pin, found in HEADER.items() if found == name]
