"""Any policy, held: while a file is there it is asked as ever, and the wheels stay at zero."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from edge.types import Observation, Policy
from robot.types import STOP, Command


class Held:
    """Wraps a policy; everything but `act` is the policy's own.

    Args:
        policy: who is asked.
        file: while it is there, the command is zero whatever the policy says. Deploy holds a release on trial so.
    """

    def __init__(self, policy: Policy, file: Path) -> None:
        self._policy, self._file = policy, file
        self.name, self.needs_camera = policy.name, policy.needs_camera

    def __getattr__(self, name: str) -> Any:
        return getattr(self._policy, name)

    def act(self, observation: Observation) -> Command:
        """The policy's command, or zero."""
        command = self._policy.act(observation)
        return STOP if self._file.exists() else command

    def reset(self) -> None:
        """Forget the past."""
        self._policy.reset()
