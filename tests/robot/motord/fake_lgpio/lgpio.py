"""Stands in for the C library where no GPIO chip is: keeps each line's mode and writes down every call.

The names are those that gpiozero 2.0.1's `pins/lgpio.py` uses; the flags are lgpio 0.2.2's.
"""

from __future__ import annotations

import os

SET_ACTIVE_LOW, SET_OPEN_DRAIN, SET_OPEN_SOURCE = 4, 8, 16
SET_PULL_UP, SET_PULL_DOWN, SET_PULL_NONE = 32, 64, 128
RISING_EDGE, FALLING_EDGE, BOTH_EDGES = 1, 2, 3
_OUT = 2


class error(Exception):  # noqa: N801, N818 (its name there)
    pass


_modes: dict[int, int] = {}
_levels: dict[int, int] = {}


def _note(*words: object) -> None:
    with open(os.environ["FAKE_LGPIO_LOG"], "a") as file:
        print(*words, file=file)


def gpiochip_open(chip: int) -> int:
    _note("open", chip, os.environ.get("LG_WD"))
    return 0


def gpiochip_close(handle: int) -> None:
    _note("close")


def gpio_claim_input(handle: int, gpio: int, flags: int = 0) -> None:
    _note("input", gpio, flags)
    _modes[gpio] = flags
    _levels[gpio] = 1 if flags & SET_PULL_UP and os.environ.get("FAKE_LGPIO_OPEN") == str(gpio) else 0


def gpio_claim_output(handle: int, gpio: int, level: int = 0, flags: int = 0) -> None:
    _note("output", gpio, level)
    _modes[gpio] = _OUT | flags
    _levels[gpio] = level


def gpio_free(handle: int, gpio: int) -> None:
    _note("free", gpio)


def gpio_get_mode(handle: int, gpio: int) -> int:
    return _modes.get(gpio, 0)


def gpio_read(handle: int, gpio: int) -> int:
    return _levels.get(gpio, 0)


def gpio_write(handle: int, gpio: int, level: int) -> None:
    if os.environ.get("FAKE_LGPIO_BROKEN") == str(gpio) and level:
        raise error("GPIO not allocated")
    _note("write", gpio, int(level))
    _levels[gpio] = level


def tx_pwm(handle: int, gpio: int, hz: float, duty: float, *more: object) -> None:
    _note("pwm", gpio, hz, duty)
