"""What a recording holds of an iteration: its messages, in one file after the other."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from edge import messages
from edge.recordings.mcap_file import McapWriter
from edge.tick import Tick

Pose = tuple[float, float, float]
"""x, y (m) and yaw (rad) in the world."""

Item = tuple[Tick, Pose | None] | tuple[float, str, str]
"""An iteration, or a line of the log: stamp, level, text."""


class Entries:
    """Encodes items into the file at hand. What cannot be encoded is left out and told; only a disk raises.

    Args:
        frames: how pictures are kept, "jpeg" or "png".
    """

    def __init__(self, frames: str) -> None:
        self._format = frames
        self._writer: McapWriter
        self._channels: dict[str, int] = {}
        self._spoiled: set[str] = set()  # what could not be encoded, told once each
        self._last = 0.0  # stamp of the newest item
        self._frame = self._found = self._echo = float("-inf")  # stamps of the newest that are written

    def begin(self, writer: McapWriter) -> None:
        """A new file: its topics."""
        self._writer = writer
        self._channels = {
            topic.name: writer.channel(
                topic.name, topic.schema_name, topic.schema_encoding, topic.schema_data, topic.encoding
            )
            for topic in messages.TOPICS
        }

    def take(self, item: Item, dropped: int) -> None:
        """Write one item; `dropped` are those that did not come so far."""
        if len(item) == 2:
            tick, pose = item
            self._last = tick.acted
            self._iteration(tick, pose, dropped)
        else:
            self._last = item[0]
            self._write(messages.LOG, item[0], lambda: messages.log(*item))

    def warn(self, text: str) -> None:
        """A line of the log that is the recording's own."""
        data = messages.encode(messages.log(self._last, "warning", text))
        self._writer.add(self._channels[messages.LOG.name], messages.nanoseconds(self._last), data)

    def _iteration(self, tick: Tick, pose: Pose | None, dropped: int) -> None:
        self._write(messages.SENSE, tick.now, lambda: messages.senses(tick.senses))
        self._write(messages.COMMAND, tick.acted, lambda: messages.acts(tick))
        self._write(messages.LOOP, tick.acted, lambda: messages.loop(tick, dropped))
        frame, found = tick.senses.frame, tick.detections
        if frame is not None and frame.stamp > self._frame:
            self._frame = frame.stamp
            self._write(messages.CAMERA, tick.now, lambda: messages.picture(frame, self._format))
        if found is not None and found.stamp > self._found:
            self._found = found.stamp
            self._write(messages.DETECTIONS, tick.now, lambda: messages.detections(found))
            self._write(messages.ANNOTATIONS, tick.now, lambda: messages.boxes(found))
        echo = tick.senses.range
        if echo.stamp > self._echo:
            self._echo = echo.stamp
            self._write(messages.RANGE, tick.now, lambda: messages.scan(echo))
        if pose is not None:
            self._write(messages.POSE, tick.now, lambda: messages.pose(tick.now, *pose))

    def _write(self, topic: messages.Topic, stamp: float, make: Callable[[], bytes | dict[str, Any]]) -> None:
        try:
            made = make()
            data = made if isinstance(made, bytes) else messages.encode(made)
        except Exception as error:
            if topic.name not in self._spoiled:
                self._spoiled.add(topic.name)
                self.warn(f"{topic.name} lacks what cannot be written: {type(error).__name__}: {error}")
            return
        self._writer.add(self._channels[topic.name], messages.nanoseconds(stamp), data)
