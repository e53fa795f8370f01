"""How a run went: why it ended, what the guard said, what each stage cost."""

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
    FAULT = "fault"  # the body, perception or the recording failed


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
    stages: dict[str, Stage]
    overruns: int  # iterations that ended after the next deadline
    missed: int  # deadlines skipped because of them
    policy_faults: int  # iterations in which the policy raised
    perception_restarts: int

    def as_dict(self) -> dict[str, Any]:
        """Plain numbers and strings, for `--json`."""
        return asdict(self) | {"ended": str(self.ended)}
