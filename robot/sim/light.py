"""Light: what a lamp sends to each sensor directly, by one diffuse bounce, and from the ambience.

Illuminance is in units of what the lamp gives at one metre. The floor plan is flat, the light is not: the
lamp stands `LAMP_HEIGHT_M` above the sensors, and walls are `WALL_HEIGHT_M` high. The bounce is one step of
radiosity (Goral, Torrance, Greenberg, Battaile, SIGGRAPH 1984) from the wall and box sides that the lamp lights:
every strip in sight of the lamp shines, after Lambert, on every point in sight of the strip. A point in shadow is
therefore dim, and its light comes from the lit surfaces that can be seen from it, that is, from round the obstacle.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from robot.sim.geometry import Floats, sees

LAMP_HEIGHT_M = 0.3
WALL_HEIGHT_M = 2.0
ALBEDO = 0.7  # of painted walls and furniture
AMBIENT = 0.01
HALF_READING = 0.4  # illuminance at which a sensor reads 0.5
NOISE_FLOOR = 0.001  # one step of a 10-bit converter
NOISE_SHARE = 0.01
STRIP_M = 0.4  # width of the strips that the bounce is summed over
_FIELD_PITCH = 2  # the bounce is smooth: computed at every other node of the grid


def acceptance(cosine: Floats) -> Floats:
    """What a sensor takes of light at this angle from its axis: ((1 + cos) / 2)^2.

    Half at 65 degrees, as an LDR's data sheet draws it (GL55 series), a quarter from the side, none from behind.
    """
    half = 0.5 * cosine + 0.5
    return half * half


def diffuse_acceptance(fluence: Floats, towards: Floats) -> Floats:
    """What a sensor takes of a field of light, to first order in the field's angle.

    `acceptance` is 3/8 + cos/2 + cos(2 angle)/8; the last term, which averages out over a wide field, is left out.

    Args:
        fluence: the light from everywhere. towards: its vector sum along the sensor's axis.
    """
    return 0.375 * fluence + 0.5 * towards


def reading(illuminance: Floats) -> Floats:
    """The sensor's 0..1: a voltage divider of an LDR, which saturates, E / (E + E_half)."""
    return illuminance / (illuminance + HALF_READING)


def direct(distance2: Floats) -> Floats:
    """Illuminance at a squared distance (m2) from the lamp, on a sensor that faces it, without shadow."""
    return 1.0 / (distance2 + LAMP_HEIGHT_M**2)


def sensed(
    to_x: Floats,
    to_y: Floats,
    cos: Floats,
    sin: Floats,
    fluence: Floats,
    ahead: Floats,
    left: Floats,
    shadow: NDArray[np.bool_],
    axis: tuple[float, float],
) -> Floats:
    """What N sensors read, without noise, (N,).

    Args:
        to_x, to_y: from each lamp to the sensor, m. cos, sin: of the robots' headings.
        shadow: whether the lamp is hidden.
        fluence, ahead, left: the bounced light, and its vector in the robots' frames.
        axis: the sensor's, a unit vector in the robots' frames.
    """
    axis_x, axis_y = axis
    distance2 = to_x * to_x + to_y * to_y
    along = -(to_x * cos + to_y * sin) * axis_x - (to_y * cos - to_x * sin) * axis_y
    straight = direct(distance2) * acceptance(along / np.sqrt(distance2 + 1e-9))
    np.copyto(straight, 0, where=shadow)
    straight += diffuse_acceptance(fluence, ahead * axis_x + left * axis_y)
    straight += AMBIENT
    return reading(straight)


