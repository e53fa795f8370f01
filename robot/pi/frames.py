"""Frames from OpenCV: USB cameras, video files, folders of images; and the newest-frame slot they all share.

Every source gives RGB of the configured size: what has another shape is cut to it in the middle, then scaled.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Protocol

import cv2
import numpy as np
from numpy.typing import NDArray

from robot.clock import VirtualClock
from robot.config import Camera
from robot.errors import RobotError
from robot.types import Clock, Frame

IMAGES = frozenset({".jpg", ".jpeg", ".png", ".bmp", ".webp", ".tif", ".tiff", ".ppm", ".pgm"})
"""Endings by which a folder's images are known."""

Image = NDArray[np.uint8]


class FrameSource(Protocol):
    """Something that has a newest frame."""

    def newest(self) -> Frame | None:
        """The newest frame, None before the first. Never blocks. Its image is never written to again."""

    def close(self) -> None:
        """Give back the camera. Idempotent."""


class Grabber:
    """Keeps the newest frame of a `grab` function: in a thread, or inside the ticks of a virtual clock.

    `grab()` returns a Frame, or None where there is none this time. It may block, as cameras do. When it
    raises StopIteration the source has come to its end; the last frame stays, and its stamp ages.
    """

    def __init__(
        self, grab: Callable[[], Frame | None], release: Callable[[], None], clock: Clock, fps: float, paced: bool
    ) -> None:
        self._grab, self._release = grab, release
        self._clock = clock
        self._period = 1.0 / fps
        self._paced = paced  # we keep the time, not the camera
        self._due = clock.now()
        self._newest: Frame | None = None
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None
        if isinstance(clock, VirtualClock):
            self._tick(clock.now())
            clock.subscribe(self._tick)
        else:
            self._thread = threading.Thread(target=self._run, name="camera", daemon=True)
            self._thread.start()

    def newest(self) -> Frame | None:
        """The newest frame, None before the first."""
        return self._newest

    def close(self) -> None:
        """End the thread, then give back the camera. Idempotent."""
        if self._stop.is_set():
            return
        self._stop.set()
        if isinstance(self._clock, VirtualClock):
            self._clock.unsubscribe(self._tick)
        if self._thread is not None:
            self._thread.join(timeout=2.0)
            if self._thread.is_alive():  # it hangs in the camera's driver, which then cannot be released either
                return
        self._release()

    def _take(self) -> bool:
        try:
            frame = self._grab()
        except StopIteration:
            return False
        except Exception:
            return True  # the newest frame ages; the guard sees it
        if frame is not None:
            self._newest = frame
        return True

    def _tick(self, now: float) -> None:
        if now < self._due - 1e-6 or self._stop.is_set():
            return
        self._due += self._period
        if not self._take() and isinstance(self._clock, VirtualClock):
            self._clock.unsubscribe(self._tick)

    def _run(self) -> None:
        while not self._stop.is_set():
            before = self._newest
            if not self._take():
                break
            if self._paced:
                self._due = max(self._due + self._period, self._clock.now())
                self._stop.wait(self._due - self._clock.now())
            elif self._newest is before:
                self._stop.wait(0.05)  # a camera that fails at once must not take the processor


