"""The episodes that a learner is in: where they stand, what they earned so far, and how they came there.

No environment lets one store it; what it can is to repeat. So the actions since the last common beginning are kept
(a byte each, or four for each number), and a checkpoint is restored by stepping through them again.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from train.envs.batch import BatchEnv, Floats, Step
from train.learner import Iteration

RESTART_STEPS = 5_000_000
"""After so many steps all episodes begin anew, so that checkpoints stay small; environments may name other ones."""
CHUNK = 4096


class Episodes:
    """N environments under way.

    Args:
        env: the environments.
        seed: of the run; where episodes begin anew follows from it and the count of steps.
    """

    def __init__(self, env: BatchEnv, seed: int) -> None:
        self.observation: Floats
        self.state: Floats
        self._seed = seed
        self._n = env.n
        self._kind = np.dtype(np.float32) if env.continuous else np.min_scalar_type(env.actions)
        self._shape = (env.n, env.actions) if env.continuous else (env.n,)
        self._restart_steps = getattr(env, "restart_steps", RESTART_STEPS)
        self._began: int | None = None  # the step count at which all episodes last began; None: they have not yet
        self._played: list[NDArray[Any]] = []  # all actions since, in pieces of (T, N, ...)
        self._recent: list[NDArray[Any]] = []  # and (N, ...) each
        self._return = np.zeros(env.n)
        self._length = np.zeros(env.n, np.int64)

    def ready(self, env: BatchEnv, steps: int) -> bool:
        """Begin all episodes, at the run's first step or when it is time to begin anew; True where it did."""
        if self._began is not None and steps - self._began < self._restart_steps:
            return False
        self._begin(env, steps)
        return True

    def step(self, env: BatchEnv, actions: NDArray[Any], report: Iteration) -> Step:
        """Step, and note in `report` which episodes ended."""
        step = env.step(actions)
        self._recent.append(actions.astype(self._kind))
        if len(self._recent) >= CHUNK:
            self._pack()
        self.observation, self.state = step.observation, step.state
        self._note(step, report)
        return step

    def arrays(self) -> dict[str, NDArray[Any]]:
        """What `load` needs, for a checkpoint."""
        self._pack()
        played = self._played[0] if self._played else np.empty((0, *self._shape), self._kind)
        return {"began": np.asarray(-1 if self._began is None else self._began), "played": played}

    def load(self, arrays: dict[str, NDArray[Any]], env: BatchEnv) -> None:
        """Repeat in `env` what was played before. Raises KeyError or ValueError where it does not fit."""
        began = int(arrays["began"])
        if began < 0:
            self._began = None
            return
        self._begin(env, began)
        for actions in arrays["played"]:
            self.step(env, actions if env.continuous else actions.astype(np.int32), Iteration(0))

    def _begin(self, env: BatchEnv, steps: int) -> None:
        seed = int(np.random.SeedSequence([self._seed, 3, steps]).generate_state(1)[0])
        self.observation, self.state = env.reset(seed)
        self._began, self._played, self._recent = steps, [], []
        self._return[:], self._length[:] = 0.0, 0

    def _pack(self) -> None:
        if self._recent:
            self._played = [np.concatenate([*self._played, np.array(self._recent, self._kind)])]
            self._recent = []

    def _note(self, step: Step, report: Iteration) -> None:
        self._return += step.reward if step.earned is None else step.earned
        self._length += 1
        done = step.terminated | step.truncated
        if not done.any():
            return
        report.returns += self._return[done].tolist()
        report.lengths += self._length[done].tolist()
        if step.success is not None:
            report.successes += step.success[done].tolist()
        self._return[done], self._length[done] = 0.0, 0
