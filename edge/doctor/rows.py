"""One line of the examination, and what a check is given."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path

from edge.doctor.machine import Machine
from robot.config import RobotConfig


class Level(StrEnum):
    """What a line means for driving."""

    OK = "ok"
    NOTE = "note"  # worth knowing; nothing to mend
    WARNING = "warning"  # it drives, and should be mended
    FAILURE = "failure"  # it should not drive
    SKIPPED = "skipped"  # has no meaning here, and the line says why


@dataclass(frozen=True, slots=True)
class Row:
    """One line: what was looked at, what was found, and for warnings and failures the one command that mends it."""

    check: str
    level: Level
    found: str
    mend: str = ""


@dataclass(frozen=True)
class Examined:
    """What is examined: a machine, and the robot that it is to drive."""

    machine: Machine
    config: RobotConfig
    robot: Path | None = None  # where `config` came from; None: the example
    real: bool = False  # whether it is to drive a real robot, not a simulated one
    camera: bool = False  # whether its policy needs the camera
    models: tuple[Path, ...] = ()  # model files that it is to use, beside the shipped ones
    jitter_s: float = 5.0  # how long the loop's punctuality is measured

    @property
    def toml(self) -> str:
        """The description's path, as a command names it."""
        return str(self.robot) if self.robot is not None else "robot.toml"


Judge = Callable[[Examined], Iterator[Row]]


@dataclass(frozen=True)
class Check:
    """One thing to look at."""

    name: str
    judge: Judge
    quick: bool = False  # part of the short form, which the runtime runs before it drives
    hardware: bool = False  # has a meaning on a Raspberry Pi only
    real: bool = False  # matters for a real robot only
    needs: Callable[[Examined], bool] = field(default=lambda examined: True)


def ok(check: str, found: str) -> Row:
    """All is well."""
    return Row(check, Level.OK, found)


def note(check: str, found: str) -> Row:
    """Worth knowing."""
    return Row(check, Level.NOTE, found)


def warning(check: str, found: str, mend: str) -> Row:
    """It drives, and should be mended."""
    return Row(check, Level.WARNING, found, mend)


def failure(check: str, found: str, mend: str) -> Row:
    """It should not drive."""
    return Row(check, Level.FAILURE, found, mend)


def skipped(check: str, why: str) -> Row:
    """No meaning here."""
    return Row(check, Level.SKIPPED, why)
