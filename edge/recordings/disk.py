"""A file that grows by whole pieces and is forced to the disk: what stands in it is never half a piece of ours.

Unbuffered on purpose. A buffer above the kernel's would lose on SIGKILL what the kernel would have kept, and would
try to write it again, at closing, to a disk that has just said that it is full.
"""

from __future__ import annotations

import errno
import fcntl
import os
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from robot.clock import WallClock

_NO_SYNC = {errno.EINVAL, errno.ENOTSUP, errno.ENOSYS}  # a pipe or a device has nothing to force


class Disk:
    """One file, written from its beginning to its end.

    Args:
        path: where it is.
        before: called with the size of each piece before it is written, to make room for it.

    Raises:
        OSError: it cannot be created, or another process is writing it (`BlockingIOError`); or, by `write` and
            `sync`, the disk says no. A piece of which only a part found room is taken back.
    """

    def __init__(self, path: Path, before: Callable[[int], None] | None = None) -> None:
        self.path = path
        self._before = before
        self.size = 0
        self._slowest_sync_s = 0.0
        self._syncing: float | None = None  # since when
        self._now = WallClock().now
        self._number = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o666)
        self._open = True
        try:
            _lock(self._number)
            with suppress(OSError):  # a device has nothing to empty
                os.ftruncate(self._number, 0)
        except OSError:
            self.close()
            raise

    def write(self, data: bytes) -> None:
        """Append one piece, all of it or nothing."""
        if self._before is not None:
            self._before(len(data))
        view, done = memoryview(data), 0
        try:
            while done < len(view):
                done += os.write(self._number, view[done:])
        except OSError:
            with suppress(OSError):
                os.ftruncate(self._number, self.size)
                os.lseek(self._number, self.size, os.SEEK_SET)
            raise
        self.size += done

    def sync(self) -> None:
        """Return when all that was written is on the disk; a power cut takes nothing of it."""
        began = self._syncing = self._now()
        try:
            os.fsync(self._number)
        except OSError as error:
            if error.errno not in _NO_SYNC:
                raise
        finally:
            self._slowest_sync_s = max(self._slowest_sync_s, self._now() - began)
            self._syncing = None

    @property
    def slowest_sync_s(self) -> float:
        """The longest that the disk took to confirm, or is taking just now."""
        began = self._syncing
        return max(self._slowest_sync_s, 0.0 if began is None else self._now() - began)

    def close(self) -> None:
        """Idempotent, never raises; `sync` before it where the data matters."""
        if self._open:
            self._open = False
            with suppress(OSError):
                os.close(self._number)


def _lock(number: int) -> None:
    """Take the file for this process; a disk that knows no locks does without."""
    try:
        fcntl.flock(number, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        raise BlockingIOError(error.errno, "another run is writing it") from None
    except OSError:
        return


def sync_folder(folder: Path) -> None:
    """Force a folder's names to the disk: a new file is only there after this. Never raises."""
    with suppress(OSError):
        number = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(number)
        finally:
            os.close(number)
