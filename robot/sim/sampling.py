"""A simulated sensor's samples: taken at its own rate, spoilt by faults, handed out as the newest that has arrived."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Generic, TypeVar

import numpy as np

from robot.sim.faults import Fault, Kind, Part
from robot.types import Frame, Reading

S = TypeVar("S", Reading, Frame)


class Channel(Generic[S]):
    """One sense.

    Args:
        part: what faults name it by. faults: those of the body. chance: a fresh number within [0, 1) at each call.
        first: what is handed out before the first sample arrives.
    """

    def __init__(self, part: Part, faults: Sequence[Fault], chance: Callable[[], float], first: S | None) -> None:
        self.part = part
        self._faults = faults
        self._chance = chance
        self._newest: S | None = first
        self._healthy: S | None = None  # the last sample from before it stuck; where it always was, the first
        self._coming: deque[tuple[float, S]] = deque()  # with the time of arrival
        self._other = False  # of two samples the second

    def put(self, sample: S, seconds: float, now: float) -> None:
        """A sample was taken, `seconds` after opening, at the clock's `now`."""
        arrives, stuck = now, False
        self._other = not self._other
        for fault in self._faults:
            if not fault.holds(self.part, seconds):
                continue
            if fault.kind is Kind.DISCONNECT:
                return
            if fault.kind is Kind.DROPOUT and self._chance() < fault.probability:
                if isinstance(sample, Frame):  # a lost frame is no frame
                    return
                sample = replace(sample, value=None)
            elif fault.kind is Kind.NAN and isinstance(sample, Reading):
                sample = replace(sample, value=math.nan)
            elif fault.kind is Kind.VALUE and isinstance(sample, Reading):
                sample = replace(sample, value=fault.value)
            elif fault.kind is Kind.ALTERNATE and isinstance(sample, Reading) and self._other:
                sample = replace(sample, value=None if math.isnan(fault.value) else fault.value)
            elif fault.kind is Kind.VALUE and isinstance(sample, Frame):
                sample = replace(sample, image=np.full_like(sample.image, fault.value))
            elif fault.kind is Kind.SIZE and isinstance(sample, Frame):
                sample = replace(sample, image=np.ascontiguousarray(sample.image[::2, ::2]))
            elif fault.kind is Kind.STUCK:
                stuck = True
                self._healthy = self._healthy or sample
                sample = replace(self._healthy, stamp=sample.stamp)
            elif fault.kind is Kind.DELAY:
                arrives += fault.value
        if not stuck:
            self._healthy = sample
        self._coming.append((arrives, sample))

    def newest(self, now: float) -> S | None:
        """The newest sample that has arrived by `now`."""
        while self._coming and self._coming[0][0] <= now + 1e-9:
            self._newest = self._coming.popleft()[1]
        return self._newest


class Metronome:
    """When the next sample is due: at a fixed rate, without drift, none made up for."""

    def __init__(self, rate_hz: float, start: float) -> None:
        self._period = 1 / rate_hz
        self._next = start

    def due(self, now: float) -> bool:
        """Whether a sample is due at `now`; asked at each tick."""
        if now < self._next - 1e-9:
            return False
        self._next += self._period * (math.floor((now - self._next) / self._period + 1e-6) + 1)
        return True
