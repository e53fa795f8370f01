"""Recording a run: MCAP files with every sense, detection, command, reason and overrun.

The loop only puts references into a bounded queue; a thread turns them into messages and writes. Twice a second the
chunk at hand is closed and forced to the disk, so that a crash costs the last second and one fsync at most. What does
not fit the queue is dropped, counted and told in the file; in simulated time nothing is dropped: there the loop can
wait. A disk that is full, or gone, ends the recording and not the drive: the loop never hears of it, `error` says it.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any
from uuid import uuid4

from edge.errors import EdgeError
from edge.recordings import rotation as folders
from edge.recordings.disk import Disk, sync_folder
from edge.recordings.entries import Entries, Item, Pose
from edge.recordings.mcap_file import McapWriter
from edge.recordings.rotation import Rotation
from edge.tick import Tick
from robot.clock import WallClock

FLUSH_S = 0.5
"""From one closed chunk to the next: half of the promised second, so that a processor that is late has the other."""

QUEUE = 256
"""Iterations that may wait for the disk: five seconds at 50 Hz, with some fifty frames (45 MB) among them."""

WAITING = 16
"""How many, where the loop waits: enough for both to have work, and few frames in memory."""

CLOSE_S = 20.0
"""How long closing waits for a disk that does not answer."""


class RecordingError(EdgeError):
    """The recording cannot be opened or written."""


class Recorder:
    """Writes one recording; a context manager.

    Args:
        path: the `.mcap` file, or with `rotation` the folder of files. Files are written in place, so that what a
            crash leaves can be read.
        metadata: what the run was (policy, seed, versions), for anyone who opens the file.
        attachments: whole files to keep inside, by name: the configuration, the model's manifest.
        pose: x, y (m), yaw (rad) in the world, where someone knows.
        wait: let the loop wait where the queue is full (simulated time) instead of dropping.
        overwrite: replace an earlier recording of this name.
        room: how many iterations may wait.
        frames: "jpeg", or "png" to keep every pixel.
        rotation: go on in a new file by size and age, and keep the folder small; None: one file.

    Attributes:
        path: the file that is written, with rotation the newest.
        files: how many files there were.
        dropped: iterations and log lines that did not fit the queue.
        thread: what does the writing, for who measures it.
        error: why writing ended, in one sentence; empty while it goes on. `tick` and `log` never raise.

    Raises:
        RecordingError: the file exists, or cannot be written.
    """

    def __init__(
        self,
        path: str | Path,
        metadata: Mapping[str, str] | None = None,
        attachments: Mapping[str, bytes] | None = None,
        *,
        pose: Callable[[], Pose] | None = None,
        wait: bool = False,
        overwrite: bool = False,
        room: int = QUEUE,
        frames: str = "jpeg",
        rotation: Rotation | None = None,
    ) -> None:
        import cv2  # noqa: F401 (here, since the first frame's import would stop the loop for a tenth of a second)

        self.path = self._target = Path(path)
        self.files = self.dropped = 0
        self.error = ""
        self._slowest_sync_s = 0.0  # of earlier files
        self._rotation = rotation
        self._metadata = {"run": uuid4().hex} | {key: str(text) for key, text in (metadata or {}).items()}
        self._attachments = dict(attachments or {})
        self._pose, self._wait = pose, wait
        self._entries = Entries(frames)
        self._room = min(room, WAITING) if wait else room
        # A SimpleQueue's put takes no lock that the writing thread could hold while it is not running.
        self._queue: queue.SimpleQueue[Item | None] = queue.SimpleQueue()
        self._clock = WallClock()
        self._closed = False
        self._late = 0  # items that came after the end
        self._fresh = 0  # items that no fsync has confirmed yet
        self._disk: Disk  # these three are the file's at hand, set by `_open`
        self._writer: McapWriter
        self._opened = 0.0
        self._others = 0  # bytes of the folder's other recordings
        self._size = 0  # and of this one
        self._told = 0  # drops that the file knows of
        if rotation is None and not overwrite and self.path.is_file() and self.path.stat().st_size:
            raise RecordingError(
                f"recording {self.path} exists already; choose another name, or add --overwrite to replace it"
            )
        try:
            self._open()
        except OSError as error:
            raise RecordingError(self._cannot(error)) from None
        self.thread = threading.Thread(target=self._work, name="recording", daemon=True)
        self.thread.start()

    @property
    def lost(self) -> int:
        """Iterations and log lines that a failure cost, those of its last second included."""
        return self._late + (self._fresh + self._queue.qsize() if self.error else 0)

    @property
    def waiting(self) -> int:
        """Iterations and log lines that wait for the disk."""
        return self._queue.qsize()

    @property
    def slowest_sync_s(self) -> float:
        """The longest time that the disk took to confirm, in seconds."""
        return max(self._slowest_sync_s, self._disk.slowest_sync_s)

    def as_dict(self) -> dict[str, Any]:
        """How it went, for `--json`."""
        return {
            "path": str(self.path), "files": self.files, "dropped": self.dropped, "lost": self.lost,
            "error": self.error or None, "slowest_sync_s": self.slowest_sync_s,
        }  # fmt: skip

    def sentence(self) -> str:
        """How it went, in a few words."""
        files = f", the newest of {self.files} files" if self.files > 1 else ""
        dropped = f", {self.dropped} items dropped" if self.dropped else ""
        ended = f", ended early: the last {self.lost} items are lost" if self.error else ""
        return f"{self.path}{files}{dropped}{ended}"

    def tick(self, tick: Tick) -> None:
        """Take one iteration. Neither blocks nor raises."""
        self._put((tick, None if self._pose is None else self._pose()))

    def log(self, stamp: float, level: str, message: str) -> None:
        """Take one line of the log; `level` is debug, info, warning, error or fatal."""
        self._put((stamp, level, message))

    def close(self) -> None:
        """Write what waits, the index and the end. Idempotent.

        Raises:
            RecordingError: writing failed, here or earlier; what was written until then can be read.
        """
        if self._closed:
            return
        self._closed = True
        self._queue.put(None)
        self.thread.join(CLOSE_S)
        if self.thread.is_alive():
            self.error = self.error or (
                f"recording {self.path} was left open: the disk has not answered for {CLOSE_S:g} s; "
                f"`edgebot recording repair {self.path}` closes it"
            )
        if self.error:
            raise RecordingError(self.error)

    def __enter__(self) -> Recorder:
        return self

    def __exit__(self, kind: object, *exc: object) -> None:
        if kind is None:
            self.close()
        else:  # the error at hand matters more than that of closing
            with suppress(RecordingError):
                self.close()

    def _put(self, item: Item) -> None:
        while not self.error and not self._closed:
            if self._queue.qsize() < self._room:
                self._queue.put(item)
                return
            if not self._wait:
                self.dropped += 1
                return
            self._clock.sleep_until(self._clock.now() + 0.0005)
        self._late += 1

    # From here on: the writing thread, everything that costs time.

    def _work(self) -> None:
        now = self._clock.now
        due = now() + FLUSH_S
        try:
            while True:
                try:
                    item = self._queue.get(timeout=max(0.0, due - now()))
                except queue.Empty:
                    pass
                else:
                    if item is None:
                        break
                    self._fresh += 1
                    self._entries.take(item, self.dropped)
                began = now()
                if began >= due:
                    due = began + FLUSH_S  # from its beginning: a slow disk does not make the chunks longer
                    self._tell_drops()
                    self._flush()
            self._tell_drops()
            self._finish()
        except Exception as error:
            self.error = self._cannot(error)
            self._save()
        finally:
            self._disk.close()

    def _tell_drops(self) -> None:
        dropped = self.dropped
        if dropped > self._told:
            self._entries.warn(f"{dropped - self._told} items were dropped: the disk or the processor is too slow")
            self._told = dropped

    def _flush(self) -> None:
        self._writer.close_chunk()
        self._disk.sync()
        self._fresh = 0
        limits = self._rotation
        if limits is None:
            return
        coming = 2 * self._writer.largest_chunk  # what the next second may bring
        if limits.is_over(self._disk.size, coming, self._clock.now() - self._opened):
            self._finish()
            self._open()

    def _make_room(self, coming: int) -> None:
        """Remove the oldest files before the folder holds more than it may, not after."""
        keep, size = self._rotation and self._rotation.keep_bytes, self._size + coming
        if keep and self._others + size > keep:
            folders.make_room(self._target, keep, self.path, size)
            self._others = folders.total(self._target, self.path)
        self._size = size

    def _open(self) -> None:
        """Begin a file: header, what the run was, attachments and channels are on the disk when this returns."""
        if self._rotation is None:
            self.path.parent.mkdir(parents=True, exist_ok=True)
        else:
            self._target.mkdir(parents=True, exist_ok=True)
            self.path = folders.next_path(self._target)
            self._others = folders.total(self._target, self.path)
        self._size = 0
        disk = Disk(self.path, self._make_room)
        try:
            writer = McapWriter(disk, "edgebot", "edgebot")
            writer.metadata("edgebot", self._metadata | {"part": str(self.files)})
            for name, data in self._attachments.items():
                media = "application/json" if name.endswith(".json") else "application/octet-stream"
                writer.attachment(name, media, data)
            self._entries.begin(writer)
            disk.sync()
            sync_folder(self.path.parent)
        except OSError:
            disk.close()
            raise
        if self.files:
            self._slowest_sync_s = self.slowest_sync_s
        self._disk, self._writer, self._finished = disk, writer, False
        self._opened = self._clock.now()
        self.files += 1

    def _finish(self) -> None:
        self._writer.finish()
        self._disk.sync()
        self._fresh = 0
        self._finished = True
        self._disk.close()

    def _save(self) -> None:
        """After a failure: the index and the end, where the disk takes at least those; `repair` adds them otherwise."""
        if not self._finished:
            with suppress(Exception):
                self._writer.finish()
                self._disk.sync()

    def _cannot(self, error: Exception) -> str:
        if isinstance(error, OSError):
            why = error.strerror or type(error).__name__
            return f"recording {self.path} cannot be written ({why}); make room there, or give another --record FILE"
        return f"recording {self.path} ended by a fault of its own ({type(error).__name__}: {error}); please report it"
