"""The world: motion, senses, noise, and that a robot's life depends on nothing but its key."""

from __future__ import annotations

import math

import numpy as np
import pytest

from robot import config
from robot.errors import RobotError
from robot.kinematics import wheels_from_twist
from robot.sim import light
from robot.sim.geometry import corners_of, sees
from robot.sim.room import Room
from robot.sim.rooms import make_room
from robot.sim.world import World
from robot.types import Twist

ROBOT = config.load()
ROOMS = [make_room("light", "hard", seed) for seed in range(40)]


def empty_room(start=(2.0, 2.0, 0.0), lamp=(3.0, 2.0), size=(4.0, 5.0), boxes=()):
    boxes = np.array(boxes, dtype=float).reshape(-1, 5)
    return Room(
        0, "easy", size, corners_of(boxes[:, :2], boxes[:, 2:4], boxes[:, 4]), ("box",) * len(boxes),
        np.full(len(boxes), 0.6), np.array(lamp, dtype=float), np.array(start, dtype=float),
    )  # fmt: skip


def world_at(*starts, noise=False, dtype=np.float64, **room):
    return World(ROBOT, [empty_room(start, **room) for start in starts], noise=noise, dtype=dtype)


def test_a_steady_command_drives_the_circle_that_kinematics_promise():
    world = world_at((2.0, 2.0, 0.3))
    twist = Twist(0.2, 0.8)
    duty = wheels_from_twist(ROBOT.drive, twist)
    world.set_duty(duty.left, duty.right)
    world.step(50)  # the lag is over
    x, y, yaw = world.pose[:, 0]
    world.step(100)
    turn = 0.8 * 2.0
    chord = 2 * (0.2 / 0.8) * math.sin(turn / 2)
    expected = x + chord * math.cos(yaw + turn / 2), y + chord * math.sin(yaw + turn / 2), yaw + turn
    np.testing.assert_allclose(world.pose[:, 0], expected, atol=1e-6)
    np.testing.assert_allclose(world.wheel_speed[:, 0], [0.2 - 0.06, 0.2 + 0.06], atol=1e-6)


def test_the_lag_is_first_order_and_braking_is_limited():
    world = world_at((2.0, 2.0, 0.0))
    world.set_duty(1.0, 1.0)
    world.step(3)
    assert world.wheel_speed[0, 0] == pytest.approx(0.5 * (1 - math.exp(-0.06 / ROBOT.drive.lag_s)))
    world.step(60)
    world.set_duty(0.0, 0.0)
    for tick in range(1, 11):
        world.step()
        slowest = 0.5 - tick * 0.02 * ROBOT.drive.braking_mps2
        assert world.wheel_speed[0, 0] >= slowest - 1e-9
    world.step(60)
    assert abs(world.wheel_speed[0, 0]) < 1e-3


def test_dead_band_gain_and_saturation():
    drive = ROBOT.drive
    world = world_at(*[(2.0, 2.0, 0.0)] * 5)
    half = drive.dead_band_duty + 0.5 * (1 - drive.dead_band_duty)
    world.motors.gain[1, 4] = 0.9
    world.set_duty(
        [drive.dead_band_duty * 0.99, -drive.dead_band_duty * 0.99, half, -half, half], [0, np.nan, 7.0, -7.0, half]
    )
    world.step(100)
    np.testing.assert_allclose(world.wheel_speed[0], [0, 0, 0.25, -0.25, 0.25], atol=1e-6)
    np.testing.assert_allclose(world.wheel_speed[1], [0, 0, 0.5, -0.5, 0.225], atol=1e-6)


def test_noise_gives_each_robot_wheels_of_its_own():
    world = World(ROBOT, ROOMS * 5, seed=3)
    gains = world.motors.gain
    assert 0.01 < gains.std() < 0.03 and abs(gains.mean() - 1) < 0.01
    before = gains[:, 7].copy()
    world.step()
    world.reset([7], [ROOMS[0]])
    assert (gains[:, 7] != before).all()


def test_range_is_the_nearest_in_the_cone():
    # Facing a wall squarely at 1.5 m; then 40 degrees off, where the cone's edge looks at 25 degrees.
    world = world_at((2.5, 2.0, 0.0), (2.5, 2.5, math.radians(40)))
    ahead = ROBOT.range.x_m
    assert world.sense_range()[0] == pytest.approx(1.5 - ahead)
    x = 2.5 + ahead * math.cos(math.radians(40))
    assert world.sense_range()[1] == pytest.approx((4.0 - x) / math.cos(math.radians(25)), rel=1e-6)
    np.testing.assert_allclose(world.gap_ahead(), [1.5 - ahead, (4 - x) / math.cos(math.radians(40))], rtol=1e-6)


def test_range_beyond_the_sensors_reach_is_missing():
    world = world_at((0.5, 2.0, 0.0), (0.5, 2.0, 0.0), size=(6.0, 6.0))
    assert np.isnan(world.sense_range()).all()
    assert world.gap_ahead()[0] == pytest.approx(5.5 - ROBOT.range.x_m)