def strips(size: tuple[float, float], corners: Floats) -> tuple[Floats, Floats, Floats]:
    """The room's vertical surfaces in strips: middle (P, 2), normal into the free space (P, 2), width (P,) m."""
    walls = np.array([(0, 0), (size[0], 0), size, (0, size[1])], dtype=np.float64)
    rings = np.concatenate((walls[None], np.asarray(corners, dtype=np.float64).reshape(-1, 4, 2)))
    along = np.roll(rings, -1, axis=1) - rings
    length = np.linalg.norm(along, axis=-1)
    unit = along / length[..., None]
    normal = np.stack((-unit[..., 1], unit[..., 0]), axis=-1)  # left of the way round: inward for walls, out of boxes
    count = np.maximum(1, np.ceil(length / STRIP_M)).astype(int).ravel()
    edge = np.repeat(np.arange(count.size), count)
    step = np.arange(edge.size) - np.repeat(np.cumsum(count) - count, count)
    share = (step + 0.5) / count[edge]
    middle = rings.reshape(-1, 2)[edge] + share[:, None] * along.reshape(-1, 2)[edge]
    return middle, normal.reshape(-1, 2)[edge], length.ravel()[edge] / count[edge]


def bounce(lamp: Floats, size: tuple[float, float], corners: Floats, points: Floats) -> NDArray[np.float32]:
    """(T, 3) light that reaches each free point (T, 2) by one bounce: fluence, and its vector sum x, y.

    The vector points to where the light comes from. Room corners and inside of `size`; obstacles (B, 4, 2).
    """
    middle, normal, width = strips(size, corners)
    middle = middle + 1e-3 * normal
    ray = middle - lamp
    distance2 = (ray * ray).sum(-1)
    cosine = -(ray * normal).sum(-1) / np.sqrt(distance2)
    free = (middle > 0).all(-1) & (middle < np.asarray(size)).all(-1) & (cosine > 0)
    lit = np.flatnonzero(free)[sees(lamp, middle[free], corners)]
    middle, normal = middle[lit], normal[lit].astype(np.float32)
    radiance = ALBEDO / np.pi * direct(distance2[lit]) * cosine[lit] * width[lit]

    to = (middle[:, None] - points[None]).astype(np.float32)  # (P, T, 2) from point to strip
    reach = np.sqrt(to[..., 0] ** 2 + to[..., 1] ** 2)
    falling = -(to[..., 0] * normal[:, None, 0] + to[..., 1] * normal[:, None, 1]) / np.maximum(reach, 1e-3)
    # The strip's solid angle: width * cos / r across, and the angle that its height spans, softened at arm's length.
    angle = np.maximum(falling, 0) / np.maximum(reach, 0.2) * WALL_HEIGHT_M
    angle /= np.sqrt(reach * reach + (WALL_HEIGHT_M / 2) ** 2)
    light = angle * radiance.astype(np.float32)[:, None]
    light *= ~_hidden(middle, points, corners)
    over = light / np.maximum(reach, 1e-3)
    return np.stack((light.sum(0), (over * to[..., 0]).sum(0), (over * to[..., 1]).sum(0)), axis=-1)


def _hidden(a: Floats, b: Floats, corners: Floats) -> NDArray[np.bool_]:
    """(A, B) whether an obstacle stands between each pair of points.

    As `geometry.sees`, with side = cross(a - b, v - b) = a x v + v x b + b x a, so that all but sums is per pair of
    point and corner, not per triple.
    """
    v = np.asarray(corners, dtype=np.float64).reshape(-1, 4, 2)
    hidden = np.zeros((len(a), len(b)), dtype=bool)
    if not len(v) or not len(a):
        return hidden

    def cross(p: Floats, q: Floats) -> Floats:
        return p[..., 0] * q[..., 1] - p[..., 1] * q[..., 0]

    flat = v.reshape(-1, 2)
    av = cross(a[None], flat[:, None]).astype(np.float32).reshape(*v.shape[:2], -1)  # (Q, 4, A)
    vb = cross(flat[:, None], b[None]).astype(np.float32).reshape(*v.shape[:2], -1)
    ba = cross(b[None], a[:, None]).astype(np.float32)  # (A, B)
    rel = v[:, :, None] - b
    area = cross(rel, np.roll(rel, -1, axis=1)).astype(np.float32)
    area[area <= 0] = np.inf
    for quad in range(len(v)):
        side = av[quad][:, :, None] + vb[quad][:, None, :] + ba
        after = np.roll(side, -1, axis=0)
        hidden |= ((side <= 0) & (after > 0) & (after - side >= area[quad][:, None, :])).any(axis=0)
    return hidden
