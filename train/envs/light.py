"""The task `light`: find the lamp in a room full of obstacles, with two light sensors and one sonar.

`LightBatch` steps N robots of the batched world at once: what PPO learns in, and what evaluates a policy.
`edgebot/Light-v0` (in `light_env`) is one robot of the same code behind Gymnasium's interface.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge import observation
from edge.limits import allowed_speed, forward_limit, speed_up
from edge.observation import LightObserver
from robot.config import RobotConfig, load
from robot.kinematics import wheels_from_twist_batch
from robot.sim.room import Room
from robot.sim.rooms import EVALUATION_SEEDS, RoomPool
from robot.sim.world import World
from train.envs.batch import BatchEnv, Flags, Floats, Step
from train.evaluation import Act
from train.settings import setting

TICK_S = 0.05
TWISTS = ((0.4, 0.0), (0.3, 1.5), (0.3, -1.5), (0.0, 2.0), (0.0, -2.0))
"""The actions: v in m/s, omega in rad/s. Ahead, two arcs, and turning on the spot to either side."""
GOAL_M = 0.5
"""An evaluated episode succeeds within this distance of the lamp."""
DONE_M = 0.45
"""A robot that drives by itself stops where the light says that it is as near as this."""
ROOMS = 1000
"""Rooms to choose among policies with, and to evaluate in."""


@dataclass(frozen=True)
class LightSettings:
    """The task's settings."""

    level: str = setting("hard", "rooms: easy or hard", among=("easy", "hard"))
    rooms: int = setting(500, "how many rooms are trained in", low=1, high=EVALUATION_SEEDS - ROOMS - 1)
    period_s: float = setting(0.2, "seconds from one decision to the next", low=TICK_S, high=2.0)
    limit_s: float = setting(60.0, "seconds after which an episode is cut", low=1.0)
    goal_m: float = setting(
        0.35, "distance to the lamp at which training ends an episode; nearer than 0.5", low=0.1, high=GOAL_M
    )
    goal_reward: float = setting(3.0, "reward for reaching the lamp", low=0.0)
    step_cost: float = setting(0.01, "what each decision costs", low=0.0)
    contact_cost: float = setting(0.05, "what touching something costs, per decision", low=0.0)


