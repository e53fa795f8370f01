"""Things that stand in a room, built from quads and capsules: boxes, chairs, coat stands, plants, the lamp."""

from __future__ import annotations

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from robot.sim import textures
from robot.sim.decor import Decor
from robot.sim.room import Room
from robot.sim.solids import Colour, Part, block, face, lid, sides

Array = NDArray[np.float64]
LAMP_HEIGHT = 0.42  # m, of the bulb's middle


class _Light:
    """The light on one thing: that of the floor where it stands, stronger on faces towards the room's main light."""

    def __init__(self, decor: Decor, middle: Array) -> None:
        self.floor = decor.light_at(middle)
        self.key = decor.key

    def on(self, colour: Colour, normal: Array | None = None, factor: float = 1.0) -> Colour:
        if normal is not None:
            normal = normal / (np.linalg.norm(normal) + 1e-12)
            factor *= 0.82 + 0.2 * float(normal[:2] @ self.key) + 0.16 * float(normal[2])
        red, green, blue = np.minimum(255, np.asarray(colour) * self.floor * factor)
        return float(red), float(green), float(blue)


def furnish(room: Room, decor: Decor) -> list[list[Part]]:
    """The parts of every obstacle, in the room's order, and last of all of the lamp."""
    makers = {"box": _box, "chair": _chair, "coat_stand": _coat_stand, "plant": _plant}
    things = []
    for number, (corners, kind, height) in enumerate(zip(room.obstacles, room.kinds, room.heights_m, strict=True)):
        rng = np.random.default_rng([room.decor, 2, number])
        light = _Light(decor, corners.mean(axis=0))
        things.append(makers[kind](rng, corners, float(height), light))
    things.append(_lamp(room.lamp, decor))
    return things


def _normal(quad: Array) -> Array:
    return np.cross(quad[1] - quad[0], quad[2] - quad[1])


def _painted(quads: list[Array], colour: Colour, light: _Light, centre: Array) -> Part:
    return Part(centre, list(quads), [light.on(colour, _normal(quad)) for quad in quads])


def _middle(corners: Array, height: float) -> Array:
    return np.array([*corners.mean(axis=0), height])


def _inset(corners: Array, share: float) -> Array:
    middle = corners.mean(axis=0)
    return middle + (corners - middle) * share


def _box(rng: Generator, corners: Array, height: float, light: _Light) -> list[Part]:
    """A carton with its tape, a chest of drawers, a crate, or a plain painted block."""
    kind = rng.choice(["carton", "drawers", "crate", "plain"], p=[0.35, 0.25, 0.15, 0.25])
    colour = {
        "carton": textures.colour(rng, (0.07, 0.11), (0.35, 0.6), (0.5, 0.8)),
        "crate": textures.colour(rng, (0.06, 0.12), (0.3, 0.6), (0.4, 0.75)),
    }.get(str(kind)) or textures.any_colour(rng)
    part = Part(_middle(corners, height / 2))
    for quad in sides(corners, 0.0, height):
        normal = _normal(quad)
        for area, tone in _details(rng, str(kind)):
            part.quads.append(face(quad, *area))
            part.colours.append(light.on(textures.shade(colour, tone), normal))
        if rng.random() < 0.3 and kind != "crate":  # a label
            x, y = rng.uniform(0.1, 0.6), rng.uniform(0.3, 0.7)
            part.quads.append(face(quad, (x, x + 0.25), (y, y + 0.18)))
            part.colours.append(light.on(textures.any_colour(rng), normal))
        # What lies near the floor gets less light.
        part.quads.append(face(quad, (0, 1), (0, min(1.0, 0.03 / height))))
        part.colours.append(light.on(textures.shade(colour, 0.6), normal))
    top = lid(corners, height)
    part.quads.append(top)
    part.colours.append(light.on(colour, _normal(top)))
    if kind == "carton":
        part.quads.append(face(top, (0, 1), (0.45, 0.55)))
        part.colours.append(light.on(textures.shade(colour, 1.25), _normal(top)))
    return [part]


Area = tuple[tuple[float, float], tuple[float, float]]


