"""A curriculum (Bengio et al. 2009, https://doi.org/10.1145/1553374.1553380): harder as the success rate allows."""

from __future__ import annotations

from collections import deque

from train.envs.batch import Flags


class Curriculum:
    """How hard the task is now, `grade` from 0 to 1.

    It rises by `step` when at least `up` of the last `window` episodes at this grade succeeded, and falls when fewer
    than `down` did. It follows from the episodes alone, so a run that is played again comes to the same grade.
    """

    def __init__(self, step: float = 0.1, up: float = 0.8, down: float = 0.3, window: int = 200) -> None:
        self.grade = 0.0
        self._step, self._up, self._down = step, up, down
        self._last: deque[bool] = deque(maxlen=window)

    def note(self, successes: Flags) -> float:
        """Take note of episodes that ended; the grade from now on."""
        for success in successes.tolist():
            self._last.append(success)
            if len(self._last) < (self._last.maxlen or 0):
                continue
            rate = sum(self._last) / len(self._last)
            change = self._step if rate >= self._up else -self._step if rate < self._down else 0.0
            if change and 0.0 <= self.grade + change <= 1.0 + 1e-9:
                self.grade = min(self.grade + change, 1.0)
                self._last.clear()
        return self.grade
