"""The reactive policies: what they make of their senses, and that they reach their goals in simulated rooms."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from edge.errors import UsageError
from edge.guard import Guard
from edge.loop import Loop
from edge.perception.geometry import CameraGeometry
from edge.policies import REGISTRY, make
from edge.policies.baselines import RandomPolicy
from edge.policies.light import LightPolicy
from edge.policies.memory import EchoMemory, Whereabouts
from edge.policies.person import PersonPolicy
from edge.policies.range import RangePolicy
from edge.policies.scan import Scan
from edge.policies.sighting import Eye, Place
from edge.types import Detection, Detections, Observation
from robot.clock import VirtualClock
from robot.config import Bumpers, RobotConfig, load
from robot.kinematics import wheels_from_twist
from robot.pinhole import Pinhole
from robot.sim.body import SimBody
from robot.sim.rooms import make_room
from robot.sim.verdict import judge
from robot.types import STOP, Frame, Reading, Senses, Twist, Wheels

CONFIG = load()


def observe(
    now: float = 0.0,
    light: tuple[float | None, float | None] = (0.3, 0.3),
    echo: float | None = 1.0,
    applied: Wheels = STOP,
    detections: Detections | None = None,
) -> Observation:
    senses = Senses(now, Reading(light[0], now), Reading(light[1], now), Reading(echo, now))
    return Observation(now, senses, detections, applied)


def drive(
    policy_name: str, task: str, seed: int, limit_s: float, config: RobotConfig = CONFIG
) -> tuple[bool, float, list[tuple[float, float, float]]]:
    """Run a policy through the real runtime: whether it succeeded, fastest contact, and its commands."""
    policy = make(policy_name, config)
    clock = VirtualClock(0.02)
    commands: list[tuple[float, float, float]] = []
    with SimBody(config, make_room(task, "easy", seed), clock, seed=seed, camera=False) as body:
        loop = Loop(body, policy, Guard(config, False), clock)
        summary = loop.run(
            limit_s,
            lambda: bool(getattr(policy, "done", False)),
            lambda tick: commands.append((tick.now, tick.applied.left, tick.applied.right)),
        )
        clock.sleep_until(clock.now() + 0.5)
        verdict = judge(body.world, task)
    assert summary.policy_faults == 0, summary.message
    return verdict.success, verdict.contact_speed, commands


# -- the registry


def test_each_name_makes_a_policy_that_says_what_it_needs():
    for name in REGISTRY:
        policy = make(name, CONFIG)
        assert policy.name == name
        assert policy.needs_camera == (name in ("person", "follow"))


def test_an_unknown_name_is_told_with_the_nearest_one():
    with pytest.raises(UsageError, match="'lihgt'.*did you mean 'light'"):
        make("lihgt", CONFIG)
    with pytest.raises(UsageError, match="take one of light, range, person"):
        make("zzz", CONFIG)


def test_person_without_a_camera_is_refused():
    blind = CONFIG.model_copy(update={"camera": None})
    with pytest.raises(UsageError, match="needs a camera"):
        make("person", blind)


# -- memory


def test_dead_reckoning_follows_an_arc():
    here = Whereabouts(CONFIG)
    wheels = wheels_from_twist(CONFIG.drive, Twist(0.2, 0.5))
    senses = observe().senses
    for tick in range(501):
        here.update(tick * 0.02, wheels, senses)
    # v / omega = 0.4 m of radius for 10 s less the motors' lag.
    angle = 0.5 * (10.0 - CONFIG.drive.lag_s)
    assert here.yaw == pytest.approx(angle, abs=0.01)
    assert here.x == pytest.approx(0.4 * math.sin(angle), abs=0.02)
    assert here.y == pytest.approx(0.4 * (1 - math.cos(angle)), abs=0.02)


def test_dead_reckoning_prefers_encoders():
    here = Whereabouts(CONFIG)
    speed = Reading(0.1, 0)
    senses = replace(observe().senses, speed_left=speed, speed_right=speed)
    for tick in range(51):
        here.update(tick * 0.02, STOP, senses)
    assert here.x == pytest.approx(0.1, abs=0.002)
    assert here.at(0.5)[0] == pytest.approx(0.05, abs=0.002)


def test_echoes_block_the_way_until_they_are_looked_through():
    echoes = EchoMemory(CONFIG)
    still = (0.0, 0.0, 0.0)
    ways = np.array([0.0, math.pi / 2])
    echoes.add(still, 0.5, stamp=1.0)
    (free,) = echoes.free(still, ways, [0.16], now=1.0)
    assert 0.3 < free[0] < 0.58  # the sonar sits 0.08 m ahead, the disc has a radius
    assert free[1] > 1.4
    echoes.add(still, 2.0, stamp=2.0)  # a later echo from farther away: nothing stands there any more
    assert echoes.free(still, ways, [0.16], now=2.0)[0][0] > 1.4


def test_old_echoes_are_forgotten():
    echoes = EchoMemory(CONFIG, keep_s=5.0)
    still, ahead = (0.0, 0.0, 0.0), np.zeros(1)
    echoes.add(still, 0.5, stamp=0.0)
    assert echoes.free(still, ahead, [0.16], now=4.9)[0][0] < 0.6
    assert echoes.free(still, ahead, [0.16], now=5.1)[0][0] > 1.4


# -- light


def turned_about(policy: LightPolicy, light: tuple[float, float]) -> float:
    """Let the policy look about under `light`; returns the time."""
    now, applied = 0.0, STOP
    for _ in range(400):
        now += 0.04
        command = policy.act(observe(now, light, echo=3.0, applied=applied))
        assert isinstance(command, Twist)
        applied = wheels_from_twist(CONFIG.drive, command)
        if command.v > 0.1:
            break
    return now


def test_light_turns_to_the_brighter_side():
    for light, sign in (((0.6, 0.3), 1.0), ((0.3, 0.6), -1.0)):
        policy = LightPolicy(CONFIG)
        now = turned_about(policy, (0.4, 0.4))
        omegas = []
        for _ in range(12):
            now += 0.04
            omegas.append(policy.act(observe(now, light, echo=3.0)).omega)
        assert sign * omegas[-1] > 0.2


def test_light_stops_where_it_is_brightest():
    policy = LightPolicy(CONFIG)
    now = turned_about(policy, (0.4, 0.4))
    for _ in range(6):
        now += 0.04
        command = policy.act(observe(now, (0.97, 0.96), echo=1.0))
    assert command == Twist(0.0, 0.0)
    assert policy.done
    policy.reset()
    assert not policy.done


def test_light_waits_while_its_sensors_fail():
    policy = LightPolicy(CONFIG)
    assert policy.act(observe(0.0, (None, None))) == Twist(0.0, 0.0)
    assert policy.act(observe(0.1, (math.nan, 0.4))) == Twist(0.0, 0.0)


# -- range: telling things from walls


def scan_of(walls: tuple[float, float, float, float], things: list[tuple[float, float]], tilt: float) -> Scan:
    """One turn in a rectangular room (distances of the walls, the first at heading `tilt`) with round things."""
    half = math.radians(15.0)
    rng = np.random.default_rng(3)
    scan = Scan(0.0, half)
    for heading in np.arange(0.0, math.tau + 0.3, 0.09):
        rays = heading + np.linspace(-half, half, 5)
        best = np.inf
        for ray in rays:
            for k, distance in enumerate(walls):
                cosine = math.cos(ray - tilt - k * math.pi / 2)
                if cosine > 1e-6:
                    best = min(best, distance / cosine)
            for bearing, distance in things:
                across = (distance + 0.15) * math.sin(bearing - ray)
                along = (distance + 0.15) * math.cos(bearing - ray)
                if abs(across) < 0.15 and along > 0:
                    best = min(best, along - math.sqrt(0.15**2 - across**2))
        reading = best + rng.normal(0.0, max(0.01, 0.01 * best))
        scan.add(float(heading), None if best > 4.0 or rng.random() < 0.01 else float(reading))
    return scan


@pytest.mark.parametrize("tilt", [0.0, 0.4, 1.1])
def test_a_scan_finds_the_thing_and_not_the_nearer_walls(tilt: float):
    scan = scan_of((2.6, 0.6, 2.4, 3.5), [(tilt - 0.7, 1.5), (tilt + 4.0, 2.2)], tilt)
    found = scan.free_standing()
    assert found[0].distance == pytest.approx(1.5, abs=0.08)
    assert math.remainder(found[0].heading - (tilt - 0.7), math.tau) == pytest.approx(0.0, abs=0.12)


def test_an_empty_room_has_no_things():
    assert scan_of((2.6, 0.6, 2.4, 3.5), [], 0.4).free_standing() == []


def test_a_sweep_finds_the_thing_again_among_others():
    scan = Scan(0.08, math.radians(15.0))
    for heading in np.arange(-0.6, 0.61, 0.05):
        echo = 0.9 if -0.1 <= heading <= 0.5 else 1.8 if heading < -0.1 else 0.6
        scan.add(float(heading), echo)
    found = scan.refind(0.1, 0.98)
    assert found is not None
    thing, cut = found
    assert thing.heading == pytest.approx(0.2, abs=0.05)
    assert thing.distance == pytest.approx(0.98, abs=0.01)
    assert cut == 0


# -- person: from boxes to places


def box_of(distance: float, height: float = 1.72, width: float = 0.5) -> tuple[float, float, float, float]:
    """The part inside the frame of a person's box, straight ahead, `distance` m from the lens."""
    assert CONFIG.camera is not None
    camera = Pinhole.from_config(CONFIG.camera)
    at = camera.x + distance
    pixels, _ = camera.project([[at, width / 2, 0.0], [at, -width / 2, 0.0], [at, 0.0, height]])
    top, bottom = max(0.0, pixels[2, 1]), min(float(camera.height), pixels[0, 1])
    return float(pixels[0, 0]), float(top), float(pixels[1, 0] - pixels[0, 0]), float(bottom - top)


