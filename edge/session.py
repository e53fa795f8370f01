"""One run, put together: body, policy, guard, perception, recording, loop; opened in order, closed whatever comes.

`edgebot run` and `edgebot drive` are thin covers of this, and so is the demo.
"""

from __future__ import annotations

import gc
import platform
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from os import PathLike
from pathlib import Path

from edge.errors import EdgeError
from edge.goal import TASKS, Goal
from edge.guard import Guard
from edge.loop import Loop, Tick
from edge.perception.runner import Perception, make_perception
from edge.recordings.recorder import Recorder
from edge.recordings.rotation import Rotation
from edge.service import punctual, service
from edge.summary import Summary
from edge.types import Policy
from robot.clock import VirtualClock, WallClock
from robot.config import RobotConfig
from robot.open import open_body
from robot.sim.faults import Fault
from robot.sim.room import Room
from robot.sim.verdict import Verdict
from robot.types import Body, Clock

TICK_S = 0.02


@dataclass(frozen=True)
class Settings:
    """What a run is made of beside robot and policy."""

    room: Room | None = None  # where a simulated robot is; None means the real one
    seed: int = 0
    task: str = "light"  # the goal that a simulated run is judged by
    realtime: bool = False  # a simulated robot on the wall clock
    rate_hz: float = 50.0
    camera: bool = False  # open camera and perception though the policy needs neither
    detector: str | PathLike[str] | None = None  # None: the shipped detector of persons
    score: float = 0.4
    record: Path | None = None  # a file, or with `rotation` a folder of files
    overwrite: bool = False
    record_frames: str = "jpeg"  # or "png"
    rotation: Rotation | None = None
    faults: tuple[Fault, ...] = ()  # what goes wrong with a simulated body
    motord: Path | None = None  # socket of a motor process to put between the loop and simulated wheels
    opening: Callable[[bool], Body] | None = None  # opens another body than this machine's, with frames or without
    attachments: dict[str, bytes] = field(default_factory=dict)  # more files to keep in the recording


@dataclass
class Session:
    """A run that is ready; `run` may be called once."""

    settings: Settings
    config: RobotConfig
    body: Body
    clock: Clock
    loop: Loop
    goal: Goal | None  # None on a real robot, where nobody knows
    recorder: Recorder | None
    perception: Perception | None
    recording_error: str = ""  # known after closing

    def run(
        self,
        duration_s: float | None = None,
        on_tick: Callable[[Tick], None] | None = None,
        until: Callable[[], bool] | None = None,
    ) -> Summary:
        """Run until the goal, where there is one to be judged, or `until` says so; see `Loop.run`."""
        # What lives until now lives to the end: the collector need not walk through it in the middle of an iteration.
        gc.collect()
        gc.freeze()
        try:
            with punctual(self.clock) as granted, service(self._hook(on_tick)) as each:
                if self.recorder is not None and isinstance(self.clock, WallClock):
                    self.recorder.log(self.clock.now(), "info", f"the loop has {granted.sentence()}")
                return self.loop.run(duration_s, until if until is not None else self.goal, each)
        finally:
            gc.unfreeze()

    def _hook(self, on_tick: Callable[[Tick], None] | None) -> Callable[[Tick], None] | None:
        """What is called after each iteration: the link's answer to its driver comes first."""
        tell: Callable[[Tick], None] | None = getattr(self.loop.policy, "tell", None)
        if tell is None or on_tick is None:
            return tell or on_tick

        def both(tick: Tick) -> None:
            tell(tick)
            on_tick(tick)

        return both

    def verdict(self) -> Verdict | None:
        """How a simulated run stands, by the world's truth."""
        return None if self.goal is None else self.goal.verdict()

    def close_recording(self) -> None:
        """Finish the recording; what fails is noted, that a run's summary is not lost over its recording."""
        if self.recorder is not None:
            try:
                self.recorder.close()
            except EdgeError as error:
                self.recording_error = str(error)


