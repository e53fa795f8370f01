"""What a policy sees that finds its way by the sonar alone: the range now, and what was heard all around before.

One narrow cone sees little at a time, so three things are kept. Of what is far: the last range heard in each of
`SECTORS` directions, in a frame that does not turn with the robot, shortened or lengthened as the robot drives. Of what
is near: the points that echoes came from, carried along as the robot drives past them, until the sonar looks through
them or `KEPT` later echoes have taken their place. Of what is free: the last `LOOKS` cones up to their echoes; where
nothing was heard, perhaps nobody listened, and there the robot's flank hits things. Dead reckoning is by what was
commanded (`edge.reckoning`). Only element-wise operations, as in `edge.observation`: one robot and N see the same bits.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge.observation import SONAR_FIELDS, tell_sonar
from edge.reckoning import HALF_CONE, SONAR_M, Reckoning, carried, turned

Floats = NDArray[np.float32]

NAME = "scan"
VERSION = 3
"""Raised with every change of meaning below."""

SECTORS = 24
SIDE, RINGS_M = 7, (0.18, 0.3, 0.45)
"""Points at which it is told whether they are known to be free: sectors to each side, metres from the middle."""
FIELDS = (
    *SONAR_FIELDS,
    "off_sector",  # the heading from the middle of the first sector: -1..1 over its width
    *(f"free_{k}_{ring}" for k in range(-SIDE, SIDE + 1) for ring in range(len(RINGS_M))),  # 1, or 0: nobody knows
    *(f"heard_{k}" for k in range(SECTORS)),  # ahead, then to the left all round: 1 close by .. near 0 far; 0: not yet
    *(f"near_{k}" for k in range(SECTORS)),  # of the nearest point, in the robot's frame: 1 touching .. 0 at REACH_M
)
SIZE = len(FIELDS)
_NEAR = SIZE - SECTORS
_FIRST = _NEAR - SECTORS
_FREE = _FIRST - (2 * SIDE + 1) * len(RINGS_M)
_WIDTH = 2 * math.pi / SECTORS
CLOSE_M, HEARD_M = 0.2, 4.0
"""What was heard so far away is told as 1, and as almost 0; between them by the logarithm."""
_LEAST = 0.02
TOUCH_M, REACH_M = 0.1, 0.9
"""From the robot's middle to what it touches; farther points are not told."""
NOWHERE_M = 1e3
"""Where a point is that is none."""
KEPT, ARC = 75, (-1.0, 0.0, 1.0)
"""How many echoes are kept as points, and where on the cone's arc each leaves them: a corner that the robot drives past
was last heard at the cone's edge."""
THROUGH_M, THROUGH = 0.1, 0.75
"""A point that is nearer than the echo by more than this, within this share of the cone, is there no more."""
LOOKS, SURELY = 32, 0.95
"""How many cones are kept, and up to which share of their echo they are surely free."""
_RINGS = np.array(RINGS_M, np.float32)[:, None, None]
_SIDES = [(np.float32(math.cos(k * _WIDTH)), np.float32(math.sin(k * _WIDTH))) for k in range(-SIDE, SIDE + 1)]
_SLOPE = np.float32(math.tan(HALF_CONE))
_HERE = np.array([[SONAR_M], [0.0], [1.0], [0.0]], np.float32)  # a look that begins now


