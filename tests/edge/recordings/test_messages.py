"""Messages keep to their schemas, and those to what Foxglove's reader understands."""

from __future__ import annotations

import json
from typing import Any

import cv2
import numpy as np
import pytest
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from hypothesis import given
from hypothesis import strategies as st

from edge import messages
from edge.guard import Reason
from edge.loop import Tick
from edge.recordings import protobuf
from edge.types import Detection, Detections
from robot.types import STOP, Frame, Reading, Senses, Twist, Wheels


def test_schemas_bear_foxgloves_names() -> None:
    names = {topic.name: topic.schema_name for topic in messages.TOPICS}
    assert names["/camera"] == "foxglove.CompressedImage"
    assert names["/camera/annotations"] == "foxglove.ImageAnnotations"
    assert names["/range"] == "foxglove.LaserScan"
    assert names["/pose"] == "foxglove.PoseInFrame"
    assert names["/log"] == "foxglove.Log"


KINDS: dict[str, tuple[type, ...]] = {"number": (int, float), "integer": (int,), "string": (str,), "boolean": (bool,)}


def _check(schema: dict[str, Any] | None, value: dict[str, Any], optional: set[str]) -> None:
    """That a message keeps to its schema: JSON Schema's rules, as far as ours use them."""
    assert schema is not None and schema["type"] == "object"
    assert set(value) <= set(schema["properties"])
    assert set(schema["properties"]) - set(value) <= optional
    for field, content in value.items():
        inner = schema["properties"][field]
        items, kind = (content, inner["items"]) if inner["type"] == "array" else ([content], inner)
        for item in items:
            if kind["type"] == "object":
                _check(kind, item, optional)
            else:
                assert isinstance(item, KINDS[kind["type"]]), field


def test_messages_keep_to_their_schemas() -> None:
    found = Detections((Detection("person", 0.9, (1.0, 2.0, 3.0, 4.0), 0.1, 0.2),), 1.25)
    readings = dict.fromkeys(messages.SENSES, Reading(0.5, 1.0))
    odd = {"not_finite"}
    _check(messages.ANNOTATIONS.schema, messages.boxes(found), set())
    _check(messages.DETECTIONS.schema, messages.detections(found), odd)
    _check(messages.POSE.schema, messages.pose(1.0, 1.0, 2.0, 3.0), set())
    for heard, ranges in ((1.5, [1.5]), (None, []), (float("nan"), [])):
        scan = messages.scan(Reading(heard, 2.5))
        _check(messages.RANGE.schema, scan, set())
        assert scan["ranges"] == ranges and scan["timestamp"] == {"sec": 2, "nsec": 500_000_000}
    _check(messages.LOG.schema, messages.log(1.0, "info", "text"), set())
    tick = Tick(1, 0.0, 0.1, 0.2, Senses(0.1, **readings), found, STOP, STOP, Wheels(0.1, 0.2), Reason.OK, "", 0)
    _check(messages.LOOP.schema, messages.loop(tick, 3), odd | {"frame"})
    wishes = {"v_mps", "omega_radps"}
    _check(messages.COMMAND.schema, messages.acts(tick), odd | wishes)
    _check(messages.SENSE.schema, messages.senses(Senses(1.0, **readings)), odd)
    nothing = Reading(None, float("-inf"))
    _check(
        messages.SENSE.schema,
        messages.senses(Senses(1.0, nothing, nothing, Reading(float("nan"), 1.0))),
        odd | {"value", "stamp", *messages.SENSES[3:]},
    )
    assert messages.COMMAND.schema is not None
    wish = messages.COMMAND.schema["properties"]["wanted"]
    _check(wish, messages.command(Twist(float("inf"), 0.0)), {"v_mps", "left", "right"})
    _check(wish, messages.command(Wheels(0.5, 0.0)), odd | wishes)


def test_schemas_use_only_what_foxgloves_reader_understands() -> None:
    """Its reader takes one plain type a field, refuses unions and nulls, and wants the fields of every object."""

    def walk(schema: dict[str, Any]) -> None:
        assert schema["type"] in {"object", "array", "number", "integer", "string", "boolean"}
        for inner in schema["properties"].values() if schema["type"] == "object" else ():
            walk(inner)
        if schema["type"] == "array":
            assert schema["items"]["type"] != "array"
            walk(schema["items"])

    for topic in messages.TOPICS:
        if topic is not messages.CAMERA:
            assert topic.schema is not None and topic.schema["type"] == "object"
            walk(topic.schema)


def test_floats_come_back_bit_for_bit() -> None:
    for number in (0.1 + 0.2, 1 / 3, 5e-324, 1.7976931348623157e308, float(np.float32(0.1))):
        told = json.loads(messages.encode(messages.command(Twist(number, -number))))
        assert (told["v_mps"], told["omega_radps"]) == (number, -number)


@pytest.fixture(scope="module")
def compressed_image() -> Any:
    """The class that a protobuf library makes of our schema."""
    pool = descriptor_pool.DescriptorPool()
    for file in descriptor_pb2.FileDescriptorSet.FromString(protobuf.schema()).file:
        pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName("foxglove.CompressedImage"))


@pytest.mark.parametrize("stamp_ns", [0, 1, 999_999_999, 1_000_000_000, 13_932_481_358_001_234])
@pytest.mark.parametrize("data", [b"", b"x", bytes(range(256)) * 300])
def test_a_protobuf_library_reads_our_frames_and_we_read_its(compressed_image: Any, stamp_ns: int, data: bytes) -> None:
    ours = protobuf.CompressedImage(stamp_ns, "camera", data, "jpeg")
    theirs = compressed_image.FromString(protobuf.image(ours))
    assert (theirs.timestamp.seconds * 10**9 + theirs.timestamp.nanos) == stamp_ns
    assert (theirs.frame_id, theirs.data, theirs.format) == ("camera", data, "jpeg")
    assert protobuf.read_image(theirs.SerializeToString()) == ours
    assert protobuf.read_image(protobuf.image(ours)) == ours


@given(st.binary(max_size=200))
def test_any_bytes_are_read_or_refused(data: bytes) -> None:
    try:
        protobuf.read_image(data)
    except ValueError:
        return


def test_a_frame_is_rgb(compressed_image: Any) -> None:
    image = np.zeros((8, 8, 3), np.uint8)
    image[:, :, 0] = 200  # red
    for kind in messages.FORMATS:
        found = compressed_image.FromString(messages.picture(Frame(image, 1.5), kind))
        seen = cv2.imdecode(np.frombuffer(found.data, np.uint8), cv2.IMREAD_COLOR)
        assert seen is not None and found.format == kind
        assert np.abs(seen[:, :, ::-1].astype(int) - image).max() < 4