class LightBatch:
    """N robots that look for their lamps.

    Between two decisions the robot is driven as the runtime would drive it: at each tick the guard's
    obstacle rule and ramp hold the command, with the range of the last sample carried on by dead reckoning.
    Senses are `SENSE_TICKS` ticks old when a policy sees them, about what the runtime's samplers give.

    Args:
        rooms: to draw from, with repetition; or, if `in_order`, one for each robot.
        n: robots.
        settings: the task's.
        goal_m: within this distance of the lamp an episode ends in success.
        config: the robot; None for the example.
    """

    SENSE_TICKS = 1
    TRUTH = 5  # what the critic sees beside the observation

    actions, continuous = len(TWISTS), False
    observation_size = observation.SIZE
    state_size = observation.SIZE + TRUTH

    def __init__(
        self,
        rooms: Sequence[Room],
        n: int,
        settings: LightSettings,
        *,
        goal_m: float,
        config: RobotConfig | None = None,
        in_order: bool = False,
    ) -> None:
        self.n = n
        self.settings = settings
        self.config = load() if config is None else config
        self._rooms, self._in_order, self._goal_m = rooms, in_order, goal_m
        self._ticks = max(1, round(settings.period_s / TICK_S))
        self._limit = max(1, round(settings.limit_s / settings.period_s))
        self._twists = np.array(TWISTS, np.float32).T.copy()
        self.world: World | None = None
        self._observer = LightObserver(n, settings.period_s)
        self._none = np.zeros((2, n), np.float32)

    def reset(self, seed: int) -> tuple[Floats, Floats]:
        self._rng = np.random.default_rng([seed, 5])
        self.world = World(self.config, self._draw(np.arange(self.n)), seed, tick_s=TICK_S)
        self._observer.reset()
        self._applied = np.zeros((2, self.n), np.float32)  # v, omega after guard and ramp, of the last tick
        self._age = np.zeros(self.n, np.int64)
        self._way = self._geodesic()
        self._range = self.world.sense_range()
        seen = self._observer.observe(self.world.sense_light(), self._range, self._none).T.copy()
        return seen, self._state(seen)

    def step(self, actions: NDArray[Any]) -> Step:
        world, s = self._world, self.settings
        command = self._twists[:, actions]
        touched = self._drive(command)
        seen = self._observer.observe(self._light, self._range, command).T.copy()
        before, self._way = self._way, self._geodesic()
        self._age += 1
        terminated = world.lamp_distance() <= self._goal_m
        truncated = ~terminated & (self._age >= self._limit)
        reward = before - self._way - np.float32(s.step_cost)
        reward -= np.float32(s.contact_cost) * touched
        reward += np.float32(s.goal_reward) * terminated
        final = self._state(seen)
        done = terminated | truncated
        state = final
        if done.any():
            seen, state = self._begin_again(np.flatnonzero(done), seen, final)
        return Step(seen, state, final, reward, terminated, truncated, terminated)

    def like(self, n: int) -> LightBatch:
        return LightBatch(self._rooms, n, self.settings, goal_m=self._goal_m, config=self.config)

    def close(self) -> None:
        """Nothing to give back."""

    @property
    def _world(self) -> World:
        if self.world is None:
            raise RuntimeError("call reset before step")
        return self.world

    def _drive(self, command: Floats) -> Flags:
        """One decision's ticks; returns which robots touched something. Takes the next senses on the way."""
        world, config = self._world, self.config
        step = config.drive.max_accel_mps2 * TICK_S
        way = np.zeros(self.n, np.float32)  # driven since the range was taken
        touched = np.zeros(self.n, np.bool_)
        for tick in range(self._ticks):
            allowed = allowed_speed(self._range - way, self.SENSE_TICKS * TICK_S, config)
            v, omega = forward_limit(command[0], command[1], allowed, config)
            self._applied[:] = speed_up(v, omega, self._applied[0], self._applied[1], step, allowed, config)
            world.set_duty(*wheels_from_twist_batch(config.drive, self._applied[0], self._applied[1]))
            world.step()
            touched |= world.contact
            way += np.maximum(self._applied[0], 0.0) * TICK_S
            if tick == self._ticks - 1 - min(self.SENSE_TICKS, self._ticks - 1):
                light, range_m = world.sense_light(), world.sense_range()
        self._light, self._range = light, range_m
        return touched

    def _begin_again(self, at: NDArray[np.intp], seen: Floats, state: Floats) -> tuple[Floats, Floats]:
        """New episodes for the robots at `at`, in the observations that training goes on with."""
        world = self._world
        world.reset(at, self._draw(at))
        self._observer.reset(at)
        self._applied[:, at] = 0.0
        self._age[at] = 0
        self._way[at] = self._geodesic()[at]
        light, self._range[at] = world.sense_light(at), world.sense_range(at)
        fresh = self._observer.observe_some(at, light, self._range[at])
        seen = seen.copy()
        seen[at] = fresh.T
        state = state.copy()
        state[at] = self._state(seen)[at]
        return seen, state

    def _draw(self, at: NDArray[np.intp]) -> list[Room]:
        if self._in_order:
            return [self._rooms[int(i)] for i in at]
        return [self._rooms[int(i)] for i in self._rng.integers(len(self._rooms), size=len(at))]

    def _geodesic(self) -> Floats:
        return self._world.geodesic_distance().astype(np.float32)

    def _state(self, seen: Floats) -> Floats:
        """The critic's view: the observation, and the truth that no sensor tells."""
        world = self._world
        state = np.empty((self.n, self.state_size), np.float32)
        state[:, : observation.SIZE] = seen
        bearing = world.lamp_bearing()
        truth = (np.cos(bearing), np.sin(bearing), 0.25 * world.lamp_distance(), 0.25 * self._way, world.contact)
        for column, values in enumerate(truth, observation.SIZE):
            state[:, column] = values
        return state


