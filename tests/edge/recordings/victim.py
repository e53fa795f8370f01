"""A process that records until it is killed, and tells what it handed over: each iteration, at once, unbuffered.

    python -m tests.edge.recordings.victim RECORDING TRACE [--hz 50] [--fps 15] [--width 640] [--rotate-s S]

The loop, the guard and the simulated body are the real ones (with `--plain`, for a machine that is emulated, the
recorder alone, given the same at the same rate); the camera shows a film made of noise, which compresses
as badly as a real room. TRACE gets one line an iteration: its index, when it was handed to the recorder (by
CLOCK_MONOTONIC), the slowest fsync so far, how late the iteration was, how many were dropped. It may be a file (SIGKILL
leaves what was written) or a serial line.
"""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

import numpy as np

from edge.guard import Guard, Reason
from edge.loop import Loop, Tick
from edge.policies import make
from edge.recordings import mcap_file
from edge.recordings import recorder as recorder_module
from edge.recordings.recorder import Recorder
from edge.recordings.rotation import Rotation
from robot.clock import WallClock
from robot.config import load
from robot.sim.body import SimBody
from robot.sim.rooms import make_room
from robot.types import Frame, Reading, Senses, Twist, Wheels


def film(width: int, count: int = 8) -> list[np.ndarray]:
    """Frames of coarse and fine noise: some 60 kB each as JPEG at 640 x 480."""
    import cv2

    random, height = np.random.default_rng(1), width * 3 // 4
    frames = []
    for _ in range(count):
        coarse = cv2.resize(random.integers(0, 255, (12, 16, 3), np.uint8), (width, height))
        fine = random.normal(0, 6, (height, width, 3))
        frames.append(np.clip(coarse + fine, 0, 255).astype(np.uint8))
    return frames


class FilmBody(SimBody):
    """A simulated body whose camera shows a film."""

    frames: list[np.ndarray]
    period_s: float
    newest: Frame | None = None
    due = 0.0
    shown = 0

    def sense(self) -> Senses:
        senses = super().sense()
        if self.newest is None or senses.stamp >= self.due:
            self.newest = Frame(self.frames[self.shown % len(self.frames)], senses.stamp)
            self.shown += 1
            self.due = max(self.due + self.period_s, senses.stamp)
        return Senses(senses.stamp, senses.light_left, senses.light_right, senses.range, self.newest)


class Traced:
    """A recorder that tells what it was given."""

    def __init__(self, recorder: Recorder, trace: int, clock: WallClock) -> None:
        self.recorder, self.trace, self.clock = recorder, trace, clock

    def tick(self, tick: Tick) -> None:
        self.recorder.tick(tick)
        line = (
            f"{tick.index} {self.clock.now():.6f} {self.recorder.slowest_sync_s:.6f} {tick.now - tick.due:.6f} "
            f"{self.recorder.dropped}\n"
        )
        os.write(self.trace, line.encode())

    def log(self, stamp: float, level: str, message: str) -> None:
        self.recorder.log(stamp, level, message)


def plain(traced: Traced, clock: WallClock, hz: float, seconds: float) -> None:
    """Hand iterations over as a loop does, without the world."""
    start, frame, due = clock.now(), None, 0.0
    for index in range(round(seconds * hz)):
        clock.sleep_until(start + index / hz)
        now = clock.now()
        if now >= due:
            frame = Frame(FilmBody.frames[index % len(FilmBody.frames)], now)
            due = now + FilmBody.period_s
        senses = Senses(now, *(Reading(0.5 + 0.001 * (index % 100), now),) * 3, frame=frame)
        wish = Twist(0.1 + 0.001 * (index % 100), 0.2)
        applied = Wheels(0.1, 0.2)
        traced.tick(Tick(index, start + index / hz, now, now, senses, None, wish, wish, applied, Reason.OK, "", 0))


def main(argv: list[str]) -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("recording", type=Path)
    parser.add_argument("trace", type=Path)
    parser.add_argument("--hz", type=float, default=50.0)
    parser.add_argument("--fps", type=float, default=15.0)
    parser.add_argument("--width", type=int, default=640)
    parser.add_argument("--rotate-s", type=float)
    parser.add_argument("--seconds", type=float, default=300.0)
    parser.add_argument("--plain", action="store_true")
    args = parser.parse_args(argv)
    if flush := os.environ.get("EDGEBOT_VICTIM_FLUSH_S"):  # the protection taken away
        recorder_module.FLUSH_S = float(flush)
        mcap_file.CHUNK_BYTES = 1 << 40
    sys.setswitchinterval(0.0005)  # as `edgebot run` does
    config, clock = load(), WallClock()
    FilmBody.frames, FilmBody.period_s = film(args.width), 1 / args.fps
    rotation = None if args.rotate_s is None else Rotation(max_s=args.rotate_s)
    trace = os.open(args.trace, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    attachments = {"robot.json": config.model_dump_json().encode()}
    if args.plain:
        with Recorder(args.recording, {"policy": "light"}, attachments, rotation=rotation) as recorder:
            plain(Traced(recorder, trace, clock), clock, args.hz, args.seconds)
        return 0
    with (
        FilmBody(config, make_room("light", "easy", 3), clock, camera=False) as body,
        Recorder(args.recording, {"policy": "light"}, attachments, rotation=rotation) as recorder,
    ):
        traced = Traced(recorder, trace, clock)
        loop = Loop(body, make("light", config), Guard(config), clock, args.hz, recorder=traced)
        loop.run(args.seconds)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
