"""Gymnasium's CartPole, N of them in one array."""

from __future__ import annotations

from typing import Any

import gymnasium
import numpy as np
from gymnasium.envs.classic_control.cartpole import CartPoleVectorEnv
from numpy.typing import NDArray

from train.envs.batch import Flags, Floats


class CartPoles:
    """Gymnasium's own vector environment: its physics, to the same bits, in a third of the time.

    An ended episode begins anew in the same step; Gymnasium takes a step more for it, which leads nowhere and would be
    learnt from.

    Args:
        task: the registered id. n: how many.
    """

    def __init__(self, task: str, n: int) -> None:
        made = gymnasium.make_vec(task, n, "vector_entry_point")
        assert isinstance(made, CartPoleVectorEnv)
        self.envs: Any = made
        self._rates = np.empty((4, n))  # of x, its speed, the angle and its speed
        self._limits = np.array([[made.x_threshold], [made.theta_threshold_radians]])
        self._reward = np.ones(n, np.float32)

    def reset(self, seed: int) -> Any:
        return self.envs.reset(seed=seed)[0]

    def step(self, actions: NDArray[Any]) -> tuple[Floats, Floats, Floats, Flags, Flags]:
        """Observations that the step led to, those after resets, rewards, terminated, truncated; of actions 0 or 1."""
        envs, rates = self.envs, self._rates
        state = envs.state
        cos, sin = np.cos(state[2]), np.sin(state[2])
        # Florian 2007, https://coneural.org/florian/papers/05_cart_pole.pdf, without friction.
        push = envs.polemass_length * np.square(state[3]) * sin
        push += (2 * actions - 1) * envs.force_mag
        push /= envs.total_mass
        held = 4.0 / 3.0 - envs.masspole * np.square(cos) / envs.total_mass
        rates[0], rates[2] = state[1], state[3]
        np.divide(envs.gravity * sin - cos * push, envs.length * held, out=rates[3])
        np.subtract(push, envs.polemass_length * rates[3] * cos / envs.total_mass, out=rates[1])
        state += envs.tau * rates
        terminated: Flags = (np.abs(state[::2]) > self._limits).any(0)
        envs.steps += 1
        truncated: Flags = envs.steps >= envs.max_episode_steps
        last: Floats = state.T.astype(np.float32)
        done = terminated | truncated
        if not done.any():
            return last, last, self._reward, terminated, truncated
        state[:, done] = envs.np_random.uniform(envs.low, envs.high, (4, np.count_nonzero(done)))
        envs.steps[done] = 0
        return last, state.T.astype(np.float32), self._reward, terminated, truncated

    def close(self) -> None:
        self.envs.close()
