"""Numbers that change as learning goes on. Each follows from the step alone, so that runs repeat."""

from __future__ import annotations


def power_decay(initial: float, decay: float, step: int) -> float:
    """initial / (1 + step decay): fast at first, ever slower; with decay 0 it stays."""
    return initial / (1.0 + step * decay)


def linear(start: float, end: float, share: float) -> float:
    """From `start` to `end` as `share` goes from 0 to 1; `end` beyond."""
    return start + (end - start) * min(max(share, 0.0), 1.0)
