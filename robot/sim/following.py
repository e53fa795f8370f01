"""Whether a person was followed: their distance, look by look, judged by the truth that no policy sees."""

from __future__ import annotations

import math

from robot.sim.verdict import FACING_RAD, Verdict
from robot.sim.world import World

DISTANCE_M, WITHIN_M = 1.2, 0.4  # from the robot's middle to that of the room's first person
APPROACH_S = 15.0  # the robot may take so long to come within that distance
FOLLOW_S = 60.0  # and from then on it is judged for so long
SHARE = 0.9  # in this share of the looks the distance must hold, and the person be within `FACING_RAD` of ahead


class Following:
    """Judges one robot; call `look` once each tick.

    The person to follow is the first of the room, others may walk there too: whoever goes after one of those soon is
    too far from the first, and fails by that.
    """

    def __init__(self, world: World, robot: int = 0) -> None:
        self._world, self._robot = world, robot
        self._since: float | None = None  # when the robot first came within the distance, or should have
        self._good = self._looks = 0
        self.distance = math.inf

    @property
    def over(self) -> bool:
        """Whether the minute that is judged has passed."""
        return self._since is not None and self._world.time - self._since >= FOLLOW_S - 1e-6

    @property
    def share(self) -> float:
        """The share of the looks, since the approach, in which the person was where they ought to be."""
        return self._good / max(self._looks, 1)

    def look(self) -> bool:
        """Take in the world as it is now; True where the person is at the right distance, ahead of the robot."""
        world = self._world
        persons = world.persons(self._robot)
        if not persons:
            return False  # a room for something else: nobody can be followed there
        person = persons[0]
        x, y, yaw = (float(value) for value in world.pose[:, self._robot])
        self.distance = math.hypot(person.x - x, person.y - y)
        facing = abs(math.remainder(math.atan2(person.y - y, person.x - x) - yaw, math.tau)) <= FACING_RAD
        good = facing and abs(self.distance - DISTANCE_M) <= WITHIN_M
        if self._since is None and (good or world.time >= APPROACH_S):
            self._since = world.time
        if self._since is not None and not self.over:
            self._looks += 1
            self._good += good
        return good

    def verdict(self) -> Verdict:
        """How it stands: success once the whole minute is over and the share was reached; `measure` is the distance."""
        contact = float(self._world.contact_speed[self._robot])
        return Verdict(self.over and self.share >= SHARE, self.distance, contact)