@contextmanager
def open_session(config: RobotConfig, policy: Policy, settings: Settings) -> Iterator[Session]:
    """Open everything that a run needs; on leaving, the body is stopped and closed first.

    Raises:
        RobotError: the body cannot be opened.
        EdgeError: perception or the recording cannot.
    """
    simulated = settings.room is not None
    if not simulated and settings.opening is None:
        _examine(config, policy)
    clock: Clock = VirtualClock(TICK_S) if simulated and not settings.realtime else WallClock()
    camera = policy.needs_camera or (settings.camera and config.camera is not None)
    with ExitStack() as stack:
        if (close := getattr(policy, "close", None)) is not None:  # one that listens
            stack.callback(close)
        # What is slow to start or likely to refuse comes first: a body that waits is a body that rolls.
        perception = None
        if camera:
            perception = make_perception(config, clock, settings.detector, settings.score)
            stack.callback(perception.close)
        if settings.opening is not None:
            body = settings.opening(camera)
        else:
            body = open_body(
                config, "sim" if simulated else "pi", clock, settings.room, seed=settings.seed, camera=camera,
                faults=settings.faults, motord=settings.motord,
            )  # fmt: skip
        stack.callback(body.close)
        world = getattr(body, "world", None)
        recorder = None
        if settings.record is not None:
            recorder = Recorder(
                settings.record,
                _metadata(policy, settings),
                _attachments(config, policy, settings, camera) | settings.attachments,
                pose=None if world is None else lambda: tuple(world.pose[:, 0].tolist()),
                wait=isinstance(clock, VirtualClock),
                overwrite=settings.overwrite,
                frames=settings.record_frames,
                rotation=settings.rotation,
            )
        link = getattr(policy, "link", None)  # of a policy that drives as somebody elsewhere asks
        loop = Loop(body, policy, Guard.of(config, policy), clock, settings.rate_hz, perception, recorder, link=link)
        goal = None if world is None or settings.task not in TASKS else Goal(world, settings.task)
        session = Session(settings, config, body, clock, loop, goal, recorder, perception)
        stack.callback(session.close_recording)
        stack.callback(body.stop)  # the wheels first, whatever is closed after them
        yield session


def _examine(config: RobotConfig, policy: Policy) -> None:
    """The short form of `edgebot doctor`: a machine that is not fit does not drive."""
    from edge.doctor.checks import refuse_unfit
    from edge.doctor.machine import Machine
    from edge.doctor.rows import Examined

    refuse_unfit(Examined(Machine(), config, real=True, camera=policy.needs_camera))


def _metadata(policy: Policy, settings: Settings) -> dict[str, str]:
    try:
        own = version("edgebot")
    except PackageNotFoundError:  # run from a source tree
        own = "source"
    room = settings.room
    return {
        "policy": policy.name,
        "body": "remote" if settings.opening is not None else "pi" if room is None else "sim",
        "seed": str(settings.seed),
        "task": settings.task,
        "rate_hz": f"{settings.rate_hz:g}",
        "score": repr(settings.score),
        "clock": "wall" if room is None or settings.realtime else "virtual",
        "edgebot": own,
        "python": platform.python_version(),
        "machine": platform.machine(),
        "started": datetime.now(UTC).isoformat(timespec="seconds"),  # for people: stamps are the clock's own
    } | ({} if room is None else {"room_task": room.task, "room_level": room.level, "room_seed": str(room.seed)})


def _attachments(config: RobotConfig, policy: Policy, settings: Settings, camera: bool) -> dict[str, bytes]:
    files = {"robot.json": config.model_dump_json(indent=2).encode()}
    if (manifest := getattr(policy, "manifest", None)) is not None:  # a learned policy's
        files["manifest.json"] = manifest.model_dump_json(indent=2).encode()
    if (path := getattr(policy, "path", None)) is not None:  # some 20 kB, so that the run can be replayed for ever
        files["policy.tflite"] = path.read_bytes()
    if camera:
        from edge.perception.detector import SHIPPED
        from edge.perception.recognise import open_detector

        _, manifest = open_detector(SHIPPED if settings.detector is None else settings.detector)
        files["detector.json"] = manifest.model_dump_json(indent=2).encode()
    return files
