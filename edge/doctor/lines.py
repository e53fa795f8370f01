"""GPIO chips and lines as the kernel tells of them, without taking any: GPIO_GET_CHIPINFO and GPIO_V2_GET_LINEINFO.

The structures are those of <linux/gpio.h>.
"""

from __future__ import annotations

import os
import struct
from dataclasses import dataclass
from pathlib import Path

HEADERS = ("pinctrl-bcm2835", "pinctrl-bcm2711", "pinctrl-rp1")
"""Labels of the chips whose lines are the 40-pin header's: Pi 0 to 3, Pi 4, Pi 5."""

_CHIP_INFO, _LINE_INFO = 0x8044B401, 0xC100B405
_CHIP, _LINE = struct.Struct("=32s32sI"), struct.Struct("=32s32sIIQ160x16x")
_USED, _OUTPUT = 1, 8


@dataclass(frozen=True, slots=True)
class Chip:
    """A GPIO chip."""

    path: str
    label: str
    lines: int


@dataclass(frozen=True, slots=True)
class Line:
    """A line of a GPIO chip."""

    used: bool
    consumer: str  # who uses it, in its own words; lgpio says "lg"
    output: bool


def chip_of(path: Path) -> Chip | None:
    """The chip behind a device file; None where it cannot be asked."""
    data = _ask(str(path), _CHIP_INFO, bytes(_CHIP.size))
    return None if data is None else read_chip(str(path), data)


def line_of(chip: Chip, number: int) -> Line | None:
    """A line by its number on the chip; None where it cannot be asked."""
    data = _ask(chip.path, _LINE_INFO, _LINE.pack(b"", b"", number, 0, 0))
    return None if data is None else read_line(data)


def read_chip(path: str, data: bytes) -> Chip:
    """A `struct gpiochip_info`."""
    _, label, lines = _CHIP.unpack(data)
    return Chip(path, _words(label), lines)


def read_line(data: bytes) -> Line:
    """A `struct gpio_v2_line_info`."""
    _, consumer, _, _, flags = _LINE.unpack(data)
    return Line(bool(flags & _USED), _words(consumer), bool(flags & _OUTPUT))


def _words(field: bytes) -> str:
    return field.split(b"\0")[0].decode(errors="replace")


def _ask(path: str, request: int, data: bytes) -> bytes | None:
    try:
        import fcntl

        handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except (OSError, ImportError):
        return None
    try:
        return fcntl.ioctl(handle, request, data)
    except OSError:
        return None
    finally:
        os.close(handle)
