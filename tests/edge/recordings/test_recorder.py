"""Recordings: what the loop did can be read back whole, with the ordinary MCAP reader."""

from __future__ import annotations

import errno
import json
import os
import subprocess
import sys
import time
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from mcap.reader import make_reader

from edge.guard import Guard, Reason
from edge.loop import Loop, Tick
from edge.perception.runner import SyncPerception
from edge.recordings import protobuf
from edge.recordings.recorder import Recorder, RecordingError
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
            assert schema is not None
            content: dict[str, Any]
            if channel.topic == "/camera":
                assert (schema.encoding, channel.message_encoding) == ("protobuf", "protobuf")
                seen = protobuf.read_image(message.data)
                content = {"stamp_ns": seen.stamp_ns, "data": seen.data, "format": seen.format}
            else:
                assert (schema.encoding, channel.message_encoding) == ("jsonschema", "json")
                json.loads(schema.data)
                content = json.loads(message.data)
            found.setdefault(channel.topic, []).append((message.log_time, content))
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

    assert (metadata["policy"], metadata["seed"], metadata["part"]) == ("wavering", "1", "0")
    assert type(CONFIG).model_validate_json(attachments["robot.json"]) == CONFIG
    counts = {topic: len(content) for topic, content in found.items()}
    frames = {tick.senses.frame.stamp: tick.senses.frame for tick in ticks if tick.senses.frame is not None}
    results = {tick.detections.stamp: tick.detections for tick in ticks if tick.detections is not None}
    assert counts["/senses"] == counts["/command"] == counts["/loop"] == counts["/pose"] == len(ticks) == 150
    assert counts["/camera"] == len(frames) == 30
    assert counts["/detections"] == counts["/camera/annotations"] == len(results) >= 28

    echoes = {tick.senses.range.stamp: tick.senses.range.value for tick in ticks}
    assert [scan["ranges"] for _, scan in found["/range"]] == [[metres] for metres in echoes.values()]

    for tick, (at, senses), (acted, command), (_, loop), (_, pose), true in zip(
        ticks, found["/senses"], found["/command"], found["/loop"], found["/pose"], poses, strict=True
    ):
        assert (loop["index"], loop["due"]) == (tick.index, tick.due)
        assert (loop["began"], loop["acted"]) == (tick.now, tick.acted)
        assert loop.get("frame") == (None if tick.senses.frame is None else tick.senses.frame.stamp)
        assert loop.get("detections") == (None if tick.detections is None else tick.detections.stamp)
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
        assert image["stamp_ns"] == round(frame.stamp * 1e9)
        picture = cv2.imdecode(np.frombuffer(image["data"], np.uint8), cv2.IMREAD_COLOR)
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
    Recorder(path, {"policy": "first"}).close()
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


def test_closing_twice_is_fine_and_what_comes_after_is_counted(tmp_path: Path) -> None:
    recorder = Recorder(tmp_path / "run.mcap")
    recorder.close()
    recorder.close()
    recorder.tick(tick(0))
    recorder.log(0.0, "info", "too late")
    assert recorder.lost == 2


def test_two_runs_do_not_write_one_file(tmp_path: Path) -> None:
    with Recorder(tmp_path / "run.mcap") as recorder:
        recorder.tick(tick(0))
        with pytest.raises(RecordingError, match="another run is writing it"):
            Recorder(tmp_path / "run.mcap", overwrite=True)
    assert len(read(tmp_path / "run.mcap")[0]["/loop"]) == 1


def test_png_keeps_every_pixel(tmp_path: Path) -> None:
    picture = np.random.default_rng(0).integers(0, 255, (24, 32, 3), np.uint8)
    with Recorder(tmp_path / "run.mcap", frames="png") as recorder:
        recorder.tick(tick(0, Frame(picture, 0.5)))
    ((_, image),) = read(tmp_path / "run.mcap")[0]["/camera"]
    assert image["format"] == "png"
    seen = cv2.imdecode(np.frombuffer(image["data"], np.uint8), cv2.IMREAD_COLOR)
    assert seen is not None and np.array_equal(seen[:, :, ::-1], picture)


