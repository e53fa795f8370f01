"""From a recording's messages back to the words of the loop: the mirror of `edge.messages`, one function a topic.

Floats come back bit for bit: JSON holds the shortest text that reads as the same number, and what is not finite
stands in `not_finite`.
"""

from __future__ import annotations

import base64
import json
from dataclasses import dataclass
from math import atan2, inf, nan
from typing import Any

import numpy as np

from edge.errors import EdgeError
from edge.messages import SENSES
from edge.recordings.protobuf import read_image
from edge.types import Detection, Detections
from robot.types import Command, Frame, Reading, Senses, Twist, Wheels

Fields = dict[str, Any]


class UnreadableError(EdgeError):
    """A recording cannot be read."""


@dataclass(frozen=True, slots=True)
class Line:
    """One line of the log; `level` is of `edge.messages.LEVELS`."""

    stamp: float
    level: int
    text: str


@dataclass(frozen=True, slots=True)
class Picture:
    """A recorded frame, still encoded: `format` is jpeg or png; `stamp` is exact to the nanosecond."""

    stamp: float
    format: str
    data: bytes

    @property
    def nanoseconds(self) -> int:
        """The stamp as the file holds it; detections on this frame have the same."""
        return round(self.stamp * 1e9)

    def decode(self) -> Frame:
        """The frame: RGB; the very pixels where the format is png.

        Raises:
            UnreadableError: the data is no picture.
        """
        import cv2

        image = cv2.imdecode(np.frombuffer(self.data, np.uint8), cv2.IMREAD_COLOR)
        if image is None:
            raise UnreadableError(f"the frame at {self.stamp:.3f} s is no {self.format} that can be decoded")
        return Frame(np.ascontiguousarray(image[:, :, ::-1]), self.stamp)


def fields(encoding: str, data: bytes) -> Fields:
    """The fields of a message. Raises `ValueError` where it is not what its channel promises."""
    if encoding != "json":
        raise ValueError(f"messages encoded as {encoding!r}")
    found = json.loads(data)
    if not isinstance(found, dict):
        raise ValueError("a message that is no object")
    return found


def numbers(found: Fields) -> dict[str, float]:
    """All numbers of an object, those of `not_finite` among them."""
    known = {name: float(value) for name, value in found.items() if isinstance(value, int | float)}
    for part in str(found.get("not_finite", "")).split():
        name, _, text = part.partition("=")
        known[name] = float(text)
    return known


def senses(found: Fields) -> Senses:
    """The senses, without the frame; where there are none, each of them missing."""
    readings: dict[str, Any] = {name: _reading(found[name]) for name in SENSES if name in found}
    missing = Reading(None, -inf)
    for name in ("light_left", "light_right", "range"):
        readings.setdefault(name, missing)
    return Senses(stamp=numbers(found).get("stamp", nan), **readings)


def command(found: Fields) -> Command:
    """A command in the form that it was given in."""
    known = numbers(found)
    if found.get("form") == "twist":
        return Twist(known["v_mps"], known["omega_radps"])
    return Wheels(known["left"], known["right"])


def wheels(found: Fields) -> Wheels:
    """Duties of the wheels."""
    known = numbers(found)
    return Wheels(known["left"], known["right"])


def picture(encoding: str, data: bytes) -> Picture:
    """A frame, still encoded."""
    if encoding == "protobuf":
        seen = read_image(data)
        return Picture(seen.stamp_ns / 1e9, seen.format, seen.data)
    found = fields(encoding, data)
    return Picture(_seconds(found["timestamp"]), str(found["format"]), base64.b64decode(found["data"]))


def detections(found: Fields) -> Detections:
    """What was found on one frame."""
    return Detections(tuple(_detection(item) for item in found["items"]), numbers(found)["stamp"])


def pose(found: Fields) -> tuple[float, float, float]:
    """x, y (m) and yaw (rad) in the world."""
    where, turn = found["pose"]["position"], found["pose"]["orientation"]
    return float(where["x"]), float(where["y"]), 2.0 * atan2(turn["z"], turn["w"])


def line(encoding: str, data: bytes) -> Line:
    """A line, or a traceback, of the log."""
    found = fields(encoding, data)
    return Line(_seconds(found["timestamp"]), int(found["level"]), str(found["message"]))


def _reading(found: Fields) -> Reading:
    known = numbers(found)
    return Reading(known.get("value"), known["stamp"])


def _detection(found: Fields) -> Detection:
    known = numbers(found)
    x, y, width, height = (float(value) for value in found["box"])
    return Detection(
        str(found["label"]), known["score"], (x, y, width, height), known.get("bearing"), known.get("height")
    )


def _seconds(found: Fields) -> float:
    return (int(found["sec"]) * 1_000_000_000 + int(found["nsec"])) / 1e9
