"""Where annotated pictures go: a file for a photo, a folder for several, a video for a film."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from edge.errors import UsageError
from robot.files import write_atomically

CODECS = {".mp4": "mp4v", ".m4v": "mp4v", ".mov": "mp4v", ".avi": "MJPG", ".mkv": "mp4v"}
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


def open_saver(path: Path, kind: str, fps: float, source: str) -> Pictures | Film:
    """What `--save PATH` means for a source of this kind. Raises `UsageError` where it means nothing."""
    if kind == "photo":
        return Pictures(path, many=False)
    if kind != "folder" and path.suffix.lower() in CODECS:
        if path.exists() and Path(source).exists() and path.samefile(source):
            raise UsageError(f"--save {path} would overwrite {source}; give another place")
        return Film(path, fps)
    if path.suffix and not path.is_dir():
        expected = "a folder" if kind == "folder" else f"a video ({', '.join(CODECS)}) or a folder"
        raise UsageError(f"--save {path} does not fit several pictures; give {expected}")
    return Pictures(path, many=True)
