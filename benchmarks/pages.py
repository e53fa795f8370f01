"""What benchmarks share that write a table: rows that were made on another machine stay until they are made anew."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence

STUDENT = {2: 12.71, 3: 4.30, 4: 3.18, 5: 2.78, 6: 2.57, 7: 2.45, 8: 2.36, 9: 2.31, 10: 2.26}
"""Student's t, both sides 95 %, by the number of values."""


def mean_within(values: Sequence[float]) -> tuple[float, float]:
    """The mean, and half its 95 % interval; 0 of a single value."""
    if len(values) < 2:
        return values[0], 0.0
    return statistics.fmean(values), STUDENT.get(len(values), 1.96) * statistics.stdev(values) / math.sqrt(len(values))


def rows(page: str, keys: int = 2) -> dict[tuple[str, ...], str]:
    """The rows of a page's one table by their first cells; none where there is no table."""
    lines = [line for line in page.splitlines() if line.startswith("|")][2:]
    return {tuple(cell.strip() for cell in line.split("|")[1 : keys + 1]): line for line in lines}


def together(before: str, made: str, keys: int = 2) -> str:
    """The table `made`, its rows in the places that they have on the page `before`, with that page's others."""
    return "\n".join([*made.splitlines()[:2], *(rows(before, keys) | rows(made, keys)).values()])