def _evaluation_seed(seed: int) -> int:
    """The first room of evaluation number `seed`."""
    return EVALUATION_SEEDS + seed * 100_000


class LightTask:
    """`edgebot train light`."""

    name = "light"
    continuous = False
    default_steps = 1_200_000
    evaluation_episodes = ROOMS

    def __init__(self) -> None:
        self.settings = LightSettings()
        self._pools: dict[tuple[str, int, int], RoomPool] = {}  # rooms take longer to make than to drive in

    def training(self, n: int) -> BatchEnv:
        return LightBatch(self._rooms(), n, self.settings, goal_m=self.settings.goal_m)

    def choosing(self) -> tuple[BatchEnv, int]:
        rooms = self._rooms()
        return LightBatch(rooms, len(rooms), self.settings, goal_m=GOAL_M, in_order=True), 1

    def _light_at(self, distance: float) -> float:
        """What the brighter sensor reads at most, in 99 of 100 cases, `distance` m from a lamp that it sees."""
        rooms = [room for room in self._rooms()[:60] for _ in range(12)]
        world = World(load(), rooms, noise=False)
        rng = np.random.default_rng(0)
        from_lamp, off = rng.uniform(-np.pi, np.pi, len(rooms)), rng.uniform(-0.6, 0.6, len(rooms))
        lamps = np.array([room.lamp for room in rooms]).T
        away = distance * np.stack((np.cos(from_lamp), np.sin(from_lamp)))
        world.pose[:2], world.pose[2] = lamps + away, from_lamp + np.pi + off
        return round(float(np.quantile(world.sense_light().max(0), 0.99)), 4)

    def _rooms(self) -> RoomPool:
        return self._pool(0, self.settings.rooms)

    def _pool(self, start: int, count: int) -> RoomPool:
        key = (self.settings.level, start, count)
        if key not in self._pools:
            self._pools[key] = RoomPool("light", key[0], range(start, start + count))
        return self._pools[key]

    def evaluation(self, episodes: int, seed: int) -> Iterator[tuple[BatchEnv, int]]:
        for first in range(0, episodes, ROOMS):
            count = min(ROOMS, episodes - first)
            start = _evaluation_seed(seed) + first
            yield LightBatch(self._pool(start, count), count, self.settings, goal_m=GOAL_M, in_order=True), start

    film_fps = 10.0

    def film(self, act: Act, episode: int, seed: int) -> Iterator[NDArray[np.uint8]]:
        import cv2

        from train.envs.light_env import LightEnv
        from train.tasks import film

        room = _evaluation_seed(seed) + episode
        env = LightEnv("rgb_array", **asdict(self.settings))
        side = 480
        for frame in film(env, act, seed, {"room_seed": room}):  # rooms differ in size, a video's frames do not
            scale = side / max(frame.shape[:2])
            small = cv2.resize(frame, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
            square = np.full((side, side, 3), 255, np.uint8)
            top, left = (side - small.shape[0]) // 2, (side - small.shape[1]) // 2
            square[top : top + small.shape[0], left : left + small.shape[1]] = small
            yield square

    def manifest(self) -> dict[str, Any]:
        return {
            "kind": "policy",
            "name": "light",
            "observation": {
                "name": observation.NAME, "version": observation.VERSION, "size": observation.SIZE,
                "period_s": self.settings.period_s, "done_light": self._light_at(DONE_M),
            },
            "actions": {"kind": "twist", "twists": [list(twist) for twist in TWISTS]},
            "provenance": {"environment": asdict(self.settings)},
        }  # fmt: skip