def _details(rng: Generator, kind: str) -> list[tuple[Area, float]]:
    """Rectangles on a box's face, as fractions, with their tone against the box's colour."""
    whole: tuple[Area, float] = (((0, 1), (0, 1)), 1.0)
    if kind == "carton":
        return [whole, (((0.44, 0.56), (0.7, 1)), 1.22), (((0, 1), (0.985, 1)), 0.75)]
    if kind == "drawers":
        rows, details = int(rng.integers(2, 5)), [whole]
        for row in range(rows):
            low, high = (row + 0.08) / rows, (row + 0.92) / rows
            details += [(((0.05, 0.95), (low, high)), 0.78), (((0.065, 0.935), (low + 0.015, high - 0.015)), 1.06)]
            middle = (low + high) / 2
            details.append((((0.43, 0.57), (middle, middle + 0.03)), 0.4))
        return details
    if kind == "crate":
        boards = int(rng.integers(3, 6))
        details = [(((0, 1), (0, 1)), 0.45)]
        details += [
            (((0, 1), ((i + 0.06) / boards, (i + 0.94) / boards)), 0.9 + 0.15 * rng.random()) for i in range(boards)
        ]
        return [*details, (((0, 0.1), (0, 1)), 1.08), (((0.9, 1), (0, 1)), 1.08)]
    return [whole]


def _chair(rng: Generator, corners: Array, height: float, light: _Light) -> list[Part]:
    """Four legs, a seat, and a back along one edge."""
    wood = textures.any_colour(rng)
    cushion = textures.any_colour(rng) if rng.random() < 0.5 else wood
    corners = np.roll(corners, int(rng.integers(4)), axis=0)
    seat = height * 0.52
    legs = _inset(corners, 0.88)
    tone = light.on(wood, factor=0.8)
    parts = []
    for number, leg in enumerate(legs):
        top = height if number < 2 else seat  # the back's posts go up to the top
        parts.append(
            Part(
                np.array([*leg, top / 2]),
                colours=[tone],
                ends=[np.array([[*leg, 0.0], [*leg, top]])],
                radii=[(0.02, 0.02)],
            )
        )
    parts.append(_painted(block(_inset(corners, 0.98), seat - 0.05, seat), cushion, light, _middle(corners, seat)))
    front = legs[0] + (legs[3] - legs[0]) * 0.08, legs[1] + (legs[2] - legs[1]) * 0.08
    back = np.array([legs[0], legs[1], front[1], front[0]])
    bars = 1 if rng.random() < 0.5 else 3
    for bar in range(bars):
        low = seat + (height - seat) * (0.25 + 0.75 * bar / bars)
        high = low + (height - seat) * 0.75 / bars * (1.0 if bars == 1 else 0.55)
        parts.append(_painted(block(back, low, high), cushion, light, _middle(back, (low + high) / 2)))
    return parts


def _coat_stand(rng: Generator, corners: Array, height: float, light: _Light) -> list[Part]:
    """A pole on a foot with coats and hats: as tall as a person and clothed, but nobody is in it."""
    middle = corners.mean(axis=0)
    metal = light.on(textures.any_colour(rng), factor=0.8)
    spread = float(np.linalg.norm(corners[0] - middle)) * 0.7
    top = np.array([*middle, height])
    parts = [
        Part(
            np.array([*middle, height / 2]),
            colours=[metal],
            ends=[np.array([[*middle, 0.0], top])],
            radii=[(0.02, 0.018)],
        )
    ]
    turn = rng.uniform(0, 2 * np.pi)
    for angle in turn + np.arange(4) * np.pi / 2:
        foot = np.array([*(middle + spread * 0.8 * np.array([np.cos(angle), np.sin(angle)])), 0.02])
        parts.append(Part(foot, colours=[metal], ends=[np.array([foot, [*middle, 0.12]])], radii=[(0.02, 0.02)]))
    for angle in turn + np.arange(int(rng.integers(0, 4))) * 2.1:
        out = np.array([np.cos(angle), np.sin(angle)]) * min(0.14, spread)
        hook, length = height - rng.uniform(0.05, 0.25), rng.uniform(0.45, 0.95)
        high = np.array([*(middle + out), hook - 0.08])
        low = np.array([*(middle + out * 1.1), max(0.15, hook - length)])
        cloth, ends, radii, colours = textures.any_colour(rng), [], [], []
        for layer, tone in enumerate((0.72, 0.9, 1.05)):
            thin, aside = 1 - 0.3 * layer, np.array([*_aside(out), 0.0]) * 0.02 * layer
            ends.append(np.array([high + aside, low + aside]))
            radii.append((0.07 * thin, rng.uniform(0.11, 0.16) * thin))
            colours.append(light.on(cloth, factor=tone))
        parts.append(Part((high + low) / 2, colours=colours, ends=ends, radii=radii))
    if rng.random() < 0.5:
        parts.append(_hat(rng, top, light))
    return parts


