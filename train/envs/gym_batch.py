"""Any registered Gymnasium environment whose observation is one row of numbers, N of them at once."""

from __future__ import annotations

import difflib
import functools
import math
from typing import Any

import gymnasium
import numpy as np
from gymnasium import spaces
from gymnasium.envs.classic_control import AcrobotEnv, CartPoleEnv, MountainCarEnv
from numpy.typing import NDArray

from edge.errors import UsageError
from train.envs.batch import Flags, Floats, Step
from train.envs.poles import CartPoles
from train.envs.together import Acrobots, MountainCars, Together


def make_one(task: str, **kwargs: Any) -> gymnasium.Env[Any, Any]:
    """`gymnasium.make`, with its many errors as one sentence. Raises `UsageError`."""
    if task.startswith("ALE/"):
        import ale_py  # registers Atari's games

        ale_py.ALEInterface.setLoggerMode(ale_py.LoggerMode.Error)
    try:
        # The passive checker doubles the time of a step; it belongs to those who write environments.
        return gymnasium.make(task, disable_env_checker=True, **kwargs)
    except gymnasium.error.DependencyNotInstalled as error:
        raise UsageError(f"task {task!r} needs a package that is not installed ({error}); install it first") from None
    except (gymnasium.error.Error, ModuleNotFoundError) as error:
        near = difflib.get_close_matches(task, list(gymnasium.registry), n=1)
        hint = f"did you mean {near[0]!r}?" if near else "give a robot's task, detector or a Gymnasium id (CartPole-v1)"
        raise UsageError(f"unknown task {task!r} ({type(error).__name__}); {hint}") from None


@functools.cache
def _spread(task: str) -> NDArray[np.float64]:
    """The root mean square of each number that `task` shows in 1,000 random steps; 1 where it is always 0."""
    env = make_one(task)
    env.action_space.seed(0)
    seen, _ = env.reset(seed=0)
    rows = []
    for _ in range(1_000):
        seen, _, terminated, truncated, _ = env.step(env.action_space.sample())
        rows.append(np.asarray(seen, np.float64).ravel())
        if terminated or truncated:
            seen, _ = env.reset()
    env.close()
    spread: NDArray[np.float64] = np.sqrt(np.mean(np.square(rows), 0))
    return np.where(spread > 1e-6, spread, 1.0)


class Interface:
    """Between an environment's spaces and the arrays of a `BatchEnv`.

    Args:
        task: its id, for messages.
        env: one of the environments.
        scaled: all numbers observed are told on one scale: those between finite bounds as -1..1, others over twice
            their spread while somebody acts at random. int8 has one step for them all.

    Raises:
        UsageError: spaces that no algorithm here takes.
    """

    def __init__(self, task: str, env: gymnasium.Env[Any, Any], scaled: bool) -> None:
        observed, actions = env.observation_space, env.action_space
        try:
            self.size = spaces.flatdim(observed)
        except (NotImplementedError, ValueError):
            raise UsageError(f"task {task!r} observes {observed}, expected something of fixed size") from None
        self._observed = None if isinstance(observed, spaces.Box) else observed  # a Box needs no more than a reshape
        self.middle: Floats | None = None
        if scaled and isinstance(observed, spaces.Box):
            low, high = (bound.astype(np.float64).ravel() for bound in (observed.low, observed.high))
            bounded = np.isfinite(low) & np.isfinite(high) & (high > low) & (high - low < 1e6)
            low, high = np.where(bounded, low, 0.0), np.where(bounded, high, 0.0)
            half = (high - low) / 2
            self.half = (half if bounded.all() else np.where(bounded, half, 2.0 * _spread(task))).astype(np.float32)
            self.middle = ((low + high) / 2).astype(np.float32)
        self.continuous = isinstance(actions, spaces.Box)
        if isinstance(actions, spaces.Discrete):
            self.actions, self._first = int(actions.n), int(actions.start)
        elif isinstance(actions, spaces.Box) and np.isfinite([actions.low, actions.high]).all():
            self.actions = math.prod(actions.shape)
            self._low, self._span = actions.low.astype(np.float32), (actions.high - actions.low).astype(np.float32)
            self._shape = actions.shape
        else:
            raise UsageError(
                f"task {task!r} has actions {actions}, which no algorithm here drives; they drive discrete ones, as "
                "CartPole-v1 has, and continuous ones between finite bounds, as Pendulum-v1 has"
            )

    def act(self, actions: NDArray[Any]) -> list[Any]:
        """(N,) or (N, actions), as a `BatchEnv` takes them, -> what each environment's `step` takes."""
        if not self.continuous:
            return (actions + self._first).tolist()
        shares = 0.5 * (np.clip(actions, -1.0, 1.0) + 1.0).astype(np.float32)
        return list(self._low + shares.reshape(-1, *self._shape) * self._span)

    def see(self, rows: Any) -> Floats:
        """Observations of several environments -> (N, size) float32."""
        if self._observed is not None:
            rows = [spaces.flatten(self._observed, row) for row in rows]
        seen = np.array(rows, np.float32).reshape(len(rows), -1)
        return seen if self.middle is None else (seen - self.middle) / self.half


