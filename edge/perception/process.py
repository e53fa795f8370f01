"""Perception in a process of its own: frames through shared memory, results through a pipe.

Two slots of shared memory make a newest-frame slot without a lock. One belongs to the worker while it works
on it; the other takes each new frame over the one before. When the worker answers, the waiting frame is
handed over by a message. So neither side ever waits for the other, none reads what the other writes, and
a worker that is killed at any moment leaves nothing locked.

A worker that dies, is not ready in time, or works on one frame for longer than `work_limit_s`, is replaced with growing
pauses, five times a minute at most. Where that is not enough perception is given up: `newest` raises from then on,
and the loop keeps the robot standing, with the reason shown, until someone ends the run.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from ctypes import c_uint8
from multiprocessing.connection import Connection
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge.perception.runner import STAGES, FindsThings, PerceptionError, checked, fresh, stage_times
from edge.timing import Latency
from edge.types import Detections
from robot.clock import WallClock
from robot.types import Clock, Frame

MOST = 64
"""Detections told per frame, best first: keeps a result within one write of the pipe."""

RESTARTS, WITHIN_S = 5, 60.0
FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.2, 5.0


class ProcessPerception:
    """See `edge.perception.runner.Perception`; on return from the constructor the worker is ready.

    Args:
        factory: makes the detector, in the worker; must be picklable (a function of a module, or `partial` of one).
        size: height and width in pixels of the largest frame.
        stale_s: older results are not told.
        clock: the body's.
        ready_s: how long a worker may take to start.
        work_limit_s: how long it may take over one frame before it counts as hung.

    Raises:
        PerceptionError: the worker did not start.
    """

    def __init__(
        self,
        factory: Callable[[], FindsThings],
        size: tuple[int, int],
        stale_s: float,
        clock: Clock,
        *,
        ready_s: float = 60.0,
        work_limit_s: float = 5.0,
    ) -> None:
        self.stale_s, self.ready_s, self.work_limit_s = stale_s, ready_s, work_limit_s
        self.latencies = {name: Latency() for name in (*STAGES, "perception round trip")}
        self.restarts = 0
        self.trouble = ""  # why there is no worker at the moment
        self.dropped = 0  # frames overtaken by a newer one
        self._factory, self._clock, self._size = factory, clock, size
        self._context = multiprocessing.get_context("spawn")
        self._bytes = size[0] * size[1] * 3
        self._memory: Any = self._context.RawArray(c_uint8, 2 * self._bytes)
        self._slots = np.frombuffer(memoryview(self._memory), np.uint8).reshape(2, self._bytes)
        self._worker: tuple[Any, Connection] | None = None
        self._starter: threading.Thread | None = None
        self._start_error = ""
        self._ready = self._closed = False
        self._busy: int | None = None  # the worker's slot
        self._since = 0.0  # when it got it
        self._waiting: tuple[int, float, tuple[int, ...]] | None = None
        self._last = float("-inf")
        self._newest: Detections | None = None
        self._restarted: deque[float] = deque(maxlen=RESTARTS)
        self._in_a_row = 0
        self._again_at = 0.0
        self._gone = ""  # why it has given up
        self._spawn()
        try:
            self._await_ready(ready_s)
        except BaseException:
            self.close()
            raise

    @property
    def pid(self) -> int | None:
        """The worker's process id, None while there is none."""
        return None if self._worker is None else self._worker[0].pid

    def offer(self, frame: Frame | None) -> None:
        """Copy a frame that is new to the free slot and hand it over if the worker is idle."""
        if frame is not None and frame.stamp > self._last:
            image = frame.image
            if image.size > self._bytes:
                height, width = self._size
                raise PerceptionError(
                    f"a frame of {image.shape[1]} x {image.shape[0]} pixels came, but robot.toml promises {width} x "
                    f"{height}; set camera.width_px and camera.height_px to what the camera delivers"
                )
            self._last = frame.stamp
            slot = 0 if self._busy is None else 1 - self._busy
            np.copyto(self._slots[slot, : image.size].reshape(image.shape), image)
            if self._waiting is not None:
                self.dropped += 1
            self._waiting = (slot, frame.stamp, image.shape)
        self._serve()

    def newest(self, now: float) -> Detections | None:
        """The newest result; see `Perception.newest`."""
        self._serve()
        if self._gone:
            raise PerceptionError(self._gone)
        return fresh(self._newest, now, self.stale_s)

    def close(self) -> None:
        """End the worker: asked first, killed after a second. Idempotent."""
        if self._closed:
            return
        self._closed = True
        if self._starter is not None:
            self._starter.join(timeout=5.0)
        if self._worker is None:
            return
        process, pipe = self._worker
        self._worker = None
        with suppress(OSError):
            pipe.send(None)
        process.join(timeout=1.0)
        if process.is_alive():
            process.kill()
            process.join(timeout=1.0)
        pipe.close()

    def _serve(self) -> None:
        """Whatever can be done without waiting: collect results, hand over a frame, replace a dead worker."""
        if self._gone or self._closed:
            return
        now = self._clock.now()
        if self._worker is None:
            starting = self._starter is not None and self._starter.is_alive()
            if not starting and self._start_error:
                self._died(self._start_error, now)
            elif not starting and now >= self._again_at:
                self.restarts += 1
                self._restarted.append(now)
                self._since = now
                # Starting a process takes tens of milliseconds, which the loop does not have.
                self._starter = threading.Thread(target=self._spawn, name="perception starter", daemon=True)
                self._starter.start()
            return
        try:
            self._converse(now)
        except (EOFError, OSError):
            code = self._worker[0].exitcode if self._worker else None
            self._died("it ended" if code is None else f"it ended with code {code}", now)

    def _converse(self, now: float) -> None:
        assert self._worker is not None
        pipe = self._worker[1]
        while pipe.poll():
            kind, content = pipe.recv()
            if kind == "ready":
                self._ready, self.trouble = True, ""
            elif kind == "failed":
                self._died(content, now)
                return
            else:
                stamp, items, times = content
                self._newest = Detections(items, stamp)
                self._busy, self._in_a_row = None, 0
                for name, seconds in times.items():
                    self.latencies[name].add(seconds)
                self.latencies["perception round trip"].add(now - self._since)
        if self._ready and self._busy is None and self._waiting is not None:
            pipe.send(self._waiting)
            self._busy, self._since = self._waiting[0], now
            self._waiting = None
        elif not self._ready and now - self._since > self.ready_s:
            self._died(f"it was not ready within {self.ready_s:g} s", now)
        elif self._busy is not None and now - self._since > self.work_limit_s:
            self._died(f"it worked on one frame for more than {self.work_limit_s:g} s", now)

    def _died(self, why: str, now: float) -> None:
        if self._worker is not None:
            process, pipe = self._worker
            process.kill()
            pipe.close()
            # Reaped in the next start or at exit; waiting for it here could hold up the loop.
        self._worker, self._start_error = None, ""
        self._ready, self._busy, self._waiting = False, None, None
        self._newest = None  # nothing drives by what a worker said that has died since
        self.trouble = f"perception is started anew: {why}"
        self._again_at = now + min(FIRST_PAUSE_S * 2**self._in_a_row, LONGEST_PAUSE_S)
        self._in_a_row += 1
        if len(self._restarted) == RESTARTS and self._again_at - self._restarted[0] <= WITHIN_S:
            self._gone = (
                f"perception died again after {RESTARTS} restarts within a minute (last: {why}), so it is given up and "
                "the robot is stopped; try the model alone with `edgebot detect`, then start the run again"
            )

    def _spawn(self) -> None:
        try:
            ours, theirs = self._context.Pipe()
            process = self._context.Process(
                target=_work, args=(theirs, self._memory, self._bytes, self._factory), name="perception", daemon=True
            )
            process.start()
            theirs.close()  # else its end would never be seen as an end of file
        except Exception as error:  # no memory, no process, no file: whatever it is, another try may do
            why = getattr(error, "strerror", None) or f"{type(error).__name__}: {error}"
            self._start_error = f"its process cannot be started: {why}"
            return
        self._worker = (process, ours)

    def _await_ready(self, limit_s: float) -> None:
        wall = WallClock()
        until = wall.now() + limit_s
        while not self._ready:
            if self._start_error or self._worker is None:
                raise PerceptionError(f"perception does not start: {self._start_error}")
            process, pipe = self._worker
            if not pipe.poll(max(0.0, until - wall.now())):
                raise PerceptionError(
                    f"perception was not ready within {limit_s:g} s; is the machine overloaded? try again, or a "
                    "smaller model"
                )
            try:
                kind, content = pipe.recv()
            except (EOFError, OSError):
                process.join(timeout=1.0)
                raise PerceptionError(
                    f"perception's process ended with code {process.exitcode} before it was ready; "
                    "try the model alone with `edgebot detect`"
                ) from None
            if kind == "failed":
                raise PerceptionError(f"perception does not start: {content}")
            self._ready = True


def _work(pipe: Connection, memory: Any, slot_bytes: int, factory: Callable[[], FindsThings]) -> None:
    """The worker: detections for each frame that it is handed, until it is told to end or the parent is gone."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C goes to the whole group; the parent decides
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    if hasattr(os, "nice"):
        os.nice(5)  # where cores are few, the loop's deadline comes before the next picture
    slots: NDArray[np.uint8] = np.frombuffer(memoryview(memory), np.uint8).reshape(2, slot_bytes)
    watch = WallClock().now
    with suppress(EOFError, OSError):  # of the pipe: the parent is gone and nobody is left to tell
        try:
            detector = factory()
        except Exception as error:
            pipe.send(("failed", _told(error)))
            return
        pipe.send(("ready", None))
        while (message := pipe.recv()) is not None:
            slot, stamp, shape = message
            began = watch()
            try:
                items = checked(detector.detect(slots[slot, : int(np.prod(shape))].reshape(shape)))
            except Exception as error:
                pipe.send(("failed", _told(error)))
                return
            pipe.send(("found", (stamp, tuple(items[:MOST]), stage_times(detector, watch() - began))))


def _told(error: Exception) -> str:
    return f"{type(error).__name__}: {' '.join(str(error).split())}"
