"""What a recording's topics are: their names, schemas and encodings.

Names and fields are Foxglove's where Foxglove has a schema (docs.foxglove.dev, "Message schemas"); readings, commands
and the loop's own figures have none there and get schemas of ours. Those keep to what Foxglove's reader knows: one
plain type a field, no null; what is missing is left out of a message.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from edge.recordings import protobuf

SENSES = (
    "light_left", "light_right", "range", "speed_left", "speed_right", "bump_left", "bump_right", "tilt", "battery",
    "under_voltage", "emergency_stop",
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
        return protobuf.schema() if self.schema is None else json.dumps(self.schema).encode()


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
_POSE = _object("foxglove.Pose", position=_VECTOR, orientation=_QUATERNION)
POSE = Topic("/pose", _object("foxglove.PoseInFrame", timestamp=_TIME, frame_id=_TEXT, pose=_POSE))
RANGE = Topic(
    "/range",
    _object(
        "foxglove.LaserScan",
        timestamp=_TIME,
        frame_id=_TEXT,
        pose=_POSE,
        start_angle=_NUMBER,
        end_angle=_NUMBER,
        ranges=_list(_NUMBER),
        intensities=_list(_NUMBER),
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
TOPICS = (SENSE, COMMAND, LOOP, CAMERA, ANNOTATIONS, DETECTIONS, RANGE, POSE, LOG)