class ScanObserver:
    """Builds observations, one a decision, for `n` robots. Arguments as `edge.observation.LightObserver` has them."""

    def __init__(self, n: int, period_s: float) -> None:
        if not period_s > 0:
            raise ValueError(f"period_s is {period_s!r}; it must be greater than 0")
        self.n, self.period_s = n, period_s
        self._out = np.zeros((SIZE, n), np.float32)
        self._heard = np.zeros((SECTORS, n), np.float32)  # m, in the frame that does not turn; 0: not yet
        self._yaw = np.zeros(n, np.float32)  # of the robot in that frame, in sectors
        self._points = np.full((2, KEPT, len(ARC), n), NOWHERE_M, np.float32)  # x, y in the robot's frame
        self._next = 0  # of those, the ones that the next echo replaces
        self._looks = np.zeros((5, LOOKS, n), np.float32)  # x, y, cos and sin in the robot's frame; free m, 0: none
        self._oldest = 0
        self._reckoning = Reckoning(n, period_s)
        self._sectors = np.arange(SECTORS)[:, None]

    def reset(self, where: NDArray[Any] | slice = slice(None)) -> None:
        """Forget the past of all robots, or of those that a mask or index names."""
        self._heard[:, where] = 0.0
        self._yaw[where] = 0.0
        self._points[..., where] = NOWHERE_M
        self._looks[..., where] = 0.0
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
        valid, clean = tell_sonar(out[:5], range_m, command)
        way, turn = self._reckoning.moved(command, range_m)
        self._tell_far(valid, clean, way, turn)
        self._tell_near(valid, clean, way, turn)
        self._tell_free(clean, way, turn)
        return np.clip(out, -1.0, 1.0, out=out)

    def observe_some(self, where: NDArray[np.intp], looked: Floats | None, range_m: Floats) -> Floats:
        """The first observation after a reset, (SIZE, M), of the robots at `where` (M,); the others are left be."""
        few = ScanObserver(len(where), self.period_s)
        seen = few.observe(looked, range_m, np.zeros((2, len(where)), np.float32))
        self._heard[:, where], self._yaw[where] = few._heard, few._yaw
        self._points[..., where] = np.roll(few._points, self._next - few._next, axis=1)
        self._looks[..., where] = np.roll(few._looks, self._oldest - few._oldest, axis=1)
        self._reckoning.take(where, few._reckoning)
        return seen

    def _tell_far(self, valid: NDArray[np.bool_], clean: Floats, way: Floats, turn: Floats) -> None:
        out, heard = self._out, self._heard
        # What lies at an angle comes nearer by the cosine of the way. It may also change its sector: that is let be.
        course = self._yaw + turn * np.float32(0.5 / _WIDTH)
        ahead = np.cos((self._sectors - course) * np.float32(_WIDTH)).astype(np.float32)
        moved = np.maximum(heard - way * ahead, np.float32(0.5 * CLOSE_M))
        np.copyto(heard, moved, where=heard > 0.0)
        self._yaw = turned(self._yaw, turn, SECTORS)
        sector = np.rint(self._yaw)
        here = sector.astype(np.intp) % SECTORS
        heard[here, np.arange(self.n)] = np.where(valid, np.maximum(clean, 0.5 * CLOSE_M), np.float32(HEARD_M))
        out[5] = 2.0 * (self._yaw - sector)
        around = np.take_along_axis(heard, (here + self._sectors) % SECTORS, 0)
        scale = np.float32(1.0 / math.log(HEARD_M / CLOSE_M))
        near = 1.0 - np.log(np.maximum(around, np.float32(CLOSE_M)) * np.float32(1.0 / CLOSE_M)) * scale
        out[_FIRST:_NEAR] = np.where(around > 0.0, np.maximum(near, np.float32(_LEAST)), np.float32(0.0))

    def _tell_near(self, valid: NDArray[np.bool_], clean: Floats, way: Floats, turn: Floats) -> None:
        self._points = np.stack(carried(self._points[0], self._points[1], way, turn))
        x, y = self._points
        forth = x - np.float32(SONAR_M)
        through = np.hypot(forth, y) < np.where(valid, clean - np.float32(THROUGH_M), np.float32(0.0))
        through &= np.abs(y) < np.float32(THROUGH * HALF_CONE) * forth
        x[through] = NOWHERE_M
        angles = np.array(ARC, np.float32)[:, None] * np.float32(HALF_CONE)
        echo = np.where(valid & (clean < np.float32(REACH_M)), clean, np.float32(NOWHERE_M))
        x[self._next], y[self._next] = SONAR_M + echo * np.cos(angles), echo * np.sin(angles)
        self._next = (self._next + 1) % KEPT
        flat_x, flat_y = x.reshape(-1, self.n), y.reshape(-1, self.n)
        away = np.hypot(flat_x, flat_y)
        point, robot = np.nonzero(away < np.float32(REACH_M))
        at = np.arctan2(flat_y[point, robot], flat_x[point, robot])
        sector = np.rint(at * np.float32(1.0 / _WIDTH)).astype(np.intp) % SECTORS
        nearest = np.full((SECTORS, self.n), np.float32(REACH_M))
        np.minimum.at(nearest, (sector, robot), away[point, robot])
        self._out[_NEAR:] = (REACH_M - nearest) * np.float32(1.0 / (REACH_M - TOUCH_M))

    def _tell_free(self, clean: Floats, way: Floats, turn: Floats) -> None:
        x, y, cos, sin, reach = self._looks
        x[:], y[:] = carried(x, y, way, turn)
        cos[:], sin[:] = carried(cos, sin, np.zeros_like(way), turn)
        self._looks[:4, self._oldest] = _HERE
        reach[self._oldest] = clean * np.float32(SURELY)
        self._oldest = (self._oldest + 1) % LOOKS
        ahead, aside = x * cos + y * sin, y * cos - x * sin  # from the sonar of then to here, in its frame, reversed
        for row, (c, s) in enumerate(_SIDES):
            forth, off = _RINGS * (c * cos + s * sin) - ahead, _RINGS * (s * cos - c * sin) - aside
            free = (np.abs(off) < _SLOPE * forth) & (forth < reach)
            first = _FREE + row * len(RINGS_M)
            self._out[first : first + len(RINGS_M)] = free.any(axis=1)
