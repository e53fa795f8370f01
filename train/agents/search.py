"""Search among policies: no gradients, only the returns of whole episodes.

`Search` plays all candidates of a generation at once, each in environments of its own. What it proposes and what it
learns from the returns is the algorithm: `train.agents.genetic`, `train.agents.cem`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from train.envs.batch import BatchEnv, Floats
from train.learner import Iteration
from train.networks import FastMLP, mlp


class Crowd:
    """Many small policies of one shape; each is one row of numbers.

    Args:
        sizes: of the layers, from observations to actions. The hidden ones are tanh.
    """

    def __init__(self, sizes: Sequence[int]) -> None:
        self.shapes = list(zip(sizes[:-1], sizes[1:], strict=True))
        self.size = sum((inputs + 1) * outputs for inputs, outputs in self.shapes)

    def layers(self, rows: Floats) -> list[tuple[Floats, Floats]]:
        """(P, size) -> of each layer the kernels (P, inputs, outputs) and biases (P, 1, outputs)."""
        found, at = [], 0
        for inputs, outputs in self.shapes:
            end = at + inputs * outputs
            kernel = rows[:, at:end].reshape(-1, inputs, outputs)
            found.append((np.ascontiguousarray(kernel), rows[:, None, end : end + outputs]))
            at = end + outputs
        return found

    def play(self, env: BatchEnv, rows: Floats, seed: int, report: Iteration) -> NDArray[np.float64]:
        """One episode in each environment, candidates in turn: (P, episodes) returns. `report` takes note."""
        many = len(rows)
        *hidden, (last, last_bias) = self.layers(rows)
        returns, lengths = np.zeros(env.n), np.zeros(env.n, np.int64)
        running, succeeded = np.ones(env.n, np.bool_), np.zeros(env.n, np.bool_)
        observation, _ = env.reset(seed)
        while running.any():
            x = observation.reshape(many, -1, env.observation_size)
            for kernel, bias in hidden:
                x = np.tanh(x @ kernel + bias)
            step = env.step((x @ last + last_bias).argmax(2).reshape(-1))
            returns += step.reward * running
            lengths += running
            ended = running & (step.terminated | step.truncated)
            if step.success is not None:
                succeeded |= ended & step.success
            running &= ~ended
            observation = step.observation
        report.steps += int(lengths.sum())
        report.returns, report.lengths = returns.tolist(), lengths.tolist()
        if step.success is not None:
            report.successes = succeeded.tolist()
        return returns.reshape(many, -1)


class Search(ABC):
    """A learner that proposes generations of policies, and keeps one."""

    Settings: ClassVar[type]
    default_steps: ClassVar[int | None] = 500_000

    def __init__(self, env: BatchEnv, settings: Any, seed: int) -> None:
        self.settings, self.seed, self.steps, self.generation = settings, seed, 0, 0
        self.policy = mlp(env.observation_size, settings.hidden, env.actions, 1.0, 0, "policy")
        self.crowd = Crowd([env.observation_size, *settings.hidden, env.actions])
        self._fast = FastMLP(self.policy)

    @property
    @abstractmethod
    def kept(self) -> Floats:
        """(size,) the policy to keep."""

    @abstractmethod
    def propose(self, rng: np.random.Generator) -> Floats:
        """The next generation, (P, size)."""

    @abstractmethod
    def select(self, rows: Floats, returns: NDArray[np.float64]) -> dict[str, float]:
        """Learn from the returns, (P, episodes), of what was proposed; figures to tell."""

    @abstractmethod
    def arrays(self) -> dict[str, NDArray[Any]]:
        """What is learnt, as attributes of these names."""

    def learn(self, env: BatchEnv, total_steps: int) -> Iterator[Iteration]:
        """A generation at a time, until `total_steps` environment steps are done."""
        while self.steps < total_steps:
            report = Iteration(self.steps)
            rng = np.random.default_rng([self.seed, 2, self.generation])
            rows = self.propose(rng)
            returns = self.crowd.play(env, rows, int(rng.integers(2**31)), report)
            report.losses = self.select(rows, returns) | {"best_of_generation": float(returns.mean(1).max())}
            self._fast.copy(self.weights())
            self.steps, self.generation = report.steps, self.generation + 1
            yield report

    def greedy(self, observation: Floats) -> NDArray[Any]:
        """The kept policy's action for each row."""
        return self._fast(observation).argmax(1)

    def weights(self) -> list[NDArray[Any]]:
        """The kept policy's weights."""
        layers = self.crowd.layers(self.kept[None])
        return [array for kernel, bias in layers for array in (kernel[0].copy(), bias[0, 0].copy())]

    def set_policy(self, weights: list[NDArray[Any]]) -> None:
        """Act with these policy weights from now on."""
        self._fast.copy(weights)

    def state(self) -> dict[str, NDArray[Any]]:
        """What was learnt, and the counts. No episode outlives a generation."""
        return self.arrays() | {"steps": np.asarray(self.steps), "generation": np.asarray(self.generation)}

    def load(self, state: dict[str, NDArray[Any]], env: BatchEnv) -> None:
        """Go back to what `state` told. Raises KeyError or ValueError where it does not fit these settings."""
        for name, now in self.arrays().items():
            if state[name].shape[-1] != now.shape[-1]:
                raise ValueError(f"{name} has the shape {state[name].shape}, expected {now.shape}")
            setattr(self, name, state[name])
        self.steps, self.generation = int(state["steps"]), int(state["generation"])
        self._fast.copy(self.weights())
