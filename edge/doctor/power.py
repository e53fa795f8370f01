"""The supply and the heat, by the firmware's own word."""

from __future__ import annotations

import re
from collections.abc import Iterator

from edge.doctor.machine import Machine
from edge.doctor.rows import Examined, Row, failure, note, ok, warning

# Bits of `vcgencmd get_throttled`: now, and 16 higher the same since the start.
BITS = {0: "under-voltage", 1: "processor slowed", 2: "throttled", 3: "soft temperature limit"}
SUPPLY = 1
SYSFS = "/sys/devices/platform/soc/soc:firmware/get_throttled"

MEASURE = "watch -n1 vcgencmd measure_temp"
WARM_C, HOT_C = 75.0, 82.0  # the firmware slows a Pi down at 80 (soft limit 60 on a 3B+), hard at 85


def throttled(machine: Machine) -> int | None:
    """The firmware's bits: by its file where the kernel has one, else by vcgencmd; None where neither answers."""
    text = machine.text(SYSFS)
    if text:
        try:
            return int(text, 16)
        except ValueError:
            return None
    found = re.search(r"throttled=0x([0-9a-fA-F]+)", machine.run("vcgencmd", "get_throttled") or "")
    return int(found[1], 16) if found else None


def supply(examined: Examined) -> Iterator[Row]:
    """Under-voltage and throttling, now and since the start."""
    from robot.pi.power import Supply

    bits, name = throttled(examined.machine), "power"
    if Supply(examined.machine.root).read() == 1.0:
        bits = (bits or 0) | SUPPLY
    if bits is None:
        yield note(name, "the firmware cannot be asked (vcgencmd)")
        return
    now, before = bits & 0xF, bits >> 16 & 0xF
    mend = "watch -n1 vcgencmd get_throttled"
    if now & SUPPLY:
        yield failure(name, "under-voltage now: a stronger supply or shorter, thicker wires (5.1 V, 3 A)", mend)
    elif now:
        yield warning(name, f"{_words(now)} now: cool it", mend)
    elif before & SUPPLY:
        yield warning(name, f"since the start: {_words(before)}; motors on a supply of their own?", mend)
    elif before:
        yield note(name, f"since the start: {_words(before)}")
    else:
        yield ok(name, "no under-voltage, no throttling since the start")


def temperature(examined: Examined) -> Iterator[Row]:
    """Of the processor."""
    text, name = examined.machine.text("/sys/class/thermal/thermal_zone0/temp"), "temperature"
    try:
        degrees = int(text or "") / 1000
    except ValueError:
        yield note(name, "no sensor tells it")
        return
    if degrees >= HOT_C:
        yield failure(name, f"{degrees:.0f} °C: about to be slowed down hard; let it cool, fit a fan", MEASURE)
    elif degrees >= WARM_C:
        yield warning(name, f"{degrees:.0f} °C: it is slowed down from 80 on; fit a heat sink or a fan", MEASURE)
    else:
        yield ok(name, f"{degrees:.0f} °C")


def _words(bits: int) -> str:
    return ", ".join(word for bit, word in BITS.items() if bits >> bit & 1)
