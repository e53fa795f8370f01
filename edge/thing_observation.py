"""What a policy sees that goes to a thing by the sonar alone: the range, and the nearest thing that stands free.

While the robot turns, what is heard makes a profile of the room: the last range in each of `SECTORS` directions, in a
frame that does not turn along. A thing stands out of it as a plateau about one cone wide beside which the range jumps
to what is farther (`edge.plateaus`), or well in front of the walls that fit (`edge.wall_fit`). When all directions were
heard twice, the turns are laid over each other (`edge.two_turns`), and the nearest such thing is the one. From then on
it is kept, carried along by dead reckoning of what was commanded, and given up where it is not heard for long. Each
plateau, and each range that fits or does not, weighs a belief about its bearing (`edge.bearing_belief`), for the robot
drives bends that it did not command.

Only element-wise operations, as in `edge.observation`: one robot and N see the same bits.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge.bearing_belief import OFF_RAD, BearingBelief, summed
from edge.observation import FAR_M, NEAR_M, SONAR_FIELDS, tell_sonar
from edge.plateaus import Plateaus, cheapest, joined, plateaus, those
from edge.reckoning import HALF_CONE, SONAR_M, Reckoning, carried, turned
from edge.two_turns import TwoTurns, laid_over
from edge.wall_fit import before_walls

Floats = NDArray[np.float32]
Indices = NDArray[np.intp]

NAME = "thing"
VERSION = 3
"""Raised with every change of meaning below."""

SECTORS = 48
BESIDE = 6
"""Sectors to each side of straight ahead whose ranges are told."""
FIELDS = (
    *SONAR_FIELDS,
    "heard",  # how much of two turns was listened to, since the robot last drove on
    "known",  # 1 where there is a thing; else what is told of it is 0
    "cos_bearing",  # of the thing, in the belief's mean
    "sin_bearing",
    "thing_near",  # the range at which it ought to be heard, as above
    "thing_far",
    "sure",  # 1 when it has just been heard, leaking away with SURE_S
    "stood",  # for how long the robot was told to stand, of STOOD_S
    "left",  # how much of the belief has the thing to the left of the cone, within it, and to the right
    "within",
    "right",
    "unsure",  # the belief's standard deviation, of UNSURE_RAD
    "bend",  # by how much more to the left the thing is taken to get with each metre ahead, of BEND_RAD_PER_M
    *(f"beside_{k}" for k in range(-BESIDE, BESIDE + 1)),  # range of the profile from right to left, of FAR_M; 0: none
)
SIZE = len(FIELDS)
_FIRST = SIZE - 2 * BESIDE - 1
_WIDTH = 2 * math.pi / SECTORS

AGE_S = 0.05
"""How old a range is when it is seen: the robot has turned since."""
STALE_M = 0.3
"""A range tells nothing of a plateau's edge any more when the robot has driven so far since."""
CLEARLY_M = 0.25
"""A jump proves a thing. The fit of walls may err, and counts where it tells of something nearer by so much."""
TURNS = 64
"""Headings are told apart within so many turns."""
HALF_M, SOFT_RAD = 0.12, 0.08
"""Half of a thing's breadth, about; over how much bearing even a point fades at the cone's edge."""
FARTHER_M, NEARER_M, FITS, TRUST = 0.04, 0.1, 0.03, 0.3
"""What a range may be more and less than expected, besides a share of it, to be the thing's: when that leaves the cone,
what lies behind is heard; and how far it corrects what was expected."""
BY_CHANCE, UNHEARD = 0.1, 0.12
"""How likely it is that something else is heard where the thing ought to be, and, for each metre that it is away, that
what is in the cone is not heard."""
UNSURE_RAD, BEND_RAD_PER_M = 0.4, 0.5
SURE_S, LOST_S, AHEAD_RAD, STOOD_S = 2.0, 5.0, 0.6, 1.5
"""For how long a thing is sure; for how long it must not be heard, while it ought to be about ahead, to be given up."""


