"""What the camera can draw: flat quads and tapered capsules, gathered in parts, and their way onto the image.

A part is convex and drawn whole: its back faces are culled and the rest is painted in the order given, so
that decals come after the face that bears them. A thing is a list of parts, painted from far to near.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import cv2
import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Colour = tuple[float, float, float]

NEAR = 0.05  # m; nothing nearer to the lens is drawn
_ARC = 8  # corners of half a capsule's end
_FIXED = 4  # fractional bits of OpenCV's drawing coordinates
_FAR = float(1 << 26)


@dataclass
class Part:
    """A convex piece of a thing, at rest in the world.

    Quads are (4, 3) corners in m, counter-clockwise seen from outside. Capsules are two ends (2, 3) with
    two radii: limbs, poles, balls. A part has quads or capsules; `hulls` groups capsules (by index) that are
    drawn as one convex outline.
    """

    centre: Array
    quads: list[Array] = field(default_factory=list)
    colours: list[Colour] = field(default_factory=list)
    ends: list[Array] = field(default_factory=list)
    radii: list[tuple[float, float]] = field(default_factory=list)


def face(corners: Array, across: tuple[float, float], up: tuple[float, float]) -> Array:
    """A rectangle on a quad, from fractions along its first edge (`across`) and its second (`up`)."""
    origin, right, rise = corners[0], corners[1] - corners[0], corners[2] - corners[1]
    places = ((across[0], up[0]), (across[1], up[0]), (across[1], up[1]), (across[0], up[1]))
    return np.array([origin + right * u + rise * v for u, v in places])


def sides(corners: Array, low: float, high: float) -> list[Array]:
    """The upright faces of a prism over (K, 2) corners, clockwise from above; each starts at its bottom left."""
    quads = []
    for first, second in zip(corners, np.roll(corners, -1, axis=0), strict=True):
        # Clockwise from above: seen from outside, the next corner is to the left.
        quads.append(np.array([[*second, low], [*first, low], [*first, high], [*second, high]]))
    return quads


def lid(corners: Array, height: float) -> Array:
    """The upper face of a prism over four corners, clockwise from above."""
    return np.column_stack([corners[::-1], np.full(len(corners), height)])


def block(corners: Array, low: float, high: float) -> list[Array]:
    """The faces of a prism over four corners, clockwise from above: four sides, lid, underside."""
    return [*sides(corners, low, high), lid(corners, high), np.column_stack([corners, np.full(4, low)])]


@dataclass(frozen=True)
class Mesh:
    """Parts of many things in flat arrays, so that one product takes all corners to the camera."""

    quads: Array  # (Q, 4, 3)
    normals: Array  # (Q, 3), outward, any length
    ends: Array  # (C, 2, 3)
    radii: Array  # (C, 2)
    centres: Array  # (P, 3)
    items: tuple[tuple[tuple[int, Colour], ...], ...]  # per part: index of quad, or of capsule as ~index, and colour
    things: tuple[tuple[int, ...], ...]  # per thing: its parts


def mesh(things: Sequence[Sequence[Part]]) -> Mesh:
    """Flatten things into arrays."""
    parts = [part for thing in things for part in thing]
    quads = [quad for part in parts for quad in part.quads]
    ends = [end for part in parts for end in part.ends]
    radii = [radius for part in parts for radius in part.radii]
    items, owners, quad, capsule, first = [], [], 0, 0, 0
    for part in parts:
        colours = iter(part.colours)
        row = [(quad + i, next(colours)) for i in range(len(part.quads))]
        row += [(~(capsule + i), next(colours)) for i in range(len(part.ends))]
        quad, capsule = quad + len(part.quads), capsule + len(part.ends)
        items.append(tuple(row))
    for thing in things:
        owners.append(tuple(range(first, first + len(thing))))
        first += len(thing)
    corners = np.array(quads).reshape(-1, 4, 3)
    return Mesh(
        quads=corners,
        normals=np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 1]),
        ends=np.array(ends).reshape(-1, 2, 3),
        radii=np.array(radii).reshape(-1, 2),
        centres=np.array([part.centre for part in parts]).reshape(-1, 3),
        items=tuple(items),
        things=tuple(owners),
    )


def capsule_outlines(first: Array, second: Array, radius: Array, other: Array) -> Array:
    """Outlines (C, 16, 2) of capsules from circles of centres (C, 2) and radii (C,) in the image."""
    between = second - first
    length = np.hypot(between[:, 0], between[:, 1])
    inside = length <= np.abs(radius - other)  # one circle holds the other: draw the larger
    larger = inside & (other > radius)
    first, radius = np.where(larger[:, None], second, first), np.where(larger, other, radius)
    second, other = np.where(inside[:, None], first, second), np.where(inside, radius, other)
    ratio = np.where(inside, 0.0, (radius - other) / np.maximum(length, 1e-9))
    heading = np.arctan2(between[:, 1], between[:, 0])
    opening = np.arccos(ratio)
    steps = np.linspace(0.0, 1.0, _ARC)
    back = (heading + opening)[:, None] + steps * (2 * np.pi - 2 * opening)[:, None]
    front = (heading - opening)[:, None] + steps * (2 * opening)[:, None]
    angles = np.stack([back, front], axis=1)
    circles = np.stack([np.cos(angles), np.sin(angles)], axis=-1) * np.stack([radius, other], axis=1)[:, :, None, None]
    return (circles + np.stack([first, second], axis=1)[:, :, None, :]).reshape(len(first), 2 * _ARC, 2)


def clip_near(corners: Array) -> Array:
    """A polygon (K, 3), camera's frame, cut at the near plane (Sutherland and Hodgman); (0, 3) where all is behind."""
    kept: list[list[float]] = []
    points = corners.tolist()  # a few points: plain numbers are quicker than arrays
    for here, after in zip(points, points[1:] + points[:1], strict=True):
        if here[2] >= NEAR:
            kept.append(here)
        if (here[2] >= NEAR) != (after[2] >= NEAR):
            share = (NEAR - here[2]) / (after[2] - here[2])
            kept.append([a + (b - a) * share for a, b in zip(here, after, strict=True)])
    return np.array(kept).reshape(-1, 3)


def to_fixed(pixels: Array) -> NDArray[np.int32]:
    """Continuous pixel coordinates as OpenCV's fixed-point ones, whose integers are pixel middles."""
    # Kept well within 32 bits: a corner far outside the image need not be exact.
    fixed = (pixels - 0.5) * (1 << _FIXED)
    return np.minimum(np.maximum(fixed, -_FAR), _FAR).astype(np.int32)


def fill(
    image: NDArray[np.uint8], outline: NDArray[np.int32], colour: Sequence[float] | float, smooth: bool = True
) -> None:
    """Paint a convex outline, given by `to_fixed`."""
    value = colour if isinstance(colour, (int, float)) else tuple(colour)
    cv2.fillConvexPoly(image, outline, value, cv2.LINE_AA if smooth else cv2.LINE_8, _FIXED)  # type: ignore[arg-type]
