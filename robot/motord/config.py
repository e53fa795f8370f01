"""What the motors' process is told: flat JSON, written from a `RobotConfig`, validated here without pydantic.

Every key has to be there and nothing else may: this process assumes nothing about pins.
"""

from __future__ import annotations

import difflib
import json
from dataclasses import asdict, dataclass, fields
from math import isfinite
from pathlib import Path
from typing import TYPE_CHECKING, Any
from zlib import crc32

from robot.errors import ConfigError

if TYPE_CHECKING:
    from robot.config import RobotConfig

LOWEST_PIN, HIGHEST_PIN = 9, 27
"""GPIO 0-8 of a Raspberry Pi pull up at boot, and would start a motor."""


@dataclass(frozen=True, slots=True)
class MotorPins:
    """One wheel's half of the H-bridge; BCM numbers."""

    forward_pin: int
    backward_pin: int
    enable_pin: int | None


@dataclass(frozen=True, slots=True)
class MotordConfig:
    """All that the motors' process knows of the robot."""

    name: str
    left_forward_pin: int
    left_backward_pin: int
    left_enable_pin: int | None
    right_forward_pin: int
    right_backward_pin: int
    right_enable_pin: int | None
    emergency_stop_pin: int | None
    pwm_hz: int
    stop: str  # "coast" or "brake"
    hold_s: float  # no command counts for longer

    @property
    def left(self) -> MotorPins:
        return MotorPins(self.left_forward_pin, self.left_backward_pin, self.left_enable_pin)

    @property
    def right(self) -> MotorPins:
        return MotorPins(self.right_forward_pin, self.right_backward_pin, self.right_enable_pin)

    @property
    def motor_pins(self) -> dict[str, int]:
        """The pins that move a wheel, by their keys."""
        found = {key: value for key, value in asdict(self).items() if key.startswith(("left_", "right_"))}
        return {key: value for key, value in found.items() if value is not None}

    def text(self) -> str:
        """The JSON that `parse` reads."""
        return json.dumps(asdict(self), indent=2) + "\n"

    @property
    def digest(self) -> int:
        """A number by which both sides know that they speak of the same pins and limits."""
        return crc32(json.dumps(asdict(self), sort_keys=True).encode())


def of_robot(robot: RobotConfig) -> MotordConfig:
    """What the motors' process has to know of this robot."""
    drive, stop = robot.drive, robot.emergency_stop
    return MotordConfig(
        name=robot.name,
        left_forward_pin=drive.left.forward_pin,
        left_backward_pin=drive.left.backward_pin,
        left_enable_pin=drive.left.enable_pin,
        right_forward_pin=drive.right.forward_pin,
        right_backward_pin=drive.right.backward_pin,
        right_enable_pin=drive.right.enable_pin,
        emergency_stop_pin=None if stop is None else stop.pin,
        pwm_hz=drive.pwm_hz,
        stop=drive.stop,
        hold_s=float(drive.command_timeout_s),
    )


def load(path: str | Path, lowest_pin: int = LOWEST_PIN) -> MotordConfig:
    """Read and validate a file; see `parse`."""
    try:
        text = Path(path).read_bytes()
    except (OSError, ValueError) as error:
        raise ConfigError(
            f"{str(path)!r} cannot be read ({getattr(error, 'strerror', None) or error}); write it with "
            "`edgebot motors config --robot robot.toml -o FILE`"
        ) from None
    return parse(text, str(path), lowest_pin)


def parse(text: str | bytes, source: str = "the configuration", lowest_pin: int = LOWEST_PIN) -> MotordConfig:
    """Validate the JSON.

    Args:
        text: one flat object with exactly the fields of `MotordConfig`.
        source: for messages.
        lowest_pin: motor pins below it are refused; 0 on boards without a Pi's pull-ups.

    Raises:
        ConfigError: the first mistake, in one sentence.
    """
    try:
        data = json.loads(text)
    except (ValueError, RecursionError) as error:  # ValueError: not JSON, not UTF-8
        raise ConfigError(f"{source} is not valid JSON ({error}); {_AGAIN}") from None
    if not isinstance(data, dict):
        raise ConfigError(f"{source} holds a {type(data).__name__}, expected one flat object; {_AGAIN}")
    known = [field.name for field in fields(MotordConfig)]
    for key in data:
        if key not in known:
            near = difflib.get_close_matches(key, known, n=1)
            raise ConfigError(f"{source}: unknown key {key!r}{f', did you mean {near[0]!r}' if near else ''}; {_AGAIN}")
    for key in known:
        if key not in data:
            raise ConfigError(f"{source}: {key!r} is missing; {_AGAIN}")
    for key, value in data.items():
        wanted = _wrong(key, value, lowest_pin)
        if wanted:
            raise ConfigError(f"{source}: {key} is {value!r}, expected {wanted}; {_AGAIN}")
    owners: dict[int, str] = {}
    for key, value in data.items():
        if key.endswith("_pin") and value is not None:
            if value in owners:
                raise ConfigError(f"{source}: GPIO {value} is given to both {owners[value]} and {key}; {_AGAIN}")
            owners[value] = key
    return MotordConfig(**{**data, "hold_s": float(data["hold_s"])})


_AGAIN = "mend robot.toml and write it anew with `edgebot motors config`"


def _wrong(key: str, value: Any, lowest_pin: int) -> str:
    """What was expected instead of this value; nothing where it is right."""
    if key == "name":
        return "" if isinstance(value, str) and 1 <= len(value) <= 64 else "1 to 64 characters"
    if key == "stop":
        return "" if value in ("coast", "brake") else "'coast' or 'brake'"
    if key == "pwm_hz":
        return "" if _whole(value, 20, 20000) else "a whole number from 20 to 20000"
    if key == "hold_s":
        good = isinstance(value, (int, float)) and not isinstance(value, bool) and isfinite(value) and 0 < value <= 1
        return "" if good else "a number of seconds greater than 0 and at most 1"
    lowest = 0 if key == "emergency_stop_pin" else lowest_pin
    if value is None and key in ("left_enable_pin", "right_enable_pin", "emergency_stop_pin"):
        return ""
    why = " (GPIO 0-8 pull up at boot and would start the motor)" if lowest else ""
    return "" if _whole(value, lowest, HIGHEST_PIN) else f"a GPIO number from {lowest} to {HIGHEST_PIN}{why}"


def _whole(value: Any, low: int, high: int) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and low <= value <= high
