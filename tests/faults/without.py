"""Each protection by its name, and how a test takes it away: the proof that it is this one that stops the wheels.

Nothing of this is a switch of the product. A rule is patched out of the module that holds it, as a mistake would
take it out.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import pytest

from edge import decision
from edge.guard import Guard, Reason
from edge.perception.frames import FrameCheck
from edge.perception.runner import SyncPerception
from edge.plausible import Plausible
from edge.policies.learned import LearnedPolicy
from edge.policies.light import LightPolicy
from robot.sim.body import SimBody
from robot.types import Frame, Senses

Patch = pytest.MonkeyPatch


def _ages(patch: Patch) -> None:
    """Nothing ever grows old, and no speed falls with the age of a reading."""
    patch.setattr(decision, "_age", lambda stamp, now: 0.0)


def _finite_senses(patch: Patch) -> None:
    """NaN and infinity pass for measurements."""
    patch.setattr(decision, "_fitted", lambda senses: ())


def _finite_commands(patch: Patch) -> None:
    """NaN passes for a command, and a driver that does not understand it keeps what it has."""
    patch.setattr(decision, "isfinite", lambda number: True)
    drive = SimBody.drive

    def keep(body: SimBody, command: Any, since: float | None = None) -> Any:
        parts = (command.v, command.omega) if hasattr(command, "v") else (command.left, command.right)
        return drive(body, command, since) if all(map(math.isfinite, parts)) else body._motors._duty

    patch.setattr(SimBody, "drive", keep)


def _echoes(patch: Patch) -> None:
    """Nothing is ahead, whatever the sonar says."""
    patch.setattr(decision, "_ahead", lambda config, senses, at: (math.inf, Reason.OBSTACLE))


def _second_echo(patch: Patch) -> None:
    """One good echo is believed at once, whatever the one before it said."""
    perceive = Guard._perceive

    def forgetful(guard: Guard, *arguments: Any) -> Any:
        doubt = perceive(guard, *arguments)
        guard._echo_before = None
        return doubt

    patch.setattr(Guard, "_perceive", forgetful)


def _plausible(patch: Patch) -> None:
    """Whatever a sense says is believed."""
    patch.setattr(Plausible, "doubt", lambda *arguments: None)


def _fresh_frames(patch: Patch) -> None:
    """A policy that lives by its camera drives without results too."""
    begin = Guard.__init__

    def blind(guard: Guard, config: Any, needs_camera: bool = False, **needs: Any) -> None:
        begin(guard, config, False, **needs)

    patch.setattr(Guard, "__init__", blind)


def _frames(patch: Patch) -> None:
    """Every frame is a picture."""
    patch.setattr(FrameCheck, "usable", lambda check, frame: frame)


def _detector(patch: Patch) -> None:
    """A detector that fails leaves its last result standing, and the loop goes on as if it had said nothing."""
    offer = SyncPerception.offer

    def careless(perception: SyncPerception, frame: Frame | None) -> None:
        before = perception._newest
        try:
            offer(perception, frame)
        except Exception:
            perception._newest = None if before is None else replace(before, stamp=perception._last)

    patch.setattr(SyncPerception, "offer", careless)


def _stop(patch: Patch) -> None:
    """The loop's way to zero is cut: what is on the wheels stays there until the motor port's deadline."""
    patch.setattr(SimBody, "stop", lambda body: None)


def _overrun(patch: Patch) -> None:
    """An iteration may take as long as it likes."""
    patch.setattr(decision, "SLACK_S", math.inf)


def _arrived(patch: Patch) -> None:
    """However bright it is, the lamp is not reached."""
    patch.setattr(LightPolicy, "NEAR", 9.0)
    begin = LearnedPolicy.__init__

    def endless(policy: LearnedPolicy, *arguments: Any) -> None:
        begin(policy, *arguments)
        policy._done_light = math.inf

    patch.setattr(LearnedPolicy, "__init__", endless)


def _blind_to(*names: str) -> Callable[[Patch], None]:
    def blind(patch: Patch) -> None:
        """The guard is not told of these senses."""
        check = Guard.check

        def told_less(guard: Guard, senses: Senses, *arguments: Any, **named: Any) -> Any:
            return check(guard, replace(senses, **dict.fromkeys(names)), *arguments, **named)

        patch.setattr(Guard, "check", told_less)

    return blind


PROTECTIONS: dict[str, Callable[[Patch], None]] = {
    "ages of readings": _ages,
    "finite senses": _finite_senses,
    "finite commands": _finite_commands,
    "echoes": _echoes,
    "the echo before": _second_echo,
    "plausibility": _plausible,
    "fresh frames": _fresh_frames,
    "frame check": _frames,
    "detector's faults": _detector,
    "zero on an exception": _stop,
    "overruns": _overrun,
    "arriving": _arrived,
    "emergency stop": _blind_to("emergency_stop"),
    "tilt": _blind_to("tilt"),
    "battery": _blind_to("battery"),
    "under-voltage": _blind_to("under_voltage"),
    "bumpers": _blind_to("bump_left", "bump_right"),
}


@contextmanager
def without(name: str) -> Iterator[None]:
    """Inside, this protection is gone."""
    with pytest.MonkeyPatch.context() as patch:
        PROTECTIONS[name](patch)
        yield
