"""A recording read back is what the loop told, bit for bit, also from a file that was cut off."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edge.guard import Reason
from edge.loop import Tick
from edge.recordings.decode import UnreadableError
from edge.recordings.reader import Moment, Recording, episodes
from edge.types import Observation
from robot.sim.faults import Fault
from robot.types import STOP, Reading, Twist, Wheels
from tests.edge.runs import CONFIG, LEARNED, record


def same(one: Any, other: Any) -> bool:
    """Equality of values in which NaN is NaN."""
    if isinstance(one, float) and isinstance(other, float):
        return one == other or (math.isnan(one) and math.isnan(other))
    if isinstance(one, Reading) and isinstance(other, Reading):
        return same(one.value, other.value) and same(one.stamp, other.stamp)
    if isinstance(one, Twist | Wheels):
        fields = ("v", "omega") if isinstance(one, Twist) else ("left", "right")
        return type(one) is type(other) and all(same(getattr(one, name), getattr(other, name)) for name in fields)
    return bool(one == other)


def check(moments: list[Moment], ticks: list[Tick]) -> None:
    assert len(moments) == len(ticks) > 0
    before = STOP
    newest = -math.inf
    for moment, tick in zip(moments, ticks, strict=True):
        found = moment.tick
        for name in Tick.__dataclass_fields__:
            if name != "senses":
                assert same(getattr(found, name), getattr(tick, name)), (name, tick.index)
        for name in tick.senses.__dataclass_fields__:
            if name != "frame":
                assert same(getattr(found.senses, name), getattr(tick.senses, name)), (name, tick.index)
        assert moment.tick.before == before
        before = tick.applied
        frame = tick.senses.frame
        if frame is not None and frame.stamp > newest:
            newest = frame.stamp
            assert moment.picture is not None and moment.picture.stamp == frame.stamp
        else:
            assert moment.picture is None


class Awkward:
    """Wants what is hardest to write down: tiny, huge, negative zero, NaN, infinity, wheels; and raises once."""

    name = "awkward"
    needs_camera = False

    def __init__(self) -> None:
        chance = np.random.default_rng(3)
        wild = chance.normal(size=(200, 2)) * 10.0 ** chance.integers(-300, 300, (200, 1))
        self.wishes = [Twist(*pair) for pair in wild.tolist()] + [
            Twist(-0.0, 5e-324), Twist(math.nan, math.inf), Twist(-math.inf, 0.1), Wheels(0.1 + 0.2, -0.0),
            Wheels(math.nan, 1.0), Twist(1 / 3, -1 / 3),
        ]  # fmt: skip

    def reset(self) -> None:
        self.at = 0

    def act(self, observation: Observation) -> Twist | Wheels:
        self.at += 1
        if self.at == 50:
            raise RuntimeError("once")
        return self.wishes[self.at % len(self.wishes)]


def test_every_iteration_comes_back_bit_for_bit(tmp_path: Path) -> None:
    path = tmp_path / "run.mcap"
    ticks = record(path, Awkward(), 5.0)
    recording = Recording(path)
    check(list(recording.moments()), ticks)
    assert recording.cut == "" and recording.dropped == 0
    assert recording.config == CONFIG
    assert recording.metadata["policy"] == "awkward"
    assert {Reason.FAULT, Reason.NOT_FINITE} < {tick.reason for tick in ticks}
    assert [line.text.split("\n")[0] for line in recording.log()][-1] == "ended: duration"
    poses = [moment.pose for moment in recording.moments()]
    assert all(pose is not None and all(map(math.isfinite, pose)) for pose in poses)


def test_detections_are_there_at_the_iterations_at_which_the_policy_saw_them(tmp_path: Path) -> None:
    """Stale ones and none at all too: the camera is gone for two seconds."""
    path = tmp_path / "run.mcap"
    ticks = record(path, "person", 5.0, task="person", faults=(Fault("camera", "disconnect", 1.5, 3.5),))  # type: ignore[arg-type]
    seen = [tick.detections for tick in ticks]
    assert any(a is not None and b is None for a, b in zip(seen, seen[1:], strict=False)), "none went stale"
    check(list(Recording(path).moments()), ticks)


def test_a_learned_run_holds_its_model(tmp_path: Path) -> None:
    record(tmp_path / "run.mcap", LEARNED, 1.0)
    assert Recording(tmp_path / "run.mcap").attachments["policy.tflite"] == LEARNED.read_bytes()


def test_a_file_that_was_cut_off_is_read_as_far_as_it_goes(tmp_path: Path) -> None:
    path = tmp_path / "run.mcap"
    ticks = record(path, "straight", 20.0)
    whole = path.read_bytes()
    got = []
    for share in (0.02, 0.4, 0.8, 0.999):
        path.write_bytes(whole[: int(len(whole) * share)])
        recording = Recording(path)
        moments = list(recording.moments())
        if moments:
            check(moments, ticks[: len(moments)])
        got.append(len(moments))
        assert recording.cut == "it was cut off"
    assert got == sorted(got) and got[-1] == len(ticks)


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda path: None, "cannot be read .*give an .mcap file"),
        (lambda path: path.write_bytes(b""), "is empty"),
        (lambda path: path.write_bytes(b"a film, say" * 100), "is no MCAP file"),
    ],
)
def test_what_is_no_recording_is_told_in_one_sentence(
    make: Callable[[Path], object], said: str, tmp_path: Path
) -> None:
    path = tmp_path / "run.mcap"
    make(path)
    with pytest.raises(UnreadableError, match=said):
        Recording(path)


def test_somebody_elses_mcap_file_is_refused(tmp_path: Path) -> None:
    from mcap.writer import Writer

    path = tmp_path / "other.mcap"
    with path.open("wb") as file:
        writer = Writer(file)
        writer.start(profile="ros2", library="other")
        writer.finish()
    with pytest.raises(UnreadableError, match="was written by 'ros2', not by edgebot"):
        Recording(path)


def test_runs_are_told_apart(tmp_path: Path) -> None:
    for name in ("a", "b"):
        record(tmp_path / f"{name}.mcap", "straight", 0.2)
    runs = episodes([tmp_path / "b.mcap", tmp_path / "a.mcap"])
    assert [run.path.name for run in runs] == ["b.mcap", "a.mcap"]
    ticks = [moment.tick for run in runs for moment in run.moments()]
    assert [replace(tick, senses=ticks[0].senses).index for tick in ticks] == [*range(10), *range(10)]