Stepped = tuple[Any, Any, Any, Flags, Flags]
"""Observations that a step led to, those after resets, rewards, terminated, truncated; N of each."""


class _OneByOne:
    """N environments, stepped one after the other."""

    def __init__(self, task: str, first: gymnasium.Env[Any, Any], n: int, interface: Interface) -> None:
        self._act = interface.act
        self._envs = [first, *(make_one(task) for _ in range(n - 1))]

    def reset(self, seed: int) -> Any:
        seeds = np.random.SeedSequence(seed).generate_state(len(self._envs)).tolist()
        return [env.reset(seed=seed)[0] for env, seed in zip(self._envs, seeds, strict=True)]

    def step(self, actions: NDArray[Any]) -> Stepped:
        n = len(self._envs)
        reward = np.empty(n, np.float32)
        terminated, truncated = np.empty((2, n), np.bool_)
        last: list[Any] = []
        now: list[Any] = []
        for i, (env, action) in enumerate(zip(self._envs, self._act(actions), strict=True)):
            row, reward[i], terminated[i], truncated[i], _ = env.step(action)
            last.append(row)
            if terminated[i] or truncated[i]:
                row, _ = env.reset()
            now.append(row)
        return last, now if (terminated | truncated).any() else last, reward, terminated, truncated

    def close(self) -> None:
        for env in self._envs:
            env.close()


TOGETHER: dict[type, type[Together]] = {AcrobotEnv: Acrobots, MountainCarEnv: MountainCars}


def _together(task: str, first: gymnasium.Env[Any, Any], n: int) -> Together | CartPoles | None:
    """All in one array, where `task` is one of the kinds that have that, as Gymnasium makes it."""
    kind, spec = type(first.unwrapped), first.spec
    if spec is None or spec.max_episode_steps is None:
        return None
    if kind is CartPoleEnv:
        return CartPoles(task, n) if spec.vector_entry_point else None
    plain = kind in TOGETHER and not spec.kwargs and not spec.additional_wrappers
    return TOGETHER[kind](n, spec.max_episode_steps) if plain else None


class GymBatch:
    """N copies of one Gymnasium environment. Arguments as `Interface` has them."""

    def __init__(self, task: str, n: int, scaled: bool = False) -> None:
        self.n, self._made = n, (task, scaled)
        first = make_one(task)
        self.interface = Interface(task, first, scaled)
        self.actions, self.continuous = self.interface.actions, self.interface.continuous
        self.observation_size = self.state_size = self.interface.size
        self._envs = _together(task, first, n) or _OneByOne(task, first, n, self.interface)

    def reset(self, seed: int) -> tuple[Floats, Floats]:
        observation = self.interface.see(self._envs.reset(seed))
        return observation, observation

    def step(self, actions: NDArray[Any]) -> Step:
        last, now, reward, terminated, truncated = self._envs.step(actions)
        final = self.interface.see(last)
        observation = final if now is last else self.interface.see(now)
        return Step(observation, observation, final, reward, terminated, truncated)

    def like(self, n: int) -> GymBatch:
        task, scaled = self._made
        return GymBatch(task, n, scaled)

    def close(self) -> None:
        self._envs.close()
