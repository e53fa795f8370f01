"""The emergency stop's latch: one word in a file, so that neither a restart nor a power cut forgets it.

The file is made and kept open from the start, and a change overwrites bytes that are already its own: it works
on a disk that has become full. Whatever is not the one word that means "released" counts as latched.
"""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path
from threading import Thread

from robot.errors import RobotError

_RELEASED = b"released\n"
_LATCHED = b"latched \n"


class Latch:
    """Latched until `release`; also across processes, through the file.

    Raises:
        RobotError: the file cannot be made or written.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.stored = True  # the file says what we know
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o640)
            found = os.pread(self._handle, 64, 0)
            self.latched = found not in (b"", _RELEASED)  # an empty file is a new one
            self._write()
        except OSError as error:
            raise RobotError(
                f"the emergency stop's latch {str(path)!r} cannot be written ({error.strerror}); "
                "give --state a folder that this user may write to"
            ) from None
        if not self.stored:
            raise RobotError(f"the emergency stop's latch {str(path)!r} cannot be written; make room on its disk")

    def set(self) -> None:
        """Latch. Never raises: where the file cannot be written `stored` says so, and the latch holds all the same."""
        self.latched = True
        self._write()
        # Out to the disk, for a power cut: a thread's business, since a slow card takes a second and motord has others.
        with suppress(RuntimeError):  # no thread to be had: the kernel writes it out within half a minute
            Thread(target=self._sync, name="latch", daemon=True).start()

    def release(self) -> bool:
        """Release; returns whether the file could be written. Where not, the latch stays."""
        self.latched = False
        self._write()
        self.latched = not self.stored
        return self.stored

    def _sync(self) -> None:
        with suppress(OSError):
            os.fdatasync(self._handle)

    def _write(self) -> None:
        word = _LATCHED if self.latched else _RELEASED
        try:
            self.stored = os.pwrite(self._handle, word, 0) == len(word)
            os.ftruncate(self._handle, len(word))
        except OSError:
            self.stored = False
