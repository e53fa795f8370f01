"""Recordings: what the loop did can be read back whole, with the ordinary MCAP reader."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from mcap.exceptions import EndOfFile
from mcap.reader import make_reader
from mcap.records import Channel, Message
from mcap.stream_reader import StreamReader

from edge import messages
from edge.guard import Guard, Reason
from edge.loop import Loop, Tick
from edge.perception.runner import SyncPerception
from edge.recording import Recorder, RecordingError
from edge.types import Detection, Detections, Observation
from robot.clock import VirtualClock
from robot.config import load
from robot.sim.body import SimBody
from robot.sim.rooms import make_room
from robot.types import STOP, Frame, Reading, Senses, Twist, Wheels

CONFIG = load()


class Wavering:
    """Drives in bows, and wants NaN for a while."""

    name = "wavering"
    needs_camera = False

    def act(self, observation: Observation) -> Twist:
        nan = 1.0 <= observation.now < 1.2
        return Twist(float("nan") if nan else 0.15, float(np.sin(observation.now)))

    def reset(self) -> None: ...


class Corner:
    """A detector that sees one thing, in a place that depends on the picture."""

    def detect(self, image: np.ndarray) -> tuple[Detection, ...]:
        return (Detection("corner", 0.75, (float(image[0, 0, 0]), 2.0, 30.0, 40.0), 0.1, 0.5),)


def read(path: Path) -> tuple[dict[str, list[tuple[int, dict[str, Any]]]], dict[str, str], dict[str, bytes]]:
    found: dict[str, list[tuple[int, dict[str, Any]]]] = {}
    with path.open("rb") as file:
        reader = make_reader(file, validate_crcs=True)
        for schema, channel, message in reader.iter_messages():
            assert schema is not None and (schema.encoding, channel.message_encoding) == ("jsonschema", "json")
            json.loads(schema.data)
            found.setdefault(channel.topic, []).append((message.log_time, json.loads(message.data)))
        metadata = {record.name: record.metadata for record in reader.iter_metadata()}
        attachments = {record.name: record.data for record in reader.iter_attachments()}
        summary = reader.get_summary()
        assert summary is not None and summary.statistics is not None
        assert summary.statistics.message_count == sum(map(len, found.values()))
    return found, metadata["edgebot"], attachments


def test_a_run_can_be_read_back_whole(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "run.mcap"
    clock, room, ticks = VirtualClock(0.02), make_room("person", "easy", 5), list[Tick]()
    perception = SyncPerception(Corner(), 0.1, 0.6)
    with SimBody(CONFIG, room, clock, seed=1) as body:
        poses: list[list[float]] = []
        with Recorder(
            path,
            {"policy": "wavering", "seed": "1"},
            {"robot.json": CONFIG.model_dump_json().encode()},
            pose=lambda: tuple(body.world.pose[:, 0].tolist()),  # type: ignore[arg-type, return-value]
            wait=True,
        ) as recorder:
            loop = Loop(body, Wavering(), Guard(CONFIG), clock, perception=perception, recorder=recorder)

            def note(tick: Tick) -> None:
                ticks.append(tick)
                poses.append(body.world.pose[:, 0].tolist())

            loop.run(3.0, on_tick=note)
        assert recorder.dropped == 0
    found, metadata, attachments = read(path)

    assert metadata == {"policy": "wavering", "seed": "1"}
    assert type(CONFIG).model_validate_json(attachments["robot.json"]) == CONFIG
    counts = {topic: len(content) for topic, content in found.items()}
    frames = {tick.senses.frame.stamp: tick.senses.frame for tick in ticks if tick.senses.frame is not None}
    results = {tick.detections.stamp: tick.detections for tick in ticks if tick.detections is not None}
    assert counts["/senses"] == counts["/command"] == counts["/loop"] == counts["/pose"] == len(ticks) == 150
    assert counts["/camera"] == len(frames) == 30
    assert counts["/detections"] == counts["/camera/annotations"] == len(results) >= 28

    for tick, (at, senses), (acted, command), (_, pose), true in zip(
        ticks, found["/senses"], found["/command"], found["/pose"], poses, strict=True
    ):
        assert at == round(tick.now * 1e9)
        assert acted == round(tick.acted * 1e9)
        assert senses["range"] == {"value": tick.senses.range.value, "stamp": tick.senses.range.stamp}
        assert senses["light_left"]["value"] == tick.senses.light_left.value
        assert "tilt" not in senses
        assert command["reason"] == tick.reason
        assert command["applied"] == {"left": tick.applied.left, "right": tick.applied.right}
        assert isinstance(tick.wanted, Twist)
        if tick.reason is Reason.NOT_FINITE:
            assert command["wanted"]["not_finite"] == "v_mps=NaN"
            assert "v_mps" not in command["wanted"]
            assert command["command"] == {"form": "wheels", "left": 0.0, "right": 0.0}
        else:
            assert command["wanted"] == {"form": "twist", "v_mps": tick.wanted.v, "omega_radps": tick.wanted.omega}
        assert pose["frame_id"] == "world"
        assert [pose["pose"]["position"][axis] for axis in "xy"] == true[:2]
    assert Counter(command["reason"] for _, command in found["/command"])["not_finite"] == 10

    for (_, image), frame in zip(found["/camera"], frames.values(), strict=True):
        stamp = image["timestamp"]["sec"] + image["timestamp"]["nsec"] * 1e-9
        assert stamp == pytest.approx(frame.stamp)
        data = np.frombuffer(_base64(image["data"]), np.uint8)
        picture = cv2.imdecode(data, cv2.IMREAD_COLOR)
        assert picture is not None and image["format"] == "jpeg"
        assert np.abs(picture[:, :, ::-1].astype(int) - frame.image).mean() < 4  # RGB went in, RGB comes out
    for (_, result), (_, drawn), true_result in zip(
        found["/detections"], found["/camera/annotations"], results.values(), strict=True
    ):
        (item,) = true_result.items
        assert result["items"][0] == {
            "label": "corner", "score": 0.75, "box": list(item.box), "bearing": 0.1, "height": 0.5,
        }  # fmt: skip
        assert drawn["texts"][0]["text"] == "corner 0.75"
        assert drawn["points"][0]["points"][2] == {"x": item.box[0] + 30.0, "y": 42.0}
    logged = [(line["level"], line["message"]) for _, line in found["/log"]]
    assert (3, "stopped: not_finite") in logged
    assert (2, "drives again") in [(level, text.split(":")[0]) for level, text in logged]
    assert logged[-1] == (2, "ended: duration")


def _base64(text: str) -> bytes:
    import base64

    return base64.b64decode(text, validate=True)


def test_schemas_bear_foxgloves_names() -> None:
    names = {topic.name: topic.schema_name for topic in messages.TOPICS}
    assert names["/camera"] == "foxglove.CompressedImage"
    assert names["/camera/annotations"] == "foxglove.ImageAnnotations"
    assert names["/pose"] == "foxglove.PoseInFrame"
    assert names["/log"] == "foxglove.Log"


KINDS: dict[str, tuple[type, ...]] = {"number": (int, float), "integer": (int,), "string": (str,)}


def _check(schema: dict[str, Any], value: dict[str, Any], optional: set[str]) -> None:
    """That a message keeps to its schema: JSON Schema's rules, as far as ours use them."""
    assert schema["type"] == "object"
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
    _check(messages.LOG.schema, messages.log(1.0, "info", "text"), set())
    _check(messages.CAMERA.schema, messages.image(Frame(np.zeros((4, 4, 3), np.uint8), 1.0)), set())
    _check(messages.SENSE.schema, messages.senses(Senses(1.0, **readings)), odd)
    nothing = Reading(None, float("-inf"))
    _check(
        messages.SENSE.schema,
        messages.senses(Senses(1.0, nothing, nothing, Reading(float("nan"), 1.0))),
        odd | {"value", "stamp", *messages.SENSES[3:]},
    )
    wish = messages.COMMAND.schema["properties"]["wanted"]
    _check(wish, messages.command(Twist(float("inf"), 0.0)), {"v_mps", "left", "right"})
    _check(wish, messages.command(Wheels(0.5, 0.0)), odd | {"v_mps", "omega_radps"})


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
        assert topic.schema["type"] == "object"
        walk(topic.schema)