def test_what_cannot_be_encoded_costs_only_itself(tmp_path: Path) -> None:
    odd = (np.zeros((0, 4, 3), np.uint8), np.zeros((4, 4), np.uint8), np.zeros((4, 4, 3), np.uint8))
    found = Detections((Detection("person", float("nan"), (float("inf"), 0.0, 1.0, 1.0)),), 0.5)
    with Recorder(tmp_path / "run.mcap") as recorder:
        for index, image in enumerate(odd):
            recorder.tick(replace(tick(index, Frame(image, 1.0 + index)), detections=found))
    assert not recorder.error
    content = read(tmp_path / "run.mcap")[0]
    assert len(content["/loop"]) == 3
    assert len(content["/camera"]) == 1
    assert "/detections" not in content
    told = [line["message"] for _, line in content["/log"]]
    assert any(line.startswith("/camera lacks what cannot be written") for line in told)
    assert any(line.startswith("/detections lacks what cannot be written") for line in told)


def test_the_writing_thread_keeps_up_the_promise_of_a_second(tmp_path: Path) -> None:
    """A chunk is closed and forced to the disk each second, whether much or little comes."""
    path = tmp_path / "run.mcap"
    with Recorder(path) as recorder:
        recorder.tick(tick(0))
        recorder.tick(tick(1))
        before, began = path.stat().st_size, time.monotonic()
        while path.stat().st_size == before and time.monotonic() < began + 30:
            time.sleep(0.01)
        took = time.monotonic() - began
        grown = path.read_bytes()
    assert len(grown) > before
    assert took < 1.0 + recorder.slowest_sync_s + 1.0  # a busy machine adds its own
    assert [found["index"] for found in in_chunks(grown)] == [0, 1]


def in_chunks(data: bytes) -> list[dict[str, Any]]:
    """The `/loop` messages of a file that is not closed."""
    from edge.recordings.scan import Chunk, message, messages, walk

    found = []
    for piece in walk(data):
        for opcode, _, content in messages(piece) if isinstance(piece, Chunk) else ():
            channel, _, _, body = message(content)
            if opcode == 5 and channel == 3:
                found.append(json.loads(body))
    return found


COMMAND = [sys.executable, "-m", "edge.cli", "run", "--sim", "--policy", "straight"]
ROOT = Path(__file__).resolve().parents[3]


def test_a_full_disk_ends_the_recording_and_not_the_drive(tmp_path: Path) -> None:
    import resource

    def small_files() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (60_000, 60_000))

    path = tmp_path / "run.mcap"
    done = subprocess.run(
        [*COMMAND, "--duration", "20", "--record", str(path), "--json"],
        cwd=ROOT, capture_output=True, text=True, timeout=120, preexec_fn=small_files,
    )  # fmt: skip
    assert done.returncode == 1, done.stderr
    assert "Traceback" not in done.stderr
    assert "run.mcap cannot be written (File too large)" in done.stderr.splitlines()[-1]
    summary = json.loads(done.stdout)
    assert summary["ended"] == "duration"
    assert summary["ticks"] == 20 * 50
    told = summary["recording"]
    assert "File too large" in told["error"]
    kept = in_chunks(path.read_bytes())
    assert [found["index"] for found in kept] == list(range(len(kept)))
    assert 1000 <= len(kept) + told["lost"] <= 1100  # log lines are lost too


def test_a_disk_that_comes_to_its_end_leaves_a_whole_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Room for the index is there once the chunk that did not fit is taken back."""
    path, limit, write = tmp_path / "run.mcap", 150_000, os.write

    def full(number: int, data: memoryview) -> int:
        if not os.path.samestat(os.fstat(number), path.stat()):
            return write(number, data)
        room = limit - os.fstat(number).st_size
        if room <= 0:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return write(number, data[:room])

    monkeypatch.setattr("edge.recordings.disk.os.write", full)
    recorder = Recorder(path, wait=True)
    index = 0
    while not recorder.error and index < 20_000:
        recorder.tick(tick(index, Frame(np.full((240, 320, 3), index % 255, np.uint8), float(index))))
        index += 1
    with pytest.raises(RecordingError, match="No space left on device.*make room there"):
        recorder.close()
    monkeypatch.undo()
    assert path.stat().st_size <= limit
    kept = [message["index"] for _, message in read(path)[0]["/loop"]]
    assert kept == list(range(len(kept)))
    assert recorder.lost >= 1
