"""`edgebot replay`: the same policy wants the same bits again, another one is told apart, and so are detectors."""

from __future__ import annotations

import functools
import json
import math
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from edge import cli
from edge.policies import make
from edge.recordings.reader import Moment, Recording
from edge.recordings.rotation import Rotation
from edge.replay.chart import ticks as round_numbers
from edge.replay.detector import match
from edge.replay.policy import ask, bits, choose, replay
from edge.session import Settings, open_session
from edge.types import Detection, Observation
from robot.sim.faults import Fault
from robot.sim.rooms import make_room
from robot.types import Reading, Senses, Twist, Wheels
from tests.edge.runs import CONFIG, LEARNED, record

FAULTS = {
    "none": (),
    "range": (Fault("range", "nan", 0.5, 1.0), Fault("range", "dropout", 1.5, 3.0, probability=0.5)),  # type: ignore[arg-type]
    "light": (Fault("light_left", "dropout", 0.5, 2.0, probability=0.7), Fault("light", "stuck", 2.5, 3.5)),  # type: ignore[arg-type]
    "motors": (Fault("motor_left", "weak", 0.5, 3.0, value=0.4), Fault("range", "delay", 1.0, 3.0, value=0.15)),  # type: ignore[arg-type]
}


BLIND = [
    *((policy, fault) for policy in ("light", "range", str(LEARNED)) for fault in FAULTS),
    ("random", "range"), ("straight", "motors"),
]  # fmt: skip


@functools.cache
def clean(policy: str) -> list[Senses]:
    """What is sensed without a fault."""
    with tempfile.TemporaryDirectory() as folder:
        ticks = record(Path(folder) / "run.mcap", policy, 4.0, task="range" if policy == "range" else "light")
    return [tick.senses for tick in ticks]


@pytest.mark.parametrize(("policy", "fault"), BLIND)
def test_the_same_policy_wants_the_same_bits(policy: str, fault: str, tmp_path: Path) -> None:
    path = tmp_path / "run.mcap"
    recorded = record(path, policy, 4.0, task="range" if policy == "range" else "light", faults=FAULTS[fault])
    recording = Recording(path)
    diff = replay(recording.moments(), choose(recording, None))
    assert diff.exact and len(diff.steps) == len(recorded)
    assert (diff.gaps, diff.late, diff.not_asked) == (0, False, 0)
    if fault != "none":
        assert clean(policy) != [tick.senses for tick in recorded], "the fault changed nothing"


@pytest.mark.parametrize("faults", [(), (Fault("camera", "disconnect", 1.0, 2.5),)])  # type: ignore[arg-type]
def test_a_policy_that_sees_gets_the_recorded_detections_at_their_iterations(
    faults: tuple[Fault, ...], tmp_path: Path
) -> None:
    path = tmp_path / "run.mcap"
    record(path, "person", 5.0, task="person", faults=faults)
    recording = Recording(path)
    diff = replay(recording.moments(), choose(recording, None))
    assert diff.exact
    assert any(moment.tick.detections and moment.tick.detections.items for moment in recording.moments())


def test_a_policy_that_raised_then_raises_again(tmp_path: Path) -> None:
    """And at iterations at which the senses failed, it was not asked, and is not."""

    class Moody:
        name, needs_camera = "moody", False

        def reset(self) -> None:
            self.asked = 0

        def act(self, observation: Observation) -> Twist:
            self.asked += 1
            if self.asked % 7 == 0:
                raise RuntimeError("no")
            return Twist(0.001 * self.asked, 0.0)

    path = tmp_path / "run.mcap"
    config, policy, room = CONFIG, Moody(), make_room("light", "easy", 7)
    with open_session(config, policy, Settings(room=room, task="", record=path)) as session:
        sense, calls = session.body.sense, iter(range(10**6))

        def sometimes() -> Senses:
            if next(calls) % 5 == 3:
                raise OSError("the bus is gone")
            return sense()

        session.body.sense = sometimes  # type: ignore[method-assign]
        session.run(2.0)
    diff = replay(Recording(path).moments(), Moody())
    assert diff.exact and diff.not_asked == 20 and len(diff.steps) == 80
    assert sum(step.fails for step in diff.steps) == 11


@pytest.mark.slow
def test_a_run_on_the_wall_clock_replays_too(tmp_path: Path) -> None:
    """Perception in its own process: results come when they come."""
    path = tmp_path / "run.mcap"
    record(path, "person", 4.0, task="person", seed=5, realtime=True)
    recording = Recording(path)
    diff = replay(recording.moments(), choose(recording, None))
    assert len(diff.steps) > 50 and any(moment.found for moment in recording.moments())
    assert diff.exact or diff.gaps


