"""POET: paired open-ended trailblazer (Wang et al. 2019, https://arxiv.org/abs/1901.01753).

A population of pairs, each a challenge and an agent that learns in it. Challenges have children by mutation; a child is
admitted where it is neither too easy nor too hard for the agents there are (the minimal criterion), the most novel
first. Agents move to another challenge where they, or what one step of learning there makes of them, do better than its
own: so a hard challenge may be met by way of others that nobody would have chosen.

What an agent is and how it learns is a `Trainer`'s: evolution strategies as in the paper here, PPO in rooms in
`train.agents.poet_dock`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from train.envs.batch import Floats
from train.settings import setting

Challenge = NDArray[np.float64]
"""(P,) numbers within 0..1; all 0 is the easiest."""


class Trainer(Protocol):
    """Makes agents, lets them learn, and judges them. What an agent is, is its own affair."""

    def first(self, seed: int) -> Any:
        """An agent that knows nothing."""

    def learn(self, challenge: Challenge, agent: Any, seed: int) -> Any:
        """What one step of learning makes of this agent, which stays as it is."""

    def scores(self, challenge: Challenge, agents: Sequence[Any], seed: int) -> NDArray[np.float64]:
        """(K,) how good each agent is, 0..1."""


@dataclass(frozen=True)
class POETSettings:
    """The hyper-parameters."""

    niches: int = setting(4, "pairs that live at a time; the oldest go", low=1)
    reproduce_every: int = setting(6, "iterations from one generation of challenges to the next", low=1)
    reproduce_at: float = setting(0.6, "score from which on a pair's challenge has children", low=0.0, high=1.0)
    children: int = setting(4, "challenges that are proposed in a generation", low=1)
    admitted: int = setting(2, "how many of them are admitted at most", low=1)
    spread: float = setting(0.4, "standard deviation of a challenge's mutation, at first", low=0.0)
    least: float = setting(0.05, "minimal criterion: the parent's score in a new challenge is at least this", low=0.0)
    most: float = setting(0.95, "and at most this; a pair that reaches it has solved its challenge", high=1.0)
    score_every: int = setting(4, "iterations from one judgement of all pairs to the next", low=1)
    transfer_every: int = setting(16, "iterations from one trial of all agents everywhere to the next", low=1)


@dataclass
class Pair:
    """A challenge, its agent, and how good that is there."""

    challenge: Challenge
    agent: Any
    score: float = 0.0
    came_from: int = -1  # place that the pair had, then, from which its agent last came; -1: its own


class POET:
    """The search.

    Args:
        trainer: of the agents. dims: P, of a challenge.
        settings: the hyper-parameters. seed: everything random follows from it.
    """

    def __init__(self, trainer: Trainer, dims: int, settings: POETSettings, seed: int) -> None:
        self.settings, self.trainer, self._rng = settings, trainer, np.random.default_rng([seed, 6])
        self.pairs = [Pair(np.zeros(dims), trainer.first(self._seed()))]
        self.archive = [np.zeros(dims)]  # every challenge that ever was
        self.solved: dict[bytes, tuple[Challenge, Any]] = {}  # challenges, and who last solved them
        self.spread = settings.spread
        self.transfers = self.iteration = 0

    def step(self) -> None:
        """One iteration: perhaps new challenges, a step of learning for every agent, perhaps transfers.

        Whose challenge is solved has no more to learn there, and waits; where all are, new challenges are due.
        """
        s = self.settings
        all_solved = all(pair.score >= s.most for pair in self.pairs)
        if all_solved or (self.iteration and self.iteration % s.reproduce_every == 0):
            self._reproduce()
        for pair in self.pairs:
            if pair.score < s.most:
                pair.agent = self.trainer.learn(pair.challenge, pair.agent, self._seed())
        self.iteration += 1
        if self.iteration % s.transfer_every == s.transfer_every // 2 and len(self.pairs) > 1:
            self._transfer()
        if self.iteration % s.score_every == 0:
            for pair in self.pairs:
                pair.score = self._score(pair.challenge, pair.agent)
                if pair.score >= s.most:
                    self.solved[pair.challenge.tobytes()] = pair.challenge, pair.agent

    def best(self, challenge: Challenge) -> tuple[Any, float]:
        """Of the agents that live, the one that does best in `challenge`, and its score there."""
        return self._best(challenge, [pair.agent for pair in self.pairs])

    def solver(self, challenge: Challenge, nearest: int = 4, rounds: int = 4) -> tuple[Any, float]:
        """As `best`, of those too who solved the challenges most like this one, and with so many judgements of each."""
        like = sorted(self.solved.values(), key=lambda found: float(np.linalg.norm(found[0] - challenge)))[:nearest]
        return self._best(challenge, [pair.agent for pair in self.pairs] + [agent for _, agent in like], rounds)

    def _best(self, challenge: Challenge, agents: list[Any], rounds: int = 1) -> tuple[Any, float]:
        scores = sum(self.trainer.scores(challenge, agents, self._seed()) for _ in range(rounds))
        agent = agents[int(np.argmax(scores))]
        return agent, self._score(challenge, agent)  # on another seed: the one that chose it flatters

    def _seed(self) -> int:
        return int(self._rng.integers(2**31))

    def _score(self, challenge: Challenge, agent: Any) -> float:
        return float(self.trainer.scores(challenge, [agent], self._seed())[0])

    def _reproduce(self) -> None:
        s = self.settings
        parents = [pair for pair in self.pairs if pair.score >= s.reproduce_at]
        if not parents:
            return
        fit: list[Challenge] = []
        easy = 0
        for i in self._rng.integers(len(parents), size=s.children).tolist():
            change = self.spread * self._rng.standard_normal(len(parents[i].challenge))
            challenge = np.clip(parents[i].challenge + change, 0.0, 1.0)
            score = self._score(challenge, parents[i].agent)
            easy += score > s.most
            if s.least <= score <= s.most:
                fit.append(challenge)
        if not fit:  # further away next time, or nearer
            self.spread = float(np.clip(self.spread * (1.5 if 2 * easy > s.children else 1 / 1.5), 0.05, 1.5))
        fit.sort(key=self._novelty, reverse=True)
        born: list[Pair] = []
        for challenge in fit:
            if len(born) == s.admitted:
                break
            agent, score = self.best(challenge)
            if score <= s.most:
                born.append(Pair(challenge, agent, score))
        self.archive += [pair.challenge for pair in born]
        self.pairs = [*self.pairs, *born][-s.niches :]

    def _novelty(self, challenge: Challenge, nearest: int = 5) -> float:
        """The mean distance to the nearest challenges that ever were."""
        away = np.sort(np.linalg.norm(np.array(self.archive) - challenge, axis=1))
        return float(away[:nearest].mean())

    def _transfer(self) -> None:
        """Each challenge takes the agent that does best in it: its own, another, or the best other that learnt there.

        The paper lets every other agent learn first; that costs more steps than all other learning.
        """
        agents = [pair.agent for pair in self.pairs]
        for i, pair in enumerate(self.pairs):
            scores = self.trainer.scores(pair.challenge, agents, self._seed())
            other = max((k for k in range(len(agents)) if k != i), key=scores.__getitem__)
            learnt = self.trainer.learn(pair.challenge, agents[other], self._seed())
            rows = (agents[i], agents[other], learnt)
            judged = self.trainer.scores(pair.challenge, rows, self._seed())
            k = int(judged.argmax())
            if judged[k] > judged[0]:
                pair.agent, pair.came_from = rows[k], other
                self.transfers += 1


@dataclass(frozen=True)
class ESSettings:
    """The hyper-parameters of evolution strategies."""

    pairs: int = setting(16, "perturbations of a gradient, each tried both ways", low=1)
    sigma: float = setting(0.1, "standard deviation of a perturbation", low=0.0)
    rate: float = setting(0.1, "length of a step of learning, as the root mean square over the weights", low=0.0)


class EvolutionStrategies:
    """Agents that are rows of numbers, and learn by trying others near them (Salimans et al. 2017, arXiv:1703.03864).

    Args:
        judge: from a challenge, policies (K, size) and a seed to each policy's score, 0..1 (K,).
        size: of a policy.
    """

    def __init__(
        self, judge: Callable[[Challenge, Floats, int], NDArray[np.float64]], size: int, settings: ESSettings
    ) -> None:
        self.settings, self._judge, self._size = settings, judge, size

    def first(self, seed: int) -> Floats:
        return (0.1 * np.random.default_rng([seed, 7]).standard_normal(self._size)).astype(np.float32)

    def learn(self, challenge: Challenge, agent: Floats, seed: int) -> Floats:
        """One step along the gradient that the ranks of mirrored perturbations tell."""
        s = self.settings
        noise = np.random.default_rng([seed, 8]).standard_normal((s.pairs, len(agent)), np.float32)
        rows = np.concatenate((agent + s.sigma * noise, agent - s.sigma * noise))
        scores = self._judge(challenge, rows, seed)
        if np.ptp(scores) == 0.0:
            return agent
        # Ties share a rank, so that luck in the order of equals does not pass for a gradient.
        _, index, count = np.unique(scores, return_inverse=True, return_counts=True)
        ranks = (np.cumsum(count) - 0.5 * (count + 1))[index] / (len(scores) - 1) - 0.5
        gradient = (ranks[: s.pairs] - ranks[s.pairs :]) @ noise
        size = float(np.sqrt(np.mean(gradient**2)))
        step: Floats = (s.rate * gradient / max(size, 1e-9)).astype(np.float32)
        return agent + step

    def scores(self, challenge: Challenge, agents: Sequence[Floats], seed: int) -> NDArray[np.float64]:
        return self._judge(challenge, np.array(agents), seed)
