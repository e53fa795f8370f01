"""What a policy sees that goes to a thing by the sonar alone: the range, and the nearest thing that stands free.

While the robot turns, what is heard makes a profile of the room: the last range in each of `SECTORS` directions, in a
frame that does not turn with the robot. A thing stands out of it as a plateau about one cone wide beside which the
range jumps to what is farther; in a convex room walls never do that (`edge.policies.scan` tells more). When all
directions were heard, the nearest such thing is the one; from then on it is kept, carried along by dead reckoning of
what was commanded, corrected by each plateau and each range that fits, and given up where the sonar hears past it.

Only element-wise operations, as in `edge.observation`: one robot and N see the same bits.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from edge.observation import FAR_M, NEAR_M, OMEGA_RADPS, V_MPS
from edge.reckoning import HALF_CONE, SONAR_M, Reckoning, carried, turned

Floats = NDArray[np.float32]
Indices = NDArray[np.intp]

NAME = "thing"
VERSION = 1
"""Raised with every change of meaning below."""

SECTORS = 48
BESIDE = 6
"""Sectors to each side of straight ahead whose ranges are told."""
FIELDS = (
    "range_near",  # 0 at the sonar .. 1 at NEAR_M and beyond; 0 where the echo is missing, as an obstacle
    "range_far",  # the same for FAR_M
    "range_valid",  # 1, or 0 where the echo is missing
    "last_v",  # the command of the last decision, as a share of V_MPS and OMEGA_RADPS
    "last_omega",
    "heard",  # share of the directions in which something was heard since the robot last drove on
    "known",  # 1 where there is a thing; else the next four are 0
    "cos_bearing",  # of the thing
    "sin_bearing",
    "thing_near",  # the range at which it ought to be heard, as above
    "thing_far",
    "sure",  # 1 when it has just been heard, leaking away with SURE_S
    "stood",  # for how long the robot was told to stand, of STOOD_S
    *(f"beside_{k}" for k in range(-BESIDE, BESIDE + 1)),  # range of the profile from right to left, of FAR_M; 0: none
)
SIZE = len(FIELDS)
_FIRST = SIZE - 2 * BESIDE - 1
_WIDTH = 2 * math.pi / SECTORS

AGE_S = 0.05
"""How old a range is when it is seen: the robot has turned since."""
MISSING_M = 5.0
"""What is too far away to be heard counts as this far."""
STALE_M = 0.3
"""A range tells nothing of a plateau's edge any more when the robot has driven so far since."""
JUMP_M, JUMP = 0.2, 0.08
"""A plateau's edge: the range grows from one sector to the next by so much, and by this share of it."""
LEVEL_M, LEVEL = 0.05, 0.08
"""A plateau's ranges differ from their median by no more than this, or this share."""
LEAST, MOST = 3, 12
"""Sectors of a plateau."""
HALF_M = 0.12
"""Half of a thing's breadth, about."""
SURE_S, MISSED_S, LOST_S, STOOD_S = 2.0, 0.15, 3.0, 1.5
"""For how long a thing is sure; how long it has to be heard past to be beside the cone, and to be given up."""


