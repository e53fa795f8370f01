"""How long things take: percentiles of a whole run in fixed memory, at the price of one count each.

A histogram with logarithmic bins (the idea of HdrHistogram): each percentile is right within 1 %, the
largest value exactly, and nothing is allocated while the loop runs.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import exp, isfinite, log

_SMALLEST_S = 1e-7
_PER_LOG = 1.0 / log(1.02)
_BINS = 1 + int(9 * log(10) * _PER_LOG)  # up to 100 s; what is longer counts as the last bin, and in `max_s`


@dataclass(frozen=True, slots=True)
class Stage:
    """What a `Latency` says in the end; seconds."""

    count: int
    p50_s: float
    p99_s: float
    p999_s: float
    max_s: float


class Latency:
    """Collects durations in seconds; negative ones count as zero."""

    __slots__ = ("_bins", "count", "largest", "smallest")

    def __init__(self) -> None:
        self._bins = [0] * _BINS
        self.count = 0
        self.largest = 0.0
        self.smallest = float("inf")

    def add(self, seconds: float) -> None:
        """Count one duration; what is not finite, as the age of a reading never taken, is passed over."""
        if not isfinite(seconds):
            return
        self.count += 1
        if seconds > self.largest:
            self.largest = seconds
        if seconds < self.smallest:
            self.smallest = max(seconds, 0.0)
        index = int(log(seconds / _SMALLEST_S) * _PER_LOG) + 1 if seconds > _SMALLEST_S else 0
        self._bins[min(index, _BINS - 1)] += 1

    def percentile(self, share: float) -> float:
        """The duration that `share` (0..1) of all do not exceed, within 1 %; 0 without any."""
        if not self.count:
            return 0.0
        rank, seen = share * self.count, 0
        for index, found in enumerate(self._bins):
            seen += found
            if found and seen >= rank:
                middle = 0.0 if index == 0 else _SMALLEST_S * exp((index - 0.5) / _PER_LOG)
                return min(max(middle, self.smallest), self.largest)
        return self.largest

    def stage(self) -> Stage:
        """p50, p99, p99.9 and max so far."""
        return Stage(
            self.count, self.percentile(0.5), self.percentile(0.99), self.percentile(0.999), self.largest
        )
