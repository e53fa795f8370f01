"""Recordings speak Foxglove's schemas: each field of ours has the name and kind that Foxglove's own schema gives it."""

from __future__ import annotations

from typing import Any

import pytest
from foxglove import messages as theirs
from google.protobuf import descriptor_pb2
from google.protobuf.descriptor_pb2 import FieldDescriptorProto as Field

from edge import messages as ours
from edge.recordings import protobuf

KINDS = {
    "number": {Field.TYPE_DOUBLE, Field.TYPE_FLOAT},
    "integer": {Field.TYPE_UINT32, Field.TYPE_INT32, Field.TYPE_FIXED32, Field.TYPE_INT64, Field.TYPE_ENUM},
    "string": {Field.TYPE_STRING},
    "object": {Field.TYPE_MESSAGE},
}
SHARED = [topic for topic in ours.TOPICS if topic.schema_name.startswith("foxglove.") and topic.schema is not None]


def described(data: bytes) -> dict[str, Any]:
    """Every message of a `FileDescriptorSet` by its full name."""
    files = descriptor_pb2.FileDescriptorSet.FromString(data).file
    return {f".{file.package}.{message.name}": message for file in files for message in file.message_type}


@pytest.mark.parametrize("topic", SHARED, ids=lambda topic: topic.name)
def test_json_messages_have_foxgloves_fields(topic: ours.Topic) -> None:
    name = topic.schema_name.removeprefix("foxglove.")
    known = described(getattr(theirs, name).get_schema().data)
    assert topic.schema is not None
    compare(topic.schema, known[f".foxglove.{name}"], known)


def compare(schema: dict[str, Any], message: Any, known: dict[str, Any]) -> None:
    fields = {field.name: field for field in message.field}
    assert set(schema["properties"]) <= set(fields)
    for name, inner in schema["properties"].items():
        field = fields[name]
        repeated = field.label == Field.LABEL_REPEATED
        assert (inner["type"] == "array") == repeated, name
        kind = inner["items"] if repeated else inner
        assert field.type in KINDS[kind["type"]], name
        if kind["type"] == "object" and field.type_name in (".google.protobuf.Timestamp", ".google.protobuf.Duration"):
            assert set(kind["properties"]) == {"sec", "nsec"}  # as Foxglove's JSON writes times
        elif kind["type"] == "object":
            compare(kind, known[field.type_name], known)


def test_frames_have_foxgloves_schema() -> None:
    own, foxgloves = described(protobuf.schema()), described(theirs.CompressedImage.get_schema().data)
    for name, message in foxgloves.items():
        fields = {(field.name, field.number, field.type, field.type_name) for field in message.field}
        assert {(field.name, field.number, field.type, field.type_name) for field in own[name].field} == fields
    assert set(own) == set(foxgloves)


def test_levels_and_kinds_of_annotation_are_foxgloves() -> None:
    assert int(theirs.PointsAnnotationType.LineLoop) == ours.LINE_LOOP
    for name, number in ours.LEVELS.items():
        assert int(getattr(theirs.LogLevel, name.capitalize())) == number