class Plateaus(NamedTuple):
    """Things that stand free, (M,) each."""

    robot: Indices
    heading: Floats  # sectors, of the middle, in the frame that does not turn
    range_m: Floats


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
        self._state = np.zeros((8, n), np.float32)  # rows as `observe` names them
        self._reckoning = Reckoning(n, period_s)
        self.heard = np.zeros(n, np.float32)
        self._everyone = np.arange(n)
        self.reset()

    def reset(self, where: NDArray[Any] | slice = slice(None)) -> None:
        """Forget the past of all robots, or of those that a mask or index names."""
        self._profile[:, where] = np.nan
        self._state[:, where] = self.heard[where] = 0.0
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
        valid = np.isfinite(range_m)
        clean = np.where(valid, range_m, np.float32(0.0))
        way, turn = self._reckoning.moved(command, range_m)
        self._carry(turn, way)
        self._hear(np.where(valid, range_m, np.float32(np.inf)), turn, self._reckoning.speed[1] * np.float32(AGE_S))
        self.heard = self._fresh().sum(0, dtype=np.float32) * np.float32(1.0 / SECTORS)
        self._find()
        self._correct(valid, clean)

        out[0], out[1], out[2] = clean * np.float32(1.0 / NEAR_M), clean * np.float32(1.0 / FAR_M), valid
        out[3], out[4] = command[0] * np.float32(1.0 / V_MPS), command[1] * np.float32(1.0 / OMEGA_RADPS)
        out[5] = self.heard
        away = np.hypot(x, y)
        near = np.maximum(away, np.float32(1e-3))
        out[6], out[7], out[8] = known, known * x / near, known * y / near
        expected = known * np.maximum(away - np.float32(SONAR_M), 0.0)
        stood[:] = np.where((command == 0.0).all(0), stood + np.float32(self.period_s), np.float32(0.0))
        out[12] = stood * np.float32(1.0 / STOOD_S)
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
        self._state[:, where] = few._state
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
        yaw[:] = turned(yaw, turn, SECTORS)
        driven += np.abs(way)
        sure *= self._leak

    def _hear(self, reach: Floats, turn: Floats, since: Floats) -> None:
        """Write the range where the sonar looked, and where it has passed since the last one."""
        driven = self._state[1]
        yaw = self._state[0] - since * np.float32(1.0 / _WIDTH)
        here = np.rint(yaw).astype(np.intp)
        before = np.rint(yaw - turn * np.float32(1.0 / _WIDTH)).astype(np.intp)
        passed = np.abs(here - before)
        back = np.sign(before - here)
        for step in range(int(min(max(passed.max(), 1), SECTORS // 2))):
            due = self._everyone[(step < passed) | (step == 0)]
            rows = (here[due] + step * back[due]) % SECTORS
            self._profile[rows, due], self._written[rows, due] = reach[due], driven[due]

    def _fresh(self) -> NDArray[np.bool_]:
        return ~np.isnan(self._profile) & (self._state[1] - self._written < np.float32(STALE_M))

    @property
    def found(self) -> Floats:
        """(n,) 1 where there is a thing, else the share of the directions heard."""
        return np.maximum(self._state[2], self.heard)

    def plateaus(self) -> Plateaus:
        """The things that stand out of the profile."""
        profile = np.where(self._fresh(), self._profile, np.float32(np.nan))
        with np.errstate(invalid="ignore"):
            after, before = np.roll(profile, -1, 0), np.roll(profile, 1, 0)
            farther = np.fmax(before, after)  # one echo that is missing is none; two are too far away to be heard
            profile = np.where(np.isinf(profile), np.minimum(farther, np.float32(MISSING_M)), profile)
            level = _median3(np.roll(profile, 1, 0), profile, np.roll(profile, -1, 0))  # one wild echo is none
            least = np.maximum(np.float32(JUMP_M), np.float32(JUMP) * level)
            found = [self._beside(level, np.roll(level, -side, 0) - level > least, side) for side in (1, -1)]
        return Plateaus(*(np.concatenate(parts) for parts in zip(*found, strict=True)))

    def _beside(self, level: Floats, edge: NDArray[np.bool_], side: int) -> Plateaus:
        """The plateaus that end at the sectors of `edge`, whose `side` (1 left, -1 right) is farther."""
        sector, robot = np.nonzero(edge)
        near = [level[(sector - side * k) % SECTORS, robot] for k in range(MOST)]
        base = _median5(*near[:5])
        within = np.maximum(np.float32(LEVEL_M), np.float32(LEVEL) * base)
        alive, width = np.ones(len(robot), np.bool_), np.zeros(len(robot), np.float32)
        for reach in near:
            alive &= np.abs(reach - base) <= within
            width += alive
        good = width >= LEAST
        middle = sector[good].astype(np.float32) - np.float32(0.5 * side) * (width[good] - 1.0)
        return Plateaus(robot[good], middle, base[good])

    def _find(self) -> None:
        """Take the plateau that fits the thing best; while there is none, the nearest one, once all round is heard."""
        yaw, _, known, x, y, sure, past = self._state[:7]
        robot, heading, range_m = self.plateaus()
        bearing = (heading - yaw[robot]) * np.float32(_WIDTH)
        bearing -= np.float32(2 * math.pi) * np.rint(bearing * np.float32(0.5 / math.pi))
        away = range_m + np.float32(SONAR_M)
        off = np.abs(bearing - np.arctan2(y[robot], x[robot]))
        off = np.minimum(off, np.float32(2 * math.pi) - off)
        error = np.abs(away - np.hypot(x[robot], y[robot]))
        free = known[robot] == 0.0
        misfit = np.where(free, away, error * np.float32(3.0) + off)
        ready = self.heard >= 1.0
        fits = (free & ready[robot]) | (~free & (error < np.float32(0.3)) & (off < np.float32(0.5)))
        best = np.lexsort((misfit[fits], robot[fits]))
        first = np.ones(len(best), np.bool_)
        chosen = robot[fits][best]
        first[1:] = chosen[1:] != chosen[:-1]
        at, pick = chosen[first], np.flatnonzero(fits)[best[first]]
        x[at], y[at] = away[pick] * np.cos(bearing[pick]), away[pick] * np.sin(bearing[pick])
        known[at], sure[at], past[at] = 1.0, 1.0, 0.0

    def _correct(self, valid: NDArray[np.bool_], range_m: Floats) -> None:
        """Heard as far as expected the thing is within the cone; heard past, it is beside the cone."""
        known, x, y, sure, past = self._state[2:7]
        away, heard = np.maximum(np.hypot(x, y), np.float32(1e-3)), range_m + np.float32(SONAR_M)
        bearing = np.arctan2(y, x)
        off, edge = np.abs(bearing), np.float32(HALF_CONE) + np.arctan(np.float32(HALF_M) / away)
        fits = (known > 0.0) & valid & (np.abs(heard - away) < np.float32(0.25)) & (off < edge + np.float32(0.3))
        beyond = (known > 0.0) & (off < edge) & ~fits & (~valid | (heard > away))
        past[:] = np.where(fits, np.float32(0.0), past + beyond * np.float32(self.period_s))
        aside = beyond & (past > np.float32(MISSED_S))
        bearing = np.where(fits, np.clip(bearing, -edge, edge), np.where(aside, np.copysign(edge, bearing), bearing))
        away = np.where(fits, heard, away)
        np.copyto(x, away * np.cos(bearing), where=known > 0.0)
        np.copyto(y, away * np.sin(bearing), where=known > 0.0)
        np.copyto(sure, np.float32(1.0), where=fits)
        lost = past >= np.float32(LOST_S)
        known[lost], past[lost] = 0.0, 0.0
        self._profile[:, lost] = np.nan


def _median3(a: Floats, b: Floats, c: Floats) -> Floats:
    return np.maximum(np.minimum(a, b), np.minimum(np.maximum(a, b), c))


def _median5(a: Floats, b: Floats, c: Floats, d: Floats, e: Floats) -> Floats:
    low, high = np.maximum(np.minimum(a, b), np.minimum(c, d)), np.minimum(np.maximum(a, b), np.maximum(c, d))
    return _median3(e, low, high)
