"""Recording a run: one MCAP file with every sense, detection, command, reason and overrun.

The loop only puts references into a bounded queue; a thread turns them into messages and writes. Each
second the chunk at hand is closed and forced to the disk, so that a crash costs the last second at most.
What does not fit the queue is dropped, counted and told in the file; in simulated time nothing is
dropped: there the loop can wait.
"""

from __future__ import annotations

import os
import queue
import threading
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from edge import messages
from edge.errors import EdgeError
from edge.loop import Tick
from robot.clock import WallClock

FLUSH_S = 1.0
QUEUE = 256
"""Iterations that may wait for the disk: five seconds at 50 Hz, with some fifty frames (45 MB) among them."""

Pose = tuple[float, float, float]


class RecordingError(EdgeError):
    """The recording cannot be opened or written."""


class Recorder:
    """Writes one recording; a context manager.

    Args:
        path: the `.mcap` file. It is written in place, so that what a crash leaves can be read.
        metadata: what the run was (policy, seed, versions), for anyone who opens the file.
        attachments: whole files to keep inside, by name: the configuration, the model's manifest.
        pose: x, y (m), yaw (rad) in the world, where someone knows.
        wait: let the loop wait where the queue is full (simulated time) instead of dropping.
        overwrite: replace an earlier recording of this name.
        room: how many iterations may wait.

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
    ) -> None:
        import cv2  # noqa: F401 (here, since the first frame's import would stop the loop for a tenth of a second)
        from mcap.writer import CompressionType, Writer

        self.path = Path(path)
        self.dropped = 0
        self._pose, self._wait = pose, wait
        self._queue: queue.Queue[tuple[Any, ...] | None] = queue.Queue(room)
        self._error = ""
        self._closed = False
        self._told = 0  # drops that the file knows of
        self._frame = self._found = float("-inf")  # stamps of the newest frame and detections written
        self._sequence: dict[str, int] = {}
        if not overwrite and self.path.is_file() and self.path.stat().st_size:
            raise RecordingError(
                f"recording {self.path} exists already; choose another name, or add --overwrite to replace it"
            )
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self._file = open(self.path, "wb")  # noqa: SIM115 (lives as long as the recorder)
            # LZ4: frames are JPEG and do not shrink further, and the robot has better things to compute.
            self._writer = Writer(self._file, compression=CompressionType.LZ4)
            self._writer.start(profile="edgebot", library="edgebot")
            self._writer.add_metadata("edgebot", {key: str(text) for key, text in (metadata or {}).items()})
            for name, data in (attachments or {}).items():
                media = "application/json" if name.endswith(".json") else "application/octet-stream"
                self._writer.add_attachment(0, 0, name, media, data)
            self._channels = {topic.name: self._register(topic) for topic in messages.TOPICS}
            self._sync()
        except OSError as error:
            file = getattr(self, "_file", None)
            with suppress(OSError):
                if file is not None:
                    file.close()
            raise RecordingError(self._cannot(error)) from None
        self._thread = threading.Thread(target=self._work, name="recording", daemon=True)
        self._thread.start()

    def tick(self, tick: Tick) -> None:
        """Take one iteration. Raises `RecordingError` once writing has failed."""
        self._put(("tick", tick, None if self._pose is None else self._pose()))

    def log(self, stamp: float, level: str, message: str) -> None:
        """Take one line of the log; `level` is debug, info, warning, error or fatal."""
        self._put(("log", stamp, level, message))

    def close(self) -> None:
        """Write what waits, the index and the end. Idempotent.

        Raises:
            RecordingError: writing failed, here or earlier; what was written until then can be read.
        """
        if self._closed:
            return
        self._closed = True
        while self._thread.is_alive():
            with suppress(queue.Full):
                self._queue.put(None, timeout=0.1)
                break
        self._thread.join()
        with suppress(OSError):
            self._file.close()
        if self._error:
            raise RecordingError(self._error)

    def __enter__(self) -> Recorder:
        return self

    def __exit__(self, kind: object, *exc: object) -> None:
        if kind is None:
            self.close()
        else:  # the error at hand matters more than that of closing
            with suppress(RecordingError):
                self.close()

    def _put(self, item: tuple[Any, ...]) -> None:
        if self._error:
            raise RecordingError(self._error)
        if self._closed:
            raise RecordingError(f"recording {self.path} is closed; open a new one")
        while True:
            try:
                self._queue.put(item, block=self._wait, timeout=0.5 if self._wait else None)
                return
            except queue.Full:
                if not self._wait:
                    self.dropped += 1
                    return
                if self._error:
                    raise RecordingError(self._error) from None

    def _work(self) -> None:
        """The writing thread: everything that costs time."""
        now = WallClock().now
        due = now() + FLUSH_S
        last = 0.0
        try:
            while True:
                try:
                    item = self._queue.get(timeout=max(0.0, due - now()))
                except queue.Empty:
                    item = ()
                if item is None:
                    break
                if item:
                    last = self._write_tick(item[1], item[2]) if item[0] == "tick" else self._write_log(*item[1:])
                if now() >= due:
                    self._tell_drops(last)
                    self._sync()
                    due = now() + FLUSH_S
            self._tell_drops(last)
            self._writer.finish()
            self._sync_file()
        except Exception as error:  # told to the loop at its next tick; the robot stops there
            self._error = self._cannot(error)

    def _write_tick(self, tick: Tick, pose: Pose | None) -> float:
        self._write(messages.SENSE, tick.now, messages.senses(tick.senses))
        self._write(
            messages.COMMAND,
            tick.acted,
            {
                "wanted": messages.command(tick.wanted),
                "command": messages.command(tick.command),
                "applied": messages.wheels(tick.applied),
                "reason": str(tick.reason),
                "message": tick.message,
            },
        )
        figures = {"due": tick.due, "began": tick.now, "acted": tick.acted, "lateness": tick.now - tick.due}
        counts = {"overruns": tick.overruns, "dropped": self.dropped}
        self._write(messages.LOOP, tick.acted, {"index": tick.index} | figures | counts)
        frame, found = tick.senses.frame, tick.detections
        if frame is not None and frame.stamp > self._frame:
            self._frame = frame.stamp
            self._write(messages.CAMERA, tick.now, messages.image(frame))
        if found is not None and found.stamp > self._found:
            self._found = found.stamp
            self._write(messages.DETECTIONS, tick.now, messages.detections(found))
            self._write(messages.ANNOTATIONS, tick.now, messages.boxes(found))
        if pose is not None:
            self._write(messages.POSE, tick.now, messages.pose(tick.now, *pose))
        return tick.acted

    def _write_log(self, stamp: float, level: str, message: str) -> float:
        self._write(messages.LOG, stamp, messages.log(stamp, level, message))
        return stamp

    def _tell_drops(self, stamp: float) -> None:
        dropped = self.dropped
        if dropped > self._told:
            text = f"{dropped - self._told} items were dropped: the disk or the processor is too slow"
            self._told = dropped
            self._write_log(stamp, "warning", text)

    def _write(self, topic: messages.Topic, stamp: float, message: dict[str, Any]) -> None:
        number = self._sequence.get(topic.name, 0)
        self._sequence[topic.name] = number + 1
        at = messages.nanoseconds(stamp)
        self._writer.add_message(self._channels[topic.name], at, messages.encode(message), at, number)

    def _register(self, topic: messages.Topic) -> int:
        schema = self._writer.register_schema(topic.schema_name, "jsonschema", messages.encode(topic.schema))
        return int(self._writer.register_channel(topic.name, "json", schema))

    def _sync(self) -> None:
        self._writer.flush()
        self._sync_file()

    def _sync_file(self) -> None:
        self._file.flush()
        with suppress(OSError):  # a pipe or a device knows no fsync; a full disk has been told by flush
            os.fsync(self._file.fileno())

    def _cannot(self, error: Exception) -> str:
        why = getattr(error, "strerror", None) or f"{type(error).__name__}: {error}"
        return f"recording {self.path} cannot be written ({why}); make room there, or give another --record FILE"