def test_range_noise_and_dropouts_have_the_stated_size():
    world = World(ROBOT, [empty_room((2.5, 2.0, 0.0))] * 500, seed=1)
    samples = []
    for _ in range(20):
        samples.append(world.sense_range())
        world.step()
    samples = np.concatenate(samples)
    assert 0.005 < np.isnan(samples).mean() < 0.015
    heard = samples[~np.isnan(samples)]
    assert abs(heard.mean() - 1.42) < 0.002
    assert heard.std() == pytest.approx(0.0142, rel=0.05)


def test_light_falls_with_distance_and_angle():
    lamp = (3.5, 2.0)
    starts = [(3.0, 2.0, 0.0), (2.5, 2.0, 0.0), (1.5, 2.0, 0.0), (2.5, 2.0, 0.6), (2.5, 2.0, math.pi)]
    left, right = world_at(*starts, lamp=lamp).sense_light()
    assert left[0] > left[1] > left[2] > 0.1
    np.testing.assert_allclose(left[:3], right[:3], rtol=0.02)
    assert right[3] > left[3]  # turned left, so the lamp is on the right
    assert left[4] < 0.5 * left[1]
    assert ((left >= 0) & (left <= 1)).all()


def test_light_is_direct_light_plus_bounce_plus_ambience():
    room = empty_room((2.0, 2.0, 0.4), lamp=(3.0, 3.0))
    world = World(ROBOT, [room], noise=False, dtype=np.float64)
    optics = ROBOT.light
    for side, sign in enumerate((1, -1)):
        c, s = math.cos(0.4), math.sin(0.4)
        at = np.array([2 + optics.x_m * c - sign * optics.y_m * s, 2 + optics.x_m * s + sign * optics.y_m * c])
        axis = 0.4 + sign * math.radians(optics.angle_deg)
        axis = np.array([math.cos(axis), math.sin(axis)])
        to = room.lamp - at
        direct = light.acceptance(to @ axis / np.linalg.norm(to)) / (to @ to + light.LAMP_HEIGHT_M**2)
        fluence, *vector = light.bounce(room.lamp, room.size_m, room.obstacles, np.array([[2.0, 2.0]]))[0]
        bounce = light.diffuse_acceptance(fluence, np.array(vector) @ axis)
        expected = light.reading(direct + bounce + light.AMBIENT)
        assert world.sense_light()[side, 0] == pytest.approx(expected, rel=1e-4)


def test_an_obstacle_shades_and_the_shadow_is_not_black():
    screen = [(2.6, 2.0, 0.05, 0.5, 0.0)]
    start = (2.0, 2.0, 0.0)
    open_, shaded = (
        World(
            ROBOT,
            [empty_room(start, lamp=(3.3, 2.0)), empty_room(start, lamp=(3.3, 2.0), boxes=screen)],
            noise=False,
            dtype=np.float64,
        )
        .sense_light()
        .T
    )
    dark = light.reading(light.AMBIENT)
    assert (shaded < 0.5 * open_).all()
    assert (shaded > dark + 5 * light.NOISE_FLOOR).all()


def test_shading_agrees_with_the_line_of_sight_of_each_sensor():
    world = World(ROBOT, ROOMS, noise=False, dtype=np.float64)
    reading = world.sense_light()
    illuminance = light.HALF_READING * reading / (1 - reading)
    optics = ROBOT.light
    lit_and_told = []
    for i, room in enumerate(ROOMS):
        x, y, yaw = world.pose[:, i]
        fluence, *vector = light.bounce(room.lamp, room.size_m, room.obstacles, np.array([[x, y]]))[0]
        for side, sign in enumerate((1, -1)):
            c, s = math.cos(yaw), math.sin(yaw)
            at = np.array([x + optics.x_m * c - sign * optics.y_m * s, y + optics.x_m * s + sign * optics.y_m * c])
            axis = yaw + sign * math.radians(optics.angle_deg)
            axis = np.array([math.cos(axis), math.sin(axis)])
            to = room.lamp - at
            direct = light.direct(to @ to) * light.acceptance(to @ axis / np.linalg.norm(to))
            if direct > 0.05:
                rest = illuminance[side, i] - light.AMBIENT - light.diffuse_acceptance(fluence, np.array(vector) @ axis)
                lit_and_told.append((sees(at, room.lamp[None], room.obstacles)[0], rest > direct / 2))
    lit, told = np.array(lit_and_told).T
    assert 8 <= lit.sum() <= len(lit) - 8
    np.testing.assert_array_equal(lit, told)


def test_light_noise_has_the_stated_size():
    world = World(ROBOT, [empty_room()] * 1000, seed=2)
    perfect = World(ROBOT, [empty_room()], noise=False).sense_light()
    noisy = world.sense_light()
    spread = light.NOISE_FLOOR + light.NOISE_SHARE * perfect[:, 0]
    np.testing.assert_allclose(noisy.std(axis=1), spread, rtol=0.1)
    np.testing.assert_allclose(noisy.mean(axis=1), perfect[:, 0], atol=4 * spread.max() / math.sqrt(1000))