def tick(index: int, frame: Frame | None = None) -> Tick:
    now = index * 0.02
    senses = Senses(now, *(Reading(0.5, now),) * 3, frame=frame)
    return Tick(index, now, now, now, senses, None, STOP, STOP, Wheels(0.1, 0.1), Reason.OK, "", 0)


def test_what_does_not_fit_the_queue_is_dropped_counted_and_told(tmp_path: Path) -> None:
    path = tmp_path / "run.mcap"
    large = np.random.default_rng(0).integers(0, 255, (1080, 1920, 3), np.uint8)  # costs the writer some 30 ms each
    with Recorder(path, room=8) as recorder:
        costs = []
        for index in range(300):
            picture = tick(index, Frame(large, index * 0.02))
            began = time.perf_counter()
            recorder.tick(picture)
            costs.append(time.perf_counter() - began)
    assert recorder.dropped > 100
    assert sorted(costs)[len(costs) // 2] < 1e-3  # nobody waited for the disk
    found, _, _ = read(path)
    assert len(found["/loop"]) == 300 - recorder.dropped
    told = sum(int(line["message"].split()[0]) for _, line in found["/log"])
    assert told == recorder.dropped


def test_in_simulated_time_the_loop_waits_and_nothing_is_dropped(tmp_path: Path) -> None:
    with Recorder(tmp_path / "run.mcap", wait=True, room=4) as recorder:
        for index in range(500):
            recorder.tick(tick(index))
    assert recorder.dropped == 0
    assert len(read(tmp_path / "run.mcap")[0]["/loop"]) == 500


def test_an_earlier_recording_is_not_lost(tmp_path: Path) -> None:
    path = tmp_path / "run.mcap"
    Recorder(path).close()
    before = path.read_bytes()
    with pytest.raises(RecordingError, match="exists already; choose another name, or add --overwrite"):
        Recorder(path)
    assert path.read_bytes() == before
    with Recorder(path, overwrite=True) as recorder:
        recorder.tick(tick(0))
    assert path.read_bytes() != before


def test_a_place_that_cannot_be_written_is_told_in_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    for path in (tmp_path / "file" / "run.mcap", tmp_path):
        with pytest.raises(RecordingError, match="cannot be written .*another --record FILE"):
            Recorder(path)
    if Path("/dev/full").exists():
        with pytest.raises(RecordingError, match="No space left"):
            Recorder("/dev/full")


def test_closing_twice_is_fine_and_writing_after_is_not(tmp_path: Path) -> None:
    recorder = Recorder(tmp_path / "run.mcap")
    recorder.close()
    recorder.close()
    with pytest.raises(RecordingError, match="is closed"):
        recorder.tick(tick(0))


COMMAND = [sys.executable, "-m", "edge.cli", "run", "--sim", "--policy", "straight"]
ROOT = Path(__file__).resolve().parents[2]


def test_a_full_disk_stops_the_robot_and_is_told(tmp_path: Path) -> None:
    import resource

    def small_files() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (30_000, 30_000))

    done = subprocess.run(
        [*COMMAND, "--duration", "300", "--record", str(tmp_path / "run.mcap"), "--json"],
        cwd=ROOT, capture_output=True, text=True, timeout=120, preexec_fn=small_files,
    )  # fmt: skip
    assert done.returncode == 1, done.stderr
    assert "Traceback" not in done.stderr
    assert "run.mcap cannot be written (File too large)" in done.stderr.splitlines()[-1]
    summary = json.loads(done.stdout)
    assert summary["ended"] == "fault"
    assert summary["ticks"] < 300 * 50


@pytest.mark.slow
def test_a_recording_whose_writer_is_killed_has_all_but_the_last_second_or_so(tmp_path: Path) -> None:
    path = tmp_path / "run.mcap"
    process = subprocess.Popen(
        [*COMMAND, "--realtime", "--duration", "60", "--record", str(path)], cwd=ROOT, stderr=subprocess.DEVNULL
    )
    try:
        until = time.monotonic() + 60
        while time.monotonic() < until and not (path.exists() and path.stat().st_size > 10_000):
            time.sleep(0.02)
        time.sleep(2.5)
        killed = time.monotonic()
        os.kill(process.pid, signal.SIGKILL)
    finally:
        process.kill()
        process.wait()
    last, channels = 0, dict[int, str]()
    with path.open("rb") as file, pytest.raises(EndOfFile):
        for record in StreamReader(file).records:
            if isinstance(record, Channel):
                channels[record.id] = record.topic
            if isinstance(record, Message) and channels[record.channel_id] == "/loop":
                last = max(last, record.log_time)
    assert killed - last * 1e-9 < 2.0  # one second, and what a busy machine adds
