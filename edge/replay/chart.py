"""Curves over time as a picture, drawn by OpenCV: a robot has no plotting library."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

Image = NDArray[np.uint8]
Colour = tuple[int, int, int]

FONT = cv2.FONT_HERSHEY_SIMPLEX
INK: Colour = (40, 40, 40)
FAINT: Colour = (225, 225, 225)
BLUE: Colour = (31, 119, 180)
ORANGE: Colour = (255, 127, 14)
RED: Colour = (214, 39, 40)
WIDTH, HEIGHT = 1400, 240
LEFT, RIGHT, TOP, BOTTOM = 90, 20, 36, 28  # room round the curves


@dataclass(frozen=True)
class Curve:
    """Values over time (RGB); NaN leaves a gap. `dots` marks each value instead of joining them."""

    name: str
    values: Sequence[float]
    colour: Colour
    width: int = 2
    dots: bool = False


def panel(title: str, times: Sequence[float], curves: Sequence[Curve], marks: Sequence[bool] = ()) -> Image:
    """One chart, `WIDTH` x `HEIGHT` RGB: curves over `times` (s), and a red line below where `marks` says so."""
    picture = np.full((HEIGHT, WIDTH, 3), 255, np.uint8)
    start, end = (min(times), max(times)) if len(times) else (0.0, 1.0)
    end = end if end > start else start + 1.0
    finite = [value for curve in curves for value in curve.values if math.isfinite(value)]
    low, high = min(finite, default=0.0), max(finite, default=1.0)
    slack = 0.06 * (high - low) or max(0.1, 0.1 * abs(high))
    low, high = low - slack, high + slack
    wide, tall = WIDTH - LEFT - RIGHT, HEIGHT - TOP - BOTTOM

    def x(time: float) -> int:
        return LEFT + round((time - start) / (end - start) * wide)

    def y(value: float) -> int:
        return TOP + round((high - value) / (high - low) * tall)

    for value in ticks(low, high, 5):
        cv2.line(picture, (LEFT, y(value)), (WIDTH - RIGHT, y(value)), FAINT, 1)
        text(picture, f"{value:g}", (LEFT - 8, y(value) + 5), right=True)
    for time in ticks(0.0, end - start, 10):
        cv2.line(picture, (x(start + time), TOP), (x(start + time), HEIGHT - BOTTOM), FAINT, 1)
        text(picture, f"{time:g} s", (x(start + time), HEIGHT - 8), centre=True)
    for curve in curves:
        pairs = zip(times, curve.values, strict=True)
        _draw(picture, [(x(time), y(value)) if math.isfinite(value) else None for time, value in pairs], curve)
    for time, marked in zip(times, marks, strict=False):
        if marked:
            cv2.line(picture, (x(time), HEIGHT - BOTTOM - 6), (x(time), HEIGHT - BOTTOM), RED, 2)
    cv2.rectangle(picture, (LEFT, TOP), (WIDTH - RIGHT, HEIGHT - BOTTOM), INK, 1)
    text(picture, title, (LEFT, TOP - 12), size=0.6)
    at = WIDTH - RIGHT
    for curve in reversed(curves):
        at -= text(picture, curve.name, (at, TOP - 12), right=True) + 8
        cv2.line(picture, (at - 22, TOP - 16), (at, TOP - 16), curve.colour, 3)
        at -= 40
    return picture


def heading(line: str) -> Image:
    """A line of text above the charts."""
    picture = np.full((44, WIDTH, 3), 255, np.uint8)
    text(picture, line, (LEFT, 30), size=0.7)
    return picture


def text(
    picture: Image, line: str, at: tuple[int, int], *, size: float = 0.5, right: bool = False, centre: bool = False
) -> int:
    """Write a line (ASCII: OpenCV's font has no more) at its left end, right end or middle; returns its width."""
    line = line.encode("ascii", "replace").decode()
    (width, _), _ = cv2.getTextSize(line, FONT, size, 1)
    shift = width if right else width // 2 if centre else 0
    cv2.putText(picture, line, (at[0] - shift, at[1]), FONT, size, INK, 1, cv2.LINE_AA)
    return int(width)


def ticks(low: float, high: float, count: int) -> list[float]:
    """About `count` round numbers from `low` to `high`."""
    step = 10.0 ** math.floor(math.log10((high - low) / count))
    step *= next(factor for factor in (1, 2, 5, 10) if (high - low) / (step * factor) <= count)
    first = math.ceil(low / step - 1e-9)
    return [0.0 + round((first + i) * step, 10) for i in range(int((high - first * step) / step + 1e-9) + 1)]


def _draw(picture: Image, points: Sequence[tuple[int, int] | None], curve: Curve) -> None:
    before: tuple[int, int] | None = None
    for point in points:
        if point is not None and curve.dots:
            cv2.circle(picture, point, curve.width + 1, curve.colour, cv2.FILLED, cv2.LINE_AA)
        elif point is not None and before is not None:
            cv2.line(picture, before, point, curve.colour, curve.width, cv2.LINE_AA)
        before = point
