"""Persons in the rooms of N robots: they stand or walk, and wait while somebody is in their way, but not for ever."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from robot.sim.maps import PERSON_RADIUS_M
from robot.sim.room import Person, PersonState

STRIDE_M = 1.3  # two steps
_POLITE_M = 0.25  # how near a walker comes to a robot, and to somebody else
_PATIENCE_S = 1.0  # after so long in front of somebody, who walks to and fro turns round
_STUCK_S = 3.0  # and who gets on in no direction for so long squeezes past
_SQUEEZED_M = 0.1  # then they come so near


class Persons:
    """P persons in each of N rooms (absent ones far away); `position` is (2, P, N) m."""

    FAR = 1e3

    def __init__(self, count: int, legs: int, n: int, dtype: type[np.floating]) -> None:
        self.position = np.full((2, count, n), self.FAR, dtype)
        self.walked = np.zeros((count, n), dtype)  # m along the way, there and back again or round
        self.speed = np.zeros((count, n), dtype)
        self.yaw = np.zeros((count, n), dtype)
        self._waited = np.zeros((count, n), dtype)  # s, in this direction
        self._stuck = np.zeros((count, n), dtype)  # s, in any
        self._origin = np.full((2, count, n), self.FAR, dtype)
        self._leg = np.zeros((legs, count, n), dtype)  # length of each leg
        self._direction = np.zeros((2, legs, count, n), dtype)
        self._round = np.zeros((count, n), bool)
        self._people: list[tuple[Person, ...]] = [()] * n
        self._any_walks = False

    def put(self, index: int, people: Sequence[Person]) -> None:
        """Place a room's persons at the beginning of their ways."""
        self._people[index] = tuple(people)
        self._origin[:, :, index] = self.FAR
        self.walked[:, index] = 0
        self.speed[:, index] = 0
        self._waited[:, index] = self._stuck[:, index] = 0
        self._leg[:, :, index] = 0
        for p, person in enumerate(people):
            steps = person.legs
            length = np.hypot(*steps.T) if len(steps) else np.zeros(0)
            self._origin[:, p, index] = person.waypoints[0]
            self._round[p, index] = person.round
            self._leg[: len(length), p, index] = length
            self._direction[:, : len(length), p, index] = (steps / length[:, None]).T
            self.speed[p, index] = person.speed_mps if length.sum() > 0 else 0.0
            self.yaw[p, index] = person.yaw
        self.position[:, :, index] = self._origin[:, :, index]
        self._any_walks = bool((self.speed > 0).any())

    def step(self, robots: NDArray[np.floating], radius: float, dt: float) -> None:
        """Walk for `dt`; a person whose next step would come too near the robot (2, N), or another person, waits.

        Who has waited for `_PATIENCE_S` goes back the way they came; those who walk round and round wait on. Who is
        stuck all the same squeezes past.
        """
        if not self._any_walks:
            return
        walked = self.walked + self.speed * dt
        position, direction = self._place(walked)
        near = np.hypot(self.position[0] - robots[0], self.position[1] - robots[1])
        away = np.hypot(position[0] - robots[0], position[1] - robots[1])
        gap = np.where(self._stuck > _STUCK_S, _SQUEEZED_M, _POLITE_M)
        go = ((away > radius + PERSON_RADIUS_M + gap) | (away > near)) & (self.speed > 0)
        for p, q in itertools.permutations(range(len(walked)), 2):
            other = self.position[:, q]
            away, near = (np.hypot(*(one[:, p] - other)) for one in (position, self.position))
            go[p] &= (away > 2 * PERSON_RADIUS_M + gap[p]) | (away >= near)
        np.copyto(self.walked, walked, where=go)
        np.copyto(self.position, position, where=go)
        np.copyto(self.yaw, np.arctan2(direction[1], direction[0]), where=go)
        for time in (self._waited, self._stuck):  # whoever inches along behind somebody loses patience all the same
            np.maximum(time + np.where(go, -dt, dt), 0, out=time)
        turn = (self._waited > _PATIENCE_S) & (self.speed > 0) & ~self._round
        if turn.any():
            np.copyto(self.walked, np.remainder(-self.walked, 2 * np.maximum(self._leg.sum(axis=0), 1e-6)), where=turn)
            self._waited[turn] = 0

    def resume(self, other: Persons) -> None:
        """Take over how far the persons of `other`, with as many robots, have come."""
        count = min(len(self.walked), len(other.walked))
        self.walked[:count] = other.walked[:count]
        self.position[:, :count] = other.position[:, :count]
        self.yaw[:count] = other.yaw[:count]
        self._waited[:count] = other._waited[:count]
        self._stuck[:count] = other._stuck[:count]

    def states(self, index: int) -> list[PersonState]:
        """The persons of one robot's room, in the order of `Room.persons`."""
        return [
            PersonState(
                float(self.position[0, p, index]),
                float(self.position[1, p, index]),
                float(self.yaw[p, index]),
                float(self.walked[p, index] / STRIDE_M * 2 * np.pi % (2 * np.pi)),
                person.height_m,
                person.look,
            )
            for p, person in enumerate(self._people[index])
        ]

    def _place(self, walked: NDArray[np.floating]) -> tuple[NDArray[np.floating], NDArray[np.floating]]:
        """Where the way of each person leads after `walked` metres, and the direction (2, P, N) of walking there."""
        total = np.maximum(self._leg.sum(axis=0), 1e-6)
        there = np.remainder(walked, np.where(self._round, total, 2 * total))
        back = there > total
        rest = np.where(back, 2 * total - there, there)
        position = self._origin.copy()
        direction = np.zeros_like(position)
        for leg in range(len(self._leg)):
            part = np.clip(rest, 0, self._leg[leg])
            position += self._direction[:, leg] * part
            np.copyto(direction, self._direction[:, leg], where=(rest >= 0) & (self._leg[leg] > 0))
            rest = rest - self._leg[leg]
        return position, np.where(back, -direction, direction)