def _aside(out: Array) -> Array:
    """The level unit direction square to `out`."""
    return np.array([-out[1], out[0]]) / (np.linalg.norm(out) + 1e-12)


def _hat(rng: Generator, top: Array, light: _Light) -> Part:
    cloth = textures.any_colour(rng)
    rim = np.array([top + [-0.1, 0, 0.0], top + [0.1, 0, 0.0]])
    crown = np.array([top, top + [0, 0, 0.1]])
    return Part(
        top + [0, 0, 0.05],
        colours=[light.on(cloth, factor=0.7), light.on(cloth, factor=0.95)],
        ends=[rim, crown],
        radii=[(0.03, 0.03), (0.09, 0.08)],
    )


def _plant(rng: Generator, corners: Array, height: float, light: _Light) -> list[Part]:
    """A pot with leaves."""
    middle = corners.mean(axis=0)
    reach = float(np.linalg.norm(corners[0] - middle)) * 0.72
    pot_height, pot_radius = min(0.35, height * 0.35), reach * 0.6
    angles = -np.arange(8) * np.pi / 4
    ring = middle + pot_radius * np.column_stack([np.cos(angles), np.sin(angles)])
    pot = textures.colour(rng, (0, 1), (0.1, 0.7), (0.3, 0.9))
    walls = sides(ring, 0.0, pot_height)
    parts = [_painted(walls, pot, light, np.array([*middle, pot_height / 2]))]
    parts[0].quads.append(lid(ring[::2], pot_height - 0.02))
    parts[0].colours.append(light.on((60, 45, 35)))
    green = textures.colour(rng, (0.2, 0.42), (0.35, 0.8), (0.25, 0.65))
    for _ in range(int(rng.integers(10, 22))):
        angle, rise = rng.uniform(0, 2 * np.pi), rng.uniform(0.15, 1.0)
        out = np.array([np.cos(angle), np.sin(angle)]) * reach * rng.uniform(0.3, 1.0)
        base = np.array([*(middle + out * 0.15), pot_height])
        tip = np.array([*(middle + out), pot_height + (height - pot_height) * rise])
        bow = (base + tip) / 2 + [0, 0, 0.15 * (height - pot_height)]
        tone = light.on(textures.shade(green, rng.uniform(0.65, 1.25)))
        parts.append(
            Part(
                tip * 0.5 + bow * 0.5,
                colours=[tone, tone],
                ends=[np.array([base, bow]), np.array([bow, tip])],
                radii=[(0.01, 0.035), (0.04, 0.006)],
            )
        )
    return parts


def _lamp(position: Array, decor: Decor) -> list[Part]:
    """A globe on a short pole, lit; the camera adds its glow."""
    bulb, foot = np.array([*position, LAMP_HEIGHT]), np.array([*position, 0.015])
    light = _Light(decor, position)
    red, green, blue = decor.glow
    return [
        Part(
            foot,
            colours=[light.on((70, 70, 75))],
            ends=[np.array([foot - [0.05, 0, 0], foot + [0.05, 0, 0]])],
            radii=[(0.02, 0.02)],
        ),
        Part(
            (foot + bulb) / 2,
            colours=[light.on((90, 90, 95))],
            ends=[np.array([foot, bulb - [0, 0, 0.09]])],
            radii=[(0.015, 0.015)],
        ),
        Part(
            bulb,
            colours=[
                (red, green, blue),
                (min(255.0, red + 20), min(255.0, green + 25), min(255.0, blue + 40)),
                (255, 255, 250),
            ],
            ends=[np.array([bulb, bulb])] * 3,
            radii=[(0.1, 0.1), (0.085, 0.085), (0.06, 0.06)],
        ),
    ]
