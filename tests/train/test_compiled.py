"""The compiled kernels do what NumPy's do, and the training environments use them where they are."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("numba")

from robot.config import load
from robot.sim.rooms import make_room
from robot.sim.world import World
from train.compiled import COMPILED
from train.envs.light import LightBatch, LightSettings
from train.kernels import fastest

ROOMS = [make_room("light", "hard", seed) for seed in range(6)] + [make_room("person", "easy", 0, walkers=1)]
N = 300  # two whole blocks and a part of one


def test_a_drive_is_the_same_to_the_last_bits_but_few() -> None:
    rooms = [ROOMS[i % len(ROOMS)] for i in range(N)]
    plain, compiled = World(load(), rooms, seed=1), World(load(), rooms, seed=1, kernels=COMPILED)
    rng = np.random.default_rng(0)
    touched = 0
    for _ in range(40):
        duty = rng.uniform(-0.3, 1.0, (2, N))
        senses = []
        for world in (plain, compiled):
            world.set_duty(*duty)
            world.step(2)
            senses.append((world.sense_light(), world.sense_range(), world.gap_ahead(), world.geodesic_distance()))
        for mine, theirs in zip(*senses, strict=True):
            np.testing.assert_allclose(mine, theirs, atol=2e-6, rtol=2e-6)
        np.testing.assert_allclose(plain.pose[:2], compiled.pose[:2], atol=2e-6)
        np.testing.assert_array_equal(plain.contact, compiled.contact)
        touched += int(plain.contact.sum())
    assert touched > 100  # collisions were among it


def test_some_robots_sense_what_all_do() -> None:
    rooms = [ROOMS[i % len(ROOMS)] for i in range(N)]
    world = World(load(), rooms, seed=2, kernels=COMPILED)
    world.step(3)
    some = np.array([5, 131, 299])
    np.testing.assert_array_equal(world.sense_light(some), world.sense_light()[:, some])
    np.testing.assert_array_equal(world.sense_range(some), world.sense_range()[some])


def test_training_uses_them() -> None:
    assert fastest() is COMPILED
    env = LightBatch(ROOMS[:2], 2, LightSettings(rooms=2), goal_m=0.3)
    env.reset(0)
    assert env.world is not None and isinstance(env.world._layout.obstacles, COMPILED.obstacles)