def sight_at(distance: float, height: float = 1.72):
    assert CONFIG.camera is not None
    box = box_of(distance, height)
    return Eye(CONFIG.camera).sight(Detection("person", 0.8, box, CameraGeometry(CONFIG.camera).bearing(box)))


@pytest.mark.parametrize("distance", [2.2, 2.8, 3.5])
def test_a_whole_person_is_measured_by_feet_and_head(distance: float):
    sight = sight_at(distance)
    assert sight.distance == pytest.approx(distance, abs=0.12)
    assert sight.bearing == pytest.approx(0.0, abs=1e-6)


def test_hidden_feet_do_not_put_a_person_farther_away():
    assert CONFIG.camera is not None
    x, y, w, h = box_of(2.2)
    hidden = Eye(CONFIG.camera).sight(Detection("person", 0.8, (x, y, w, 0.55 * h), 0.0))
    assert hidden.distance == pytest.approx(2.2, abs=0.15)


def test_a_person_cut_above_and_below_gives_a_bearing_and_a_bound():
    sight = sight_at(1.2)
    assert sight.distance is None
    assert sight.below
    assert 1.2 < sight.at_most < 1.6


def test_a_place_keeps_to_the_better_measurement():
    still = (0.0, 0.0, 0.0)
    place = Place(still, sight_at(2.2))
    for _ in range(20):
        place.update(still, 3.0, spread=2.0, bearing=None)
    assert place.seen_from(still)[0] == pytest.approx(2.2, abs=0.2)
    for _ in range(20):
        place.update(still, 2.4, spread=0.05, bearing=0.1)
    assert place.seen_from(still) == pytest.approx((2.4, 0.1), abs=0.03)


