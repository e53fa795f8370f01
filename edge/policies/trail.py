"""The way that somebody has walked, which is free: whoever follows along it meets nothing that stands in corners."""

from __future__ import annotations

import math
from collections import deque

import numpy as np

STEP_M = 0.1  # between two points
LENGTH_M = 6.0


class Trail:
    """Points on the floor (m, the frame of dead reckoning), the newest last."""

    def __init__(self) -> None:
        self._points: deque[tuple[float, float]] = deque(maxlen=round(LENGTH_M / STEP_M))

    def clear(self) -> None:
        """Forget the way."""
        self._points.clear()

    def add(self, x: float, y: float) -> None:
        """They are here now."""
        if self._points:
            last_x, last_y = self._points[-1]
            away = math.hypot(x - last_x, y - last_y)
            if away < 0.99 * STEP_M:
                return
            if away > 10 * STEP_M:  # somewhere else, not along a way
                self.clear()
        self._points.append((x, y))

    def ahead(self, x: float, y: float, far: float) -> tuple[float, float] | None:
        """The point `far` m along the way from where it comes nearest to (x, y); its end where it is shorter."""
        if not self._points:
            return None
        points = np.array(self._points)
        nearest = int(np.hypot(points[:, 0] - x, points[:, 1] - y).argmin())
        index = min(len(points) - 1, nearest + round(far / STEP_M))
        return float(points[index, 0]), float(points[index, 1])
