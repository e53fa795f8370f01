"""Where annotated pictures go: a file for a photo, a folder for several, a video or an animation for a film."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from edge.errors import UsageError
from robot.files import write_atomically

CODECS = {".mp4": "mp4v", ".m4v": "mp4v", ".mov": "mp4v", ".avi": "MJPG", ".mkv": "mp4v"}
ANIMATIONS = (".gif", ".webp", ".png", ".apng")
PICTURES = (".jpg", ".jpeg", ".png", ".bmp", ".webp")
Image = NDArray[np.uint8]


class Pictures:
    """One file, or a folder of files named like their sources."""

    def __init__(self, path: Path, many: bool) -> None:
        self._folder = many or path.is_dir() or str(path).endswith("/")
        if many and path.is_file():
            raise UsageError(f"--save {path} is a file, and there are several pictures; give a folder")
        if not self._folder and path.suffix.lower() not in PICTURES:
            raise UsageError(f"--save {path} has no picture's ending; use one of {', '.join(PICTURES)}")
        self.path = path
        self.written = 0

    def write(self, image: Image, source: str, frame: int) -> None:
        """Write one picture (RGB)."""
        path = self.path
        if self._folder:
            name = Path(source)
            live = name.suffix.lower() not in PICTURES
            path = path / (f"{name.name.replace(':', '_')}-{frame:06d}.jpg" if live else name.name)
        if path.exists() and Path(source).exists() and path.samefile(source):
            raise UsageError(f"--save {self.path} would overwrite {source}; give another place")
        ok, data = cv2.imencode(path.suffix, cv2.cvtColor(image, cv2.COLOR_RGB2BGR))
        try:
            if not ok:
                raise OSError(0, "OpenCV cannot encode it")
            write_atomically(path, data.tobytes())
        except OSError as error:
            raise UsageError(f"{path} cannot be written ({error.strerror}); give another --save") from None
        self.written += 1

    def close(self) -> None:
        """Nothing is open."""


def can_animate(suffix: str) -> bool:
    """Whether this OpenCV writes animations that are called so: 4's wheels have no GIF."""
    return bool(cv2.haveImageWriter("x.png" if suffix.lower() == ".apng" else f"x{suffix}"))


class Animation:
    """A picture that moves (GIF, WebP or animated PNG), for a page or a talk; complete when it is closed.

    The frames are kept in memory until then, shrunk to `WIDE` pixels, and every so many are left out that the rest
    are at most `MOST`: an animation is looked at, not measured.
    """

    WIDE, MOST = 640, 300

    def __init__(self, path: Path, fps: float) -> None:
        if not hasattr(cv2, "imwriteanimation"):
            raise UsageError(f"--save {path} needs OpenCV 4.11 or newer; give a video such as found.mp4")
        if not can_animate(path.suffix):
            raise UsageError(f"--save {path}: this OpenCV ({cv2.__version__}) writes no {path.suffix}; give a .webp")
        self.path, self._fps = path, fps
        self._frames: list[Image] = []
        self._every, self._count = 1, 0
        self.written = 0

    def write(self, image: Image, source: str, frame: int) -> None:
        """Add one picture (RGB)."""
        self._count += 1
        if (self._count - 1) % self._every:
            return
        height, width = image.shape[:2]
        if self._frames:
            size = (self._frames[0].shape[1], self._frames[0].shape[0])
        else:
            size = (min(width, self.WIDE), max(1, round(height * min(1.0, self.WIDE / width))))
        small = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
        self._frames.append(np.asarray(cv2.cvtColor(small, cv2.COLOR_RGB2BGR), np.uint8))
        if len(self._frames) > self.MOST:
            self._frames, self._every = self._frames[::2], 2 * self._every

    def close(self) -> None:
        """Write the file, beside its place and then there. Idempotent."""
        frames, self._frames = self._frames, []
        if not frames:
            return
        animation = cv2.Animation()
        animation.frames = frames
        animation.durations = [max(20, round(1000 * self._every / self._fps))] * len(frames)
        ending = ".png" if self.path.suffix.lower() == ".apng" else self.path.suffix
        beside = self.path.with_name(f".{self.path.stem}.part{ending}")
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            if not cv2.imwriteanimation(str(beside), animation):
                raise OSError(0, "OpenCV cannot encode it")
            beside.replace(self.path)
        except (OSError, cv2.error) as error:
            why = getattr(error, "strerror", None) or str(error).strip().splitlines()[-1]
            raise UsageError(f"{self.path} cannot be written as an animation ({why}); give another --save") from None
        self.written = len(frames)


class Film:
    """A video file; its size is that of the first picture."""

    def __init__(self, path: Path, fps: float) -> None:
        self.path, self._fps = path, fps
        self._writer: Any = None
        self._size = (0, 0)
        self.written = 0
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise UsageError(f"{path} cannot be written ({error.strerror}); give another --save") from None

    def write(self, image: Image, source: str, frame: int) -> None:
        """Add one picture (RGB)."""
        if self._writer is None:
            self._size = (image.shape[1], image.shape[0])
            codec = cv2.VideoWriter.fourcc(*CODECS[self.path.suffix.lower()])
            self._writer = cv2.VideoWriter(str(self.path), codec, self._fps, self._size)
            if not self._writer.isOpened():
                raise UsageError(f"{self.path} cannot be written as a video; give another --save, such as out.avi")
        if (image.shape[1], image.shape[0]) != self._size:
            image = np.asarray(cv2.resize(image, self._size), np.uint8)
        self._writer.write(cv2.cvtColor(image, cv2.COLOR_RGB2BGR))
        self.written += 1

    def close(self) -> None:
        """Finish the file. Idempotent."""
        if self._writer is not None:
            self._writer.release()
            self._writer = None


def open_saver(path: Path, kind: str, fps: float, source: str) -> Pictures | Film | Animation:
    """What `--save PATH` means for a source of this kind. Raises `UsageError` where it means nothing."""
    if kind == "photo":
        return Pictures(path, many=False)
    ending = path.suffix.lower()
    if kind != "folder" and ending in (*CODECS, *ANIMATIONS) and not path.is_dir():
        if path.exists() and Path(source).exists() and path.samefile(source):
            raise UsageError(f"--save {path} would overwrite {source}; give another place")
        return Film(path, fps) if ending in CODECS else Animation(path, fps)
    if path.suffix and not path.is_dir():
        films = f"a video ({', '.join(CODECS)}), an animation ({', '.join(ANIMATIONS)}) or a folder"
        raise UsageError(
            f"--save {path} does not fit several pictures; give {'a folder' if kind == 'folder' else films}"
        )
    return Pictures(path, many=True)