class BoxesByTruth:
    """Perception that finds persons by the camera's own labels: what an errorless detector would say.

    `from_near` makes another detection of that of a person who fills the frame, or none.
    """

    def __init__(
        self, body: SimBody, room, from_near: Callable[[Detection], Detection | None] = lambda one: one
    ) -> None:
        from robot.sim.camera import Camera

        assert CONFIG.camera is not None
        self.body, self.latencies, self.restarts, self.from_near = body, {}, 0, from_near
        self._camera, self._geometry = Camera(CONFIG.camera, room), CameraGeometry(CONFIG.camera)
        self._pending: Detections | None = None
        self._newest: Detections | None = None
        self._last = -1.0

    def offer(self, frame: Frame | None) -> None:
        now = self.body.clock.now()
        if now < self._last + 0.1 - 1e-6:
            return
        self._last = now
        pose = self.body.world.pose[:, 0].astype(float)
        boxes = [b for b in self._camera.person_boxes(pose, self.body.world.persons(0)) if b[4] > 0.15 and b[2] > 8]
        found = [Detection("person", 0.8, b[:4], self._geometry.bearing(b[:4])) for b in boxes]
        told = (self.from_near(one) if one.box[3] > 430 else one for one in found)
        self._newest, self._pending = self._pending, Detections(tuple(one for one in told if one is not None), now)

    def newest(self, now: float) -> Detections | None:
        return self._newest

    def close(self) -> None:
        pass


