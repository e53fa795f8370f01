"""The random and the straight-ahead policy in many rooms at once: the batched world under the guard's batched rules.

They need no camera and no memory, so a thousand rooms take seconds; the runtime, room by room, would take an
hour. World, motors and the rules for obstacles, missing echoes and ramps are the runtime's own code.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from robot.config import RobotConfig
    from robot.sim.verdict import Verdict

TICK_S = 0.02


def run(
    config: RobotConfig, policy: str, task: str, level: str, seeds: Sequence[int], seconds: float
) -> list[Verdict]:
    """Drive one robot in each room for `seconds`, and judge each by the world's truth."""
    from edge.limits import allowed_speed, forward_limit, speed_up
    from edge.policies.baselines import RandomPolicy, StraightPolicy
    from edge.types import Observation
    from robot.kinematics import wheels_from_twist_batch
    from robot.sim.rooms import make_room
    from robot.sim.verdict import judge
    from robot.sim.world import World
    from robot.types import STOP, Reading, Senses

    rooms = [make_room(task, level, seed) for seed in seeds]
    world = World(config, rooms, seed=1, robot_ids=list(seeds), tick_s=TICK_S)
    policies = [RandomPolicy(config, seed) if policy == "random" else StraightPolicy(config) for seed in seeds]
    nothing = Reading(None, 0.0)
    blind = Senses(0.0, nothing, nothing, nothing)
    n = world.n
    v, omega = np.zeros(n), np.zeros(n)
    step = config.drive.max_accel_mps2 * TICK_S
    period = 1.0 / config.range.rate_hz
    heard, stamp = world.sense_range().astype(np.float64), 0.0
    for tick in range(round(seconds / TICK_S)):
        now = tick * TICK_S
        if now - stamp >= period - 1e-9:
            heard, stamp = world.sense_range().astype(np.float64), now
        seen = Observation(now, blind, None, STOP)
        wanted = np.array([(twist.v, twist.omega) for twist in (one.act(seen) for one in policies)])
        allowed = allowed_speed(heard, now - stamp, config)
        free_v, free_omega = forward_limit(wanted[:, 0], wanted[:, 1], allowed, config)
        v, omega = speed_up(free_v, free_omega, v, omega, step, allowed, config)
        world.set_duty(*wheels_from_twist_batch(config.drive, v, omega))
        world.step()
    world.set_duty(0.0, 0.0)
    world.step(25)
    return [judge(world, task, robot=robot) for robot in range(n)]
