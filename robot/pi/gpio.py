"""The way to gpiozero's pins, with each way it can fail told in one sentence.

Drivers take `Pin` objects from a factory (gpiozero's documented lower layer) and not its device
classes: those close themselves when they are collected and when the interpreter exits, and closing
floats a pin. A motor pin that floats is a motor that may start.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from robot.errors import RobotError

if TYPE_CHECKING:
    from gpiozero.pins import Factory, Pin

INSTALL = 'pip install "edgebot[pi]" (or: sudo apt install python3-gpiozero python3-lgpio)'


def open_factory() -> Factory:
    """The pin factory that GPIOZERO_PIN_FACTORY names; lgpio where it names none.

    gpiozero by itself would fall from one factory to the next in silence, down to one without PWM.

    Raises:
        RobotError: gpiozero or the factory's library is missing, or the pins cannot be reached.
    """
    name = os.environ.setdefault("GPIOZERO_PIN_FACTORY", "lgpio")
    try:
        from gpiozero import Device
    except ImportError as error:
        raise RobotError(f"the robot's pins need gpiozero, which cannot be imported ({error}); {INSTALL}") from None
    try:
        Device.ensure_pin_factory()
    except Exception as error:  # each factory has its own family: BadPinFactory, PinUnknownPi, lgpio.error, OSError
        raise RobotError(_told(name, error)) from None
    return Device.pin_factory


def _told(name: str, error: Exception) -> str:
    text = " ".join(str(error).split()) or type(error).__name__
    if isinstance(error, PermissionError) or "permission" in text.lower():
        return f"no permission to use the GPIO pins ({text}); run: sudo usermod -aG gpio $USER, then log in again"
    if type(error).__name__ == "PinUnknownPi":
        return f"this machine is no Raspberry Pi ({text}); use --sim, or run this on the robot"
    if type(error).__name__ == "BadPinFactory":
        return f"{text}; set GPIOZERO_PIN_FACTORY to lgpio (on a Pi) and try again"
    if isinstance(error, ImportError):
        return f"gpiozero's pin factory {name!r} cannot be imported ({text}); {INSTALL}"
    return (
        f"the GPIO pins cannot be opened through {name!r} ({text}); check that /dev/gpiochip0 exists, that no other "
        "program holds the pins, and that the working directory is writable"
    )


@contextmanager
def telling(what: str) -> Iterator[None]:
    """Turn whatever a pin library raises inside into one `RobotError` about `what`."""
    try:
        yield
    except RobotError:
        raise
    except Exception as error:
        text = " ".join(str(error).split()) or type(error).__name__
        hint = "see whether another program holds the pin, and whether robot.toml names the right one"
        if type(error).__name__ == "PinPWMUnsupported":
            hint = "this pin factory has no PWM: set GPIOZERO_PIN_FACTORY=lgpio"
        raise RobotError(f"{what} cannot be used ({text}); {hint}") from None


def take(factory: Factory, number: int, what: str) -> Pin:
    """The pin GPIO `number` of `factory`, for the part named `what`. Raises `RobotError`."""
    with telling(f"GPIO {number} ({what})"):
        return factory.pin(number)


def forget(factory: Factory, pins: list[Any]) -> None:
    """Leave these pins as they are when the factory is closed at the interpreter's exit."""
    held = getattr(factory, "pins", {})
    for key in [key for key, pin in held.items() if any(pin is gone for gone in pins)]:
        del held[key]
