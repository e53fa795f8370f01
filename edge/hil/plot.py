"""A plot as SVG text, to stand inside a page: axes, round ticks, lines and dots."""

from __future__ import annotations

import math
from collections.abc import Iterable
from html import escape

from edge.hil.found import Plot

WIDTH, HEIGHT = 560, 260
LEFT, RIGHT, TOP, BOTTOM = 58, 14, 30, 44
COLOURS = ("#0b63a5", "#c2410c", "#15803d", "#7c3aed", "#a16207")


def svg(plot: Plot) -> str:
    """The plot; a sentence in its place where there is nothing to show."""
    points = [p for series in plot.series for p in series.points if all(map(math.isfinite, p))]
    if not points:
        return f"<p>{escape(plot.title)}: nothing was measured.</p>"
    x_ticks, y_ticks = ticks(*_range(p[0] for p in points)), ticks(*_range(p[1] for p in points))
    x_low, x_high, y_low, y_high = x_ticks[0], x_ticks[-1], y_ticks[0], y_ticks[-1]

    def at(x: float, y: float) -> tuple[float, float]:
        return (
            LEFT + (x - x_low) / (x_high - x_low) * (WIDTH - LEFT - RIGHT),
            HEIGHT - BOTTOM - (y - y_low) / (y_high - y_low) * (HEIGHT - TOP - BOTTOM),
        )

    parts = [
        f'<svg class="plot" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{escape(plot.title, quote=True)}">',
        f'<text x="{LEFT}" y="16" class="title">{escape(plot.title)}</text>',
    ]
    for value in x_ticks:
        x, _ = at(value, y_low)
        parts += [
            f'<line x1="{x:.1f}" y1="{TOP}" x2="{x:.1f}" y2="{HEIGHT - BOTTOM}" class="grid"/>',
            f'<text x="{x:.1f}" y="{HEIGHT - BOTTOM + 15}" text-anchor="middle">{value:g}</text>',
        ]
    for value in y_ticks:
        _, y = at(x_low, value)
        parts += [
            f'<line x1="{LEFT}" y1="{y:.1f}" x2="{WIDTH - RIGHT}" y2="{y:.1f}" class="grid"/>',
            f'<text x="{LEFT - 6}" y="{y + 4:.1f}" text-anchor="end">{value:g}</text>',
        ]
    middle_x, middle_y = (LEFT + WIDTH - RIGHT) / 2, (TOP + HEIGHT - BOTTOM) / 2
    parts += [
        f'<text x="{middle_x}" y="{HEIGHT - 8}" text-anchor="middle">{escape(plot.x)}</text>',
        f'<text transform="translate(13 {middle_y}) rotate(-90)" text-anchor="middle">{escape(plot.y)}</text>',
    ]
    for number, series in enumerate(plot.series):
        colour = COLOURS[number % len(COLOURS)]
        places = [at(*p) for p in series.points if all(map(math.isfinite, p))]
        if series.line and len(places) > 1:
            way = " ".join(f"{x:.1f},{y:.1f}" for x, y in places)
            parts.append(f'<polyline points="{way}" fill="none" stroke="{colour}" stroke-width="1.6"/>')
        else:
            parts += [f'<circle cx="{x:.1f}" cy="{y:.1f}" r="2.2" fill="{colour}"/>' for x, y in places]
    x = WIDTH - RIGHT
    for number, series in reversed(list(enumerate(plot.series))):  # the legend, from the right
        colour = COLOURS[number % len(COLOURS)]
        parts.append(f'<text x="{x}" y="16" text-anchor="end" fill="{colour}">{escape(series.name)}</text>')
        x -= 14 + 7 * len(series.name)
    return "".join(parts) + "</svg>"


def ticks(low: float, high: float) -> list[float]:
    """Four to eight round numbers from below `low` to above `high`."""
    span = max(high - low, 1e-9 * max(1.0, abs(high)))
    raw = span / 5
    power = 10.0 ** math.floor(math.log10(raw))
    step = next(step * power for step in (1, 2, 2.5, 5, 10) if step * power >= raw)
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    return [round(i * step, 12) for i in range(first, max(last, first + 1) + 1)]


def _range(values: Iterable[float]) -> tuple[float, float]:
    found = list(values)
    return min(found), max(found)
