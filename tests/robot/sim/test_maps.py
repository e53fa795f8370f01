"""The way round obstacles and the bounced light, against slow and plain reckonings."""

from __future__ import annotations

import heapq
import math

import numpy as np
import pytest

from robot.sim import light
from robot.sim.geometry import clearance, corners_of, rectangles, sees
from robot.sim.maps import CELL_M, MARGIN_M, ROBOT_RADIUS_M, geodesic, nodes
from robot.sim.room import Room
from robot.sim.rooms import make_room


def room_of(boxes, lamp, size=(4.0, 5.0)):
    """A bare room with boxes given as (x, y, half x, half y, angle)."""
    boxes = np.array(boxes, dtype=float).reshape(-1, 5)
    return Room(
        0, "easy", size, corners_of(boxes[:, :2], boxes[:, 2:4], boxes[:, 4]), ("box",) * len(boxes),
        np.full(len(boxes), 0.6), np.array(lamp, dtype=float), np.array([0.5, 0.5, 0.0]),
    )  # fmt: skip


def dijkstra(passable, sources):
    """Shortest ways from `sources` ({node: distance}) by moves of one, diagonal and knight's steps."""
    moves = [
        (dx, dy)
        for dx in range(-2, 3)
        for dy in range(-2, 3)
        if (abs(dx), abs(dy)) in ((1, 0), (0, 1), (1, 1), (1, 2), (2, 1))
    ]
    best, queue = dict(sources), [(d, node) for node, d in sources.items()]
    heapq.heapify(queue)
    while queue:
        d, (row, column) = heapq.heappop(queue)
        if d > best[row, column]:
            continue
        for dx, dy in moves:
            node = (row + dy, column + dx)
            inside = 0 <= node[0] < passable.shape[0] and 0 <= node[1] < passable.shape[1]
            if inside and passable[node] and d + CELL_M * math.hypot(dx, dy) < best.get(node, math.inf):
                best[node] = d + CELL_M * math.hypot(dx, dy)
                heapq.heappush(queue, (best[node], node))
    return best


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_geodesic_distances_are_those_of_dijkstra(seed):
    room = make_room("light", "hard", seed)
    grid = nodes(room.size_m)
    free = clearance(grid, room.size_m, rectangles(room.obstacles))
    passable = free >= ROBOT_RADIUS_M + MARGIN_M
    way = room.maps.geodesic
    away = np.hypot(*(np.moveaxis(grid, -1, 0) - room.lamp[:, None, None]))
    sources = {
        tuple(node): float(way[tuple(node)]) for node in np.argwhere((way == away.astype(np.float32)) & passable)
    }
    assert sources
    expected = dijkstra(passable, sources)
    for node in np.ndindex(passable.shape):
        if passable[node]:
            assert way[node] == pytest.approx(expected.get(node, math.inf), abs=1e-4)


def test_in_an_empty_room_the_way_is_the_straight_line():
    room = room_of([], (1.0, 1.0))
    grid = nodes(room.size_m)
    free = clearance(grid, room.size_m, rectangles(room.obstacles))
    straight = np.hypot(*(np.moveaxis(grid, -1, 0) - room.lamp[:, None, None]))
    open_ = free >= 0.2
    ratio = room.maps.geodesic[open_] / np.maximum(straight[open_], 0.3)
    assert ratio[straight[open_] > 0.3].min() > 0.999 and ratio.max() < 1.03


def test_a_wall_with_one_gap_is_gone_round():
    # A wall across the room with a passage at its right end, at (3.5, 2.5); robot below, lamp above.
    room = room_of([(1.5, 2.5, 1.5, 0.1, 0.0)], (0.6, 4.0))
    way = float(room.maps.geodesic[10, 6])
    gap = np.array([3.16, 2.4])
    shortest = math.dist((0.6, 1.0), gap) + 0.2 + math.dist((3.16, 2.6), (0.6, 4.0))
    assert shortest * 0.98 < way < shortest * 1.05


def test_a_passage_narrower_than_robot_and_margin_is_closed():
    closed = room_of([(1.85, 2.5, 1.85, 0.1, 0.0)], (2.0, 4.0))  # 0.3 m left of 4; 0.32 needed
    assert np.isinf(closed.maps.geodesic[10, 10])
    width = ROBOT_RADIUS_M + MARGIN_M
    grid = nodes(closed.size_m)
    free = clearance(grid, closed.size_m, rectangles(closed.obstacles))
    assert np.isfinite(geodesic(free, grid, closed.lamp, width - 0.06)[10, 10])


