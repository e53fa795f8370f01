"""POET: paired open-ended trailblazer (Wang et al. 2019, https://arxiv.org/abs/1901.01753), on rooms.

A population of pairs, each a challenge and an agent that learns in it. Challenges have children by mutation; a child is
admitted where it is neither too easy nor too hard for the agents there are (the minimal criterion), the most novel
first. Agents learn by evolution strategies (Salimans et al. 2017, arXiv:1703.03864), and move to another challenge
where they, or what one step of learning there makes of them, do better than its own agent: so a hard room may be solved
by way of others that nobody would have chosen.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from robot.sim.dock_rooms import make_dock_room
from robot.sim.room import Room
from train.agents.search import Crowd
from train.envs.batch import Floats
from train.envs.body import DUTIES
from train.envs.light import GOAL_M, LightBatch, LightSettings
from train.learner import Iteration
from train.settings import setting

Judge = Callable[[NDArray[np.float64], Floats, int], NDArray[np.float64]]
"""From a challenge (P,) within 0..1, policies (K, size) and a seed to each policy's score, 0..1 (K,)."""


@dataclass(frozen=True)
class POETSettings:
    """The hyper-parameters."""

    niches: int = setting(8, "pairs that live at a time; the oldest go", low=1)
    pairs: int = setting(16, "perturbations of a gradient, each tried both ways", low=1)
    sigma: float = setting(0.1, "standard deviation of a perturbation", low=0.0)
    rate: float = setting(0.1, "length of a step of learning, as the root mean square over the weights", low=0.0)
    reproduce_every: int = setting(10, "iterations from one generation of challenges to the next", low=1)
    reproduce_at: float = setting(0.6, "score from which on a pair's challenge has children", low=0.0, high=1.0)
    children: int = setting(8, "challenges that are proposed in a generation", low=1)
    admitted: int = setting(2, "how many of them are admitted at most", low=1)
    spread: float = setting(0.15, "standard deviation of a challenge's mutation", low=0.0)
    least: float = setting(0.1, "minimal criterion: the best score in a new challenge is at least this", low=0.0)
    most: float = setting(0.9, "and at most this", high=1.0)
    transfer_every: int = setting(5, "iterations from one trial of all agents everywhere to the next", low=1)


@dataclass
class Pair:
    """A challenge, its agent, and how good that is there."""

    challenge: NDArray[np.float64]
    agent: Floats
    score: float = 0.0
    came_from: int = -1  # place that the pair had, then, from which its agent last came; -1: its own


