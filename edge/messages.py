"""How an iteration of the loop becomes a recording's messages: one function a topic.

Frames are protobuf (`recordings/protobuf.py` says why), all else is JSON. What is missing is left out. JSON knows no
NaN: a number that is not finite is left out too and told in `not_finite`, so that what the guard refused can be read.
"""

from __future__ import annotations

import json
from math import cos, isfinite, sin
from typing import TYPE_CHECKING, Any

from edge.recordings import protobuf
from edge.recordings.topics import (  # noqa: F401 (who speaks of messages speaks of their topics)
    ANNOTATIONS,
    CAMERA,
    COMMAND,
    DETECTIONS,
    LOG,
    LOOP,
    POSE,
    RANGE,
    SENSE,
    SENSES,
    TOPICS,
    Topic,
)
from edge.types import Detection, Detections
from robot.types import Command, Frame, Reading, Senses, Twist, Wheels

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from edge.tick import Tick

FORMATS = ("jpeg", "png")
JPEG_QUALITY = 85
PNG_LEVEL = 1  # of 9: twice as fast as the next, and a tenth larger
LINE_LOOP = 2  # PointsAnnotationType: a closed polygon
LEVELS = {"debug": 1, "info": 2, "warning": 3, "error": 4, "fatal": 5}  # foxglove.Log
GREEN = {"r": 0.1, "g": 0.9, "b": 0.2, "a": 1.0}
DARK = {"r": 0.0, "g": 0.0, "b": 0.0, "a": 0.6}

_encode = json.JSONEncoder(separators=(",", ":"), allow_nan=False, check_circular=False).encode


def encode(message: dict[str, Any]) -> bytes:
    """A message as JSON, without blanks. Raises `ValueError` where a number is not finite."""
    return _encode(message).encode()


def nanoseconds(stamp: float) -> int:
    """A stamp in the file's unit; never negative, which the format cannot hold."""
    return max(0, round(stamp * 1e9)) if isfinite(stamp) else 0


def numbers(**found: float | None) -> dict[str, Any]:
    """What is there and finite as it is; what is not finite by name in `not_finite`, as in "v_mps=NaN"."""
    known: dict[str, Any] = {}
    odd = []
    for name, number in found.items():
        if number is None:
            continue
        if isfinite(number):
            known[name] = float(number)
        else:
            odd.append(f"{name}={_odd(number)}")
    if odd:
        known["not_finite"] = " ".join(odd)
    return known


def senses(found: Senses) -> dict[str, Any]:
    """All readings, each with its stamp; without what the robot does not have."""
    known: dict[str, Any] = {"stamp": found.stamp}
    for name in SENSES:
        reading = getattr(found, name)
        if reading is not None:
            value, stamp = reading.value, reading.stamp
            if value is not None and isfinite(value) and isfinite(stamp):  # as nearly always, fifty times a second
                known[name] = {"value": float(value), "stamp": float(stamp)}
            else:
                known[name] = numbers(value=value, stamp=stamp)
    return known


def command(wanted: Command) -> dict[str, Any]:
    """A command in the form that it was given in."""
    if isinstance(wanted, Twist):
        return {"form": "twist"} | numbers(v_mps=wanted.v, omega_radps=wanted.omega)
    return {"form": "wheels"} | numbers(left=wanted.left, right=wanted.right)


def wheels(found: Wheels) -> dict[str, Any]:
    """Duties of the wheels."""
    return {"left": found.left, "right": found.right}


def acts(tick: Tick) -> dict[str, Any]:
    """What was wanted, what the guard made of it, what the wheels got, and why."""
    return {
        "wanted": command(tick.wanted),
        "command": command(tick.command),
        "applied": wheels(tick.applied),
        "reason": str(tick.reason),
        "message": tick.message,
        "asked": tick.asked,
        "before": wheels(tick.before),
    }


def loop(tick: Tick, dropped: int) -> dict[str, Any]:
    """The loop's own figures, and by their stamps what else the policy saw: the frame and the detections."""
    frame, found = tick.senses.frame, tick.detections
    seen = numbers(
        due=tick.due, began=tick.now, acted=tick.acted, lateness=tick.now - tick.due, policy_now=tick.now,
        frame=None if frame is None else frame.stamp, detections=None if found is None else found.stamp,
    )  # fmt: skip
    return {"index": tick.index} | seen | {"overruns": tick.overruns, "dropped": dropped}


