"""The parts that benchmarks/loop.py gives to each loop alike: a camera, a body, a policy with its guard, a recorder.

The camera is a film: frames rendered before the clock starts, handed out by a thread as a camera's would be (a robot
has no renderer). Everything else is the product's own, without hardware.
"""

from __future__ import annotations

import dataclasses
import threading
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np

RATE_HZ = 50.0
FRAMES = 40
ROOM = 1_000_000


def render_film(path: Path) -> None:
    """What a robot sees while it turns round in a room with a person, as one array file."""
    from robot.config import load
    from robot.sim.camera import Camera
    from robot.sim.rooms import make_room
    from robot.sim.world import World

    config, room = load(), make_room("person", "easy", ROOM)
    assert config.camera is not None
    camera, world = Camera(config.camera, room), World(config, [room])
    x, y, _ = room.start
    persons = world.persons(0)
    turns = np.linspace(0, 2 * np.pi, FRAMES, endpoint=False)
    np.save(path, np.stack([camera.render(np.array([x, y, yaw]), persons, step) for step, yaw in enumerate(turns)]))


class Film:
    """A camera: a thread that shows a new frame each period."""

    def __init__(self, path: Path, fps: float) -> None:
        from robot.clock import WallClock
        from robot.types import Frame

        self._frames, self._period_s, self._clock, self._make = np.load(path), 1.0 / fps, WallClock(), Frame
        self.newest: Any = None
        self._end = threading.Event()
        self._thread = threading.Thread(target=self.update, name="film", daemon=True)

    def start(self) -> Film:
        """Show frames from a thread of one's own."""
        self._thread.start()
        return self

    def update(self) -> None:
        """Show frames until `close`; donkeycar starts this in a thread of its own."""
        start, number = self._clock.now(), 0
        while not self._end.is_set():
            frame = self._frames[number % len(self._frames)].copy()  # as a driver fills a new buffer
            self.newest = self._make(frame, start + number * self._period_s)
            number += 1
            self._clock.sleep_until(start + number * self._period_s)

    def close(self) -> None:
        """Show no more."""
        self._end.set()
        if self._thread.is_alive():
            self._thread.join()


class Parts:
    """What drives: a simulated body that sees the film, a policy, the guard, and a recorder, opened on `stack`."""

    def __init__(self, stack: ExitStack, film: Path | None, recording: Path | None) -> None:
        from edge.guard import Guard
        from edge.policies import make
        from edge.recordings.recorder import Recorder
        from robot.clock import WallClock
        from robot.config import load
        from robot.sim.body import SimBody
        from robot.sim.rooms import make_room
        from robot.types import Senses

        self.config, self.clock = load(), WallClock()
        assert self.config.camera is not None
        camera = self.film = None if film is None else Film(film, self.config.camera.fps)
        if camera is not None:
            stack.callback(camera.close)

        class FilmBody(SimBody):
            """A simulated body whose camera shows the film."""

            def sense(self) -> Senses:
                senses = super().sense()
                return senses if camera is None else dataclasses.replace(senses, frame=camera.newest)

        self.recorder = None if recording is None else stack.enter_context(Recorder(recording))
        room = make_room("light", "easy", ROOM)
        self.body = stack.enter_context(FilmBody(self.config, room, self.clock, camera=False))
        self.policy = make("light", self.config)
        self.guard = Guard.of(self.config, self.policy)
