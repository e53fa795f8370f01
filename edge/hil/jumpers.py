"""Which jumper goes where to make a bare Pi its own test rig: motor pins to spare inputs, spare outputs to inputs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from robot.config import RobotConfig
from robot.errors import RobotError

ORDER = (22, 25, 18, 16, 19, 4, 5, 6, 26, 20, 21, 12, 13, 17, 27, 23, 24, 10, 9, 11, 7, 8, 2, 3, 14, 15)
"""Spare pins in the order in which they are taken: SPI's, I2C's and the console's last. GPIO 0 and 1 are the HATs'."""


class Jumper(NamedTuple):
    """One wire between two pins (BCM numbers)."""

    source: int  # the one that is driven
    target: int  # the one that listens
    source_name: str
    target_name: str


@dataclass(frozen=True)
class Jumpers:
    """All wires of the loopback.

    Attributes:
        meters: spare input by the key of the motor pin that it listens to, as "left.forward_pin".
        trigger: spare input on the sonar's trigger. echo: spare output on its echo.
        switch: spare output that plays the emergency stop; None where none is configured.
        config: the robot, with light sensors that a bare Pi has.
    """

    config: RobotConfig
    meters: dict[str, int]
    trigger: int
    echo: int
    switch: int | None

    @property
    def wires(self) -> list[Jumper]:
        """Each jumper, motors first."""
        pins = self.config.pins()
        found = [
            Jumper(pins[f"drive.{key}"], number, f"drive.{key}", "spare input that measures it")
            for key, number in self.meters.items()
        ]
        sonar = self.config.range
        found.append(Jumper(sonar.trigger_pin, self.trigger, "range.trigger_pin", "spare input that hears it"))
        found.append(Jumper(self.echo, sonar.echo_pin, "spare output, plays the echo", "range.echo_pin"))
        if self.switch is not None and self.config.emergency_stop is not None:
            stop = self.config.emergency_stop.pin
            found.append(Jumper(self.switch, stop, "spare output, plays the stop", "emergency_stop.pin"))
        return found


def jumpers(config: RobotConfig) -> Jumpers:
    """The wires for this robot's pins.

    Raises:
        RobotError: too few pins are spare.
    """
    used = set(config.pins().values())
    spare = [pin for pin in ORDER if pin not in used]
    motors = [name.removeprefix("drive.") for name in config.pins() if name.startswith("drive.")]
    analogue = config.light.kind != "ldr"
    needed = len(motors) + 2 + (config.emergency_stop is not None) + 2 * analogue
    if len(spare) < needed:
        raise RobotError(
            f"the loopback needs {needed} spare pins, and this robot.toml leaves {len(spare)}; take out what is not "
            "looked at, such as [bumpers], in a copy of it"
        )
    take = iter(spare)
    meters = {key: next(take) for key in motors}
    trigger, echo = next(take), next(take)
    switch = next(take) if config.emergency_stop is not None else None
    if analogue:  # a bare Pi has no converter, and one that does not answer would stop the loop
        light = config.light.model_copy(update={"kind": "ldr", "left": next(take), "right": next(take)})
        config = config.model_copy(update={"light": light})
    return Jumpers(config, meters, trigger, echo, switch)
