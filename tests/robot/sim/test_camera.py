"""The rendered camera: what stands where is drawn where the pinhole says, near hides far, seeds repeat."""

from __future__ import annotations

import math
from dataclasses import replace

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from robot import config
from robot.sim import order
from robot.sim.camera import Camera
from robot.sim.room import PersonState, Room
from robot.sim.rooms import make_room
from robot.sim.solids import capsule_outlines

POSE = (0.6, 2.0, 0.0)


def camera_settings() -> config.Camera:
    camera = config.load().camera
    assert camera is not None
    return camera


def box(x: float, y: float, half: float) -> NDArray[np.float64]:
    """A footprint, clockwise from above."""
    return np.array([[x - half, y - half], [x - half, y + half], [x + half, y + half], [x + half, y - half]])


def room(*boxes: NDArray[np.float64], height: float = 0.6, decor: int = 5, kind: str = "box") -> Room:
    return Room(
        seed=1, level="easy", size_m=(6.0, 4.0), obstacles=np.array(boxes).reshape(-1, 4, 2),
        kinds=(kind,) * len(boxes), heights_m=np.full(len(boxes), height), lamp=np.array([5.5, 0.5]),
        start=np.array([*POSE]), decor=decor,
    )  # fmt: skip


def person(
    x: float, y: float, yaw: float = math.pi, phase: float = 0.0, height: float = 1.75, look: int = 3
) -> PersonState:
    return PersonState(x, y, yaw, phase, height, look)


@pytest.mark.parametrize("away", [2.2, 3.0, 4.5])
@pytest.mark.parametrize("aside", [-0.8, 0.0, 0.9])
@pytest.mark.parametrize("yaw", [math.pi, math.pi / 2, 0.0])
def test_a_person_appears_where_the_pinhole_says(away: float, aside: float, yaw: float) -> None:
    camera = Camera(camera_settings(), room())
    somebody = person(POSE[0] + away, POSE[1] + aside, yaw)
    ((x, y, width, height, visible),) = camera.person_boxes(POSE, [somebody])
    feet_and_crown = [[somebody.x, somebody.y, 0.0], [somebody.x, somebody.y, somebody.height_m]]
    (feet, crown), depths = camera.project(feet_and_crown, POSE)
    scale = camera.pinhole.focal / depths[0]  # pixels per metre there
    assert visible == pytest.approx(1.0)
    assert y == pytest.approx(max(0.0, crown[1]), abs=0.06 * scale + 2)
    assert y + height == pytest.approx(feet[1], abs=0.09 * scale + 2)  # toes stand before the ankles
    assert x + width / 2 == pytest.approx(feet[0] * 0.5 + crown[0] * 0.5, abs=0.17 * scale + 2)
    assert 0.2 * scale < width < 1.0 * scale


def test_the_drawn_pixels_are_the_labelled_ones() -> None:
    camera = Camera(camera_settings(), room())
    somebody = person(3.2, 2.2)
    empty, there = camera.render(POSE), camera.render(POSE, [somebody])
    changed = (np.abs(empty.astype(int) - there).max(axis=2) > 12).astype(np.uint8)
    horizon = int(camera.pinhole.horizon)  # below it the person's shadow changes the floor too
    x, y, width, height = cv2.boundingRect(changed[:horizon])
    ((bx, by, bw, _, _),) = camera.person_boxes(POSE, [somebody])
    assert abs(x - bx) <= 3 and abs(y - by) <= 3 and abs(x + width - bx - bw) <= 3
    assert height > 100


def test_a_near_person_is_cut_by_the_frame() -> None:
    camera = Camera(camera_settings(), room())
    ((_, y, _, height, visible),) = camera.person_boxes(POSE, [person(POSE[0] + 0.9, 2.0)])
    assert y == 0 and height == 480 and visible == pytest.approx(1.0)


def test_nobody_behind_or_beside() -> None:
    camera = Camera(camera_settings(), room())
    boxes = camera.person_boxes((3.0, 2.0, 0.0), [person(1.0, 2.0), person(3.0, 3.6)])
    assert boxes == [(0.0, 0.0, 0.0, 0.0, 0.0)] * 2


