"""The guard: from what a policy wants to what is safe, and the reason.

It stands outside every policy and only decides (`edge.decision`); the motor port acts. It remembers what no single
moment shows: its last answer, from which starts are ramped, the echo before, when light was last measured, and what
`edge.plausible` doubts. Nothing is latched but what that module says is: with the reason the stop is gone.
"""

from __future__ import annotations

from math import inf
from typing import Any

from edge.decision import FIRST_STEP_S, HALT, Situation, decide
from edge.plausible import Plausible
from edge.reasons import MOVING, SENTENCES, STOPPING, Reason
from robot.config import RobotConfig
from robot.kinematics import twist_from_wheels
from robot.types import Command, Reading, Senses, Twist

__all__ = ["MOVING", "SENTENCES", "STOPPING", "Guard", "Reason", "Situation", "decide"]


class Guard:
    """`decide` for one robot, iteration after iteration.

    Args:
        config: the robot.
        needs_camera: the policy lives by detections, so that a frame that is too old is a full stop.
        needs_light: it lives by light, so that light sensors that cannot be right are.
        needs_link: someone drives over a link, so that its silence is.
    """

    def __init__(
        self, config: RobotConfig, needs_camera: bool = False, *, needs_light: bool = False, needs_link: bool = False
    ) -> None:
        self.config = config
        self.needs_camera, self.needs_link = needs_camera, needs_link
        self.plausible = Plausible(config, needs_light)
        self._shutdown = False
        self._previous = HALT
        self._at: float | None = None
        self._echo: Reading | None = None
        self._echo_before: Reading | None = None
        self._lit_at = (-inf, -inf)

    @classmethod
    def of(cls, config: RobotConfig, policy: Any) -> Guard:
        """The guard that this policy needs: it says itself what it lives by."""
        return cls(
            config,
            needs_camera=policy.needs_camera,
            needs_light=getattr(policy, "needs_light", False),
            needs_link=getattr(policy, "link", None) is not None,
        )

    def check(
        self,
        senses: Senses,
        wanted: Command,
        now: float,
        *,
        sensed_at: float | None = None,
        period_s: float = inf,
        frame_at: float | None = None,
        bad_frame: bool = False,
        link_at: float | None = None,
    ) -> tuple[Command, Reason]:
        """The safe command at `now`, and the reason.

        Args:
            senses: what the body perceived.
            wanted: what the policy asks for.
            now: the clock's time at the moment of acting, after the policy.
            sensed_at: when this iteration began; `senses.stamp` where it is not given.
            period_s: what an iteration may take.
            frame_at: exposure of the frame behind the detections that the policy saw, None without any.
            bad_frame: the newest frame is frozen, black or of another size.
            link_at: when the newest message came over the link, None before the first.
        """
        since = FIRST_STEP_S if self._at is None else now - self._at
        if not 0.0 <= since <= self.config.drive.command_timeout_s:
            self.halted()  # a pause so long that the motor port has stopped the wheels by itself
            since = FIRST_STEP_S
        doubt = self._perceive(senses, since, now)
        situation = Situation(
            now=now,
            sensed_at=senses.stamp if sensed_at is None else sensed_at,
            period_s=period_s,
            frame_at=frame_at,
            needs_camera=self.needs_camera,
            bad_frame=bad_frame,
            link_at=link_at,
            needs_link=self.needs_link,
            previous=self._previous,
            step_s=since,
            echo_before=self._echo_before,
            lit_at=self._lit_at,
            doubt=doubt,
            shutdown=self._shutdown,
        )
        command, reason = decide(self.config, senses, wanted, situation)
        self._at = now
        self._previous = command if isinstance(command, Twist) else twist_from_wheels(self.config.drive, command)
        return command, reason

    def halted(self) -> None:
        """The wheels were stopped past the guard: the next start is ramped from zero."""
        self._previous = HALT
        self._at = None

    def shutdown(self) -> None:
        """The run has ended: from now on the answer is a full stop."""
        self.halted()
        self._shutdown = True

    def begin(self) -> None:
        """A run begins: nothing is known of what was before."""
        self.halted()
        self.plausible.reset()
        self._shutdown = False
        self._echo = self._echo_before = None
        self._lit_at = (-inf, -inf)

    def _perceive(self, senses: Senses, since: float, now: float) -> Reason | None:
        """Take note of what the next iterations must know of these senses; returns what is doubted."""
        if self._echo is None or senses.range.stamp != self._echo.stamp:
            self._echo_before, self._echo = self._echo, senses.range
        left, right = senses.light_left, senses.light_right
        self._lit_at = (
            self._lit_at[0] if left.value is None else left.stamp,
            self._lit_at[1] if right.value is None else right.stamp,
        )
        return self.plausible.doubt(senses, self._previous, since, now)
