"""Where the motors' process gets its pins from: a Raspberry Pi's, another board's GPIO chip, or mock ones."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from robot.clock import WallClock
from robot.errors import RobotError
from robot.motor_report import Switch
from robot.pi import gpio

if TYPE_CHECKING:
    from gpiozero.pins import Factory

    from robot.motord.config import MotordConfig

_PI_4 = 0xC03114
"""A revision code: on a board that is no Pi, pins are numbered as on this one, lines of the chip in order."""


def chip_of(kind: str) -> int | None:
    """The number in `chip:N`; None for "lgpio" and "mock". Raises `RobotError` for anything else."""
    if kind in ("lgpio", "mock"):
        return None
    number = kind.removeprefix("chip:")
    if number == kind or not number.isdecimal() or int(number) > 255:
        raise RobotError(f"--pins {kind!r} is unknown, expected lgpio, mock, or chip:N as in chip:0")
    return int(number)


def open_pins(kind: str, folder: Path) -> Factory:
    """The pin factory.

    Args:
        kind: "lgpio" for a Raspberry Pi, "chip:N" for line numbers on /dev/gpiochipN of any board, "mock".
        folder: where lgpio may write its pipe.

    Raises:
        RobotError: a library is missing, or the pins cannot be reached.
    """
    chip = chip_of(kind)
    if kind == "mock":
        from robot.pi.virtual import VirtualFactory

        return VirtualFactory(WallClock())
    # Read by lgpio's C library when it loads.
    os.environ.setdefault("LG_WD", str(folder) if os.access(folder, os.W_OK) else tempfile.gettempdir())
    os.environ["GPIOZERO_PIN_FACTORY"] = "lgpio"  # nothing else has been tried with motors
    return gpio.open_factory() if chip is None else _open_chip(chip)


def _open_chip(chip: int) -> Factory:
    try:
        from gpiozero.pins.lgpio import LGPIOFactory
    except ImportError as error:
        raise RobotError(f"GPIO chip {chip} needs lgpio, which cannot be imported ({error}); {gpio.INSTALL}") from None

    class ChipFactory(LGPIOFactory):  # type: ignore[misc]
        def _get_revision(self) -> int:
            return _PI_4

    with gpio.telling(f"/dev/gpiochip{chip}"):
        return ChipFactory(chip=chip)


def play_switch(factory: Factory, config: MotordConfig, pressed: Path | None) -> None:
    """Wire a mock emergency stop: the switch is open while the file `pressed` exists."""
    if config.emergency_stop_pin is not None:
        pin = gpio.take(factory, config.emergency_stop_pin, "emergency_stop_pin")
        pin.level = pressed.exists if pressed is not None else bool


class StopInput:
    """The emergency stop's switch, normally closed to ground: open means pressed, or a broken wire."""

    def __init__(self, factory: Factory, number: int | None) -> None:
        self._switch = None
        if number is not None:
            from robot.pi.switches import Switch as Contact

            self._switch = Contact(factory, number, "emergency_stop_pin", normally_closed=True)

    def read(self) -> Switch:
        """How it is now; one that cannot be read is FAILED, which counts as pressed."""
        if self._switch is None:
            return Switch.ABSENT
        value = self._switch.read(0.0).value
        if value is None:
            return Switch.FAILED
        return Switch.PRESSED if value else Switch.RELEASED
