"""What a recording holds: topics, their schemas, and how an iteration of the loop becomes their messages.

Names and fields are Foxglove's where Foxglove has a schema (docs.foxglove.dev, "Message schemas"); readings,
commands and the loop's own figures have none there and get schemas of ours. Frames are protobuf (`protobuf.py` says
why), all else is JSON. Our schemas keep to what Foxglove's reader knows: one plain type a field, no null; what is
missing is left out. JSON knows no NaN: a number that is not finite is left out too and told in `not_finite`, so that
what the guard refused can be read.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from math import cos, isfinite, sin
from typing import TYPE_CHECKING, Any

from edge.recordings import protobuf
from edge.types import Detection, Detections
from robot.types import Command, Frame, Senses, Twist, Wheels

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from edge.loop import Tick

FORMATS = ("jpeg", "png")
JPEG_QUALITY = 85
PNG_LEVEL = 1  # of 9: twice as fast as the next, and a tenth larger
LINE_LOOP = 2  # PointsAnnotationType: a closed polygon
LEVELS = {"debug": 1, "info": 2, "warning": 3, "error": 4, "fatal": 5}  # foxglove.Log
GREEN = {"r": 0.1, "g": 0.9, "b": 0.2, "a": 1.0}
DARK = {"r": 0.0, "g": 0.0, "b": 0.0, "a": 0.6}

SENSES = (
    "light_left", "light_right", "range", "speed_left", "speed_right", "bump_left", "bump_right", "tilt", "battery",
    "emergency_stop",
)  # fmt: skip


def _object(title: str, **properties: Any) -> dict[str, Any]:
    return {"title": title, "type": "object", "properties": properties}


def _list(items: dict[str, Any]) -> dict[str, Any]:
    return {"type": "array", "items": items}


_NUMBER = {"type": "number"}
_INTEGER = {"type": "integer"}
_TEXT = {"type": "string"}
_TRUTH = {"type": "boolean"}
_TIME = _object("time", sec={"type": "integer", "minimum": 0}, nsec={"type": "integer", "minimum": 0})
_COLOR = _object("foxglove.Color", r=_NUMBER, g=_NUMBER, b=_NUMBER, a=_NUMBER)
_POINT = _object("foxglove.Point2", x=_NUMBER, y=_NUMBER)
_VECTOR = _object("foxglove.Vector3", x=_NUMBER, y=_NUMBER, z=_NUMBER)
_QUATERNION = _object("foxglove.Quaternion", x=_NUMBER, y=_NUMBER, z=_NUMBER, w=_NUMBER)
_WHEELS = _object("edgebot.Wheels", left=_NUMBER, right=_NUMBER)
_COMMAND = _object(
    "edgebot.Wish",
    form=_TEXT,  # "twist" with v_mps and omega_radps, or "wheels" with left and right
    v_mps=_NUMBER,
    omega_radps=_NUMBER,
    left=_NUMBER,
    right=_NUMBER,
    not_finite=_TEXT,
)
_READING = _object("edgebot.Reading", value=_NUMBER, stamp=_NUMBER, not_finite=_TEXT)


@dataclass(frozen=True, slots=True)
class Topic:
    """One channel of a recording; without a schema in JSON, its messages are `foxglove.CompressedImage` in protobuf."""

    name: str
    schema: dict[str, Any] | None

    @property
    def encoding(self) -> str:
        """Of its messages."""
        return "protobuf" if self.schema is None else "json"

    @property
    def schema_name(self) -> str:
        return protobuf.SCHEMA_NAME if self.schema is None else str(self.schema["title"])

    @property
    def schema_encoding(self) -> str:
        return "protobuf" if self.schema is None else "jsonschema"

    @property
    def schema_data(self) -> bytes:
        """The schema as the file holds it."""
        return protobuf.schema() if self.schema is None else encode(self.schema)


CAMERA = Topic("/camera", None)
ANNOTATIONS = Topic(
    "/camera/annotations",
    _object(
        "foxglove.ImageAnnotations",
        circles=_list(
            _object(
                "foxglove.CircleAnnotation",
                timestamp=_TIME,
                position=_POINT,
                diameter=_NUMBER,
                thickness=_NUMBER,
                fill_color=_COLOR,
                outline_color=_COLOR,
            )
        ),
        points=_list(
            _object(
                "foxglove.PointsAnnotation",
                timestamp=_TIME,
                type=_INTEGER,
                points=_list(_POINT),
                outline_color=_COLOR,
                outline_colors=_list(_COLOR),
                fill_color=_COLOR,
                thickness=_NUMBER,
            )
        ),
        texts=_list(
            _object(
                "foxglove.TextAnnotation",
                timestamp=_TIME,
                position=_POINT,
                text=_TEXT,
                font_size=_NUMBER,
                text_color=_COLOR,
                background_color=_COLOR,
            )
        ),
    ),
)
POSE = Topic(
    "/pose",
    _object(
        "foxglove.PoseInFrame",
        timestamp=_TIME,
        frame_id=_TEXT,
        pose=_object("foxglove.Pose", position=_VECTOR, orientation=_QUATERNION),
    ),
)
LOG = Topic(
    "/log",
    _object(
        "foxglove.Log", timestamp=_TIME, level=_INTEGER, message=_TEXT, name=_TEXT, file=_TEXT, line=_INTEGER
    ),
)
DETECTIONS = Topic(
    "/detections",
    _object(
        "edgebot.Detections",
        stamp=_NUMBER,
        items=_list(
            _object(
                "edgebot.Detection",
                label=_TEXT,
                score=_NUMBER,
                box=_list(_NUMBER),
                bearing=_NUMBER,
                height=_NUMBER,
                not_finite=_TEXT,
            )
        ),
    ),
)
SENSE = Topic("/senses", _object("edgebot.Senses", stamp=_NUMBER, **dict.fromkeys(SENSES, _READING)))
COMMAND = Topic(
    "/command",
    _object(
        "edgebot.Command",
        wanted=_COMMAND,
        command=_COMMAND,
        applied=_WHEELS,
        reason=_TEXT,
        message=_TEXT,
        asked=_TRUTH,  # whether the policy was called in this iteration
        before=_WHEELS,  # what the wheels had when it was
    ),
)
LOOP = Topic(
    "/loop",
    _object(
        "edgebot.Loop",
        index=_INTEGER,
        due=_NUMBER,
        began=_NUMBER,
        acted=_NUMBER,
        lateness=_NUMBER,
        policy_now=_NUMBER,
        frame=_NUMBER,
        detections=_NUMBER,
        not_finite=_TEXT,
        overruns=_INTEGER,
        dropped=_INTEGER,
    ),
)
TOPICS = (SENSE, COMMAND, LOOP, CAMERA, ANNOTATIONS, DETECTIONS, POSE, LOG)


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
    return {
        "timestamp": _time(stamp),
        "frame_id": "world",
        "pose": {
            "position": {"x": x, "y": y, "z": 0.0},
            "orientation": {"x": 0.0, "y": 0.0, "z": sin(yaw / 2), "w": cos(yaw / 2)},
        },
    }


def log(stamp: float, level: str, message: str) -> dict[str, Any]:
    """One line, or a traceback, of the log; `level` is one of `LEVELS`."""
    return {
        "timestamp": _time(stamp), "level": LEVELS[level], "message": message, "name": "edgebot", "file": "", "line": 0,
    }  # fmt: skip


def _time(stamp: float) -> dict[str, int]:
    seconds, rest = divmod(nanoseconds(stamp), 1_000_000_000)
    return {"sec": seconds, "nsec": rest}


def _detection(item: Detection) -> dict[str, Any]:
    return {"label": item.label, "box": list(item.box)} | numbers(
        score=item.score, bearing=item.bearing, height=item.height
    )


def _odd(number: float) -> str:
    return "NaN" if number != number else ("Infinity" if number > 0 else "-Infinity")
