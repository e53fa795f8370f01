"""The guest's simulated GPIO chip: made, pulled, and read outside of every process that drives it."""

from __future__ import annotations

import os
import subprocess
import time
from pathlib import Path
from typing import Any

from robot.motord.config import load

CONFIG = load("/etc/edgebot/motord.json")
MOTORS = sorted(CONFIG.motor_pins.values())
TURNING = [CONFIG.left_forward_pin, CONFIG.left_enable_pin, CONFIG.right_forward_pin, CONFIG.right_enable_pin]
PULSED = CONFIG.left_enable_pin or CONFIG.left_forward_pin
BANK = Path("/sys/devices/platform")
TRACE = Path("/run/lab/lines.txt")
SWITCH = Path("/run/lab/switch")


def line(pin: int, what: str) -> Path:
    """`value` (the level) or `pull` of one line."""
    (folder,) = BANK.glob(f"gpio-sim.*/gpiochip*/sim_gpio{pin}")
    return folder / what


def make_chip() -> None:
    """A simulated chip with 32 lines, as the kernel's documentation tells."""
    home = Path("/sys/kernel/config/gpio-sim/lab")
    (home / "bank").mkdir(parents=True)
    (home / "bank" / "num_lines").write_text("32")
    (home / "live").write_text("1")
    for device in Path("/dev").glob("gpiochip*"):
        os.chown(device, 0, 997)
        device.chmod(0o660)


def pull(how: str) -> None:
    """`up` plays a board without pull-downs, or a kernel that keeps levels: a released line reads high."""
    for pin in MOTORS:
        line(pin, "pull").write_text("pull-up" if how == "up" and pin in TURNING else "pull-down")


class Lines:
    """What was read at the motor lines so far."""

    def __init__(self) -> None:
        self.changes: list[tuple[float, int, int]] = []
        self.gaps: list[tuple[float, float]] = []
        for text in TRACE.read_text().splitlines(keepends=True):
            if not text.endswith("\n"):
                break
            stamp, name, value = text.split()
            if name == "gap":
                self.gaps.append((float(stamp), float(value)))
            elif int(name) in MOTORS:
                self.changes.append((float(stamp), int(name), int(value)))

    def high_until(self, begin: float, end: float) -> float | None:
        """When the last motor line went low in this time; `end` where one is high then; None where none was high."""
        levels = dict.fromkeys(MOTORS, 0)
        newest = None
        for stamp, pin, value in self.changes:
            if stamp > end:
                break
            before = any(levels.values())
            levels[pin] = value
            if stamp >= begin and (before or value):
                newest = stamp
        return end if any(levels.values()) else newest

    def low_after_ms(self, begin: float, end: float) -> float | None:
        """Milliseconds from `begin` to the last line's low; None where a line is still high at `end`."""
        last = self.high_until(begin, end)
        return None if last == end else 0.0 if last is None else (last - begin) * 1e3

    def since(self, begin: float, end: float) -> dict[str, Any]:
        """Of an event at `begin`: what was high then, and when the lines were low."""
        levels = dict.fromkeys(MOTORS, 0)
        for stamp, pin, value in self.changes:
            if stamp <= begin:
                levels[pin] = value
        high = [pin for pin in MOTORS if levels[pin]]
        return {
            "low_ms": self.low_after_ms(begin, end), "gap_ms": self.gap_ms(begin, begin + 2), "turning": bool(high),
            "in_pulse": PULSED in high,
        }  # fmt: skip

    def gap_ms(self, begin: float, end: float) -> float:
        """The longest time within which nobody looked (5 and below: not counted)."""
        return max((gap * 1e3 for stamp, gap in self.gaps if begin <= stamp <= end + gap), default=5.0)


def levels() -> list[bool]:
    return [line(pin, "value").read_text().strip() == "1" for pin in MOTORS]


def in_pulse(patience_s: float = 5.0) -> bool:
    """Return in the middle of a pulse, as soon as the enable line reads high; False where there is none."""
    file = os.open(line(PULSED, "value"), os.O_RDONLY)
    until = time.monotonic() + patience_s
    try:
        while os.pread(file, 1, 0) != b"1":
            if time.monotonic() > until:
                return False
        return True
    finally:
        os.close(file)


def start_reading() -> None:
    """Make the chip, close the switch, and start the program that reads the lines."""
    TRACE.parent.mkdir(exist_ok=True)
    SWITCH.write_text("c")
    make_chip()
    stop = CONFIG.emergency_stop_pin or 0
    watched = [f"{pin}={line(pin, 'value')}" for pin in MOTORS]
    subprocess.Popen(["/lab/lines", TRACE, SWITCH, line(stop, "value"), line(stop, "pull"), *watched])
    time.sleep(0.5)
