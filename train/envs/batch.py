"""The contract between learning algorithms and environments: N environments stepped as one.

An environment whose episode ends is reset in the same step. `Step` therefore holds both ends of that
seam: the last observation of the old episode and the first of the new one.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]
Flags = NDArray[np.bool_]


@dataclass(slots=True)
class Step:
    """What one step of N environments gave.

    `state` is what the critic may see: the observation, or the simulator's truth beside it (it never
    leaves the workstation). `final_state` is the one before resets; it equals `state` where no episode ended.
    A state always begins with the observation.
    """

    observation: Floats  # (N, observation_size), after resets
    state: Floats  # (N, state_size), after resets
    final_state: Floats  # (N, state_size), before resets
    reward: Floats  # (N,)
    terminated: Flags  # (N,) the task itself ended
    truncated: Flags  # (N,) a time limit cut the episode
    success: Flags | None = None  # (N,) meaningful where an episode ended; None: the task has no such thing
    earned: Floats | None = None  # (N,) what the task gave, where `reward` is another; None: it is that
    lost: Flags | None = None  # (N,) a life was lost: no future is to be seen beyond, though the episode goes on

    @property
    def final_observation(self) -> Floats:
        """(N, observation_size), before resets: what this step really led to."""
        return self.final_state[:, : self.observation.shape[1]]


class BatchEnv(Protocol):
    """N environments. The same seed and actions give the same steps, bit for bit.

    Actions are (N,) whole numbers below `actions`; where `continuous`, (N, actions) numbers, which the environment
    clips to -1..1 and scales to what its motors take.
    """

    n: int
    observation_size: int
    state_size: int
    actions: int
    continuous: bool

    def reset(self, seed: int) -> tuple[Floats, Floats]:
        """Begin new episodes everywhere; all randomness from here on follows from `seed`."""

    def step(self, actions: NDArray[Any]) -> Step: ...

    def like(self, n: int) -> BatchEnv:
        """`n` other environments of this kind."""

    def close(self) -> None: ...


def decide(outputs: Floats, continuous: bool) -> NDArray[Any]:
    """The greedy actions that a policy network's outputs (N, actions) stand for: the largest, or all, clipped."""
    return np.clip(outputs, -1.0, 1.0) if continuous else outputs.argmax(1)