def fit(image: Image, width: int, height: int) -> Image:
    """Cut the middle of `image` to the aspect of width x height, then scale to it."""
    rows, columns = image.shape[:2]
    if (columns, rows) == (width, height):
        return image
    if columns * height > rows * width:
        keep = max(1, round(rows * width / height))
        image = image[:, (columns - keep) // 2 :][:, :keep]
    else:
        keep = max(1, round(columns * height / width))
        image = image[(rows - keep) // 2 :][:keep]
    how = cv2.INTER_AREA if image.shape[0] > height else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(image, (width, height), interpolation=how), dtype=np.uint8)


def read_image(path: Path) -> Image:
    """One image file as RGB, height x width x 3. Raises `RobotError` where it is none."""
    try:
        data = np.frombuffer(path.read_bytes(), np.uint8)
    except OSError as error:
        raise RobotError(f"{path} cannot be read ({error.strerror}); give the path of an image") from None
    image = None
    if data.size:
        try:
            image = cv2.imdecode(data, cv2.IMREAD_COLOR)
        except cv2.error:  # a damaged header may promise more pixels than OpenCV allows
            image = None
    if image is None:
        raise RobotError(f"{path} is no image that can be decoded; give a JPEG, PNG, BMP, WebP or TIFF file")
    return np.asarray(cv2.cvtColor(image, cv2.COLOR_BGR2RGB), dtype=np.uint8)


def open_usb(config: Camera, clock: Clock) -> Grabber:
    """A camera by its number ("0") or device ("/dev/video0"). Raises `RobotError` where it is not there."""
    source: int | str = int(config.source) if config.source.isdecimal() else config.source
    device = Path(f"/dev/video{source}" if isinstance(source, int) else source)
    missing = RobotError(
        f"there is no camera {config.source!r}{_others()}; plug it in, or set source in [camera] of robot.toml"
    )
    if Path("/dev").is_dir() and os.uname().sysname == "Linux":
        if not device.exists():
            raise missing
        if not os.access(device, os.R_OK | os.W_OK):
            raise RobotError(f"no permission to use {device}; run: sudo usermod -aG video $USER, then log in again")
    capture = cv2.VideoCapture(source)
    if not capture.isOpened():
        raise missing
    capture.set(cv2.CAP_PROP_FRAME_WIDTH, config.width_px)
    capture.set(cv2.CAP_PROP_FRAME_HEIGHT, config.height_px)
    capture.set(cv2.CAP_PROP_FPS, config.fps)
    capture.set(cv2.CAP_PROP_BUFFERSIZE, 1)  # an old frame in a queue is worth nothing here

    def grab() -> Frame | None:
        if not capture.grab():
            return None
        stamp = clock.now()
        ok, image = capture.retrieve()
        return Frame(_rgb(image, config), stamp) if ok else None

    return Grabber(grab, capture.release, clock, config.fps, paced=False)


def open_file(config: Camera, clock: Clock) -> Grabber:
    """A video, a folder of images in the order of their names, or one image; played at `fps`.

    Raises:
        RobotError: it is not there, or is neither video nor image.
    """
    path = Path(config.source)
    images = _stills(path, config) if path.is_dir() or path.suffix.lower() in IMAGES else _video(path, config)
    first: list[Image] = [next(images)]  # whatever is wrong with the source shows now, not in the thread

    def grab() -> Frame | None:
        image = first.pop() if first else next(images)
        return Frame(image, clock.now())

    return Grabber(grab, lambda: images.close(), clock, config.fps, paced=True)


def _stills(path: Path, config: Camera) -> Any:
    files = sorted(f for f in path.iterdir() if f.suffix.lower() in IMAGES) if path.is_dir() else [path]
    if not files:
        raise RobotError(f"the folder {path} holds no image; put JPEG or PNG files there")
    for file in files:
        if file.is_file() and not cv2.haveImageReader(str(file)):
            raise RobotError(f"{file} is no image that can be decoded; take it out of the folder or mend it")

    def play() -> Iterator[Image]:
        for file in files:
            yield fit(read_image(file), config.width_px, config.height_px)

    return play()


def _video(path: Path, config: Camera) -> Any:
    if not path.is_file():
        raise RobotError(
            f"there is no {str(path)!r}; set source in [camera] of robot.toml to a video or a folder of images"
        )
    capture = cv2.VideoCapture(str(path))
    ok, image = capture.read() if capture.isOpened() else (False, None)
    if not ok:
        raise RobotError(
            f"{path} is no video that can be decoded; give an MP4, AVI or WebM file, or a folder of images"
        )

    def play() -> Iterator[Image]:
        frame = image
        try:
            while frame is not None:
                yield _rgb(frame, config)
                frame = capture.read()[1]
        finally:
            capture.release()

    return play()


def _rgb(image: Any, config: Camera) -> Image:
    return fit(np.asarray(cv2.cvtColor(image, cv2.COLOR_BGR2RGB), dtype=np.uint8), config.width_px, config.height_px)


def _others() -> str:
    there = sorted(str(device) for device in Path("/dev").glob("video*"))
    return f" (there are {', '.join(there)})" if there else " (no camera is connected)"
