"""What a case is, what it finds, and how it ended."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from edge.hil.operator import Safe
from robot.config import RobotConfig


class Status(StrEnum):
    """How a case ended."""

    PASSED = "passed"
    FAILED = "failed"  # the part is not as it must be
    SKIPPED = "skipped"  # it has no meaning here, and the sentence says why
    NOT_RUN = "not run"  # the run was ended before its turn, or something kept it from looking


@dataclass(frozen=True, slots=True)
class Figure:
    """One measured number."""

    name: str
    value: float
    unit: str = ""

    def __str__(self) -> str:
        return f"{self.name} {self.value:.4g}{f' {self.unit}' if self.unit else ''}"


@dataclass(frozen=True, slots=True)
class Series:
    """Points of a plot; joined where `line`."""

    name: str
    points: tuple[tuple[float, float], ...]
    line: bool = True


@dataclass(frozen=True, slots=True)
class Plot:
    """One picture for the report."""

    title: str
    x: str
    y: str
    series: tuple[Series, ...]


@dataclass
class Found:
    """Filled by a case while it runs."""

    figures: list[Figure] = field(default_factory=list)
    plots: list[Plot] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    calibration: dict[str, dict[str, float]] = field(default_factory=dict)

    def figure(self, name: str, value: float, unit: str = "") -> float:
        """Note a number, and return it."""
        self.figures.append(Figure(name, float(value), unit))
        return value

    def plot(self, title: str, x: str, y: str, *series: Series) -> None:
        """Note a picture."""
        self.plots.append(Plot(title, x, y, series))

    def check(self, good: bool, sentence: str) -> bool:
        """Note a failure where it is not `good`; the case goes on. Returns `good`."""
        if not good:
            self.failures.append(sentence)
        return bool(good)

    def calibrate(self, table: str, key: str, value: float) -> None:
        """A value for `calibration.toml`; it is only written where the case passes."""
        self.calibration.setdefault(table, {})[key] = float(value)


class Stopped(Exception):
    """The whole run must end: the emergency stop was pressed, or nobody has confirmed that it is safe."""


class NotHere(Exception):
    """The case has no meaning here; says why."""


class NotLooked(Exception):
    """The case has a meaning here, and something kept it from looking; says what. The run goes on."""


def always(config: RobotConfig) -> str:
    """For cases that every robot has."""
    return ""


@dataclass(frozen=True)
class Case:
    """One thing to be looked at.

    Args:
        name: for `--only`. title: for people.
        run: does it, with the bench that its set is for.
        moves: the wheels turn, once this was confirmed. drives: the motor pins of a bare Pi are driven.
        arms: it has to pass before any wheel or pin is moved.
        person: somebody has to look or to lend a hand.
        missing: why a robot of this configuration has no such part; empty where it has.
    """

    name: str
    title: str
    run: Callable[[Any, Found], None]
    moves: Safe | None = None
    drives: bool = False
    arms: bool = False
    person: bool = True
    missing: Callable[[RobotConfig], str] = always


@dataclass
class Outcome:
    """One case's end."""

    case: Case
    status: Status
    seconds: float
    found: Found
    sentence: str = ""  # why it was skipped, or what came between

    @property
    def words(self) -> str:
        """What happened, in one line."""
        if self.status is Status.PASSED:
            return ", ".join([*map(str, self.found.figures[:4]), *self.found.notes])
        return "; ".join([*self.found.failures, *([self.sentence] if self.sentence else [])])
