"""Where `edgebot detect` takes its pictures from: a photo, a folder, a video, a camera, a simulated robot."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from edge.errors import UsageError
from robot.clock import VirtualClock, WallClock
from robot.config import RobotConfig
from robot.errors import RobotError
from robot.pi.camera import open_camera
from robot.pi.frames import IMAGES, read_image
from robot.types import Twist

Image = NDArray[np.uint8]

SIM_FRAMES = 100
WAIT_S = 5.0  # for a camera's next frame


@dataclass(frozen=True, slots=True)
class Shot:
    """One picture: where it is from, its number there from 0, and uint8 height x width x 3, RGB."""

    source: str
    frame: int
    image: Image


@dataclass
class Source:
    """An opened source; iterate over `shots` once.

    Attributes:
        kind: photo, folder, video or live (ends with Ctrl-C, or after `--frames`).
        total: how many frames there are, None where that is not known.
        fps: of a video or camera.
        skipped: what was left out so far, and why; grows while a folder is read.
    """

    kind: str
    shots: Iterator[Shot]
    total: int | None = None
    fps: float = 10.0
    skipped: list[str] = field(default_factory=list)


def open_source(name: str, config: RobotConfig, seed: int = 0, frames: int | None = None) -> Source:
    """Open SOURCE of `edgebot detect`.

    Args:
        name: a path, `usb:N`, `pi` or `sim`.
        config: the robot whose camera `pi`, `usb` and `sim` use.
        seed: of the simulated room.
        frames: end after so many.

    Raises:
        UsageError, RobotError: there is no such source, or it holds no picture.
    """
    path = Path(name)
    if name == "sim":
        source = _simulated(config, seed, SIM_FRAMES if frames is None else frames)
    elif name == "pi" or name.startswith("usb:"):
        source = _camera(name, config)
    elif path.is_dir():
        source = _folder(path)
    elif not path.exists():
        raise UsageError(f"there is no {name!r}; SOURCE is a photo, a folder, a video, usb:0, pi or sim")
    elif _is_image(path):
        source = Source("photo", iter([Shot(name, 0, read_image(path))]), 1)
    else:
        source = _video(path)
    if frames is not None:
        source.total = frames if source.total is None else min(frames, source.total)
        source.shots = _first(source.shots, frames)
    return source


def _is_image(path: Path) -> bool:
    return path.suffix.lower() in IMAGES or cv2.haveImageReader(str(path))


def _first(shots: Iterator[Shot], count: int) -> Iterator[Shot]:
    for number, shot in enumerate(shots, 1):
        yield shot
        if number >= count:
            break


def _folder(path: Path) -> Source:
    files = sorted(file for file in path.iterdir() if file.is_file() and not file.name.startswith("."))
    images = [file for file in files if file.suffix.lower() in IMAGES]
    skipped = [f"{file.name}: not an image's ending" for file in files if file not in set(images)]
    if not images:
        raise UsageError(f"the folder {path} holds no image; put JPEG or PNG files there, or give another folder")

    def play() -> Iterator[Shot]:
        number = 0
        for file in images:
            try:
                image = read_image(file)
            except RobotError:
                skipped.append(f"{file.name}: no image that can be decoded")
                continue
            yield Shot(str(file), number, image)
            number += 1
        if not number:
            raise UsageError(f"none of the {len(images)} images in {path} can be decoded; give another folder")

    return Source("folder", play(), len(images), skipped=skipped)


def _video(path: Path) -> Source:
    capture = cv2.VideoCapture(str(path))
    ok, first = capture.read() if capture.isOpened() else (False, None)
    if not ok:
        raise UsageError(
            f"{path} is neither an image nor a video that can be decoded; give a JPEG, PNG, MP4 or AVI file"
        )
    count, fps = int(capture.get(cv2.CAP_PROP_FRAME_COUNT)), float(capture.get(cv2.CAP_PROP_FPS))

    def play() -> Iterator[Shot]:
        frame: Any = first
        number = 0
        try:
            while frame is not None:
                yield Shot(str(path), number, np.asarray(cv2.cvtColor(frame, cv2.COLOR_BGR2RGB), np.uint8))
                number += 1
                ok, frame = capture.read()
                frame = frame if ok else None
        finally:
            capture.release()

    return Source("video", play(), count if count > 0 else None, fps if 0 < fps < 1000 else 25.0)


def _camera(name: str, config: RobotConfig) -> Source:
    if config.camera is None:
        raise UsageError(f"this robot.toml has no [camera], so {name} cannot be opened; add one")
    if name == "pi":
        camera = config.camera.model_copy(update={"kind": "picamera2"})
    else:
        number = name.removeprefix("usb:")
        if not re.fullmatch(r"\d+|/dev/.+", number):
            raise UsageError(f"{name!r} names no camera; write usb:0, or usb:/dev/video0")
        camera = config.camera.model_copy(update={"kind": "usb", "source": number})
    clock = WallClock()
    grabber = open_camera(camera, clock)

    def play() -> Iterator[Shot]:
        last, count, waiting = -1.0, 0, clock.now()
        try:
            while True:
                frame = grabber.newest()
                if frame is None or frame.stamp == last:
                    if clock.now() - waiting > WAIT_S:
                        raise RobotError(
                            f"the camera {name} has given no frame for {WAIT_S:g} s; plug it in again, or see whether "
                            "another program uses it"
                        )
                    clock.sleep_until(clock.now() + 0.002)
                    continue
                last, waiting = frame.stamp, clock.now()
                yield Shot(name, count, frame.image)
                count += 1
        finally:
            grabber.close()

    return Source("live", play(), fps=camera.fps)


def _simulated(config: RobotConfig, seed: int, frames: int) -> Source:
    """A robot in a room with a person, turning on the spot and looking round."""
    from robot.sim.body import SimBody
    from robot.sim.rooms import make_room

    if config.camera is None:
        raise UsageError("this robot.toml has no [camera], so a simulated one sees nothing either; add one")
    period = 1.0 / config.camera.fps
    turn = Twist(0.0, 0.5)

    def play() -> Iterator[Shot]:
        clock = VirtualClock()
        with SimBody(config, make_room("person", "easy", seed), clock, seed) as body:
            last, count = -1.0, 0
            while count < frames:
                body.drive(turn)
                clock.sleep_until(clock.now() + period)
                frame = body.sense().frame
                if frame is None or frame.stamp == last:
                    continue
                last = frame.stamp
                yield Shot("sim", count, frame.image)
                count += 1

    return Source("sim", play(), frames, config.camera.fps)


def note_skipped(source: Source, most: int = 10) -> None:
    """List on stderr what was left out."""
    for line in source.skipped[:most]:
        print(f"skipped {line}", file=sys.stderr)
    if len(source.skipped) > most:
        print(f"skipped {len(source.skipped) - most} more", file=sys.stderr)
