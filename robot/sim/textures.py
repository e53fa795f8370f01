"""Surfaces of a simulated room, drawn from random numbers: floors, walls, and what hangs on walls.

Every function gives a uint8 RGB picture, seen straight on, at `ppm` pixels per metre.
"""

from __future__ import annotations

import colorsys
from typing import Any

import cv2
import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

Image = NDArray[np.uint8]
Colour = tuple[float, float, float]


def colour(
    rng: Generator, hue: tuple[float, float], saturation: tuple[float, float], value: tuple[float, float]
) -> Colour:
    """A random RGB colour, 0..255, from ranges of hue, saturation and value in 0..1."""
    red, green, blue = colorsys.hsv_to_rgb(rng.uniform(*hue) % 1.0, rng.uniform(*saturation), rng.uniform(*value))
    return red * 255, green * 255, blue * 255


def any_colour(rng: Generator) -> Colour:
    """Anything from grey to vivid, dark to light."""
    return colour(rng, (0, 1), (0.0, 0.9 if rng.random() < 0.5 else 0.4), (0.15, 0.95))


def shade(base: Colour, factor: float) -> Colour:
    """The colour, darker or lighter, kept within 0..255."""
    red, green, blue = (min(255.0, max(0.0, part * factor)) for part in base)
    return red, green, blue


