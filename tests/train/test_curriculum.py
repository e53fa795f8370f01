"""The curriculum: it rises with success, falls without, and decides rooms, starts and bodies."""

from __future__ import annotations

import numpy as np

from train import tasks
from train.curriculum import Curriculum
from train.envs.light import LightBatch


def test_it_rises_with_success_and_falls_without() -> None:
    graded = Curriculum(step=0.25, window=10)
    assert graded.note(np.ones(9, bool)) == 0.0
    assert graded.note(np.ones(1, bool)) == 0.25
    assert graded.note(np.array([True] * 5 + [False] * 5)) == 0.25  # neither often enough nor too rarely
    assert graded.note(np.zeros(10, bool)) == 0.0
    assert graded.note(np.zeros(30, bool)) == 0.0  # never below
    assert graded.note(np.ones(100, bool)) == 1.0  # never above


def test_it_begins_near_the_lamp_in_easy_rooms_with_bodies_alike() -> None:
    task = tasks.make("light", {"level": "hard", "rooms": 8, "curriculum": True, "mismatch": 0.3})
    env = task.training(40)
    assert isinstance(env, LightBatch)
    env.reset(0)
    world = env.world
    assert world is not None
    assert {room.level for room in world.rooms} == {"easy"}
    assert world.geodesic_distance().max() < 1.2
    assert world.motors.gain.std() < 0.04
    env.share = 1.0
    env.reset(0)
    assert env.world is not None
    assert {room.level for room in env.world.rooms} == {"hard"}
    np.testing.assert_allclose(env.world.pose[:2].T, [room.start[:2] for room in env.world.rooms], rtol=1e-6)
    assert env.world.motors.gain.std() > 0.1


def test_what_is_judged_is_as_hard_as_ever() -> None:
    task = tasks.make("dock", {"rooms": 2, "curriculum": True})
    env, _ = task.choosing()
    assert isinstance(env, LightBatch) and env.share == 1.0
    env.reset(0)
    assert env.world is not None
    np.testing.assert_allclose(env.world.pose[:2].T, [room.start[:2] for room in env.world.rooms], rtol=1e-6)