class ThingObserver:
    """Builds observations, one a decision, for `n` robots. Arguments as `edge.observation.LightObserver` has them."""

    def __init__(self, n: int, period_s: float) -> None:
        if not period_s > 0:
            raise ValueError(f"period_s is {period_s!r}; it must be greater than 0")
        self.n, self.period_s = n, period_s
        self._leak = np.float32(math.exp(-period_s / SURE_S))
        self._out = np.zeros((SIZE, n), np.float32)
        self._profile = np.zeros((SECTORS, n), np.float32)  # m; NaN: not heard yet, infinite: no echo
        self._written = np.zeros((SECTORS, n), np.float32)  # what `driven` was then
        self._looked = np.zeros((SECTORS, n), np.float32)  # sectors, where the sonar looked, turns and all
        self._first = np.zeros((2, SECTORS, n), np.float32)  # profile of the turn before, and where the sonar looked
        self._state = np.zeros((8, n), np.float32)  # rows as `observe` names them
        self._once = np.zeros((2, n), np.float32)  # 1 when one turn was listened to, and what `driven` was then
        self._belief = BearingBelief(n)
        self._reckoning = Reckoning(n, period_s)
        self.heard = np.zeros(n, np.float32)
        self._everyone = np.arange(n)
        self.reset()

    def reset(self, where: NDArray[Any] | slice = slice(None)) -> None:
        """Forget the past of all robots, or of those that a mask or index names."""
        self._profile[:, where] = np.nan
        self._state[:, where] = self._once[:, where] = self.heard[where] = 0.0
        self._belief.reset(where)
        self._reckoning.reset(where)

    def observe(self, looked: Floats | None, range_m: Floats, command: Floats) -> Floats:
        """The observation of this moment.

        Args:
            looked: nothing of it is used.
            range_m: (n,) metres; NaN or infinite where the echo is missing.
            command: (2, n) the v (m/s) and omega (rad/s) commanded since the last observation; zeros at first.

        Returns:
            (SIZE, n) float32 within -1..1, rows as in `FIELDS`; the same array at each call.
        """
        out = self._out
        yaw, driven, known, x, y, sure, past, stood = self._state
        valid, clean = tell_sonar(out[:5], range_m, command)
        way, turn = self._reckoning.moved(command, range_m)
        self._carry(turn, way)
        self._hear(np.where(valid, range_m, np.float32(np.inf)), turn)
        self._find()
        self._correct(valid, clean)

        out[5] = self.heard
        away = np.hypot(x, y)
        near = np.maximum(away, np.float32(1e-3))
        out[6], out[7], out[8] = known, known * x / near, known * y / near
        expected = known * np.maximum(away - np.float32(SONAR_M), 0.0)
        stood[:] = np.where((command == 0.0).all(0), stood + np.float32(self.period_s), np.float32(0.0))
        out[12] = stood * np.float32(1.0 / STOOD_S)
        bearings, within = self._bearings()
        share = self._belief.bearing()
        out[13] = known * summed((1.0 - within) * share * (bearings > 0.0))
        out[14] = known * summed(within * share)
        out[15] = known - out[13] - out[14]
        out[16] = known * np.sqrt(summed(share * OFF_RAD * OFF_RAD)) * np.float32(1.0 / UNSURE_RAD)
        out[17] = self._belief.bend() * np.float32(1.0 / BEND_RAD_PER_M)
        out[9], out[10], out[11] = expected * np.float32(1.0 / NEAR_M), expected * np.float32(1.0 / FAR_M), sure
        here = np.rint(yaw).astype(np.intp)
        rows = (here + np.arange(-BESIDE, BESIDE + 1)[:, None]) % SECTORS
        out[_FIRST:] = np.nan_to_num(np.take_along_axis(self._profile, rows, 0), posinf=FAR_M) * np.float32(1.0 / FAR_M)
        return np.clip(out, -1.0, 1.0, out=out)

    def observe_some(self, where: Indices, looked: Floats | None, range_m: Floats) -> Floats:
        """The first observation after a reset, (SIZE, M), of the robots at `where` (M,); the others are left be."""
        few = ThingObserver(len(where), self.period_s)
        seen = few.observe(looked, range_m, np.zeros((2, len(where)), np.float32))
        self._profile[:, where], self._written[:, where] = few._profile, few._written
        self._looked[:, where], self._once[:, where] = few._looked, few._once
        self._state[:, where], self._belief.share[..., where] = few._state, few._belief.share
        self._reckoning.take(where, few._reckoning)
        self.heard[where] = few.heard
        return seen

    def _carry(self, turn: Floats, way: Floats) -> None:
        """Dead reckoning of the thing and of the profile."""
        yaw, driven, known, x, y, sure = self._state[:6]
        x[:], y[:] = (known * at for at in carried(x, y, way, turn))
        course = yaw + turn * np.float32(0.5 / _WIDTH)
        ahead = np.cos((np.arange(SECTORS, dtype=np.float32)[:, None] - course) * np.float32(_WIDTH))
        self._profile -= way * ahead
        np.maximum(self._profile, np.float32(0.05), out=self._profile)
        between = np.flatnonzero((self._once[0] > 0.0) & (way != 0.0))
        self._first[0][:, between] -= way[between] * ahead[:, between]
        yaw[:] = turned(yaw, turn, SECTORS, TURNS)
        driven += np.abs(way)
        sure *= self._leak
        self._belief.move(way, turn)

    @property
    def _since(self) -> Floats:
        """(n,) sectors by which the robot has turned to the left since the range was taken."""
        return np.float32(AGE_S / _WIDTH) * self._reckoning.speed[1]

    def _hear(self, reach: Floats, turn: Floats) -> None:
        """Write the range where the sonar looked, and where it has passed since the last one."""
        driven = self._state[1]
        yaw = self._state[0] - self._since
        here = np.rint(yaw).astype(np.intp)
        before = np.rint(yaw - turn * np.float32(1.0 / _WIDTH)).astype(np.intp)
        passed = np.abs(here - before)
        back = np.sign(before - here)
        for step in range(int(min(max(passed.max(), 1), SECTORS // 2))):
            due = self._everyone[(step < passed) | (step == 0)]
            rows = (here[due] + step * back[due]) % SECTORS
            self._profile[rows, due], self._written[rows, due] = reach[due], driven[due]
            self._looked[rows, due] = yaw[due] + step * back[due]

    def _fresh(self) -> NDArray[np.bool_]:
        return ~np.isnan(self._profile) & (self._state[1] - self._written < np.float32(STALE_M))

    @property
    def known(self) -> NDArray[np.bool_]:
        """(n,) where there is a thing."""
        return self._state[2] > 0.0

    @property
    def found(self) -> Floats:
        """(n,) 1 where there is a thing, else how much of two turns was listened to."""
        return np.maximum(self._state[2], self.heard)

    def _find(self) -> None:
        """Take the plateau that fits the thing best; while there is none, choose one, once all was heard twice."""
        yaw, known, (x, y) = self._state[0], self._state[2], self._state[3:5]
        fresh, some = self._fresh(), np.flatnonzero(known)
        found = plateaus(np.where(fresh[:, some], self._profile[:, some], np.float32(np.nan)))
        robot, away = some[found.robot], found.range_m + np.float32(SONAR_M)
        bearing = _wrapped((found.heading - yaw[robot]) * np.float32(_WIDTH))
        off = _wrapped(bearing - np.arctan2(y[robot], x[robot]))
        error = np.abs(away - np.hypot(x[robot], y[robot]))
        here = np.abs(found.heading - np.rint(yaw[robot])) % SECTORS
        # A plateau tells its bearing once: when its edge was just heard.
        new = np.abs(np.minimum(here, SECTORS - here) - 0.5 * found.sectors) < np.float32(1.6)
        fits = new & (error < np.float32(0.3)) & (np.abs(off) < np.float32(0.5))
        at, pick = cheapest(robot, error * np.float32(3.0) + np.abs(off), fits)
        self._belief.fix(at, off[pick])
        nearer = away[pick] / np.maximum(np.hypot(x[at], y[at]), np.float32(1e-3))
        x[at], y[at] = x[at] * nearer, y[at] * nearer
        self._state[5, at], self._state[6, at] = 1.0, 0.0
        self._choose(fresh)

    def _choose(self, fresh: NDArray[np.bool_]) -> None:
        """Keep the first turn that was listened to; after the second take the nearest thing that both tell of."""
        yaw, driven, known, x, y, sure, past = self._state[:7]
        once, before = self._once
        once[driven - before >= np.float32(STALE_M)] = 0.0
        share = fresh.sum(0, dtype=np.float32) * np.float32(1.0 / SECTORS)
        over = (share >= 1.0) & (known == 0.0)
        at = np.flatnonzero(over & (once > 0.0))
        if at.size:
            since = self._since[at]  # the newest range is in the middle of a row, or rounding would be by chance
            turned = np.stack((self._first[1][:, at], self._looked[:, at])) - (yaw[at] - since)
            turned -= np.float32(SECTORS * TURNS) * np.rint(turned * np.float32(1.0 / (SECTORS * TURNS)))
            found = _nearest(laid_over(np.stack((self._first[0][:, at], self._profile[:, at])), turned))
            bearing = _wrapped((found.heading - since[found.robot]) * np.float32(_WIDTH))
            away, at = found.range_m + np.float32(SONAR_M), at[found.robot]
            x[at], y[at] = away * np.cos(bearing), away * np.sin(bearing)
            known[at], sure[at], past[at], once[at] = 1.0, 1.0, 0.0, 0.0
            self._belief.begin(at)
        at = np.flatnonzero(over & (known == 0.0))
        if at.size:
            self._first[0][:, at], self._first[1][:, at] = self._profile[:, at], self._looked[:, at]
            once[at], before[at], share[at] = 1.0, driven[at], 0.0
            self._profile[:, at] = np.nan
        self.heard = np.where(known > 0.0, share, np.float32(0.5) * (once + share))

    def _bearings(self) -> tuple[Floats, Floats]:
        """(BINS, n) bearings rad that the belief tells of, -pi..pi, and how much of a thing there the cone holds."""
        x, y = self._state[3:5]
        bearings = _wrapped(np.arctan2(y, x) + OFF_RAD)
        half = np.arctan(np.float32(HALF_M) / np.maximum(np.hypot(x, y), np.float32(1e-3)))
        edge = np.float32(HALF_CONE) + np.float32(0.5) * half
        within = np.clip((edge - np.abs(bearings)) / (np.float32(SOFT_RAD) + half) + np.float32(0.5), 0.0, 1.0)
        return bearings, within

    def _correct(self, valid: NDArray[np.bool_], range_m: Floats) -> None:
        """Heard as far as expected the thing is likely to be within the cone; heard past, beside it."""
        known, x, y, sure, past = self._state[2:7]
        away, heard = np.hypot(x, y), range_m + np.float32(SONAR_M)
        _, within = self._bearings()
        more, may = heard - away, np.float32(FITS) * away
        fits = valid & (more < np.float32(FARTHER_M) + may) & (-more < np.float32(NEARER_M) + may)
        beyond = ~fits & (~valid | (heard > away))
        there = BY_CHANCE + (0.9 - BY_CHANCE) * within
        unheard = np.clip(np.float32(UNHEARD) * away, np.float32(0.05), np.float32(0.5))
        likelihood = np.where(fits, there, np.where(beyond, 0.9 - (0.9 - unheard) * within, np.float32(1.0)))
        likelihood = np.where(known > 0.0, likelihood, np.float32(1.0))
        self._belief.weigh(likelihood.astype(np.float32))
        heard_it = fits & (known > 0.0) & (summed(self._belief.bearing() * within) > np.float32(0.5))
        away = np.where(heard_it, away + np.float32(TRUST) * more, away)
        bearing = np.arctan2(y, x) + self._belief.centre()
        x[:], y[:] = known * away * np.cos(bearing), known * away * np.sin(bearing)
        np.copyto(sure, np.float32(1.0), where=heard_it)
        missed = known * (np.abs(bearing) < np.float32(AHEAD_RAD)) * np.float32(self.period_s)
        past[:] = np.where(heard_it, np.float32(0.0), past + missed)
        lost = past >= np.float32(LOST_S)
        known[lost], past[lost] = 0.0, 0.0
        self._profile[:, lost] = np.nan


def _nearest(heard: TwoTurns) -> Plateaus:
    """The nearest thing of each robot that has any."""
    edged = plateaus(np.concatenate(tuple(heard.range_m), -1))
    edged = edged._replace(robot=edged.robot % heard.range_m.shape[-1])
    at, pick = cheapest(edged.robot, edged.range_m, edged.robot >= 0)
    nearest = np.full(heard.range_m.shape[-1], np.inf, np.float32)
    nearest[at] = edged.range_m[pick]
    proud = before_walls(heard)
    found = joined(those(edged, pick), proud)
    counts = np.arange(len(found.robot)) < len(at)
    counts |= found.range_m < nearest[found.robot] - np.float32(CLEARLY_M)
    at, pick = cheapest(found.robot, found.range_m, counts)
    return those(found, pick)


def _wrapped(angle: Floats) -> Floats:
    """Within -pi..pi."""
    return angle - np.float32(2 * math.pi) * np.rint(angle * np.float32(0.5 / math.pi))
