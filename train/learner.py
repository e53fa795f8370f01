"""The contract between a training run and an algorithm: a settings dataclass, and a class that learns.

An algorithm is one file in `train.agents`; its class is listed in `train.algorithms`. What every run needs besides
(progress, checkpoints, interruption, evaluation) is in `train.session`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar, Protocol

from numpy.typing import NDArray

from train.envs.batch import BatchEnv, Floats

if TYPE_CHECKING:
    import keras


@dataclass
class Iteration:
    """What one iteration did: totals, the episodes that ended in it, and the means of the losses."""

    steps: int
    returns: list[float] = field(default_factory=list)
    lengths: list[int] = field(default_factory=list)
    successes: list[bool] = field(default_factory=list)  # empty where the task knows no success
    losses: dict[str, float] = field(default_factory=dict)

    def take_episodes(self, other: Iteration) -> None:
        """Take note of the episodes that ended in `other` too."""
        self.returns += other.returns
        self.lengths += other.lengths
        self.successes += other.successes


class Learner(Protocol):
    """An algorithm at work: `learn` yields after each iteration; between two, `state` is all there is to keep."""

    Settings: ClassVar[type]
    """A frozen dataclass of `train.settings.setting` fields; has `envs`, how many environments it wants."""
    default_steps: ClassVar[int | None]
    """Environment steps that a run takes unless told otherwise; None: as many as the task says."""
    steps: int
    policy: keras.Sequential
    """The network that is kept, evaluated and converted: from observations to a score for each action."""

    def __init__(self, env: BatchEnv, settings: Any, seed: int) -> None: ...

    def learn(self, env: BatchEnv, total_steps: int) -> Iterator[Iteration]:
        """Iterate until `total_steps` environment steps are done; schedules run towards them."""

    def greedy(self, observation: Floats) -> NDArray[Any]:
        """The best action known, for each row of (N, observation_size)."""

    def weights(self) -> list[NDArray[Any]]:
        """The weights of `policy` as they are now, copied."""

    def set_policy(self, weights: list[NDArray[Any]]) -> None:
        """Act with these weights of `policy` from now on; learning is over."""

    def state(self) -> dict[str, NDArray[Any]]:
        """Everything that learning goes on from, as named arrays for a checkpoint."""

    def load(self, state: dict[str, NDArray[Any]], env: BatchEnv) -> None:
        """Go back to what `state` told. Raises KeyError or ValueError where the arrays do not fit these settings."""