def test_a_box_before_a_person_hides_it_and_one_behind_does_not() -> None:
    somebody = person(3.6, 2.0)
    free = Camera(camera_settings(), room()).person_boxes(POSE, [somebody])[0]
    before = Camera(camera_settings(), room(box(2.4, 2.0, 0.3), height=0.6))
    behind = Camera(camera_settings(), room(box(4.6, 2.0, 0.3), height=0.6))
    hidden, clear = before.person_boxes(POSE, [somebody])[0], behind.person_boxes(POSE, [somebody])[0]
    assert clear == free
    assert 0.1 < hidden[4] < 0.6
    assert hidden[1] == free[1] and hidden[3] < free[3] - 50  # the head still shows, the legs do not
    # The person adds nothing to the picture where the box stands before it.
    base = before.pinhole.project([2.1, 2.0, 0.4], POSE)[0]
    row, column = int(base[1]), int(base[0])
    across = slice(column - 20, column + 20)
    np.testing.assert_array_equal(before.render(POSE)[row, across], before.render(POSE, [somebody])[row, across])
    changed = behind.render(POSE)[row] != behind.render(POSE, [somebody])[row]
    assert changed.any()


def test_a_tall_box_hides_a_person_wholly() -> None:
    camera = Camera(camera_settings(), room(box(2.0, 2.0, 0.5), height=2.2))
    assert camera.person_boxes(POSE, [person(3.6, 2.0)])[0][4] == 0.0


def test_of_two_persons_the_nearer_hides() -> None:
    camera = Camera(camera_settings(), room())
    near, far = person(2.6, 2.0, look=1), person(4.6, 2.0, look=2)
    for people in ([near, far], [far, near]):
        shown = dict(zip((p.look for p in people), (b[4] for b in camera.person_boxes(POSE, people)), strict=True))
        assert shown[1] == pytest.approx(1.0) and shown[2] < 0.5


def test_walls_floor_and_boxes_are_drawn_in_their_places() -> None:
    """The box's upper edge lies where its corners project to: left of it wall, right of it box."""
    camera = Camera(camera_settings(), room(box(3.0, 2.0, 0.3), height=0.5))
    empty = Camera(camera_settings(), room())
    changed = np.abs(camera.render(POSE).astype(int) - empty.render(POSE)).max(axis=2) > 10
    corners = [[x, y, z] for x in (2.7, 3.3) for y in (1.7, 2.3) for z in (0.0, 0.5)]
    pixels, _ = camera.project(corners, POSE)
    top = int(pixels[:, 1].min())
    columns = np.flatnonzero(changed[top + 8 : int(camera.pinhole.horizon) - 8].mean(axis=0) > 0.5)
    front, _ = camera.project([[2.7, 2.3, 0.25], [2.7, 1.7, 0.25]], POSE)
    assert abs(columns.min() - front[0, 0]) < 5 and abs(columns.max() - front[1, 0]) < 5
    assert changed[: top - 6].mean() < 0.02


def test_the_same_seed_gives_the_same_frame_and_others_do_not() -> None:
    scene = make_room("person", "easy", 12)
    people = [person(2.0, 2.0, phase=1.0)]
    pose = scene.start
    first = Camera(camera_settings(), scene).render(pose, people, step=4)
    again = Camera(camera_settings(), scene).render(pose, people, step=4)
    np.testing.assert_array_equal(first, again)
    assert (Camera(camera_settings(), scene).render(pose, people, step=5) != first).any()  # the sensor's noise
    other = Camera(camera_settings(), replace(scene, decor=scene.decor + 1)).render(pose, people, step=4)
    assert np.abs(first.astype(int) - other).mean() > 5


@pytest.mark.parametrize("away", [1.2, 2.5, 4.0])
def test_a_photo_stands_where_the_person_does_and_things_hide_it(away: float) -> None:
    photo = np.zeros((300, 100, 3), np.uint8)
    photo[:, :50], photo[:, 50:] = (250, 0, 250), (0, 250, 0)
    somebody = person(POSE[0] + away, POSE[1], height=1.5)
    camera = Camera(camera_settings(), room(), photos=[photo])
    middles, depths = camera.project([[somebody.x, somebody.y, 0.0], [somebody.x, somebody.y, 1.5]], POSE)
    scale = camera.pinhole.focal / float(depths[0])

    def seen(camera: Camera, colour: tuple[int, int, int]) -> NDArray[np.int32]:
        frame = camera.render(POSE, [somebody]).astype(int)
        mask = (np.abs(frame - np.array(colour)).max(axis=2) < 90).astype(np.uint8)
        return np.array(cv2.boundingRect(mask))

    left, right = seen(camera, (250, 0, 250)), seen(camera, (0, 250, 0))
    top, bottom = max(0.0, float(middles[1, 1])), min(480.0, float(middles[0, 1]))
    for _, y, width, height in (left, right):
        assert y == pytest.approx(top, abs=0.03 * scale + 2)
        assert y + height == pytest.approx(bottom, abs=0.03 * scale + 2)
        assert width == pytest.approx(0.25 * scale, abs=0.03 * scale + 2)
    assert left[0] + left[2] == pytest.approx(float(middles[0, 0]), abs=0.02 * scale + 2)
    assert right[0] == pytest.approx(float(middles[0, 0]), abs=0.02 * scale + 2)
    if away > 2:
        behind = Camera(camera_settings(), room(box(2.0, 2.0, 0.3), height=0.6), photos=[photo])
        assert seen(behind, (250, 0, 250))[3] < left[3]


