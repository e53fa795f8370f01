"""A policy once more on a recorded run: the same observations in the same order, and what it wants this time.

The policy sees what the recorded one saw: the time, the senses, the detections that were there at that
iteration, and what the wheels had. So the same policy wants the same, bit for bit; another one shows where it would
have wanted something else. What the robot did stays as recorded: nothing is simulated.
"""

from __future__ import annotations

import math
import struct
import tempfile
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from edge.errors import UsageError
from edge.loop import in_numbers
from edge.policies import REGISTRY, make
from edge.reasons import Reason
from edge.recordings.reader import Moment, Recording
from edge.types import Observation, Policy
from robot.clock import WallClock
from robot.config import Drive
from robot.kinematics import twist_from_wheels
from robot.types import STOP, Command, Twist


@dataclass(frozen=True, slots=True)
class Step:
    """One iteration: what was wanted then, and what is wanted now."""

    index: int
    now: float
    recorded: Command
    replayed: Command
    failed: bool  # the policy raised then
    fails: bool  # and now

    @property
    def equal(self) -> bool:
        """Whether both are the same bits; NaN is NaN."""
        return self.failed == self.fails and bits(self.recorded) == bits(self.replayed)


@dataclass
class PolicyDiff:
    """What a replay showed."""

    policy: str
    steps: list[Step] = field(default_factory=list)
    not_asked: int = 0  # iterations in which the loop did not come to asking the policy
    gaps: int = 0  # places where iterations are missing: the policy's memory may differ from there on
    late: bool = False  # whether the recording does not begin with the run
    took_s: float = 0.0  # for reading and asking

    @property
    def different(self) -> list[Step]:
        """The iterations whose commands are not the same bits."""
        return [step for step in self.steps if not step.equal]

    @property
    def exact(self) -> bool:
        """Whether all commands are the same bits."""
        return bool(self.steps) and not self.different

    def as_dict(self, drive: Drive) -> dict[str, Any]:
        """As plain data for JSON."""
        different = self.different
        v, omega = deviations(self, drive)
        first = different[0] if different else None
        return {
            "policy": self.policy,
            "iterations": len(self.steps),
            "equal": len(self.steps) - len(different),
            "exact": self.exact,
            "not_asked": self.not_asked,
            "gaps": self.gaps,
            "recorded_s": self.steps[-1].now - self.steps[0].now if self.steps else 0.0,
            "replayed_s": self.took_s,
            "begins_late": self.late,
            "first_difference": None
            if first is None
            else {
                "index": first.index,
                "now": first.now,
                "recorded": words(first.recorded, first.failed),
                "replayed": words(first.replayed, first.fails),
            },
            "max_abs_v_mps": max(v, default=0.0),
            "max_abs_omega_radps": max(omega, default=0.0),
            "mean_abs_v_mps": sum(v) / max(len(v), 1),
            "mean_abs_omega_radps": sum(omega) / max(len(omega), 1),
        }


def choose(recording: Recording, name: str | None) -> Policy:
    """The policy to replay: the one named, or the one that was recorded.

    Raises:
        UsageError: the recording's policy cannot be found again, or there is none of this name.
        ModelError: the file is not a policy that can be used.
    """
    if name is not None:
        return make(name, recording.config)
    model = recording.attachments.get("policy.tflite")
    if model is not None:
        with tempfile.TemporaryDirectory(prefix="edgebot-") as folder:
            path = Path(folder) / "policy.tflite"
            path.write_bytes(model)
            return make(path, recording.config)
    recorded = recording.metadata.get("policy", "")
    if "manifest.json" in recording.attachments:
        raise UsageError(
            f"{recording.path} was driven by the learned policy {recorded!r} and does not hold it; give its .tflite "
            "file with --policy"
        )
    if recorded not in REGISTRY:
        raise UsageError(
            f"{recording.path} was driven by {recorded or 'nobody known'!r}, which no program can replay; name a "
            f"policy with --policy: {', '.join(REGISTRY)}, or a .tflite file"
        )
    return make(recorded, recording.config)


def replay(moments: Iterable[Moment], policy: Policy) -> PolicyDiff:
    """Ask `policy` again at each recorded iteration. It begins afresh, as a run does."""
    diff = PolicyDiff(policy.name)
    watch = WallClock().now
    began = watch()
    policy.reset()
    following: int | None = None
    for moment in moments:
        tick = moment.tick
        if following is None:
            diff.late = tick.index > 0
        elif tick.index != following:
            diff.gaps += 1
        following = tick.index + 1
        if not tick.asked:
            diff.not_asked += 1
            continue
        wanted, fails = ask(policy, Observation(tick.now, tick.senses, tick.detections, tick.before))
        failed = tick.reason is Reason.FAULT and tick.message.startswith("policy ")
        diff.steps.append(Step(tick.index, tick.now, tick.wanted, wanted, failed, fails))
    diff.took_s = watch() - began
    return diff


def ask(policy: Policy, observation: Observation) -> tuple[Command, bool]:
    """What the policy wants, as the loop takes it; STOP and True where it raises or wants no command."""
    try:
        return in_numbers(policy.act(observation)), False
    except Exception:
        return STOP, True


def bits(command: Command) -> tuple[str, bytes]:
    """A command's form and the bytes of its numbers: equal where the commands are the same bits (NaN is NaN)."""
    pair = (command.v, command.omega) if isinstance(command, Twist) else (command.left, command.right)
    return type(command).__name__, struct.pack("<2d", *(math.nan if number != number else number for number in pair))


def motion(command: Command, drive: Drive) -> Twist:
    """A command as the body's motion, whichever its form."""
    return command if isinstance(command, Twist) else twist_from_wheels(drive, command)


def deviations(diff: PolicyDiff, drive: Drive) -> tuple[list[float], list[float]]:
    """|dv| (m/s) and |domega| (rad/s) of each iteration whose commands are both finite."""
    v, omega = [], []
    for step in diff.steps:
        one, other = motion(step.recorded, drive), motion(step.replayed, drive)
        apart = abs(one.v - other.v), abs(one.omega - other.omega)
        if all(map(math.isfinite, apart)):
            v.append(apart[0])
            omega.append(apart[1])
    return v, omega


def words(command: Command, fails: bool) -> str:
    """A command for people."""
    if fails:
        return "raises an error"
    if isinstance(command, Twist):
        return f"v {command.v:+.4g} m/s, omega {command.omega:+.4g} rad/s"
    return f"wheels {command.left:+.4g} {command.right:+.4g}"
