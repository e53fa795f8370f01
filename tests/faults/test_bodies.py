"""Faults that need more than a row: a driver that raises, a motor that does not stop, a recording that ends, a wall."""

from __future__ import annotations

import pytest

from edge.errors import EdgeError
from edge.guard import Guard, Reason
from edge.loop import Loop, Tick
from edge.perception.runner import SyncPerception
from edge.policies import make
from edge.types import Observation
from robot.clock import VirtualClock
from robot.config import load
from robot.pi.rig import VirtualRig
from robot.sim.body import SimBody
from robot.sim.faults import Fault, Kind, Part
from robot.sim.rooms import make_room
from robot.types import STOP, Twist
from tests.faults.scene import CONFIG, PERIOD_S, POLICIES, Scene, live
from tests.faults.without import without

STALE_FRAME_S = 0.6


class Nothing:
    def detect(self, image: object) -> tuple[()]:
        return ()


def on_virtual_pins(raise_from: float, raise_until: float) -> list[Tick]:
    """The person policy on the real drivers, whose camera's driver raises for a while."""
    assert CONFIG.camera is not None
    clock, ticks = VirtualClock(PERIOD_S), list[Tick]()
    policy = make("person", CONFIG)
    with VirtualRig(CONFIG, make_room("person", "easy", 5), clock, seed=3) as body:
        grabber = body._frames
        assert grabber is not None
        grab = grabber._grab  # type: ignore[attr-defined]

        def failing() -> object:
            if raise_from <= clock.now() < raise_until:
                raise OSError("no such device: the driver lost its camera")
            return grab()

        grabber._grab = failing  # type: ignore[attr-defined]
        perception = SyncPerception(Nothing(), CONFIG.camera.latency_s, CONFIG.camera.stale_s)
        loop = Loop(body, policy, Guard.of(CONFIG, policy), clock, perception=perception)
        assert loop.run(raise_until + 1.0, on_tick=ticks.append).ended == "duration"
    return ticks


def moving(ticks: list[Tick], start: float, end: float) -> list[float]:
    return [tick.now for tick in ticks if start <= tick.now < end and tick.applied != STOP]


def test_an_exception_in_the_cameras_driver_stops_who_needs_it_until_it_is_back() -> None:
    ticks = on_virtual_pins(1.0, 2.5)
    assert moving(ticks, 0.9, 1.0)
    assert not moving(ticks, 1.0 + STALE_FRAME_S + PERIOD_S, 2.5)
    assert moving(ticks, 2.5, 3.5)
    with without("fresh frames"):
        assert moving(on_virtual_pins(1.0, 2.5), 1.0 + STALE_FRAME_S + PERIOD_S, 2.5)


@pytest.mark.parametrize("policy", POLICIES)
def test_a_motor_that_is_stuck_on_is_told_to_stop_and_known_by_its_speed(policy: str) -> None:
    """Software cannot stop it: only the switch in its supply does. What it can do is to know, say so and stay."""
    stuck = Fault(Part.MOTOR_LEFT, Kind.STUCK, 1.0, 3.5)
    ahead = straight_until(2.0)
    life = live(policy, 3.4, (stuck,), ahead, encoders=True)
    assert all(abs(left) > 0.1 for now, left, _ in life.speeds if 1.0 < now < 3.4)  # it turns on
    late = 2.0 + 0.4 + 0.3 + PERIOD_S  # it was told to stand at 2 s
    known = [tick for tick in life.ticks if tick.now >= late]
    assert {tick.reason for tick in known} == {Reason.WHEEL_FAULT}
    assert {tick.applied for tick in known} == {STOP}
    assert any(incident.reason == "wheel_fault" for incident in life.summary.incidents)
    with without("plausibility"):
        blind = live(policy, 3.4, (stuck,), ahead, encoders=True)
    assert Reason.WHEEL_FAULT not in {tick.reason for tick in blind.ticks}


def straight_until(end: float):  # type: ignore[no-untyped-def]
    """A policy that drives straight ahead, then wants to stand."""

    def prepare(scene: Scene) -> None:
        def act(observation: Observation) -> Twist:
            return Twist(0.25 if observation.now < end else 0.0, 0.0)

        scene.policy.act = act  # type: ignore[method-assign]

    return prepare


class Failing:
    """A recorder whose disk is full from the twentieth iteration on."""

    def tick(self, tick: Tick) -> None:
        if tick.index >= 20:
            raise EdgeError("recording run.mcap cannot be written (No space left on device)")

    def log(self, stamp: float, level: str, message: str) -> None: ...


@pytest.mark.parametrize("policy", POLICIES)
def test_a_recording_that_ends_does_not_end_the_drive(policy: str) -> None:
    def full(scene: Scene) -> None:
        scene.loop.recorder = Failing()

    life = live(policy, 1.6, prepare=full)
    assert life.summary.ended == "duration"
    assert moving(life.ticks, 1.0, 1.6)
    assert any("No space left" in incident.message for incident in life.summary.incidents)


CLEAR_M = CONFIG.guard.stop_gap_m - 0.01  # the sonar's noise is a centimetre


def nearest_to_a_wall(delay_s: float) -> float:
    """How near the sonar comes to what is ahead when the policy wants straight on at full speed."""
    config = load()
    late = (Fault(Part.RANGE, Kind.DELAY, 0.0, value=delay_s),) if delay_s else ()
    clock, nearest = VirtualClock(PERIOD_S), [9.0]
    with SimBody(config, make_room("range", "easy", 20), clock, seed=3, camera=False, faults=late) as body:
        policy = make("straight", config)
        loop = Loop(body, policy, Guard.of(config, policy), clock)
        loop.run(12.0, on_tick=lambda tick: nearest.append(float(body.world.gap_ahead()[0])))
    return min(nearest)


@pytest.mark.parametrize("delay_s", [0.0, 0.1, 0.2])
def test_echoes_that_come_late_leave_the_same_gap(delay_s: float) -> None:
    """Late, but young enough to drive by: what could be driven since is taken off the way that is free."""
    assert nearest_to_a_wall(delay_s) > CLEAR_M


def test_without_the_ages_of_readings_late_echoes_do_not() -> None:
    with without("ages of readings"):
        assert nearest_to_a_wall(0.2) < CLEAR_M


def test_without_the_echoes_it_touches_the_wall() -> None:
    with without("echoes"):
        assert nearest_to_a_wall(0.0) < 0.05
