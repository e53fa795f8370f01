"""One loop in a process of its own, for benchmarks/loop.py, which starts it and reads the stamps that it saves.

    python loop_workers.py bare|edgebot|donkeycar --seconds S --out FILE.npz [--film FILE] [--recording FILE]

`donkeycar` runs in that project's own environment. Its parts do what the runtime does, each iteration the same calls;
its loop, its threads and its way of waiting are its own.
"""

from __future__ import annotations

import argparse
import os
import sys
import threading
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "benchmarks")]
for _name in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(_name, "1")

import numpy as np  # noqa: E402
from loop_parts import RATE_HZ, Parts  # noqa: E402


def bare(args: argparse.Namespace) -> dict[str, Any]:
    """Nothing but the sleep: what the operating system and Python allow."""
    from robot.clock import WallClock

    clock, period = WallClock(), 1.0 / RATE_HZ
    due = clock.now() + period * np.arange(round(args.seconds * RATE_HZ))
    began = np.empty_like(due)
    for step, at in enumerate(due.tolist()):
        clock.sleep_until(at)
        began[step] = clock.now()
    return {"due": due, "began": began, "age": np.empty(0)}


def edgebot(args: argparse.Namespace) -> dict[str, Any]:
    """The runtime: `edge.session.Session.run`, as `edgebot run` calls it."""
    from edge.loop import Loop, Tick
    from edge.perception.runner import make_perception
    from edge.session import Session, Settings

    sys.setswitchinterval(0.0005)  # as `edgebot run` does
    due, began, age = [], [], []

    def on_tick(tick: Tick) -> None:
        due.append(tick.due)
        began.append(tick.now)
        if tick.detections is not None:
            age.append(tick.acted - tick.detections.stamp)

    with ExitStack() as stack:
        perception = None
        if args.film is not None:
            from robot.clock import WallClock
            from robot.config import load

            perception = make_perception(load(), WallClock())
            stack.callback(perception.close)
        parts = Parts(stack, args.film, args.recording)
        if parts.film is not None:
            parts.film.start()
        loop = Loop(parts.body, parts.policy, parts.guard, parts.clock, RATE_HZ, perception, parts.recorder)
        session = Session(Settings(), parts.config, parts.body, parts.clock, loop, None, parts.recorder, perception)
        summary = session.run(args.seconds, on_tick)
        dropped = 0 if parts.recorder is None else parts.recorder.dropped
    if summary.ended != "duration":
        raise RuntimeError(f"the loop ended by {summary.ended}: {summary.message}")
    return {
        "due": np.array(due), "began": np.array(began), "age": np.array(age),
        "overruns": summary.overruns, "missed": summary.missed, "dropped": dropped,
    }  # fmt: skip


def donkeycar(args: argparse.Namespace) -> dict[str, Any]:
    """donkeycar's Vehicle, with its camera and its detector as threaded parts, which is its way."""
    from donkeycar.vehicle import Vehicle

    from edge.guard import MOVING, Reason
    from edge.loop import Tick
    from edge.perception.runner import make_detector
    from edge.types import Detections, Observation
    from robot.types import STOP

    began: list[float] = []
    age: list[float] = []

    class Part:
        def shutdown(self) -> None:
            pass

    class Begin(Part):
        def run(self) -> None:
            began.append(time.monotonic())

    class Camera(Part):
        def update(self) -> None:
            parts.film.update()

        def run_threaded(self) -> Any:
            return parts.film.newest

        def shutdown(self) -> None:
            parts.film.close()

    class Detector(Part):
        def __init__(self) -> None:
            self.detector = make_detector(None, 0.4, parts.config)
            self.frame: Any = None
            self.found: Any = None
            self.new, self.on = threading.Event(), True

        def update(self) -> None:
            while self.on:
                if self.new.wait(0.1):
                    self.new.clear()
                    frame = self.frame
                    self.found = Detections(tuple(self.detector.detect(frame.image)), frame.stamp)

        def run_threaded(self, frame: Any) -> Any:
            if frame is not None and (self.frame is None or frame.stamp > self.frame.stamp):
                self.frame = frame
                self.new.set()
            return self.found

        def shutdown(self) -> None:
            self.on = False

    class Sense(Part):
        def run(self) -> Any:
            return parts.body.sense()

    class Pilot(Part):
        def run(self, senses: Any, found: Any) -> Any:
            now = time.monotonic()
            wanted = parts.policy.act(Observation(now, senses, found, STOP))
            return (now, wanted, *parts.guard.check(senses, wanted, parts.clock.now(), sensed_at=now, frame_at=None))

    class Drive(Part):
        def run(self, senses: Any, found: Any, decided: Any) -> None:
            now, wanted, command, reason = decided
            applied = STOP
            if reason in MOVING:
                applied = parts.body.drive(command)
            else:
                parts.body.stop()
            acted = time.monotonic()
            if found is not None:
                age.append(acted - found.stamp)
            if parts.recorder is not None:
                number = len(began) - 1
                parts.recorder.tick(
                    Tick(number, now, now, acted, senses, found, wanted, command, applied, Reason(reason), "", 0)
                )

    with ExitStack() as stack:
        parts = Parts(stack, args.film, args.recording)
        vehicle = Vehicle()
        vehicle.add(Begin())
        if parts.film is not None:
            vehicle.add(Camera(), outputs=["frame"], threaded=True)
            vehicle.add(Detector(), inputs=["frame"], outputs=["found"], threaded=True)
        vehicle.add(Sense(), outputs=["senses"])
        vehicle.add(Pilot(), inputs=["senses", "found"], outputs=["decided"])
        vehicle.add(Drive(), inputs=["senses", "found", "decided"])
        vehicle.start(rate_hz=RATE_HZ, max_loop_count=round(args.seconds * RATE_HZ))
    stamps = np.array(began)
    # It knows no deadlines: each iteration is due one period after the one before began, whatever that was.
    due = np.concatenate([stamps[:1], stamps[:-1] + 1.0 / RATE_HZ])
    return {"due": due, "began": stamps, "age": np.array(age)}


LOOPS = {"bare": bare, "edgebot": edgebot, "donkeycar": donkeycar}


def main() -> int:
    """Run one loop and save its stamps."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("loop", choices=LOOPS)
    parser.add_argument("--seconds", type=float, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--film", type=Path)
    parser.add_argument("--recording", type=Path)
    args = parser.parse_args()
    np.savez(args.out, **LOOPS[args.loop](args))
    return 0


if __name__ == "__main__":
    sys.exit(main())