def spoilt(recording: Recording, what: str) -> list[Moment]:
    """The recording with one thing that the policy sees a little changed, in its middle."""
    moments = list(recording.moments())
    at = next(i for i, moment in enumerate(moments) if i > 60 and moment.found is not None and moment.found.items)
    moment = moments[at]
    tick = moment.tick
    if what == "senses":
        reading = tick.senses.range
        later = [replace(m.tick.senses, range=Reading(0.35, m.tick.now)) for m in moments[at : at + 25]]
        assert reading is not None
        for i, senses in enumerate(later):
            moments[at + i] = replace(moments[at + i], tick=replace(moments[at + i].tick, senses=senses))
    elif what == "detections":
        for i in range(at, len(moments)):
            moments[i] = replace(moments[i], tick=replace(moments[i].tick, detections=None))
    elif what == "before":
        moments[at] = replace(moment, tick=replace(tick, before=Wheels(1.0, -1.0)))
    elif what == "wanted":
        assert isinstance(tick.wanted, Twist)
        last_bit = Twist(math.nextafter(tick.wanted.v, 9.0), tick.wanted.omega)
        moments[at] = replace(moment, tick=replace(tick, wanted=last_bit))
    return moments


@pytest.fixture(scope="module")
def person(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("person") / "run.mcap"
    record(path, "person", 8.0, task="person")
    return path


@pytest.mark.parametrize("what", ["senses", "detections", "before", "wanted"])
def test_whatever_the_policy_saw_matters(what: str, person: Path) -> None:
    """The proof that equality is no accident: each part of the observation, changed, shows in the commands."""
    diff = replay(spoilt(Recording(person), what), make("person", CONFIG))
    assert diff.different
    if what == "wanted":
        assert len(diff.different) == 1


def test_missing_iterations_and_a_late_start_are_told(tmp_path: Path) -> None:
    path = tmp_path / "run.mcap"
    record(path, "light", 3.0)
    moments = list(Recording(path).moments())
    diff = replay(moments[:40] + moments[60:], make("light", CONFIG))
    assert (diff.gaps, diff.late) == (1, False)
    assert replay(moments[10:], make("light", CONFIG)).late


def test_bits_tell_negative_zero_and_forms_apart_and_take_nan_for_nan() -> None:
    assert bits(Twist(0.0, 0.0)) != bits(Twist(-0.0, 0.0))
    assert bits(Twist(0.0, 0.0)) != bits(Wheels(0.0, 0.0))
    assert bits(Twist(math.nan, 1.0)) == bits(Twist(-math.nan, 1.0))
    assert bits(Twist(0.1 + 0.2, 0.0)) != bits(Twist(0.3, 0.0))


def test_a_policy_that_raises_is_told_as_such() -> None:
    class Broken:
        name, needs_camera = "broken", False

        def act(self, observation: Observation) -> Twist:
            raise ZeroDivisionError

        def reset(self) -> None: ...

    assert ask(Broken(), None) == (Wheels(0.0, 0.0), True)  # type: ignore[arg-type]


def run(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, dict[str, Any], str]:
    code = cli.main(["replay", "--json", *arguments])
    told = capsys.readouterr()
    return code, json.loads(told.out) if told.out else {}, told.err


def test_the_command_tells_and_draws(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    record(Path("run.mcap"), "light", 6.0)
    code, found, told = run(capsys, "run.mcap", "--exact")
    assert code == 0 and found["policy"]["exact"] and found["policy"]["iterations"] == 300
    assert "all equal, bit for bit" in told and found["picture"] == "run-replay.png"
    picture = cv2.imread("run-replay.png")
    assert picture is not None
    code, found, told = run(capsys, "run.mcap", "--policy", "straight", "--exact", "--save", "diff.png")
    assert code == 1 and not found["policy"]["exact"]
    assert found["policy"]["first_difference"]["index"] == 0
    assert found["policy"]["max_abs_omega_radps"] > 1.0
    assert "differ" in told and "first difference" in told
    other = cv2.imread("diff.png")
    assert other is not None and other.shape == picture.shape
    red = (other == (40, 39, 214)).all(axis=2).sum()  # the marks, in OpenCV's order
    assert red > 1000 and (picture == (40, 39, 214)).all(axis=2).sum() == 0
    assert run(capsys, "run.mcap", "--policy", "range")[0] == 0  # a difference is no failure unless asked for


def test_mistakes_are_told_in_one_sentence(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    record(Path("run.mcap"), "straight", 0.5)
    Path("there.png").write_bytes(b"precious")
    for arguments, said in (
        (("none.mcap",), "cannot be read"),
        (("run.mcap", "--policy", "lihgt"), "did you mean 'light'?"),
        (("run.mcap", "--detector", "none.tflite"), "none.tflite cannot be read"),
        (("run.mcap", "--detector", "person"), "holds no frame that a detector looked at"),
        (("run.mcap", "--save", "there.png"), "exists already"),
        (("run.mcap", "--save", "diff.txt"), "name a .png"),
    ):
        code, _, told = run(capsys, *arguments)
        assert code == 2 and said in told and "Traceback" not in told, told
    assert Path("there.png").read_bytes() == b"precious"


def test_runs_by_hand_need_a_policy_to_be_named(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    by_hand = make("straight", CONFIG)
    by_hand.name = "hand"
    record(Path("run.mcap"), by_hand, 0.5)
    code, _, told = run(capsys, "run.mcap")
    assert code == 2 and "was driven by 'hand'" in told
    assert run(capsys, "run.mcap", "--policy", "straight", "--exact")[0] == 0


def test_a_detector_on_jpeg_frames_is_a_diff(
    capsys: pytest.CaptureFixture[str], person: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    code, found, told = run(capsys, str(person), "--detector", "person")
    detector = found["detector"]
    assert code == 0 and "policy" not in found
    assert detector["formats"] == ["jpeg"] and detector["frames"] >= 40
    assert detector["boxes_in_both"] > 0.8 * detector["boxes_recorded"] > 0
    assert detector["mean_iou"] > 0.8
    picture = cv2.imread(found["picture"])
    assert picture is not None and picture.shape[0] > 500
    assert "boxes" in told


def test_a_detector_on_png_frames_is_exact(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    record(Path("run.mcap"), "person", 3.0, task="person", seed=5, record_frames="png")
    code, found, told = run(capsys, "run.mcap", "--detector", "person", "--exact")
    assert code == 0 and found["detector"]["exact"] and found["detector"]["formats"] == ["png"]
    assert found["detector"]["boxes_recorded"] > 3 and "all equal, bit for bit" in told
    code, found, _ = run(capsys, "run.mcap", "--detector", "person", "--score", "0.99", "--exact", "--save", "diff.png")
    assert code == 1 and found["detector"]["boxes_lost"] > 0


def test_boxes_are_paired_by_label_and_overlap() -> None:
    one = Detection("person", 0.9, (10.0, 10.0, 20.0, 40.0))
    near = Detection("person", 0.7, (12.0, 10.0, 20.0, 40.0))
    other = Detection("cat", 0.8, (10.0, 10.0, 20.0, 40.0))
    far = Detection("person", 0.6, (100.0, 10.0, 20.0, 40.0))
    (pair,) = match((one, far), (other, near))
    assert (pair.recorded, pair.replayed) == (one, near) and 0.8 < pair.iou < 0.9
    assert match((), (one,)) == ()


def test_axes_bear_round_numbers() -> None:
    assert round_numbers(-0.27, 0.43, 5) == [-0.2, 0.0, 0.2, 0.4]
    assert round_numbers(0.0, 60.0, 10) == [0.0, 10.0, 20.0, 30.0, 40.0, 50.0, 60.0]
    assert all(np.isfinite(round_numbers(1e-9, 2e-9, 5)))


def test_a_rotated_run_is_replayed_over_all_its_parts(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    # Files change each half second of the wall clock at the soonest, in which a fast machine runs 10 s.
    record(Path("parts"), "person", 24.0, task="person", seed=5, rotation=Rotation(max_bytes=1_000_000))
    files = sorted(Path("parts").iterdir())
    assert len(files) >= 2
    code, found, _ = run(capsys, "parts", "--exact")
    assert code == 0 and found["policy"]["iterations"] == 1200 and not found["policy"]["begins_late"]
    assert run(capsys, *map(str, reversed(files)), "--exact", "--save", "again.png")[0] == 0
    code, found, told = run(capsys, str(files[-1]))
    assert found["policy"]["begins_late"] and "does not begin with the run" in told


def test_a_run_that_was_cut_off_is_replayed_before_and_after_repair(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    record(Path("run.mcap"), "light", 12.0, camera=True)
    whole = Path("run.mcap").read_bytes()
    Path("run.mcap").write_bytes(whole[: int(len(whole) * 0.7)])
    code, before, told = run(capsys, "run.mcap", "--exact")
    assert code == 0 and before["cut"] == "it was cut off" and "edgebot recording repair" in told
    assert cli.main(["recording", "repair", "run.mcap"]) == 0
    capsys.readouterr()
    code, after, _ = run(capsys, "run.mcap", "--exact")
    assert code == 0 and after["cut"] == ""
    assert 600 > after["policy"]["iterations"] >= before["policy"]["iterations"] > 200
