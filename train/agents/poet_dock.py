"""What POET learns `dock` by: challenges are rooms in a row, agents are PPO's.

A challenge is (how many walls divide the rooms, how narrow their doors are, how many boxes stand in each). Nothing is
paid for but the lamp, and an agent drives by raw duties of the wheels.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from robot.sim.dock_rooms import make_dock_room
from robot.sim.room import Room
from train.agents.poet import Challenge
from train.agents.ppo import PPO, PPOSettings
from train.agents.search import Crowd
from train.envs.dock import DockBatch, DockSettings
from train.envs.light import GOAL_M
from train.learner import Iteration

DIMS = 3
WALLS, DOORS_M, BOXES = 4, (1.4, 1.2), 2
GOAL_TRAINED_M = 0.3
SETTINGS = DockSettings(level="far", limit_s=300.0, wheels=True)
LEARNING = PPOSettings(envs=256, horizon=64, epochs=4, minibatch=1024, learning_rate=1e-3, entropy=0.01)
_FOREVER = 2**40  # steps that PPO's schedules run towards: none of them moves
_TRIALS = 500_000  # seeds of the rooms that agents are judged in; those of evaluation begin at 1,000,000


def rooms_of(challenge: Challenge, first: int, count: int) -> list[Room]:
    """The rooms of a challenge, from a seed on."""
    walls, boxes = round(WALLS * float(challenge[0])), round(BOXES * float(challenge[2]))
    wide, narrow = DOORS_M
    door = wide + (narrow - wide) * float(challenge[1])
    return [make_dock_room("far", first + i, door, boxes, walls) for i in range(count)]


class DockTrainer:
    """A `train.agents.poet.Trainer`; an agent is the arrays of `PPO.learnt`.

    Args:
        settings: of the task. learning: of PPO; `envs * horizon` is a step of learning.
        rooms: that agents are judged in. trained: rooms of each challenge to learn in.

    Attributes:
        steps: of all environments so far, those of judging too.
    """

    def __init__(
        self, settings: DockSettings = SETTINGS, learning: PPOSettings = LEARNING, rooms: int = 6, trained: int = 64
    ) -> None:
        self.settings, self._learning, self._rooms, self._trained = settings, learning, rooms, trained
        self._places: dict[bytes, tuple[PPO, Iterator[Iteration]]] = {}
        self.steps = 0
        any_place = self._env(rooms_of(np.zeros(DIMS), 0, 1), 1)
        self._crowd = Crowd([any_place.observation_size, *learning.hidden, any_place.actions])

    def first(self, seed: int) -> dict[str, NDArray[Any]]:
        return self._place(np.zeros(DIMS), seed)[0].learnt()

    def learn(self, challenge: Challenge, agent: dict[str, NDArray[Any]], seed: int) -> dict[str, NDArray[Any]]:
        """One iteration of PPO; the robots of a challenge go on from where they were."""
        learner, iterations = self._place(challenge, seed)
        learner.take(agent)
        before = learner.steps
        self.steps += next(iterations).steps - before
        return learner.learnt()

    def scores(
        self, challenge: Challenge, agents: Sequence[dict[str, NDArray[Any]]], seed: int
    ) -> NDArray[np.float64]:
        """The share of rooms in which each reaches the lamp, greedily."""
        return self.judge(rooms_of(challenge, _TRIALS + seed % 100_000, self._rooms), agents, seed)

    def judge(self, rooms: list[Room], agents: Sequence[dict[str, NDArray[Any]]], seed: int) -> NDArray[np.float64]:
        """As `scores`, in these rooms."""
        learner, _ = next(iter(self._places.values()))  # any: it turns an agent into the weights of a policy
        rows = []
        for agent in agents:
            learner.take(agent)
            rows.append(np.concatenate([weights.ravel() for weights in learner.weights()]))
        env = self._env(rooms * len(agents), len(agents) * len(rooms), goal_m=GOAL_M, in_order=True)
        report = Iteration(0)
        self._crowd.play(env, np.array(rows), seed, report)
        self.steps += report.steps
        return np.array(report.successes).reshape(len(agents), -1).mean(1)

    def _place(self, challenge: Challenge, seed: int) -> tuple[PPO, Iterator[Iteration]]:
        """The learner of this challenge, with robots in it; the longest unused goes where there are many."""
        key = challenge.tobytes()
        place = self._places.pop(key, None)
        if place is None:
            env = self._env(rooms_of(challenge, seed % _TRIALS, self._trained), self._learning.envs)
            learner = PPO(env, self._learning, seed)
            place = learner, learner.learn(env, _FOREVER)
        self._places[key] = place
        while len(self._places) > 16:
            del self._places[next(iter(self._places))]
        return place

    def _env(self, rooms: list[Room], n: int, goal_m: float = GOAL_TRAINED_M, in_order: bool = False) -> DockBatch:
        return DockBatch(rooms, n, self.settings, goal_m=goal_m, in_order=in_order)
