"""Robots whose world can serve as a model of itself: what is so now can be told, and gone back to."""

from __future__ import annotations

from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from edge.observation import LightObserver
from robot.sim.motors import Motors
from train.envs.batch import Floats
from train.envs.robot import RobotBatch


class Foreseeable(RobotBatch):
    """N robots in rooms without persons, that see by `edge.observation`. A task adds what it remembers to `_parts`."""

    def snapshot(self) -> Floats:
        """(D, N) all that changes as the robots of these rooms drive."""
        return np.concatenate([np.asarray(part, np.float32).reshape(-1, self.n) for part in self._parts()])

    def restore(self, snapshot: Floats) -> None:
        """Go back to a `snapshot`, of these robots or of others in the same rooms."""
        at = 0
        for part in self._parts():
            rows = part.size // self.n
            part[...] = snapshot[at : at + rows].reshape(part.shape)
            at += rows

    def mirror(self, other: RobotBatch) -> None:
        """Be in the rooms in which the robots of `other` are, as a model: without noise, and with bodies all alike."""
        theirs = other._world.rooms
        if self.world is None:
            self._rooms, self._in_order = theirs, True
            self.share = 0.0
            self.reset(0)
            self._world.noise = False
            self._world.motors = Motors.of(self.config.drive, self.n, self._world.dtype)
        moved = [i for i, room in enumerate(theirs) if room is not self._world.rooms[i]]
        if moved:
            self._world.reset(moved, [theirs[i] for i in moved])

    def _parts(self) -> list[NDArray[Any]]:
        """Arrays with robots on the last axis, to be read and written to."""
        world, observer = self._world, cast(LightObserver, self._observer)
        own = [world.pose, world.wheel_speed, world.contact_speed, self._applied, self._looked, self._range, self._age]
        return [*own, *observer.memory()]
