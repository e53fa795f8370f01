"""When a simulated run has reached its goal, judged by the world's truth, which no policy sees."""

from __future__ import annotations

from robot.sim.following import Following
from robot.sim.verdict import Verdict, judge
from robot.sim.world import World

TASKS = ("light", "range", "person", "follow")
REST_MPS = 0.02
REST_S = 0.5


class Goal:
    """Called after each iteration: True once the goal is reached.

    The lamp is reached as soon as it is near. In front of an object or a person the robot must also have come to
    rest, for half a second: passing by at the right distance is not arriving. A person must have been followed for a
    minute (`robot.sim.following`).
    """

    def __init__(self, world: World, task: str) -> None:
        self.world, self.task = world, task
        self._still_since: float | None = None
        self._following = Following(world) if task == "follow" else None

    def __call__(self) -> bool:
        if self._following is not None:
            self._following.look()
            return self._following.verdict().success
        if self.task == "light":
            return self.verdict().success
        now = self.world.time
        if float(abs(self.world.wheel_speed).max()) > REST_MPS:
            self._still_since = None
            return False
        if self._still_since is None:
            self._still_since = now
        return now - self._still_since >= REST_S and self.verdict().success

    def verdict(self) -> Verdict:
        """How it stands now."""
        return judge(self.world, self.task) if self._following is None else self._following.verdict()
