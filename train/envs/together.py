"""Classic tasks of Gymnasium, N of each in one array: their physics, without a Python call for every one of them."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from train.envs.batch import Flags, Floats

State = NDArray[np.float64]
"""(numbers, N)."""


class Together(ABC):
    """N environments of one kind. An ended episode begins anew in the same step.

    Args:
        n: how many. limit: steps after which an episode is cut.
    """

    state: State

    def __init__(self, n: int, limit: int) -> None:
        self._n, self._limit = n, limit
        self._steps = np.zeros(n, np.int64)

    @abstractmethod
    def _begin(self, n: int) -> State:
        """(numbers, n): beginnings of episodes."""

    @abstractmethod
    def _move(self, actions: NDArray[Any]) -> Flags:
        """Step `state`, in place; where it ended by that."""

    @abstractmethod
    def _rewards(self, terminated: Flags) -> Floats:
        """Of the step that led there."""

    def _observe(self) -> Floats:
        """What there is to see now, (N, size)."""
        return self.state.T.astype(np.float32)

    def reset(self, seed: int) -> Floats:
        """Begin all episodes; observations (N, size)."""
        self._rng = np.random.default_rng(seed)
        self.state, self._steps[:] = self._begin(self._n), 0
        return self._observe()

    def step(self, actions: NDArray[Any]) -> tuple[Floats, Floats, Floats, Flags, Flags]:
        """Observations that the step led to, those after resets, rewards, terminated, truncated; of actions 0, 1 .."""
        terminated = self._move(actions)
        self._steps += 1
        truncated: Flags = self._steps >= self._limit
        last, reward = self._observe(), self._rewards(terminated)
        done = terminated | truncated
        if not done.any():
            return last, last, reward, terminated, truncated
        self.state[:, done], self._steps[done] = self._begin(int(np.count_nonzero(done))), 0
        return last, self._observe(), reward, terminated, truncated

    def close(self) -> None: ...  # noqa: B027  # nothing is open


class Acrobots(Together):
    """Acrobot-v1 (Sutton and Barto's book): two links that hang, a torque between them, a height to reach.

    Both links are 1 m and 1 kg, with their mass in the middle and a moment of inertia of 1 kg m^2.
    """

    DT, G = 0.2, 9.8  # s, m/s^2
    FASTEST = np.array([[4 * math.pi], [9 * math.pi]])

    def _begin(self, n: int) -> State:
        return self._rng.uniform(-0.1, 0.1, (4, n)).astype(np.float32).astype(np.float64)

    def _move(self, actions: NDArray[Any]) -> Flags:
        torque, state, dt = actions - 1.0, self.state, self.DT
        k1 = self._rates(state, torque)
        k2 = self._rates(state + dt / 2 * k1, torque)
        k3 = self._rates(state + dt / 2 * k2, torque)
        k4 = self._rates(state + dt * k3, torque)
        state += dt / 6 * (k1 + 2 * k2 + 2 * k3 + k4)
        state[:2] -= 2 * math.pi * np.rint(state[:2] / (2 * math.pi))
        np.clip(state[2:], -self.FASTEST, self.FASTEST, out=state[2:])
        reached: Flags = -np.cos(state[0]) - np.cos(state[0] + state[1]) > 1.0
        return reached

    def _rates(self, state: State, torque: NDArray[np.float64]) -> State:
        """The speeds of both angles, and what changes these."""
        first, second, first_speed, second_speed = state
        sin, cos = np.sin(second), np.cos(second)
        d1, d2 = 3.5 + cos, 1.25 + 0.5 * cos
        phi2 = 0.5 * self.G * np.sin(first + second)
        phi1 = 1.5 * self.G * np.sin(first) + phi2 - sin * second_speed * (0.5 * second_speed + first_speed)
        ratio = d2 / d1
        rates = np.empty_like(state)
        rates[:2] = state[2:]
        np.divide(
            torque + ratio * phi1 - 0.5 * np.square(first_speed) * sin - phi2, 1.25 - ratio * d2, out=rates[3]
        )
        np.divide(d2 * rates[3] + phi1, -d1, out=rates[2])
        return rates

    def _rewards(self, terminated: Flags) -> Floats:
        return np.where(terminated, np.float32(0.0), np.float32(-1.0))

    def _observe(self) -> Floats:
        angles = self.state[:2]
        seen = np.empty((self._n, 6), np.float32)
        seen[:, 0:4:2], seen[:, 1:4:2], seen[:, 4:] = np.cos(angles).T, np.sin(angles).T, self.state[2:].T
        return seen


class MountainCars(Together):
    """MountainCar-v0 (Moore 1990): an engine too weak for the hill, which swinging gets a car up."""

    def _begin(self, n: int) -> State:
        return np.stack((self._rng.uniform(-0.6, -0.4, n), np.zeros(n)))

    def _move(self, actions: NDArray[Any]) -> Flags:
        position, speed = self.state
        speed += (actions - 1) * 0.001 - 0.0025 * np.cos(3 * position)
        np.clip(speed, -0.07, 0.07, out=speed)
        position += speed
        np.clip(position, -1.2, 0.6, out=position)
        speed[(position == -1.2) & (speed < 0.0)] = 0.0
        reached: Flags = (position >= 0.5) & (speed >= 0.0)
        return reached

    def _rewards(self, terminated: Flags) -> Floats:
        return np.full(self._n, -1.0, np.float32)
