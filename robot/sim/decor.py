"""How one room looks: its surfaces with the light baked in, made once per room from `room.decor`.

The lamp lights floor and walls and casts shadows behind the obstacles, in the plane, as the world's light
sensors feel it; a person or a thing takes the light of the floor it stands on.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from robot.sim import textures
from robot.sim.room import Room

PPM = 80  # pixels of a texture per metre
_LIGHT_PPM = 16
_MARGIN = 24  # pixels of floor beyond the walls, so that no gap shows along the skirting

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Wall:
    """A wall seen from inside: `texture` runs along `along` from `corner`, its row 0 at the ceiling."""

    corner: Array  # (2,) m
    along: Array  # (2,) unit
    length: float
    texture: textures.Image


@dataclass(frozen=True)
class Decor:
    """Surfaces and light of a room.

    `floors` are three versions of the floor's texture, each smoother, for floor near, further and far away.
    `light` is (rows, columns, 3), what a white surface shows, at `_LIGHT_PPM` pixels per metre.
    """

    floors: tuple[textures.Image, ...]
    walls: tuple[Wall, ...]
    wall_height: float
    ceiling: textures.Colour
    panels: Array  # (P, 4, 3) m, lit panels on the ceiling
    light: NDArray[np.float32]
    key: Array  # (2,) unit: the direction that the room's main light comes from
    glow: textures.Colour  # the lamp's light

    def light_at(self, points: Array) -> Array:
        """Light (..., 3) at points (..., 2) on the floor."""
        rows, columns = self.light.shape[:2]
        index = (np.asarray(points) * _LIGHT_PPM).astype(int)
        x, y = np.clip(index[..., 0], 0, columns - 1), np.clip(index[..., 1], 0, rows - 1)
        return self.light[y, x].astype(np.float64)


def make_decor(room: Room) -> Decor:
    """Draw the surfaces of a room; the same room always looks the same."""
    rng = np.random.default_rng([room.decor, 1])
    width, depth = room.size_m
    wall_height = float(rng.uniform(2.3, 2.9))
    warm = rng.uniform(-0.08, 0.1)
    tint = np.array([1 + warm, 1.0, 1 - warm]) * rng.uniform(0.55, 1.12)
    glow = textures.colour(rng, (0.08, 0.14), (0.1, 0.45), (1.0, 1.0))
    light = _light(rng, room, tint, np.array(glow) / 255)
    angle = rng.uniform(0, 2 * np.pi)
    return Decor(
        floors=_floors(rng, room, light),
        walls=_walls(rng, room, wall_height, light),
        wall_height=wall_height,
        ceiling=_lit(textures.colour(rng, (0.0, 1.0), (0.0, 0.08), (0.75, 0.98)), tint),
        panels=_panels(rng, width, depth, wall_height),
        light=light,
        key=np.array([np.cos(angle), np.sin(angle)]),
        glow=glow,
    )


def _lit(colour: textures.Colour, light: Array) -> textures.Colour:
    red, green, blue = np.minimum(255, np.asarray(colour) * light)
    return float(red), float(green), float(blue)


def _light(rng: Generator, room: Room, tint: Array, glow: Array) -> NDArray[np.float32]:
    """The room's light on a white floor: a gentle gradient, and the lamp's cone of sight with soft shadows."""
    columns, rows = (max(2, int(np.ceil(side * _LIGHT_PPM))) for side in room.size_m)
    y, x = (np.indices((rows, columns), dtype=np.float32) + 0.5) / _LIGHT_PPM
    away = np.hypot(x - room.lamp[0], y - room.lamp[1])
    seen = np.full((rows, columns), 255, np.uint8)
    for corners in room.obstacles:
        far = corners + (corners - room.lamp) / np.linalg.norm(corners - room.lamp, axis=1, keepdims=True) * 20
        hull = cv2.convexHull((np.concatenate([corners, far]) * _LIGHT_PPM * 16).astype(np.int32))
        cv2.fillConvexPoly(seen, hull, 40, cv2.LINE_AA, 4)
    clear = cv2.GaussianBlur(seen, (0, 0), 1.3).astype(np.float32) / 255
    lamp = rng.uniform(0.35, 0.8) / (1 + (away / 0.9) ** 2) * clear
    slope = rng.uniform(-0.12, 0.12, 2)
    even = 0.85 + slope[0] * (x / room.size_m[0] - 0.5) + slope[1] * (y / room.size_m[1] - 0.5)
    return (even[..., None] * tint + lamp[..., None] * glow).astype(np.float32)


def _floors(rng: Generator, room: Room, light: NDArray[np.float32]) -> tuple[textures.Image, ...]:
    columns, rows = (int(np.ceil(side * PPM)) for side in room.size_m)
    picture = textures.floor(rng, columns, rows, PPM)
    near = np.full((rows, columns), 255, np.uint8)  # it is darker where things meet the floor
    for corners in room.obstacles:
        cv2.fillConvexPoly(near, (corners * PPM).astype(np.int32), 110)
    near = cv2.blur(cv2.blur(near, (9, 9)), (9, 9))
    shade = textures.scaled(cv2.resize(light, (columns, rows)), near.astype(np.float32) / 255)
    lit = textures.scaled(picture, shade)
    lit = cv2.copyMakeBorder(lit, _MARGIN, _MARGIN, _MARGIN, _MARGIN, cv2.BORDER_REPLICATE)
    return lit, cv2.blur(lit, (5, 5)), cv2.blur(lit, (15, 15))


def _walls(rng: Generator, room: Room, height: float, light: NDArray[np.float32]) -> tuple[Wall, ...]:
    width, depth = room.size_m
    base = textures.any_colour(rng) if rng.random() < 0.45 else textures.colour(rng, (0, 1), (0, 0.25), (0.55, 0.95))
    style = str(rng.choice(["paint", "stripes", "brick", "panels", "two_tone"], p=[0.45, 0.15, 0.12, 0.13, 0.15]))
    sides = (  # from the left to the right as seen from inside
        ((0.0, depth), (1.0, 0.0), width, light[-1]),
        ((width, depth), (0.0, -1.0), depth, light[::-1, -1]),
        ((width, 0.0), (-1.0, 0.0), width, light[0, ::-1]),
        ((0.0, 0.0), (0.0, 1.0), depth, light[:, 0]),
    )
    accent = int(rng.integers(8))  # one wall may have a colour of its own
    walls = []
    for number, (corner, along, length, strip) in enumerate(sides):
        columns, rows = int(np.ceil(length * PPM)), int(height * PPM)
        colour = textures.any_colour(rng) if number == accent else base
        picture = textures.wall(rng, colour, columns, rows, PPM, style)
        _hang(rng, picture, rows)
        fall = np.linspace(0.92, 1.0, rows, dtype=np.float32)[:, None, None]
        tone = cv2.resize(np.ascontiguousarray(strip)[None], (columns, 1)) * np.float32(rng.uniform(0.85, 1.05))
        walls.append(Wall(np.array(corner), np.array(along), length, textures.scaled(picture, tone * fall)))
    return tuple(walls)


def _hang(rng: Generator, picture: textures.Image, rows: int) -> None:
    """Doors, windows, bookcases and posters, from the left to the right, none over another."""
    x = int(rng.uniform(0.1, 0.8) * PPM)
    while x < picture.shape[1] - int(0.5 * PPM):
        kind = rng.choice(["poster", "door", "window", "shelf"], p=[0.6, 0.12, 0.14, 0.14])
        if kind == "door":
            width, height, bottom = int(0.85 * PPM), int(2.0 * PPM), rows
            make = textures.door
        elif kind == "window":
            width, height = int(rng.uniform(0.8, 1.5) * PPM), int(rng.uniform(0.9, 1.3) * PPM)
            bottom, make = rows - int(0.85 * PPM), textures.window
        elif kind == "shelf":
            width, height, bottom = int(rng.uniform(0.5, 1.1) * PPM), int(rng.uniform(1.0, 2.0) * PPM), rows - 2
            make = textures.shelf
        else:
            width, height = int(rng.uniform(0.3, 0.9) * PPM), int(rng.uniform(0.4, 1.1) * PPM)
            bottom, make = rows - int(rng.uniform(0.6, 1.15) * PPM), textures.poster
        top = max(0, bottom - height)
        if x + width < picture.shape[1]:
            picture[top:bottom, x : x + width] = make(rng, width, bottom - top)
        x += width + int(rng.uniform(0.2, 1.4) * PPM)


def _panels(rng: Generator, width: float, depth: float, height: float) -> Array:
    if rng.random() < 0.4:
        return np.zeros((0, 4, 3))
    half = np.array([rng.uniform(0.15, 0.35), rng.uniform(0.15, 0.6)])
    corners = np.array([[-1, -1], [1, -1], [1, 1], [-1, 1]]) * half
    middles = [(width * i, depth * j) for i in (0.3, 0.7) for j in (0.3, 0.7)]
    return np.array([np.column_stack([corners + middle, np.full(4, height)]) for middle in middles])


def floor_to_texture() -> Array:
    """(3, 3): from (x, y, 1) on the floor in metres to continuous pixels of the floor's textures."""
    return np.array([[PPM, 0, _MARGIN], [0, PPM, _MARGIN], [0, 0, 1.0]])
