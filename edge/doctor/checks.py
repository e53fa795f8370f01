"""The list of checks, in the table's order, and what goes through it."""

from __future__ import annotations

from collections.abc import Callable

from edge.doctor import hardware, jitter, packages, power, service, system
from edge.doctor.rows import Check, Examined, Level, Row, skipped, warning
from edge.errors import EdgeError

CHECKS = (
    Check("computer", system.computer, quick=True),
    Check("operating system", system.operating_system, quick=True),
    Check("Python", system.python, quick=True),
    Check("packages", packages.packages, quick=True),
    Check("numpy", packages.numpy, quick=True),
    Check("picamera2", packages.camera_libraries, hardware=True),
    Check("interpreter", packages.interpreter),
    Check("models", packages.models),
    Check("camera", hardware.camera, quick=True),
    Check("camera sensor", hardware.camera_found, hardware=True),
    Check("GPIO chip", hardware.gpio_chip, quick=True, hardware=True),
    Check("pins in use", hardware.pins_in_use, quick=True, hardware=True),
    Check("firmware", hardware.firmware, quick=True, hardware=True),
    Check("motor pins", hardware.motor_pins, hardware=True),
    Check("I2C, SPI", hardware.buses, quick=True, hardware=True),
    Check("permissions", hardware.permissions, quick=True, hardware=True),
    Check("emergency stop", hardware.emergency_stop, real=True),
    Check("power", power.supply, quick=True, hardware=True),
    Check("temperature", power.temperature, quick=True, hardware=True),
    Check("disk", system.disk, quick=True),
    Check("clock", system.clock),
    Check("motord", service.motord, real=True),
    Check("units", service.units, hardware=True),
    Check("hardware watchdog", service.hardware_watchdog, hardware=True),
    Check("real time", service.realtime),
    Check("loop jitter", jitter.jitter),
)


class UnfitError(EdgeError):
    """This machine should not drive this robot."""


def examine(examined: Examined, quick: bool = False, begin: Callable[[str], None] | None = None) -> list[Row]:
    """Every line of the table.

    Args:
        examined: machine and robot.
        quick: only what takes no time.
        begin: told each check's name before it begins.
    """
    rows: list[Row] = []
    for check in CHECKS:
        if quick and not check.quick:
            continue
        if begin is not None:
            begin(check.name)
        if check.real and not examined.real:
            rows.append(skipped(check.name, "for a real robot"))
        elif check.hardware and not examined.machine.is_pi:
            rows.append(skipped(check.name, "not a Raspberry Pi"))
        elif check.hardware and examined.machine.pins != "lgpio":
            rows.append(skipped(check.name, f"GPIOZERO_PIN_FACTORY={examined.machine.pins}"))
        else:
            try:
                rows.extend(check.judge(examined))
            except Exception as error:  # a check that falls over says nothing about the robot
                what = f"the check itself failed: {type(error).__name__}: {error}"
                rows.append(warning(check.name, what, "edgebot doctor --json"))
    return rows


def fit(rows: list[Row]) -> bool:
    """Whether the machine should drive."""
    return all(row.level is not Level.FAILURE for row in rows)


def refuse_unfit(examined: Examined) -> None:
    """The short form, before the runtime drives a real robot.

    Raises:
        UnfitError: the first failure, with the command that mends it.
    """
    for row in examine(examined, quick=True):
        if row.level is Level.FAILURE:
            raise UnfitError(
                f"this machine should not drive ({row.check}: {row.found}); mend it with `{row.mend}`; "
                "`edgebot doctor` tells all"
            )
