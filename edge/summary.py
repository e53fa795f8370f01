"""How a run went: why it ended, what the guard said, what stopped the robot and for how long, what each stage cost."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any

from edge.timing import Stage


class Ended(StrEnum):
    """Why a run ended."""

    DURATION = "duration"  # its time was up
    GOAL = "goal"  # `until` said so
    INTERRUPTED = "interrupted"  # SIGINT, or the operator's q
    TERMINATED = "terminated"  # SIGTERM, or the terminal is gone
    FAULT = "fault"  # the body failed for good, or what watches the run did


@dataclass(frozen=True, slots=True)
class Incident:
    """One cause for which the robot stood still; times are seconds since the run began."""

    reason: str  # one of the guard's
    message: str  # more on it, where there is more to say
    times: int  # how often it came up anew
    first_s: float
    last_s: float  # when it was seen last
    stopped_s: float  # in all


@dataclass(frozen=True)
class Summary:
    """One run of the loop; seconds and metres."""

    policy: str
    ended: Ended
    message: str  # what failed, in one sentence; empty where nothing did
    ticks: int
    duration_s: float
    distance_m: float  # driven, by the duties that were applied: an estimate
    reasons: dict[str, int]  # iterations under each of the guard's reasons
    incidents: tuple[Incident, ...]  # what stopped the robot, in the order in which it first came up
    stages: dict[str, Stage]
    overruns: int  # iterations that ended after the next deadline
    late: int  # iterations that began more than a period after their deadline
    missed: int  # deadlines that were left out, since an iteration before them took too long
    policy_faults: int  # iterations in which the policy raised
    perception_restarts: int

    def as_dict(self) -> dict[str, Any]:
        """Plain numbers and strings, for `--json`."""
        return asdict(self) | {"ended": str(self.ended)}


class Incidents:
    """Collects `Incident`s while the loop runs, in bounded memory.

    Args:
        kinds: how many different causes are kept; more of them are told under their reason alone.
    """

    def __init__(self, kinds: int = 64) -> None:
        self._kinds = kinds
        self._found: dict[tuple[str, str], list[float]] = {}  # times, first, last, stopped
        self._current: tuple[str, str] | None = None
        self._last = 0.0

    def note(self, seconds: float, reason: str | None, message: str = "") -> bool:
        """One iteration, `seconds` after the beginning; `reason` is None where the robot drives. True: that is news."""
        before = self._current
        if before is not None:
            self._found[before][3] += max(seconds - self._last, 0.0)
        self._last = seconds
        key = None if reason is None else (reason, message)
        if key is not None and key not in self._found and len(self._found) >= self._kinds:
            key = (key[0], "")
        self._current = key
        if key is not None:
            entry = self._found.setdefault(key, [0, seconds, seconds, 0.0])
            entry[0] += key != before
            entry[2] = seconds
        return key != before

    def told(self) -> tuple[Incident, ...]:
        """All that came up, in the order of their beginning."""
        return tuple(
            Incident(reason, message, int(times), first, last, stopped)
            for (reason, message), (times, first, last, stopped) in self._found.items()
        )
