"""The task light: repeatability, and what an episode is."""

from __future__ import annotations

import dataclasses

import gymnasium
import numpy as np

import train.envs  # noqa: F401  registers the environment
from edge import observation
from robot.sim.rooms import RoomPool, make_room
from train.envs.light import TWISTS, LightBatch, LightSettings

SMALL = LightSettings(rooms=6)
LEFT = TWISTS.index((0.0, 2.0))


def batch(n: int, settings: LightSettings = SMALL) -> LightBatch:
    return LightBatch(RoomPool("light", settings.level, range(settings.rooms)), n, settings, goal_m=settings.goal_m)


def test_the_same_seed_and_actions_give_the_same_rollout() -> None:
    def rollout() -> list[object]:
        env = gymnasium.make("edgebot/Light-v0", rooms=4)
        env.action_space.seed(5)
        seen: list[object] = [env.reset(seed=9)[0].tobytes()]
        for _ in range(120):
            observation_, reward, terminated, truncated, _ = env.step(env.action_space.sample())
            seen += [observation_.tobytes(), reward, terminated, truncated]
            if terminated or truncated:
                seen.append(env.reset()[0].tobytes())
        return seen

    assert rollout() == rollout()


def test_a_batch_of_one_is_the_single_environment() -> None:
    env = gymnasium.make("edgebot/Light-v0", rooms=4).unwrapped
    env.reset(seed=3)
    rng = np.random.default_rng(0)
    actions = rng.integers(len(TWISTS), size=40)
    singles = [env.step(action)[0] for action in actions]
    again = gymnasium.make("edgebot/Light-v0", rooms=4).unwrapped
    again.reset(seed=3)
    twin = again._batch
    for action, single in zip(actions, singles, strict=True):
        np.testing.assert_array_equal(twin.step(np.array([action])).observation[0], single)


def test_a_time_limit_truncates_and_keeps_the_last_observation_of_the_old_episode() -> None:
    env = batch(8, LightSettings(rooms=6, limit_s=2.0))
    env.reset(0)
    spin = np.full(8, LEFT)
    for _ in range(9):
        step = env.step(spin)
        assert not step.truncated.any()
    step = env.step(spin)
    assert step.truncated.all() and not step.terminated.any()
    turned = observation.FIELDS.index("last_omega")
    assert (step.final_state[:, turned] == 1.0).all()  # the old episode was turning
    assert (step.observation[:, turned] == 0.0).all()  # the new one has not moved yet
    np.testing.assert_array_equal(step.state[:, : observation.SIZE], step.observation)


def test_reaching_the_lamp_terminates_with_the_reward() -> None:
    env = batch(4)
    env.reset(1)
    assert env.world is not None
    for i, room in enumerate(env.world.rooms):
        env.world.pose[:2, i] = room.lamp + (SMALL.goal_m - 0.15, 0.0) if i < 2 else room.start[:2]
    env._way = env._geodesic()
    step = env.step(np.full(4, LEFT))
    assert step.terminated.tolist() == [True, True, False, False]
    assert (step.reward[:2] > SMALL.goal_reward - 0.5).all() and (step.reward[2:] < 0.5).all()
    assert step.success is not None and step.success.tolist() == step.terminated.tolist()


def test_the_guards_rule_holds_in_the_batch_too() -> None:
    """Straight at a wall for eight seconds: the robot stops the guard's gap before it, and does not touch it."""
    room = make_room("light", "easy", 0)
    empty = dataclasses.replace(
        room, obstacles=np.empty((0, 4, 2)), kinds=(), heights_m=np.empty(0), start=np.array([1.0, 1.5, 0.0])
    )
    env = LightBatch([empty], 1, SMALL, goal_m=0.1, in_order=True)
    env.reset(2)
    for _ in range(40):
        env.step(np.array([TWISTS.index((0.4, 0.0))]))
    assert env.world is not None
    gap = empty.size_m[0] - float(env.world.pose[0, 0]) - env.config.range.x_m
    assert 0.5 * env.config.guard.stop_gap_m < gap < 3 * env.config.guard.stop_gap_m
    assert not env.world.contact_speed.any()
