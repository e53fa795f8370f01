"""Stochastic policies and random search: the lecture's cleaning robot, on the simulated body.

The robot drives ahead with probability p each second, else turns by a random angle between -r and r; two numbers are
the whole policy. How much dust it picks up in half an hour tells how good they are, and search finds better ones: at
random, or by small random changes of the best so far (hill climbing). All candidates clean at once.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from robot.config import RobotConfig, load
from robot.kinematics import wheels_from_twist_batch
from robot.sim.room import Room
from robot.sim.rooms import RoomPool
from robot.sim.world import World
from train.envs.batch import Floats

HALF_HOUR_S = 1800.0
DUST_M = 0.1
"""The floor's dust lies in squares of this side; one is clean once the robot's middle was in it."""
V_MPS, OMEGA_RADPS = 0.25, 1.5
_TICK_S, _DECISION_S = 0.1, 1.0


@dataclass(frozen=True)
class Found:
    """What a search came to: each policy tried, (K, 2) of p and r (rad), and its dust (K,), a share of the floor."""

    policies: NDArray[np.float64]
    dust: NDArray[np.float64]

    @property
    def best(self) -> tuple[float, float]:
        """p and r (rad) of the best."""
        p, r = self.policies[self.dust.argmax()]
        return float(p), float(r)


def clean(
    policies: NDArray[np.float64],
    rooms: Sequence[Room],
    seed: int,
    seconds: float = HALF_HOUR_S,
    config: RobotConfig | None = None,
) -> NDArray[np.float64]:
    """The share of the dust that each policy picks up, (K,): the mean over `rooms`, each cleaned by every policy.

    Args:
        policies: (K, 2) p within 0..1, r in rad within 0..pi.
        seed: of what the policies leave to chance; the same for all, so that they are compared fairly.

    Raises:
        ValueError: p or r out of these bounds.
    """
    p, r = np.asarray(policies, np.float64).reshape(-1, 2).T
    if not ((p >= 0) & (p <= 1) & (r >= 0) & (r <= math.pi)).all():
        raise ValueError(f"p is within 0..1 and r within 0..pi, not {np.stack((p, r)).tolist()}")
    config = load() if config is None else config
    each, many = len(rooms), len(p)
    n = each * many
    world = World(config, [room for _ in range(many) for room in rooms], seed, tick_s=_TICK_S)
    p, r = np.repeat(p, each), np.repeat(r, each)
    rng = np.random.default_rng(seed)
    columns = math.ceil(max(room.size_m[0] for room in rooms) / DUST_M)
    rows = math.ceil(max(room.size_m[1] for room in rooms) / DUST_M)
    gone = np.zeros((n, rows, columns), np.bool_)
    everyone = np.arange(n)
    left = np.zeros(n, np.float32)  # rad, still to turn
    going: Floats = np.zeros(n, np.float32)
    for tick in range(round(seconds / _TICK_S)):
        if tick % round(_DECISION_S / _TICK_S) == 0:
            # All policies meet the same chances in the same room.
            chance, turn = np.tile(rng.random(each), many), np.tile(rng.uniform(-1.0, 1.0, each), many)
            idle = np.abs(left) < 1e-3
            ahead = idle & (chance < p)
            going = np.where(ahead, np.float32(V_MPS), np.float32(0.0))
            left = np.where(idle & ~ahead, turn * r, left).astype(np.float32)
        omega = np.clip(left / _TICK_S, -OMEGA_RADPS, OMEGA_RADPS)
        left = (left - omega * _TICK_S).astype(np.float32)
        world.set_duty(*wheels_from_twist_batch(config.drive, going, omega))
        world.step()
        column, row = (world.pose[:2] / DUST_M).astype(np.intp)
        gone[everyone, np.clip(row, 0, rows - 1), np.clip(column, 0, columns - 1)] = True
    floor = np.tile([room.size_m[0] * room.size_m[1] / DUST_M**2 for room in rooms], many)
    return (gone.sum((1, 2)) / floor).reshape(many, each).mean(1)


def some_rooms(count: int, first: int = 0) -> list[Room]:
    """Easy rooms to clean."""
    return list(RoomPool("light", "easy", range(first, first + count)))


def random_search(judge: Callable[[NDArray[np.float64]], NDArray[np.float64]], tries: int, seed: int) -> Found:
    """`tries` policies drawn uniformly; `judge` takes (K, 2) of them at once and tells each one's dust."""
    drawn = np.random.default_rng(seed).uniform((0.0, 0.0), (1.0, math.pi), (tries, 2))
    return Found(drawn, judge(drawn))


def hill_climb(
    judge: Callable[[NDArray[np.float64]], NDArray[np.float64]],
    rounds: int,
    each: int,
    seed: int,
    spread: float = 0.2,
) -> Found:
    """Stochastic policy search: in each round `each` random changes of the best policy so far, the widest at first.

    Args:
        spread: standard deviation of a change as a share of each number's range; it halves over the rounds.
    """
    rng = np.random.default_rng(seed)
    most = np.array([1.0, math.pi])
    policies = rng.uniform(0.0, most, (each, 2))
    dust = judge(policies)
    for turn in range(1, rounds):
        width = spread * most * 0.5 ** (turn / max(rounds - 1, 1))
        best = policies[dust.argmax()]
        new = np.clip(best + width * rng.standard_normal((each, 2)), 0.0, most)
        policies, dust = np.concatenate((policies, new)), np.concatenate((dust, judge(new)))
    return Found(policies, dust)