def test_the_geodesic_distance_reaches_wherever_a_robot_can_touch():
    for seed in range(20):
        room = make_room("light", "hard", seed)
        free = clearance(nodes(room.size_m), room.size_m, rectangles(room.obstacles))
        edge = (free > 0) & (free < ROBOT_RADIUS_M + MARGIN_M)
        reached = np.isfinite(room.maps.geodesic[edge])
        assert reached.mean() > 0.99


@pytest.mark.parametrize("seed", [0, 3])
def test_bounced_light_is_the_sum_over_lit_strips_that_are_seen(seed):
    room = make_room("light", "hard", seed)
    middle, normal, width = light.strips(room.size_m, room.obstacles)
    total = sum(np.linalg.norm(room.obstacles - np.roll(room.obstacles, -1, axis=1), axis=-1).ravel())
    assert width.sum() == pytest.approx(total + 2 * sum(room.size_m))
    rng = np.random.default_rng(seed)
    points = rng.uniform((0.2, 0.2), np.array(room.size_m) - 0.2, (60, 2))
    points = points[clearance(points, room.size_m, rectangles(room.obstacles)) > 0.1]
    got = light.bounce(room.lamp, room.size_m, room.obstacles, points)
    for point, (fluence, x, y) in zip(points, got, strict=True):
        expected = np.zeros(3)
        for m, n, w in zip(middle + 1e-3 * normal, normal, width, strict=True):
            to_strip, from_strip = m - room.lamp, m - point
            into = -(to_strip @ n) / np.linalg.norm(to_strip)
            out = -(from_strip @ n) / np.linalg.norm(from_strip)
            clear = sees(room.lamp, m[None], room.obstacles)[0] and sees(point, m[None], room.obstacles)[0]
            if into <= 0 or out <= 0 or not clear:
                continue
            far = np.linalg.norm(from_strip)
            radiance = light.ALBEDO / math.pi * into / (to_strip @ to_strip + light.LAMP_HEIGHT_M**2)
            solid = w * out / max(far, 0.2) * light.WALL_HEIGHT_M / math.hypot(far, light.WALL_HEIGHT_M / 2)
            expected += radiance * solid * np.array([1, *(from_strip / far)])
        np.testing.assert_allclose((fluence, x, y), expected, atol=2e-3 * max(1e-2, expected[0]))


def test_shadow_is_dim_but_points_the_way():
    """In shadow, the light seen comes mostly from where the shortest way leads, and is above the sensor's noise."""
    agreement, brightness, lit = [], [], []
    for seed in range(30):
        room = make_room("light", "hard", seed)
        way, grid = room.maps.geodesic, nodes(room.size_m)
        free = clearance(grid, room.size_m, rectangles(room.obstacles))
        gradient = np.stack(np.gradient(np.where(np.isfinite(way), way, 50.0), CELL_M)[::-1], axis=-1)
        steep = np.linalg.norm(gradient, axis=-1)
        use = (free > ROBOT_RADIUS_M) & (steep > 0.5) & (steep < 1.5)
        points, field, downhill = grid[use], room.maps.bounce[use], -gradient[use] / steep[use][:, None]
        hidden = ~sees(room.lamp, points, room.obstacles)
        vector = field[hidden, 1:]
        size = np.linalg.norm(vector, axis=-1)
        agreement.append((vector * downhill[hidden]).sum(-1) / np.maximum(size, 1e-9))
        brightness.append(light.reading(light.diffuse_acceptance(field[hidden, 0], size) + light.AMBIENT))
        lit.append(light.reading(light.direct(((points[~hidden] - room.lamp) ** 2).sum(-1))))
    agreement, brightness, lit = map(np.concatenate, (agreement, brightness, lit))
    assert np.median(brightness) < 0.5 * np.median(lit)
    dark = float(light.reading(np.float64(light.AMBIENT)))
    noise = light.NOISE_FLOOR + light.NOISE_SHARE * np.median(brightness)
    assert np.quantile(brightness, 0.05) > dark + 3 * light.NOISE_FLOOR
    assert np.median(brightness) > dark + 10 * noise
    assert (agreement > 0).mean() > 0.85 and np.median(agreement) > 0.85