def clouds(rng: Generator, height: int, width: int, cell: int) -> NDArray[np.float32]:
    """Smooth noise in -1..1, (height, width), whose blots are about `cell` pixels wide."""
    coarse = rng.random((height // cell + 3, width // cell + 3), dtype=np.float32) * 2 - 1
    return cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC)


def _plain(base: Colour, height: int, width: int) -> NDArray[np.float32]:
    return cv2.merge([np.full((height, width), part, np.float32) for part in base])


def _fade(base: Colour, above: float, below: float, height: int) -> NDArray[np.float32]:
    """(height, 1, 3): a colour that grows darker or lighter from top to bottom."""
    return np.linspace(above, below, height, dtype=np.float32)[:, None, None] * np.array(base, np.float32)


def scaled(picture: NDArray[Any], gain: NDArray[np.float32]) -> NDArray[Any]:
    """A picture (height, width, 3) times a gain (height, width) or (height, width, 3); uint8 saturates."""
    full = gain if gain.ndim == 3 else cv2.merge([gain, gain, gain])
    return cv2.multiply(picture, full, dtype=cv2.CV_8U if picture.dtype == np.uint8 else cv2.CV_32F)


def _finish(picture: NDArray[np.float32]) -> Image:
    return cv2.convertScaleAbs(cv2.max(picture, 0.0))


def floor(rng: Generator, width: int, height: int, ppm: int) -> Image:
    """Planks, tiles, a carpet or concrete, `width` x `height` pixels."""
    kind = rng.choice(["planks", "tiles", "carpet", "concrete"], p=[0.4, 0.25, 0.2, 0.15])
    if kind == "planks":
        if rng.random() < 0.5:
            return np.ascontiguousarray(_planks(rng, height, width, ppm).transpose(1, 0, 2))
        return _planks(rng, width, height, ppm)
    if kind == "tiles":
        return _tiles(rng, width, height, ppm)
    base = any_colour(rng) if kind == "carpet" else colour(rng, (0, 1), (0, 0.08), (0.4, 0.75))
    picture = _plain(base, height, width)
    picture = scaled(picture, 1 + 0.06 * clouds(rng, height, width, ppm // 2) + 0.05 * clouds(rng, height, width, 3))
    if kind == "carpet" and rng.random() < 0.5:  # a border
        inset = int(rng.uniform(0.2, 0.6) * ppm)
        cv2.rectangle(picture, (inset, inset), (width - inset, height - inset), any_colour(rng), max(2, ppm // 10))
    return _finish(picture)


def _planks(rng: Generator, width: int, height: int, ppm: int) -> Image:
    base = colour(rng, (0.05, 0.11), (0.25, 0.65), (0.35, 0.8))
    picture = _plain(base, height, width)
    board, length = max(6, int(rng.uniform(0.09, 0.2) * ppm)), int(rng.uniform(0.9, 1.6) * ppm)
    for top in range(0, height, board):
        shift = -int(rng.integers(length))
        for left in range(shift, width, length):
            tone = 1 + rng.uniform(-0.12, 0.12)
            cv2.rectangle(picture, (left, top), (left + length - 2, top + board - 2), shade(base, tone), -1)
    grain = clouds(rng, height, max(4, width // 8), 2)
    picture = scaled(picture, 1 + 0.05 * cv2.resize(grain, (width, height)))
    return _finish(picture)


def _tiles(rng: Generator, width: int, height: int, ppm: int) -> Image:
    first = any_colour(rng) if rng.random() < 0.4 else colour(rng, (0, 1), (0, 0.2), (0.5, 0.95))
    second = shade(first, rng.uniform(0.55, 0.9)) if rng.random() < 0.5 else first
    size = max(8, int(rng.uniform(0.25, 0.6) * ppm))
    rows, columns = height // size + 1, width // size + 1
    odd = (np.arange(rows)[:, None] + np.arange(columns)) % 2
    tiles = np.array([first, second], np.float32)[odd]
    tiles *= rng.uniform(0.93, 1.07, (rows, columns, 1)).astype(np.float32)
    picture = np.clip(tiles, 0, 255).astype(np.uint8).repeat(size, axis=0).repeat(size, axis=1)
    picture[::size], picture[:, ::size] = shade(first, 0.7), shade(first, 0.7)
    return np.ascontiguousarray(picture[:height, :width])


def wall(rng: Generator, base: Colour, width: int, height: int, ppm: int, style: str) -> Image:
    """One wall in the room's style: "paint", "stripes", "brick", "panels" or "two_tone"; row 0 is the ceiling."""
    picture = _plain(base, height, width)
    if style == "stripes":
        period = max(6, int(rng.uniform(0.12, 0.4) * ppm))
        picture[:, np.arange(width) % period < period // 2] *= rng.uniform(0.82, 0.95)
    elif style == "brick":
        _bricks(rng, picture, base, ppm)
    elif style == "panels":
        period = max(10, int(rng.uniform(0.5, 1.2) * ppm))
        picture[:, ::period] *= 0.75
        picture[:, 1::period] *= 1.08
    elif style == "two_tone":
        picture[height - int(rng.uniform(0.8, 1.2) * ppm) :] = shade(base, rng.uniform(0.55, 0.85))
    picture = scaled(picture, 1 + 0.05 * clouds(rng, height, width, ppm) + 0.02 * clouds(rng, height, width, 2))
    skirting = max(3, int(0.09 * ppm))
    picture[-skirting:] = shade(base, 1.25) if rng.random() < 0.6 else colour(rng, (0.05, 0.1), (0.2, 0.6), (0.3, 0.6))
    picture[-skirting - 1] *= 0.7
    return _finish(picture)


def _bricks(rng: Generator, picture: NDArray[np.float32], base: Colour, ppm: int) -> None:
    height, width = picture.shape[:2]
    tall, long = max(5, int(0.08 * ppm)), max(10, int(0.24 * ppm))
    tone = rng.uniform(0.85, 1.12, (height // tall + 1, width // long + 2)).astype(np.float32)
    columns = np.arange(width)
    for course, tones in enumerate(tone):
        shifted = columns + (course % 2) * (long // 2)
        rows = picture[course * tall : (course + 1) * tall]
        rows *= tones[shifted // long][None, :, None]
        rows[:1] = shade(base, 1.25)
        rows[:, shifted % long == 0] = shade(base, 1.25)


def poster(rng: Generator, width: int, height: int) -> Image:
    """A picture without a person in it: a landscape, shapes, a flower, a chart or lines of text."""
    picture = _plain(any_colour(rng), height, width)
    kind = rng.integers(5)
    if kind == 0:
        picture[:] = _fade(colour(rng, (0.5, 0.68), (0.2, 0.6), (0.6, 1)), 0.6, 1.1, height)
        for depth in (0.5, 0.65, 0.8):
            hills = height * depth + height * 0.12 * clouds(rng, 1, width, max(3, width // 5))[0]
            ground = colour(rng, (0.15, 0.4), (0.3, 0.8), (0.2, 0.7))
            for x, y in enumerate(hills):
                picture[max(0, int(y)) :, x] = ground
    elif kind == 1:
        for _ in range(rng.integers(4, 12)):
            middle = (int(rng.integers(width)), int(rng.integers(height)))
            cv2.circle(picture, middle, int(rng.uniform(0.05, 0.3) * width), any_colour(rng), -1, cv2.LINE_AA)
    elif kind == 2:
        for _ in range(rng.integers(3, 9)):
            corner = (int(rng.integers(width)), int(rng.integers(height)))
            other = (int(rng.integers(width)), int(rng.integers(height)))
            cv2.rectangle(picture, corner, other, any_colour(rng), -1)
    elif kind == 3:
        middle, petal = (width // 2, int(height * 0.4)), colour(rng, (0, 1), (0.5, 1), (0.6, 1))
        cv2.line(picture, middle, (width // 2, int(height * 0.95)), (40, 110, 40), max(2, width // 20))
        for angle in np.linspace(0, 2 * np.pi, 8)[:-1]:
            spot = (int(middle[0] + 0.2 * width * np.cos(angle)), int(middle[1] + 0.2 * width * np.sin(angle)))
            cv2.circle(picture, spot, width // 8, petal, -1, cv2.LINE_AA)
        cv2.circle(picture, middle, width // 9, (220, 180, 40), -1, cv2.LINE_AA)
    else:
        picture[:] = 235
        line = max(3, height // 14)
        for y in range(line, height - line, line):
            cv2.line(picture, (line, y), (int(rng.uniform(0.4, 0.95) * width), y), any_colour(rng), max(1, line // 3))
    border = max(1, width // 24)
    cv2.rectangle(picture, (0, 0), (width - 1, height - 1), any_colour(rng), border * 2)
    return _finish(picture)


def door(rng: Generator, width: int, height: int) -> Image:
    """A closed door with its frame, panels and handle."""
    base = colour(rng, (0.04, 0.12), (0.1, 0.6), (0.35, 0.95))
    picture = _plain(base, height, width)
    for top, bottom in ((0.08, 0.45), (0.55, 0.92)):
        corners = (int(width * 0.2), int(height * top)), (int(width * 0.8), int(height * bottom))
        cv2.rectangle(picture, *corners, shade(base, 0.85), -1)
        cv2.rectangle(picture, *corners, shade(base, 0.65), 1)
    cv2.circle(picture, (int(width * 0.88), int(height * 0.52)), max(2, width // 24), (200, 190, 150), -1)
    cv2.rectangle(picture, (0, 0), (width - 1, height - 1), shade(base, 1.3), max(2, width // 16))
    return _finish(picture)


def window(rng: Generator, width: int, height: int) -> Image:
    """A window with sky, panes and, often, curtains."""
    picture = _plain((250, 250, 250), height, width)
    picture[:] = _fade(colour(rng, (0.52, 0.65), (0.05, 0.35), (0.8, 1.0)), 1.0, 1.15, height)
    picture[int(height * rng.uniform(0.6, 0.9)) :] = colour(rng, (0.2, 0.4), (0.2, 0.5), (0.4, 0.7))
    frame = max(2, width // 20)
    cv2.rectangle(picture, (0, 0), (width - 1, height - 1), (245, 245, 240), frame * 2)
    cv2.line(picture, (width // 2, 0), (width // 2, height), (245, 245, 240), frame)
    if rng.random() < 0.5:
        cloth, reach = np.array(any_colour(rng), np.float32), int(width * rng.uniform(0.12, 0.25))
        folds = 1 + 0.15 * np.sin(np.arange(reach, dtype=np.float32) * rng.uniform(0.5, 1.2))
        for part in (picture[:, :reach], picture[:, -reach:]):
            part[:] = cloth * folds[None, : part.shape[1], None]
    return _finish(picture)


def shelf(rng: Generator, width: int, height: int) -> Image:
    """A bookcase: boards, and rows of books in all colours."""
    wood = colour(rng, (0.05, 0.1), (0.2, 0.6), (0.25, 0.7))
    picture = _plain(shade(wood, 0.6), height, width)
    rows = int(rng.integers(3, 6))
    for row in range(rows):
        bottom = (row + 1) * height // rows - 2
        x = 3
        while x < width - 4:
            thick = int(rng.integers(3, max(5, width // 12)))
            tall = int(height / rows * rng.uniform(0.55, 0.85))
            if rng.random() < 0.85:
                cv2.rectangle(picture, (x, bottom - tall), (min(x + thick, width - 3), bottom), any_colour(rng), -1)
            x += thick + 1
        cv2.line(picture, (0, bottom + 1), (width, bottom + 1), wood, 3)
    cv2.rectangle(picture, (0, 0), (width - 1, height - 1), wood, 4)
    return _finish(picture)