def picture(frame: Frame, kind: str) -> bytes:
    """A frame as `foxglove.CompressedImage`; `kind` is one of `FORMATS`. Raises `ValueError` as `compressed` does."""
    data = compressed(frame.image, kind)
    return protobuf.image(protobuf.CompressedImage(nanoseconds(frame.stamp), "camera", data, kind))


def compressed(image: NDArray[np.uint8], kind: str) -> bytes:
    """An RGB image as a JPEG or PNG file.

    Raises:
        ValueError: it has no shape of a picture.
    """
    import cv2

    if image.ndim != 3 or image.shape[2] != 3 or 0 in image.shape:
        raise ValueError(f"a frame of shape {image.shape} is no RGB picture")
    options = (cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY) if kind == "jpeg" else (cv2.IMWRITE_PNG_COMPRESSION, PNG_LEVEL)
    # OpenCV turns the colours round without the interpreter's lock; a view of numpy's would be copied under it.
    done, data = cv2.imencode(f".{kind}", cv2.cvtColor(image, cv2.COLOR_RGB2BGR), options)
    if not done:
        raise ValueError(f"a frame of shape {image.shape} cannot be written as {kind}")
    return data.tobytes()


def boxes(found: Detections) -> dict[str, Any]:
    """Boxes and their labels, to be drawn over the frame of the same stamp."""
    stamp = _time(found.stamp)
    points, texts = [], []
    for item in found.items:
        x, y, width, height = item.box
        corners = ((x, y), (x + width, y), (x + width, y + height), (x, y + height))
        points.append(
            {
                "timestamp": stamp,
                "type": LINE_LOOP,
                "points": [{"x": across, "y": down} for across, down in corners],
                "outline_color": GREEN,
                "outline_colors": [],
                "fill_color": {**GREEN, "a": 0.0},
                "thickness": 2.0,
            }
        )
        texts.append(
            {
                "timestamp": stamp,
                "position": {"x": x, "y": max(y, 14.0)},
                "text": f"{item.label} {item.score:.2f}",
                "font_size": 14.0,
                "text_color": GREEN,
                "background_color": DARK,
            }
        )
    return {"circles": [], "points": points, "texts": texts}


def detections(found: Detections) -> dict[str, Any]:
    """The same as plain numbers."""
    return {"stamp": found.stamp, "items": [_detection(item) for item in found.items]}


def pose(stamp: float, x: float, y: float, yaw: float) -> dict[str, Any]:
    """Where the robot is in the world; only a simulation knows."""
    return {"timestamp": _time(stamp), "frame_id": "world", "pose": _pose(x, y, yaw)}


def scan(echo: Reading) -> dict[str, Any]:
    """A sample of the range sensor as a scan of one ray, in the sensor's own frame; without an echo it has none."""
    heard = [float(echo.value)] if echo.value is not None and isfinite(echo.value) else []
    return {
        "timestamp": _time(echo.stamp), "frame_id": "range", "pose": _pose(0.0, 0.0, 0.0),
        "start_angle": 0.0, "end_angle": 0.0, "ranges": heard, "intensities": [],
    }  # fmt: skip


def log(stamp: float, level: str, message: str) -> dict[str, Any]:
    """One line, or a traceback, of the log; `level` is one of `LEVELS`."""
    return {
        "timestamp": _time(stamp), "level": LEVELS[level], "message": message, "name": "edgebot", "file": "", "line": 0,
    }  # fmt: skip


def _time(stamp: float) -> dict[str, int]:
    seconds, rest = divmod(nanoseconds(stamp), 1_000_000_000)
    return {"sec": seconds, "nsec": rest}


def _pose(x: float, y: float, yaw: float) -> dict[str, Any]:
    return {
        "position": {"x": x, "y": y, "z": 0.0},
        "orientation": {"x": 0.0, "y": 0.0, "z": sin(yaw / 2), "w": cos(yaw / 2)},
    }


def _detection(item: Detection) -> dict[str, Any]:
    return {"label": item.label, "box": list(item.box)} | numbers(
        score=item.score, bearing=item.bearing, height=item.height
    )


def _odd(number: float) -> str:
    return "NaN" if number != number else ("Infinity" if number > 0 else "-Infinity")
