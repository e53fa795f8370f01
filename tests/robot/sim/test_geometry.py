"""Ray casts and distances against a plain float64 reckoning, segment by segment."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from robot.sim.geometry import (
    FanCaster,
    Rectangles,
    ShadowCaster,
    corners_of,
    distance_to_rectangles,
    rectangles,
    sees,
    separation,
)
from robot.sim.rooms import make_room

ROOMS = [make_room(task, level, seed) for task in ("light", "range") for level in ("easy", "hard") for seed in range(6)]


def segments(room):
    """Every wall and obstacle edge of a room, as pairs of points."""
    w, h = room.size_m
    rings = [np.array([(0, 0), (w, 0), (w, h), (0, h)]), *room.obstacles]
    return [(ring[i], ring[(i + 1) % 4]) for ring in rings for i in range(4)]


def hit(origin, direction, a, b):
    """Distance from `origin` along the unit `direction` to the segment a-b, inf where it misses."""
    edge, to = b - a, a - origin
    across = direction[0] * edge[1] - direction[1] * edge[0]
    if across == 0:
        return math.inf
    along = (to[0] * edge[1] - to[1] * edge[0]) / across
    share = (to[0] * direction[1] - to[1] * direction[0]) / across
    return along if along >= 0 and 0 <= share <= 1 else math.inf


def free_points(room, count, seed):
    rng = np.random.default_rng(seed)
    points = rng.uniform((0.05, 0.05), np.array(room.size_m) - 0.05, (400, 2))
    return points[distance_to_rectangles(points, rectangles(room.obstacles)).min(axis=-1) > 0.03][:count]


def signed_area(ring):
    x, y = np.asarray(ring).T
    return 0.5 * float(np.sum(x * np.roll(y, -1) - np.roll(x, -1) * y))


def test_obstacles_run_clockwise_and_so_their_faces_show_a_positive_product():
    for room in ROOMS:
        assert all(signed_area(box) < 0 for box in room.obstacles)
        for point in free_points(room, 5, 0):
            # Walls show every face; a box shows exactly those whose outer side the point is on.
            w, h = room.size_m
            walls = np.array([(0, 0), (w, 0), (w, h), (0, h)])
            for ring, inside in ((walls, True), *((box, False) for box in room.obstacles)):
                for a, b in zip(ring, np.roll(ring, -1, axis=0), strict=True):
                    product = (a - point)[0] * (b - point)[1] - (a - point)[1] * (b - point)[0]
                    centre = ring.mean(axis=0)
                    normal = np.array([a[1] - b[1], b[0] - a[0]])
                    outward = normal if ((normal @ (a - centre)) > 0) else -normal
                    faces = outward @ (point - a) < 0 if inside else outward @ (point - a) > 0
                    assert (product > 0) == faces


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("chunk", [1, 7, 64])
def test_fan_of_rays_matches_every_segment_by_hand(dtype, chunk):
    half = math.radians(15)
    tangents = (0.0, math.tan(half / 2), math.tan(half))
    angles = (0.0, half / 2, -half / 2, half, -half)
    rng = np.random.default_rng(1)
    quads = 1 + max(len(room.obstacles) for room in ROOMS)
    cases = [(room, point, rng.uniform(-math.pi, math.pi)) for room in ROOMS for point in free_points(room, 12, 2)]
    n = len(cases)
    x, y = np.zeros((5, quads, n), dtype), np.zeros((5, quads, n), dtype)
    for i, (room, _, _) in enumerate(cases):
        w, h = room.size_m
        x[:, 0, i], y[:, 0, i] = (0, w, w, 0, 0), (0, 0, h, h, 0)
        for q, box in enumerate(room.obstacles):
            x[:, 1 + q, i], y[:, 1 + q, i] = box[[0, 1, 2, 3, 0]].T
    origin = np.array([point for _, point, _ in cases], dtype).T
    yaw = np.array([yaw for _, _, yaw in cases])
    out = np.empty((5, n), dtype)
    FanCaster(quads, chunk, dtype).cast(
        x, y, origin, np.cos(yaw).astype(dtype), np.sin(yaw).astype(dtype), tangents, out
    )
    worst = 0.0
    for i, (room, point, heading) in enumerate(cases):
        for ray, angle in enumerate(angles):
            direction = np.array([math.cos(heading + angle), math.sin(heading + angle)])
            expected = min(hit(point, direction, a, b) for a, b in segments(room))
            worst = max(worst, abs(out[ray, i] * expected - 1))
    # A ray that grazes a corner may fall on either side in float32; none of these seeded ones does.
    assert worst < (1e-9 if dtype is np.float64 else 1e-4)


def test_shadows_match_every_segment_by_hand():
    quads = max(len(room.obstacles) for room in ROOMS)
    cases = [(room, point) for room in ROOMS for point in free_points(room, 40, 3)]
    x, y = np.zeros((5, quads, len(cases)), np.float32), np.zeros((5, quads, len(cases)), np.float32)
    for i, (room, _) in enumerate(cases):
        for q, box in enumerate(room.obstacles):
            x[:, q, i], y[:, q, i] = (box[[0, 1, 2, 3, 0]] - room.lamp).T
    to = np.array([point - room.lamp for room, point in cases], np.float32).T
    out = np.empty(len(cases), bool)
    ShadowCaster(quads, 50, np.float32).cast(x, y, ShadowCaster.areas(x, y), to[0], to[1], out)
    expected = []
    for room, point in cases:
        way = point - room.lamp
        length = float(np.linalg.norm(way))
        expected.append(min(hit(room.lamp, way / length, a, b) for a, b in segments(room)[4:]) < length)
    assert 0.2 < np.mean(expected) < 0.9
    assert np.mean(out != np.array(expected)) == 0
    alone = [not sees(room.lamp, point[None], room.obstacles)[0] for room, point in cases]
    assert alone == expected


rectangle = st.tuples(
    st.floats(-2, 2), st.floats(-2, 2), st.floats(0.05, 0.6), st.floats(0.05, 0.6), st.floats(-3.2, 3.2)
)


def as_rectangles(r):
    return rectangles(corners_of(np.array([r[:2]]), np.array([r[2:4]]), np.array([r[4]])))


@given(rectangle)
@settings(deadline=None, max_examples=60)
def test_rectangles_survive_their_corners(r):
    shape = as_rectangles(r)
    again = corners_of(shape.centre, shape.half, np.arctan2(shape.axis[:, 1], shape.axis[:, 0]))
    np.testing.assert_allclose(np.sort(again, axis=1), np.sort(corners_of(*_parts(r)), axis=1), atol=1e-9)


def _parts(r):
    return np.array([r[:2]]), np.array([r[2:4]]), np.array([r[4]])


@given(rectangle, rectangle)
@settings(deadline=None, max_examples=100)
def test_separation_never_exceeds_the_true_gap_and_is_positive_only_apart(a, b):
    one, two = as_rectangles(a), as_rectangles(b)
    gap = separation(one, two)[0, 0]
    edge = np.linspace(0, 1, 30)[:, None]
    corners = corners_of(*_parts(a))[0]
    ring = np.concatenate([p + edge * (q - p) for p, q in zip(corners, np.roll(corners, -1, axis=0), strict=True)])
    inside_too = np.concatenate((ring, ring * 0.5 + one.centre * 0.5, one.centre))
    true = distance_to_rectangles(inside_too, two).min()
    assert gap <= true + 1e-9
    if gap > 0:
        assert distance_to_rectangles(one.centre, two)[0, 0] > 0


def test_distance_to_a_rectangle_by_hand():
    box = Rectangles(np.array([[1.0, 1.0]]), np.array([[0.5, 0.25]]), np.array([[0.0, 1.0]]))  # turned by 90 degrees
    points = np.array([(1.0, 1.0), (1.0, 2.0), (2.0, 1.0), (1.55, 1.9)])
    np.testing.assert_allclose(distance_to_rectangles(points, box)[:, 0], [0, 0.5, 0.75, math.hypot(0.3, 0.4)])


@pytest.mark.parametrize("change", ["skew", "turn round"])
def test_what_is_no_clockwise_rectangle_is_refused(change):
    corners = corners_of(*_parts((0, 0, 0.3, 0.2, 0.4)))
    bad = corners[:, ::-1] if change == "turn round" else corners + np.array([[[0.1, 0], [0, 0], [0, 0], [0, 0]]])
    with pytest.raises(ValueError, match="rectangle"):
        rectangles(bad)
