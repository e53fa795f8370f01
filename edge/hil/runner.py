"""Runs cases one after the other: safety is confirmed first, and whatever happens the wheels are at zero first."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

from edge.errors import EdgeError
from edge.hil.found import Case, Found, NotHere, NotLooked, Outcome, Status, Stopped
from edge.hil.operator import Gone, Operator, Safe
from edge.signals import Interrupted, stop_on_signal
from robot.clock import WallClock
from robot.config import RobotConfig
from robot.errors import RobotError


class Workbench(Protocol):
    """What the runner needs of a bench."""

    config: RobotConfig
    measured: dict[str, dict[str, float]]

    def stop(self) -> None: ...


class Watcher(Protocol):
    """Whoever shows how it goes."""

    def begin(self, case: Case) -> None: ...

    def end(self, outcome: Outcome) -> None: ...


def armed(cases: Sequence[Case], every: Sequence[Case]) -> list[Case]:
    """The cases, with those that arm before them where one of them moves something."""
    moving = any(case.moves or case.drives for case in cases)
    arming = [case for case in every if case.arms and moving and case not in cases]
    return [*arming, *cases]


class Run:
    """One run over a bench.

    Args:
        cases: in their order. bench: given to each case. operator: asked before wheels turn; None where none may.
        watcher: told of each case.

    Attributes:
        outcomes: of every case, in order. interrupted: the signal that ended it, if any.
    """

    def __init__(self, cases: Sequence[Case], bench: Any, operator: Operator | None, watcher: Watcher) -> None:
        self.cases, self.bench, self.watcher = list(cases), bench, watcher
        self.outcomes: list[Outcome] = []
        self.interrupted: Interrupted | None = None
        self._operator = operator
        self._confirmed: set[Safe] = set()
        self._over = ""
        self._clock = WallClock()

    @property
    def passed(self) -> bool:
        """Nothing failed, and nothing was left out."""
        return all(outcome.status in (Status.PASSED, Status.SKIPPED) for outcome in self.outcomes)

    def go(self) -> None:
        """Run all; a signal ends it with the wheels at zero."""
        try:
            with stop_on_signal(self.bench.stop):
                for case in self.cases:
                    self._one(case)
        except Interrupted as signal:
            self.bench.stop()
            self.interrupted = signal
            self._over = f"ended by {signal.name}"
            for case in self.cases[len(self.outcomes) :]:
                self._note(Outcome(case, Status.NOT_RUN, 0.0, Found(), self._over))

    def calibration(self) -> dict[str, dict[str, float]]:
        """What the cases that passed have measured, by table and key."""
        merged: dict[str, dict[str, float]] = {}
        for outcome in self.outcomes:
            if outcome.status is Status.PASSED:
                for table, values in outcome.found.calibration.items():
                    merged.setdefault(table, {}).update(values)
        return merged

    def _one(self, case: Case) -> None:
        missing = case.missing(self.bench.config)
        if self._over or missing:
            status = Status.NOT_RUN if self._over else Status.SKIPPED
            self._note(Outcome(case, status, 0.0, Found(), self._over or missing))
            return
        self.watcher.begin(case)
        found, began, sentence, status = Found(), self._clock.now(), "", Status.FAILED
        try:
            if case.moves is not None:
                self._confirm(case.moves)
            case.run(self.bench, found)
            status = Status.FAILED if found.failures else Status.PASSED
        except BaseException as error:
            self.bench.stop()
            if isinstance(error, NotHere):
                status, sentence = Status.SKIPPED, str(error)
            elif isinstance(error, NotLooked):
                status, sentence = Status.NOT_RUN, str(error)
            elif isinstance(error, (Stopped, Gone)):
                status, sentence = Status.NOT_RUN, str(error)
                self._over = sentence
            elif isinstance(error, (RobotError, EdgeError)):
                sentence = str(error)
            elif isinstance(error, Exception):
                sentence = f"{type(error).__name__}: {error}"
            else:
                raise
        finally:
            self.bench.stop()
        if status is Status.FAILED and case.arms:
            self._over = f"{case.title}: that has to be right before anything is moved"
        if status is Status.PASSED:
            for table, values in found.calibration.items():
                self.bench.measured.setdefault(table, {}).update(values)
        self._note(Outcome(case, status, self._clock.now() - began, found, sentence))

    def _confirm(self, what: Safe) -> None:
        """Once for each thing, and again when the robot was moved from the bench to the floor."""
        if what in self._confirmed:
            return
        assert self._operator is not None, "a case that moves needs somebody to ask"
        wanted = [what] + ([Safe.NO_SWITCH] if self.bench.config.emergency_stop is None else [])
        for question in wanted:
            if not self._operator.confirm(question):
                raise Stopped(f"not confirmed: {question}")
        self._confirmed = {what}

    def _note(self, outcome: Outcome) -> None:
        self.outcomes.append(outcome)
        self.watcher.end(outcome)


class Silent:
    """A watcher that shows nothing."""

    def begin(self, case: Case) -> None:
        """Nothing."""

    def end(self, outcome: Outcome) -> None:
        """Nothing."""

