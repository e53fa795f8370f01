"""What the robot's tasks share: N robots of the batched world, driven and seen as the runtime would do it.

Between two decisions the guard's obstacle rule and ramp hold the command at each tick, with the range of the last
sample carried on by dead reckoning. Senses are `SENSE_TICKS` ticks old when a policy sees them, about what the
runtime's samplers give. A task adds what is seen, what is earned and when an episode ends.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple, Protocol, Self

import numpy as np
from numpy.typing import NDArray

from edge import observation
from edge.limits import allowed_speed, forward_limit, speed_up
from edge.observation import LightObserver
from robot.config import RobotConfig, load
from robot.kinematics import wheels_from_twist_batch
from robot.sim.room import Room
from robot.sim.rooms import EVALUATION_SEEDS
from robot.sim.world import World
from train.curriculum import Curriculum
from train.envs.batch import Flags, Floats, Step
from train.envs.body import Bodies, Controls
from train.kernels import fastest
from train.settings import setting

TICK_S = 0.05
ROOMS = 1000
"""Rooms to choose among policies with, and to evaluate in."""


@dataclass(frozen=True)
class RobotSettings:
    """The settings of every robot task; the bodies are alike unless told otherwise."""

    level: str = setting("hard", "rooms: easy or hard", among=("easy", "hard"))
    rooms: int = setting(500, "how many rooms are trained in", low=1, high=EVALUATION_SEEDS - ROOMS - 1)
    period_s: float = setting(0.2, "seconds from one decision to the next", low=TICK_S, high=2.0)
    limit_s: float = setting(60.0, "seconds after which an episode is cut", low=1.0)
    goal_reward: float = setting(3.0, "reward for success", low=0.0)
    step_cost: float = setting(0.01, "what each decision costs", low=0.0)
    contact_cost: float = setting(0.05, "what touching something costs, per decision", low=0.0)
    curriculum: bool = setting(False, "rooms and bodies grow harder as the success rate allows")
    continuous: bool = setting(False, "actions are numbers, not choices")
    wheels: bool = setting(False, "actions are raw duties of the wheels, not motions")
    mismatch: float = setting(0.0, "bodies: each wheel's gain is off by up to this share", low=0.0, high=0.5)
    lag: float = setting(0.0, "bodies: the motors' lag is off by up to this share", low=0.0, high=1.0)
    dead_band: float = setting(0.0, "bodies: each wheel's dead band is off by up to this share", low=0.0, high=1.0)
    noise: float = setting(0.0, "bodies: more noise of light and range, a share of the reading", low=0.0, high=1.0)
    latency_s: float = setting(0.0, "bodies: senses are older by up to so much", low=0.0, high=0.5)
    weak: float = setting(0.0, "bodies: chance that one motor has but half to four fifths of its strength", high=1.0)


class Observer(Protocol):
    """Builds observations for N robots, as `edge.observation.LightObserver` does; `looked` is what `_look` gave."""

    def reset(self, where: NDArray[Any] | slice = ...) -> None: ...
    def observe(self, looked: Floats, range_m: Floats, command: Floats, /) -> Floats: ...
    def observe_some(self, where: NDArray[np.intp], looked: Floats, range_m: Floats, /) -> Floats: ...


class Judged(NamedTuple):
    """What a decision came to, (N,) each."""

    gained: Floats  # reward, besides the costs and the reward for success
    terminated: Flags
    success: Flags


class RobotBatch(ABC):
    """N robots at a task.

    Args:
        rooms: to draw from, with repetition; or, if `in_order`, one for each robot.
        n: robots.
        settings: the task's.
        config: the robot; None for the example.
        easier: rooms to begin with: a curriculum passes from these to `rooms` as the success rate allows.

    Attributes:
        share: 0..1, how hard it is: the share of rooms that are from `rooms` and not from `easier`, and by how much of
            what the settings allow bodies differ.
    """

    SENSE_TICKS = 1
    TRUTH: ClassVar[int]
    """How many numbers the critic sees beside the observation."""
    TWISTS: ClassVar[tuple[tuple[float, float], ...]]
    """The motions to choose from: v in m/s, omega in rad/s."""
    observation_size = observation.SIZE

    def __init__(
        self,
        rooms: Sequence[Room],
        n: int,
        settings: Any,
        *,
        config: RobotConfig | None = None,
        in_order: bool = False,
        easier: Sequence[Room] | None = None,
    ) -> None:
        self.n, self.settings = n, settings
        self._easier = easier
        self._curriculum = None if easier is None else Curriculum()
        self.share = 1.0 if self._curriculum is None else self._curriculum.grade
        self.config = load() if config is None else config
        self._rooms, self._in_order = rooms, in_order
        self._ticks = max(1, round(settings.period_s / TICK_S))
        self._limit = max(1, round(settings.limit_s / settings.period_s))
        self.controls = Controls(self.config.drive, self.TWISTS, settings.continuous, settings.wheels)
        self.actions, self.continuous = self.controls.actions, self.controls.continuous
        self.state_size = self.observation_size + self.TRUTH
        self.world: World | None = None
        self._bodies = Bodies(settings, self.config, n, TICK_S)
        self._observer = self._make_observer(n)

    def reset(self, seed: int) -> tuple[Floats, Floats]:
        everyone = np.arange(self.n)
        self._rng = np.random.default_rng([seed, 5])
        self.world = World(self.config, self._draw(everyone), seed, tick_s=TICK_S, kernels=fastest())
        self._bodies.draw(self.world.motors, everyone, self._rng, self.share)
        self._start(everyone)
        self._observer.reset()
        self._applied = np.zeros((2, self.n), np.float32)  # v, omega after guard and ramp, of the last tick
        self._age = np.zeros(self.n, np.int64)
        self._begin(everyone)
        self._looked, self._range = self._sense(slice(None))
        seen = self._observer.observe(self._looked, self._range, np.zeros((2, self.n), np.float32)).T.copy()
        return seen, self._state(seen)

    def step(self, actions: NDArray[Any]) -> Step:
        step = self.advance(actions)
        done = step.terminated | step.truncated
        if done.any():
            if self._curriculum is not None and step.success is not None:
                self.share = self._curriculum.note(step.success[done])
            step.observation, step.state = self._begin_again(np.flatnonzero(done), step.observation, step.final_state)
        return step

    def advance(self, actions: NDArray[Any]) -> Step:
        """`step` without new episodes: robots whose episode has ended stay where they are."""
        s = self.settings
        command = self.controls.motion(actions)
        touched = self._drive(command)
        seen = self._observer.observe(self._looked, self._range, command).T.copy()
        self._age += 1
        late = self._age >= self._limit
        judged = self._judge(touched, late)
        truncated = ~judged.terminated & late
        reward = judged.gained - np.float32(s.step_cost)
        reward -= np.float32(s.contact_cost) * touched
        reward += np.float32(s.goal_reward) * judged.success
        state = self._state(seen)
        return Step(seen, state, state, reward, judged.terminated, truncated, judged.success)

    def like(self, n: int) -> Self:
        return type(self)(self._rooms, n, self.settings, config=self.config, easier=self._easier)

    def close(self) -> None:  # noqa: B027  nothing has to extend it
        """Nothing to give back."""

    def _start(self, at: NDArray[np.intp]) -> None:  # noqa: B027  where the room says, unless a task knows better
        """Place the robots `at`, whose rooms are new."""

    def _make_observer(self, n: int) -> Observer:
        return LightObserver(n, self.settings.period_s)

    @abstractmethod
    def _begin(self, at: NDArray[np.intp]) -> None:
        """Episodes begin for the robots `at`; the world holds their rooms already."""

    @abstractmethod
    def _judge(self, touched: Flags, late: Flags) -> Judged:
        """What the decision came to; `late` tells whose time is up. Called once for each decision."""

    @abstractmethod
    def _truth(self) -> Sequence[NDArray[Any]]:
        """`TRUTH` rows (N,) of what no sensor tells."""

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
        looked, range_m = np.empty_like(self._looked), np.empty_like(self._range)
        newest = self._ticks - 1 - min(self.SENSE_TICKS, self._ticks - 1)
        due = np.maximum(newest - self._bodies.late, 0)
        for tick in range(self._ticks):
            allowed = allowed_speed(self._range - way, self.SENSE_TICKS * TICK_S, config)
            v, omega = forward_limit(command[0], command[1], allowed, config)
            self._applied[:] = speed_up(v, omega, self._applied[0], self._applied[1], step, allowed, config)
            world.set_duty(*wheels_from_twist_batch(config.drive, self._applied[0], self._applied[1]))
            world.step()
            touched |= world.contact
            way += np.maximum(self._applied[0], 0.0) * TICK_S
            now = np.flatnonzero(due == tick)
            if now.size == self.n:
                looked, range_m = self._sense(slice(None))
            elif now.size:
                looked[:, now], range_m[now] = self._sense(now)
        self._looked, self._range = looked, range_m
        return touched

    def _sense(self, at: NDArray[np.intp] | slice) -> tuple[Floats, Floats]:
        """What `_look` gives (K, M), and the range (M,), of the robots `at`."""
        range_m = self._bodies.blur(self._world.sense_range(at), self._rng, self.share)
        return self._look(at), range_m

    def _look(self, at: NDArray[np.intp] | slice) -> Floats:
        """What the observer takes beside the range: light left and right, (2, M)."""
        light = self._bodies.blur(self._world.sense_light(at), self._rng, self.share)
        return np.minimum(light, 1.0)

    def _begin_again(self, at: NDArray[np.intp], seen: Floats, state: Floats) -> tuple[Floats, Floats]:
        """New episodes for the robots at `at`, in the observations that training goes on with."""
        world = self._world
        world.reset(at, self._draw(at))
        self._bodies.draw(world.motors, at, self._rng, self.share)
        self._start(at)
        self._observer.reset(at)
        self._applied[:, at] = 0.0
        self._age[at] = 0
        self._begin(at)
        looked, self._range[at] = self._sense(at)
        fresh = self._observer.observe_some(at, looked, self._range[at])
        seen = seen.copy()
        seen[at] = fresh.T
        state = state.copy()
        state[at] = self._state(seen)[at]
        return seen, state

    def _draw(self, at: NDArray[np.intp]) -> list[Room]:
        if self._in_order:
            return [self._rooms[int(i)] for i in at]
        drawn = self._rng.integers(len(self._rooms), size=len(at)).tolist()
        if self._easier is None:
            return [self._rooms[i] for i in drawn]
        hard = (self._rng.random(len(at)) < self.share).tolist()
        return [self._rooms[i] if h else self._easier[i % len(self._easier)] for i, h in zip(drawn, hard, strict=True)]

    def _state(self, seen: Floats) -> Floats:
        """The critic's view: the observation, and the truth that no sensor tells."""
        state = np.empty((self.n, self.state_size), np.float32)
        state[:, : self.observation_size] = seen
        for column, values in enumerate(self._truth(), self.observation_size):
            state[:, column] = values
        return state
