"""A few shapes, written as SVG or painted by OpenCV. Lengths in pixels, y downward; text is ASCII."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from typing import NamedTuple

Point = tuple[float, float]


class Line(NamedTuple):
    """A polyline."""

    points: Sequence[Point]
    colour: str = "#334155"
    width: float = 1.5


class Box(NamedTuple):
    """A rectangle with its upper left corner at x, y."""

    x: float
    y: float
    width: float
    height: float
    fill: str = "#ffffff"
    colour: str = "#334155"


class Dot(NamedTuple):
    """A filled circle."""

    x: float
    y: float
    radius: float
    fill: str
    colour: str = "#1e293b"


class Text(NamedTuple):
    """One line of text; y is its base line."""

    x: float
    y: float
    text: str
    size: float = 13.0
    colour: str = "#1e293b"
    anchor: str = "start"  # or "middle", "end"
    bold: bool = False


Shape = Line | Box | Dot | Text


def svg(shapes: Sequence[Shape], width: int, height: int) -> str:
    """The picture as an SVG file's text."""
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" viewBox="0 0 {width} {height}" '
        'font-family="DejaVu Sans, Verdana, sans-serif">',
        f'<rect width="{width}" height="{height}" fill="#ffffff"/>',
    ]
    for shape in shapes:
        if isinstance(shape, Line):
            way = " ".join(f"{x:.1f},{y:.1f}" for x, y in shape.points)
            parts.append(f'<polyline points="{way}" fill="none" stroke="{shape.colour}" stroke-width="{shape.width}"/>')
        elif isinstance(shape, Box):
            parts.append(
                f'<rect x="{shape.x:.1f}" y="{shape.y:.1f}" width="{shape.width:.1f}" height="{shape.height:.1f}" '
                f'fill="{shape.fill}" stroke="{shape.colour}" stroke-width="1.5" rx="3"/>'
            )
        elif isinstance(shape, Dot):
            parts.append(
                f'<circle cx="{shape.x:.1f}" cy="{shape.y:.1f}" r="{shape.radius}" fill="{shape.fill}" '
                f'stroke="{shape.colour}"/>'
            )
        else:
            weight = ' font-weight="bold"' if shape.bold else ""
            parts.append(
                f'<text x="{shape.x:.1f}" y="{shape.y:.1f}" font-size="{shape.size}" fill="{shape.colour}" '
                f'text-anchor="{shape.anchor}"{weight}>{escape(shape.text)}</text>'
            )
    return "\n".join([*parts, "</svg>\n"])


def png(shapes: Sequence[Shape], width: int, height: int, scale: int = 2) -> bytes:
    """The same painted, as a PNG file's bytes."""
    import cv2
    import numpy as np

    image = np.full((height * scale, width * scale, 3), 255, np.uint8)
    shift = 4  # fixed point: sixteenths of a pixel

    def at(x: float, y: float) -> tuple[int, int]:
        return round(x * scale * 16), round(y * scale * 16)

    for shape in shapes:
        if isinstance(shape, Line):
            way = np.array([at(*p) for p in shape.points], np.int32)
            cv2.polylines(image, [way], False, _bgr(shape.colour), round(shape.width * scale), cv2.LINE_AA, shift)
        elif isinstance(shape, Box):
            corners = at(shape.x, shape.y), at(shape.x + shape.width, shape.y + shape.height)
            cv2.rectangle(image, *corners, _bgr(shape.fill), -1, cv2.LINE_AA, shift)
            cv2.rectangle(image, *corners, _bgr(shape.colour), round(1.5 * scale), cv2.LINE_AA, shift)
        elif isinstance(shape, Dot):
            centre, radius = at(shape.x, shape.y), round(shape.radius * scale * 16)
            cv2.circle(image, centre, radius, _bgr(shape.fill), -1, cv2.LINE_AA, shift)
            cv2.circle(image, centre, radius, _bgr(shape.colour), scale, cv2.LINE_AA, shift)
        else:
            font, size = cv2.FONT_HERSHEY_SIMPLEX, shape.size * scale / 29
            thick = scale if shape.bold else max(1, scale // 2)
            (long, _), _ = cv2.getTextSize(shape.text, font, size, thick)
            left = shape.x * scale - {"start": 0.0, "middle": long / 2, "end": float(long)}[shape.anchor]
            place = (round(left), round(shape.y * scale))
            cv2.putText(image, shape.text, place, font, size, _bgr(shape.colour), thick, cv2.LINE_AA)
    done, data = cv2.imencode(".png", image)
    assert done
    return bytes(data)


def _bgr(colour: str) -> tuple[int, int, int]:
    return int(colour[5:7], 16), int(colour[3:5], 16), int(colour[1:3], 16)