def approach_person(seed: int, from_near: Callable[[Detection], Detection | None] = lambda one: one) -> bool:
    policy = PersonPolicy(CONFIG)
    clock = VirtualClock(0.02)
    room = make_room("person", "easy", seed)
    with SimBody(CONFIG, room, clock, seed=seed, camera=False) as body:
        loop = Loop(body, policy, Guard(CONFIG, True), clock, perception=BoxesByTruth(body, room, from_near))
        summary = loop.run(60.0, lambda: policy.done)
        clock.sleep_until(clock.now() + 0.5)
        assert summary.policy_faults == 0, summary.message
        return judge(body.world, "person").success


@pytest.mark.slow
def test_person_stops_in_front_of_persons():
    seeds = range(500, 510)
    assert sum(approach_person(seed) for seed in seeds) >= 8


def ends_short(one: Detection) -> Detection:
    """A box that ends with the frame's rim, as the networks draw it, and not with the feet below it."""
    x, _, width, _ = one.box
    return one._replace(box=(x, 15.0, width, 423.0))


@pytest.mark.parametrize(
    "from_near", [lambda one: one._replace(score=0.25), lambda one: None, ends_short], ids=["weak", "unseen", "short"]
)
def test_a_person_is_reached_of_whom_the_detector_says_little_from_near(from_near):
    assert approach_person(502, from_near)


# -- whole runs


def test_light_reaches_the_lamp():
    results = [drive("light", "light", seed, 30.0) for seed in range(500, 506)]
    assert sum(success for success, _, _ in results) >= 5


def test_range_stops_in_front_of_the_nearest_object_and_touches_nothing():
    results = [drive("range", "range", seed, 45.0) for seed in range(500, 505)]
    assert sum(success for success, _, _ in results) >= 4
    assert all(contact == 0.0 for _, contact, _ in results)


def test_a_run_repeats():
    first, second = (drive("light", "light", 511, 6.0)[2] for _ in range(2))
    assert first == second


def test_baselines_reach_nothing_much():
    wins = [drive(name, "range", seed, 20.0)[0] for name in ("random", "straight") for seed in (500, 501, 502)]
    assert sum(wins) <= 1


def test_random_repeats_by_seed():
    def walk(seed: int) -> list[Twist]:
        policy = RandomPolicy(CONFIG, seed)
        return [policy.act(observe(0.1 * step)) for step in range(100)]

    assert walk(1) == walk(1)
    assert walk(1) != walk(2)


def test_bumpers_are_remembered():
    config = CONFIG.model_copy(update={"bumpers": Bumpers(left_pin=16, right_pin=19)})
    policy = RangePolicy(config)
    senses = replace(observe(echo=3.0).senses, bump_left=Reading(1.0, 0), bump_right=Reading(0.0, 0))
    policy.act(Observation(0.0, senses, None, STOP))
    steering = policy._steering
    (free,) = steering.echoes.free((0.0, 0.0, 0.0), np.array([0.6, -2.0]), [0.15], 0.0)
    assert free[0] < 0.1 < free[1]