def test_frames_are_what_the_configuration_says() -> None:
    camera = Camera(camera_settings().model_copy(update={"width_px": 320, "height_px": 240}), room())
    frame = camera.render(POSE)
    assert frame.shape == (240, 320, 3) and frame.dtype == np.uint8 and frame.flags.c_contiguous
    assert not np.shares_memory(frame, camera.render(POSE))


@pytest.mark.parametrize("seed", range(12))
def test_any_room_is_drawn_from_anywhere(seed: int) -> None:
    """No pose, however near to things, leaves the frame black or raises."""
    scene = make_room(("person", "demo", "light", "range")[seed % 4], ("easy", "hard")[seed % 2], seed)
    camera = Camera(camera_settings(), scene, 320, 240)
    rng = np.random.default_rng(seed)
    for _ in range(6):
        pose = (*rng.uniform(0.12, np.array(scene.size_m) - 0.12), rng.uniform(-math.pi, math.pi))
        people = [person(*rng.uniform(0.2, np.array(scene.size_m) - 0.2), phase=float(rng.uniform(0, 6)))]
        frame = camera.render(pose, people)
        assert frame.max() > 30
        x, y, width, height, visible = camera.person_boxes(pose, people)[0]
        assert 0 <= x <= x + width <= 320 and 0 <= y <= y + height <= 240 and 0 <= visible <= 1


@pytest.mark.parametrize("kind", ["box", "chair", "coat_stand", "plant"])
def test_furniture_shows(kind: str) -> None:
    bare = Camera(camera_settings(), room()).render(POSE)
    furnished = Camera(camera_settings(), room(box(2.6, 2.0, 0.2), height=1.4, kind=kind)).render(POSE)
    assert (np.abs(bare.astype(int) - furnished).max(axis=2) > 15).mean() > 0.01


def test_the_lamp_is_the_brightest_thing_about() -> None:
    scene = room()
    camera = Camera(camera_settings(), scene)
    x, y = scene.lamp
    pose = (x - 1.5, y, 0.0)
    pixel, _ = camera.project([x, y, 0.42], pose)
    frame = camera.render(pose)
    assert frame[int(pixel[1]), int(pixel[0])].min() > 190


def test_painting_order_follows_the_rays_not_the_middles() -> None:
    """A long box beside a near one: its middle is nearer, but it stands behind."""
    long, small = np.array([[1.0, -3.0], [1.0, 0.5], [1.2, 0.5], [1.2, -3.0]]), order.square(np.array([1.6, 0.45]), 0.1)
    ranks = order.far_to_near([long, small], np.zeros(2), 0.0, math.radians(40))
    assert ranks == [1, 0]
    assert order.far_to_near([long, small], np.array([4.0, 0.45]), math.pi, math.radians(40)) == [0, 1]


def test_capsule_outlines_hold_both_circles() -> None:
    rng = np.random.default_rng(0)
    first, second = rng.uniform(0, 50, (40, 2)), rng.uniform(0, 50, (40, 2))
    radius, other = rng.uniform(1, 30, 40), rng.uniform(1, 30, 40)
    shapes = capsule_outlines(first, second, radius, other)
    for a, b, r, s, shape in zip(first, second, radius, other, shapes, strict=True):
        hull = cv2.convexHull(shape.astype(np.float32))
        assert cv2.contourArea(hull) >= 0.9 * np.pi * max(r, s) ** 2
        for middle, size in ((a, r), (b, s)):
            low, high = shape.min(axis=0), shape.max(axis=0)
            assert (middle - size * 1.0 >= low - 0.1 * size).all() and (middle + size <= high + 0.1 * size).all()