class POET:
    """The search.

    Args:
        judge: tells scores. size: of a policy. dims: of a challenge; all 0 is the easiest.
        settings: the hyper-parameters. seed: everything random follows from it.
    """

    def __init__(self, judge: Judge, size: int, dims: int, settings: POETSettings, seed: int) -> None:
        self.settings, self._judge, self._rng = settings, judge, np.random.default_rng([seed, 6])
        first = (0.1 * self._rng.standard_normal(size)).astype(np.float32)
        self.pairs = [Pair(np.zeros(dims), first)]
        self.archive = [np.zeros(dims)]  # every challenge that ever was
        self.solved: list[tuple[NDArray[np.float64], Floats, float]] = []
        self.transfers = self.iteration = 0

    def step(self) -> None:
        """One iteration: perhaps new challenges, a step of learning for every agent, perhaps transfers."""
        s = self.settings
        if self.iteration % s.reproduce_every == 0 and self.iteration:
            self._reproduce()
        for pair in self.pairs:
            pair.agent = self._learn(pair.challenge, pair.agent)
        if self.iteration % s.transfer_every == 0:
            self._transfer()
        else:
            for pair in self.pairs:
                pair.score = self._score(pair.challenge, pair.agent)
        self.solved += [(p.challenge, p.agent.copy(), p.score) for p in self.pairs if p.score >= s.most]
        self.iteration += 1

    def best(self, challenge: NDArray[np.float64]) -> tuple[Floats, float]:
        """Of the agents that live, the one that does best in `challenge`, and its score there."""
        return self._best(challenge, np.array([pair.agent for pair in self.pairs]))

    def solver(self, challenge: NDArray[np.float64], nearest: int = 8) -> tuple[Floats, float]:
        """As `best`, of the agents that solved the challenges most like this one, whether they live or not.

        Raises ValueError where nothing was solved yet.
        """
        if not self.solved:
            raise ValueError("nothing was solved yet; take more steps")
        like = sorted(self.solved, key=lambda found: float(np.linalg.norm(found[0] - challenge)))[:nearest]
        return self._best(challenge, np.array([agent for _, agent, _ in like]))

    def _best(self, challenge: NDArray[np.float64], rows: Floats) -> tuple[Floats, float]:
        """The best of these policies, and its score on another seed: the one that chose it flatters."""
        agent: Floats = rows[int(self._judge(challenge, rows, self._seed()).argmax())]
        return agent, self._score(challenge, agent)

    def _seed(self) -> int:
        return int(self._rng.integers(2**31))

    def _score(self, challenge: NDArray[np.float64], agent: Floats) -> float:
        return float(self._judge(challenge, agent[None], self._seed())[0])

    def _learn(self, challenge: NDArray[np.float64], agent: Floats) -> Floats:
        """One step of evolution strategies, by the ranks of mirrored perturbations."""
        s = self.settings
        noise = self._rng.standard_normal((s.pairs, len(agent)), np.float32)
        rows = np.concatenate((agent + s.sigma * noise, agent - s.sigma * noise))
        scores = self._judge(challenge, rows, self._seed())
        if np.ptp(scores) == 0.0:
            return agent
        # Ties share a rank, so that luck in the order of equals does not pass for a gradient.
        _, index, count = np.unique(scores, return_inverse=True, return_counts=True)
        ranks = (np.cumsum(count) - 0.5 * (count + 1))[index] / (len(scores) - 1) - 0.5
        gradient = (ranks[: s.pairs] - ranks[s.pairs :]) @ noise
        size = float(np.sqrt(np.mean(gradient**2)))
        step: Floats = (s.rate * gradient / max(size, 1e-9)).astype(np.float32)
        return agent + step

    def _reproduce(self) -> None:
        s = self.settings
        parents = [pair for pair in self.pairs if pair.score >= s.reproduce_at]
        if not parents:
            return
        chosen = self._rng.integers(len(parents), size=s.children)
        dims = len(self.pairs[0].challenge)
        proposed = [
            np.clip(parents[int(i)].challenge + s.spread * self._rng.standard_normal(dims), 0.0, 1.0) for i in chosen
        ]
        proposed.sort(key=self._novelty, reverse=True)
        born: list[Pair] = []
        for challenge in proposed:
            if len(born) == s.admitted:
                break
            agent, score = self.best(challenge)
            if s.least <= score <= s.most:
                born.append(Pair(challenge, agent.copy(), score))
        self.archive += [pair.challenge for pair in born]
        self.pairs = [*self.pairs, *born][-s.niches :]

    def _novelty(self, challenge: NDArray[np.float64], nearest: int = 5) -> float:
        """The mean distance to the nearest challenges that ever were."""
        away = np.sort(np.linalg.norm(np.array(self.archive) - challenge, axis=1))
        return float(away[:nearest].mean())

    def _transfer(self) -> None:
        """Each challenge takes the agent that does best in it: its own, another, or another that learnt there."""
        agents = [pair.agent.copy() for pair in self.pairs]
        for i, pair in enumerate(self.pairs):
            learnt = [self._learn(pair.challenge, agent) for k, agent in enumerate(agents) if k != i]
            rows = np.array([agents[i], *(agent for k, agent in enumerate(agents) if k != i), *learnt])
            scores = self._judge(pair.challenge, rows, self._seed())
            k = int(scores.argmax())
            if scores[k] > scores[0]:
                others = [j for j in range(len(agents)) if j != i]
                pair.agent, pair.came_from = rows[k].copy(), others[(k - 1) % len(others)]
                self.transfers += 1
            pair.score = self._score(pair.challenge, pair.agent)  # on another seed, as in `_best`


class DockJudge:
    """Challenges as two rooms: (how narrow the door is, how many boxes stand there), 0 the easiest.

    A score is the share of rooms in which the lamp was reached and, if `shaped`, half of the way that was gained where
    it was not.

    Args:
        rooms: how many a policy is judged in. limit_s: of an episode. hidden: units of a policy.
        wheels: policies choose raw duties of the wheels, not motions.
    """

    DIMS = 2
    DOORS_M, MOST_BOXES = (1.4, 0.5), 3

    def __init__(
        self, rooms: int = 4, limit_s: float = 40.0, hidden: int = 8, wheels: bool = False, shaped: bool = True
    ) -> None:
        self._rooms, self._shaped = rooms, shaped
        self.settings = LightSettings(limit_s=limit_s, step_cost=0.0, contact_cost=0.0, wheels=wheels)
        actions = len(DUTIES) ** 2 if wheels else len(LightBatch.TWISTS)
        self.crowd = Crowd([LightBatch.observation_size, hidden, actions])
        self.steps = 0

    def rooms(self, challenge: NDArray[np.float64], first: int, count: int) -> list[Room]:
        """The rooms of a challenge, from a seed on."""
        wide, narrow = self.DOORS_M
        door, boxes = wide + (narrow - wide) * float(challenge[0]), round(self.MOST_BOXES * float(challenge[1]))
        return [make_dock_room("easy", first + i, door, boxes) for i in range(count)]

    def __call__(self, challenge: NDArray[np.float64], rows: Floats, seed: int) -> NDArray[np.float64]:
        rooms = self.rooms(challenge, seed % 100_000, self._rooms)
        env: Any = LightBatch(rooms * len(rows), len(rows) * len(rooms), self.settings, goal_m=GOAL_M, in_order=True)
        env.reset(seed)
        way = env.world.geodesic_distance()
        report = Iteration(0)
        returns = self.crowd.play(env, rows, seed, report)
        self.steps += report.steps
        success = np.array(report.successes).reshape(len(rows), -1)
        if not self._shaped:
            return success.mean(1)
        gained = np.clip(returns / np.maximum(way.reshape(len(rows), -1), 0.5), 0.0, 1.0)
        return np.where(success, 1.0, 0.5 * gained).mean(1)
