"""Benches for the guided cases: a real robot with somebody at the terminal, a simulated one with somebody simulated."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Literal

from edge.hil.bench import Bench
from edge.hil.operator import Operator
from edge.perception.runner import Perception, make_perception
from robot.clock import VirtualClock, WallClock
from robot.config import RobotConfig
from robot.open import open_body
from robot.sim.faults import Fault
from robot.types import Body, Clock

SCORE = 0.4


def uncalibrated(config: RobotConfig) -> RobotConfig:
    """The robot as its senses are by themselves: what is measured then is the whole calibration."""
    return config.model_copy(
        update={
            "light": config.light.model_copy(update={"dark": 0.0, "bright": 1.0}),
            "range": config.range.model_copy(update={"offset_m": 0.0}),
        }
    )


def real_bench(config: RobotConfig, operator: Operator, loop_s: float = 60.0) -> Bench:
    """The robot that this machine drives.

    Raises:
        UsageError, UnfitError: as of `refuse_unready`.
    """
    from edge.hil.ready import refuse_unready

    refuse_unready(config)
    clock = WallClock()

    def opening(changed: RobotConfig) -> Body:
        return open_body(changed, "pi", clock)

    return Bench(uncalibrated(config), clock, operator, opening, _perception(clock), loop_s)


def simulated_bench(
    config: RobotConfig,
    faults: Sequence[Fault] = (),
    seed: int = 0,
    loop_s: float = 60.0,
    backend: Literal["sim", "pins"] = "sim",
) -> Bench:
    """A simulated robot in a room to measure in, with a `Player` beside it."""
    from edge.hil.player import ROOM, Player

    if config.camera is not None:  # whose lens is ideal
        config = config.model_copy(update={"camera": config.camera.ideal()})
    clock, player = VirtualClock(0.02), Player()

    def opening(changed: RobotConfig) -> Body:
        return open_body(changed, backend, clock, ROOM, seed=seed, faults=faults)

    bench = Bench(uncalibrated(config), clock, player, opening, _perception(clock), loop_s)
    player.bench = bench
    return bench


def _perception(clock: Clock) -> Callable[[RobotConfig], Perception]:
    def opening(config: RobotConfig) -> Perception:
        return make_perception(config, clock, None, SCORE)

    return opening
