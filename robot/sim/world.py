"""The simulated world: N robots, each in a room of its own, in array operations; one robot is N = 1 of the same code.

State lies in arrays with robots on the last axis. `step` moves, the `sense_` methods perceive, and cost nothing until
asked. Every operation acts on each robot by itself (no matrix product, no sum across robots) and noise is keyed by
(seed, robot id, tick, stream): a robot's life does not depend on its company, and repeats bit by bit.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from robot.config import RobotConfig
from robot.errors import RobotError
from robot.sim import light
from robot.sim.collision import resolve
from robot.sim.keyed import Keyed, Stream
from robot.sim.layout import NUMPY, Kernels, Layout
from robot.sim.lookup import FLUENCE, GEODESIC, VECTOR_X, VECTOR_Y
from robot.sim.maps import PERSON_RADIUS_M
from robot.sim.motors import Motors, drive_arc
from robot.sim.room import PersonState, Room

RANGE_NOISE_M = 0.01
RANGE_NOISE_SHARE = 0.01
DROPOUT = 0.01
SONAR_RAYS = 5
CHUNK = 2048  # robots per piece of a ray cast: its buffers stay in the second-level cache
_BUMPER_HALF_WIDTH = math.radians(15)  # how far each bumper reaches across the middle
_BUMPER_END = math.radians(100)

Where = NDArray[np.intp] | slice
ALL = slice(None)


class World:
    """N robots of one configuration, each alone in its room.

    Args:
        config: the robot. rooms: one per robot (the same object may serve several: its maps are shared).
        seed: of all noise. robot_ids: (N,) what noise is keyed by; 0..N-1 unless given.
        noise: False for perfect sensors and motors as configured. tick_s: of a step. dtype: of the state.
        kernels: who does the innermost loops; NumPy is the reference.

    Attributes:
        pose: (3, N) x, y (m), yaw (rad). wheel_speed: (2, N) m/s. contact: (N,) whether the last tick touched anything;
        contact_speed: (N,) m/s, the fastest closing speed of a contact since the reset; time: s.
        motors: what each robot's motors are like; may be written to. cover: (2, N) share of the light that a hand lets
        through to the left and the right sensor, None where none is covered.

    Raises:
        RobotError: no rooms, or as many ids as there are not rooms.
    """

    def __init__(
        self,
        config: RobotConfig,
        rooms: Sequence[Room],
        seed: int = 0,
        *,
        robot_ids: Sequence[int] | None = None,
        noise: bool = True,
        tick_s: float = 0.02,
        dtype: type[np.floating] = np.float32,
        sonar_rays: int = SONAR_RAYS,
        kernels: Kernels = NUMPY,
    ) -> None:
        n = len(rooms)
        ids = np.arange(n) if robot_ids is None else np.asarray(robot_ids)
        if n == 0 or ids.shape != (n,):
            raise RobotError(f"a world of {n} rooms and {ids.size} robot ids cannot be; give one id for each room")
        if not 0 < tick_s <= 0.1:
            raise RobotError(f"tick_s is {tick_s!r}; a tick must be greater than 0 and at most 0.1 s")
        if sonar_rays < 3 or sonar_rays % 2 == 0:
            raise RobotError(f"sonar_rays is {sonar_rays!r}; the cone needs an odd number of rays, 3 or more")
        self.config, self.n, self.tick_s, self.dtype, self.noise = config, n, tick_s, dtype, noise
        self.rooms: list[Room] = list(rooms)
        self.tick = 0
        self.pose = np.zeros((3, n), dtype)
        self.wheel_speed = np.zeros((2, n), dtype)
        self.contact = np.zeros(n, bool)
        self.contact_speed = np.zeros(n, dtype)
        self.contact_bearing = np.full(n, np.nan, dtype)
        self.motors = Motors.of(config.drive, n, dtype)
        self.cover: NDArray[np.floating] | None = None
        self._keyed = Keyed(seed, ids)
        self._duty = np.zeros((2, n), dtype)
        half = math.radians(config.range.half_cone_deg)
        self._tangents = tuple(math.tan(half * i / (sonar_rays // 2)) for i in range(sonar_rays // 2 + 1))
        self._heading: tuple[NDArray[np.floating], NDArray[np.floating]] | None = None
        self._maps = kernels.maps(n, dtype)
        self._kernels = kernels
        self._layout = self._make_layout(Layout.needed(rooms))
        self.reset(np.arange(n), rooms)

    @property
    def time(self) -> float:
        """Seconds since the world began."""
        return self.tick * self.tick_s

    def reset(self, indices: ArrayLike, rooms: Sequence[Room]) -> None:
        """Put the robots at `indices` (M,) at the starts of these M rooms, at rest, with motors of their own."""
        where = np.array(indices, dtype=np.intp, ndmin=1)
        if len(rooms) != where.size:
            raise RobotError(f"{where.size} robots cannot be put into {len(rooms)} rooms; give one room for each")
        for index, room in zip(where.tolist(), rooms, strict=True):
            self.rooms[index] = room
            self._maps.put(index, room)
        has, needs = self._layout.capacity, Layout.needed(rooms)
        capacity = (max(has[0], needs[0]), max(has[1], needs[1]), max(has[2], needs[2]))
        if capacity != self._layout.capacity:
            self._enlarge(capacity)
        for index, room in zip(where.tolist(), rooms, strict=True):
            self._layout.enter(index, room)
        self.pose[:, where] = np.array([room.start for room in rooms]).T
        for state in (self.wheel_speed, self._duty):
            state[:, where] = 0
        self.contact[where] = False
        self.contact_speed[where] = 0
        self.contact_bearing[where] = np.nan
        if self.noise:
            self.motors.vary(self.config.drive, self._keyed, self.tick, where)
        self._heading = None

    def set_duty(self, left: ArrayLike, right: ArrayLike) -> None:
        """Duties of the wheels from now on, (N,) or one for all, clipped to -1..1; what is not a number is zero."""
        self._duty[0], self._duty[1] = left, right
        np.clip(self._duty, -1, 1, out=self._duty)
        np.nan_to_num(self._duty, copy=False)

    def step(self, ticks: int = 1) -> None:
        """Advance all robots and persons by `ticks` ticks of `tick_s`; `contact` tells of the last of them."""
        dt, radius = self.tick_s, self.config.radius_m
        target, decay = self.motors.target(self._duty), self.motors.decay(dt)
        for _ in range(ticks):
            self.tick += 1
            self._layout.persons.step(self.pose[:2], radius, dt)
            before = self.wheel_speed.copy()
            self.motors.step(self.wheel_speed, target, decay, dt)
            moved = drive_arc(self.pose, before, self.wheel_speed, self.config.drive.track_m, dt)
            at, speed, bearing = resolve(self._layout.obstacles, self.pose, moved, radius, PERSON_RADIUS_M, dt)
            self.contact[:] = False
            if at.size:
                self.contact[at] = True
                self.contact_speed[at] = np.maximum(self.contact_speed[at], speed)
                self.contact_bearing[at] = bearing
            self.pose = moved
        if ticks:
            self._heading = None

    def sense_light(self, where: Where = ALL) -> NDArray[np.floating]:
        """(2, N) left and right light, 0..1; of the robots at `where` (indices) only, if given."""
        config = self.config.light
        cos, sin = (a[where] for a in self._course())
        x, y = self.pose[:2, where]
        lamp = self._layout.lamp[:, where]
        field = self._maps.at(x, y, where)
        fluence, vector_x, vector_y = field[:, FLUENCE], field[:, VECTOR_X], field[:, VECTOR_Y]
        ahead, left = vector_x * cos + vector_y * sin, vector_y * cos - vector_x * sin
        axis_x, axis_y = math.cos(math.radians(config.angle_deg)), math.sin(math.radians(config.angle_deg))
        out = np.empty((2, x.size), self.dtype)
        shadow = np.empty(x.size, bool)
        for side, sign in enumerate((1.0, -1.0)):
            to_x = x + (config.x_m * cos - sign * config.y_m * sin) - lamp[0]
            to_y = y + (config.x_m * sin + sign * config.y_m * cos) - lamp[1]
            self._layout.shaded(to_x, to_y, shadow, where)
            axis = axis_x, sign * axis_y
            out[side] = self._kernels.sensed(to_x, to_y, cos, sin, fluence, ahead, left, shadow, axis)
        if self.cover is not None:
            out *= self.cover[:, where]
        if self.noise:
            spread = light.NOISE_FLOOR + light.NOISE_SHARE * out
            out += spread * self._keyed.normals(self.tick, Stream.LIGHT, where)
        return np.clip(out, 0, 1, out=out)

    def sense_range(self, where: Where = ALL) -> NDArray[np.floating]:
        """(N,) m from the sonar to the nearest thing in its cone; NaN where the echo is missing. `where` as above."""
        config = self.config.range
        rays = self._cast(self._tangents, where)
        with np.errstate(divide="ignore"):  # nothing hit is infinitely far
            reach = 1 / rays.max(axis=0)
        if self.noise:
            np.minimum(reach, 2 * config.max_m, out=reach)
            noise = self._keyed.normals(self.tick, Stream.RANGE, where)[0]
            reach += np.maximum(RANGE_NOISE_M, RANGE_NOISE_SHARE * reach) * noise
            reach[self._keyed.uniform(self.tick, Stream.DROPOUT, where) < DROPOUT] = np.nan
        reach[~((reach >= config.min_m) & (reach <= config.max_m))] = np.nan
        return reach

    def gap_ahead(self) -> NDArray[np.floating]:
        """(N,) m, the true distance along the sonar's axis to the first surface."""
        with np.errstate(divide="ignore"):
            return np.asarray(1 / self._cast((0.0,), ALL)[0])

    def sense_bump(self) -> NDArray[np.bool_]:
        """(2, N) whether the left and the right bumper, feelers that stand out by their reach, are pressed."""
        bumpers = self.config.bumpers
        reach = self.config.radius_m + (bumpers.reach_m if bumpers is not None else 0.0) + 1e-4
        pressed = np.zeros((2, self.n), bool)
        for distance, bearing in self._layout.obstacles.around(self.pose, PERSON_RADIUS_M):
            near = distance <= reach
            pressed[0] |= near & (bearing >= -_BUMPER_HALF_WIDTH) & (bearing <= _BUMPER_END)
            pressed[1] |= near & (bearing <= _BUMPER_HALF_WIDTH) & (bearing >= -_BUMPER_END)
        return pressed

    def lamp_distance(self) -> NDArray[np.floating]:
        """(N,) m from the robot's middle to its lamp, as the crow flies."""
        return np.hypot(*(self._layout.lamp - self.pose[:2]))

    def lamp_bearing(self) -> NDArray[np.floating]:
        """(N,) rad from the robot's heading to its lamp, left positive, -pi..pi."""
        dx, dy = self._layout.lamp - self.pose[:2]
        angle = np.arctan2(dy, dx) - self.pose[2]
        return angle - 2 * math.pi * np.rint(angle / (2 * math.pi))

    def geodesic_distance(self) -> NDArray[np.floating]:
        """(N,) m to the lamp round the obstacles, for a disc of the robot's width and a margin."""
        return self._maps.at(self.pose[0], self.pose[1])[:, GEODESIC]

    def person_places(self) -> NDArray[np.floating]:
        """(2, P, N) m, where the persons of each robot's room are now; absent ones are far away."""
        return self._layout.persons.position

    def boxes(self) -> tuple[NDArray[np.floating], NDArray[np.floating]]:
        """x and y (5, B, N) m of the corners of each room's obstacles, the first repeated; absent ones are points."""
        return self._layout.corner_x[:, 1:], self._layout.corner_y[:, 1:]

    def persons(self, index: int) -> list[PersonState]:
        """Where the persons of robot `index`'s room are now."""
        return self._layout.persons.states(index)

    def _course(self) -> tuple[NDArray[np.floating], NDArray[np.floating]]:
        if self._heading is None:
            self._heading = np.cos(self.pose[2]), np.sin(self.pose[2])
        return self._heading

    def _cast(self, tangents: tuple[float, ...], where: Where) -> NDArray[np.floating]:
        """(rays, N) inverse distances along the sonar's rays."""
        cos, sin = (a[where] for a in self._course())
        origin = self.pose[:2, where] + self.config.range.x_m * np.stack((cos, sin))
        out = np.empty((2 * len(tangents) - 1, cos.size), self.dtype)
        self._layout.cast(origin, cos, sin, tangents, out, where)
        return out

    def _make_layout(self, capacity: tuple[int, int, int]) -> Layout:
        return Layout(*capacity, self.n, min(CHUNK, self.n), self.dtype, self._kernels)

    def _enlarge(self, capacity: tuple[int, int, int]) -> None:
        """A larger layout for all; persons who are on their way stay where they are."""
        old, new = self._layout, self._make_layout(capacity)
        for index, room in enumerate(self.rooms):
            new.enter(index, room)
        new.persons.resume(old.persons)
        self._layout = new
