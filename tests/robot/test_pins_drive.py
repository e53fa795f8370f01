"""The real drivers drive: the runtime takes a robot on virtual pins to the lamp, as it takes the simulated one."""

from __future__ import annotations

import pytest

from edge.guard import Guard
from edge.loop import Loop
from edge.policies import make
from robot import config
from robot.clock import VirtualClock
from robot.open import open_body
from robot.sim.rooms import make_room


@pytest.mark.parametrize("backend", ["sim", "pins"])
def test_to_the_lamp(backend):
    robot = config.load()
    reached = 0
    for seed in (1_000_000, 1_000_001, 1_000_002):
        room, clock = make_room("light", "easy", seed), VirtualClock(0.02)
        with open_body(robot, backend, clock, room, seed=seed, camera=False) as body:
            world = body.world
            begin = float(world.lamp_distance()[0])
            Loop(body, make("light", robot), Guard(robot), clock).run(
                30.0, until=lambda w=world: w.lamp_distance()[0] < 0.5
            )
            assert begin > 2.0
            reached += float(world.lamp_distance()[0]) < 0.5
    assert reached >= 2  # the policy's own rate is benchmarked elsewhere


def test_pressing_the_stop_halts_the_drive_and_releasing_it_does_not_lose_the_robot():
    robot = config.load()
    clock = VirtualClock(0.02)
    with open_body(robot, "pins", clock, make_room("light", "easy", 1_000_001), camera=False) as body:
        loop = Loop(body, make("light", robot), Guard(robot), clock)
        duties = []

        def press(tick):
            body.press_emergency_stop(2.0 <= tick.now < 3.0)
            duties.append((tick.now, abs(body.duty()[0]) + abs(body.duty()[1])))

        loop.run(5.0, on_tick=press)
        assert max(d for t, d in duties if t < 2.0) > 0.2
        assert max(d for t, d in duties if 2.03 <= t < 3.0) == 0.0  # the iteration after, and all that follow
        assert max(d for t, d in duties if t >= 3.05) > 0.2