def test_truth_about_the_lamp():
    world = world_at((2.0, 2.0, math.pi / 2), lamp=(3.0, 2.0))
    assert world.lamp_distance()[0] == pytest.approx(1.0)
    assert world.lamp_bearing()[0] == pytest.approx(-math.pi / 2)
    assert world.geodesic_distance()[0] == pytest.approx(1.0, abs=0.03)
    hard = World(ROBOT, ROOMS)
    assert (hard.geodesic_distance() > hard.lamp_distance() - 0.05).all()


def drive_about(world, ticks, ids):
    """A fixed program of duties by robot id; everything sensed on the way."""
    log = []
    for tick in range(ticks):
        phase = np.asarray(ids) * 0.7 + tick * 0.05
        world.set_duty(0.5 + 0.5 * np.sin(phase), 0.5 + 0.5 * np.cos(1.3 * phase))
        world.step()
        if tick % 5 == 0:
            log.append(np.concatenate((world.pose, world.sense_light(), world.sense_range()[None], world.wheel_speed)))
    return np.stack(log)


@pytest.mark.parametrize("n", [64, 1000])
def test_replays_are_bit_equal(n):
    rooms = [ROOMS[i % len(ROOMS)] for i in range(n)]
    first, second = (drive_about(World(ROBOT, rooms, seed=11), 60, range(n)) for _ in range(2))
    assert first.tobytes() == second.tobytes()


def test_robot_37_of_a_thousand_replays_alone():
    ids = list(range(1000))
    rooms = [ROOMS[i % len(ROOMS)] for i in ids]
    many = World(ROBOT, rooms, seed=11)
    log = drive_about(many, 400, ids)
    assert many.contact_speed.max() > 0.1  # the program also drives against things
    for chosen in ([37], [5, 37, 999], list(range(30, 50))):
        alone = World(ROBOT, [rooms[i] for i in chosen], seed=11, robot_ids=chosen)
        replay = drive_about(alone, 400, chosen)
        np.testing.assert_allclose(replay, log[..., chosen], rtol=0, atol=1e-6)
        np.testing.assert_allclose(alone.contact_speed, many.contact_speed[chosen], rtol=0, atol=1e-6)


def test_another_seed_gives_another_life():
    one, two = (World(ROBOT, ROOMS, seed=s).sense_light() for s in (1, 2))
    assert (one != two).any(axis=0).all()


def test_some_robots_can_be_sensed_alone():
    world = World(ROBOT, ROOMS, seed=4)
    world.step(3)
    where = np.array([9, 2, 31])
    np.testing.assert_array_equal(world.sense_light(where), world.sense_light()[:, where])
    np.testing.assert_array_equal(world.sense_range(where), world.sense_range()[where])


def test_reset_puts_robots_into_rooms_and_leaves_the_others_alone():
    world = World(ROBOT, ROOMS[:8], seed=4)
    world.set_duty(0.8, 0.6)
    world.step(30)
    before = world.pose.copy()
    crowded = make_room("person", "hard", 1, walkers=2)  # more persons than the world has room for
    world.reset([2, 5], [ROOMS[20], crowded])
    np.testing.assert_allclose(world.pose[:, 2], ROOMS[20].start, atol=1e-6)
    np.testing.assert_allclose(world.pose[:, 5], crowded.start, atol=1e-6)
    others = [0, 1, 3, 4, 6, 7]
    np.testing.assert_array_equal(world.pose[:, others], before[:, others])
    assert len(world.persons(5)) == 3 and world.persons(2) == []
    assert (world.wheel_speed[:, [2, 5]] == 0).all() and (world.wheel_speed[:, others] > 0).any()
    fresh = World(ROBOT, [crowded], noise=False)
    assert world.geodesic_distance()[5] == fresh.geodesic_distance()[0]
    world.step(10)
    assert np.isfinite(world.pose).all()


def test_many_resets_do_not_mix_up_the_rooms_maps():
    world = World(ROBOT, ROOMS[:4], noise=False)
    rng = np.random.default_rng(0)
    for _ in range(60):
        index, room = int(rng.integers(4)), ROOMS[int(rng.integers(len(ROOMS)))]
        world.reset([index], [room])
        for i in range(4):
            alone = World(ROBOT, [world.rooms[i]], noise=False)
            assert world.geodesic_distance()[i] == alone.geodesic_distance()[0]


@pytest.mark.parametrize(
    ("change", "hint"),
    [
        ({"robot_ids": [1, 2]}, "id"),
        ({"tick_s": 0.0}, "tick_s"),
        ({"sonar_rays": 4}, "odd"),
        ({"tick_s": math.nan}, "tick_s"),
    ],
)
def test_a_world_that_cannot_be_is_refused(change, hint):
    with pytest.raises(RobotError, match=hint):
        World(ROBOT, ROOMS[:3], **change)
    with pytest.raises(RobotError, match="rooms"):
        World(ROBOT, [])
