"""Identities through missed frames, weak boxes, crossings and turns of the camera; and sticking to one of them."""

from __future__ import annotations

import math

import numpy as np
import pytest

from edge.errors import UsageError
from edge.perception.geometry import CameraGeometry
from edge.perception.kalman import PLACE, RATE, Boxes
from edge.perception.target import Target
from edge.perception.tracker import Tracker, TrackerSettings
from edge.types import Detection, Detections
from robot.config import load
from robot.pinhole import Pinhole


def seen(frame: int, *things: tuple[float, float], label: str = "person", size: float = 100.0) -> Detections:
    """Things at (middle x, score), 40 % as wide as high, with a detector's noise."""
    rng = np.random.default_rng([frame, 7])
    items = [
        Detection(label, score, (x - 0.2 * size + rng.normal(0, 1), 50 + rng.normal(0, 1), 0.4 * size, size))
        for x, score in things
    ]
    return Detections(tuple(items), 0.1 * frame)


def tracks(found: tuple[Detection, ...]) -> list[int | None]:
    return [item.track for item in found]


def test_the_filter_is_the_papers() -> None:
    rng = np.random.default_rng(1)
    first, then = rng.uniform(20, 60, (1, 4)), rng.uniform(20, 60, (3, 1, 4))
    boxes = Boxes.begin(first)
    x, y, w, h = first[0]
    mean = np.array([x + w / 2, y + h / 2, w / h, h, 0, 0, 0, 0])
    spread = np.diag(
        np.array([2 * PLACE * h] * 2 + [1e-2, 2 * PLACE * h] + [10 * RATE * h] * 2 + [1e-5, 10 * RATE * h]) ** 2
    )
    motion = np.eye(8) + np.eye(8, k=4)
    for box in then:
        boxes.predict()
        h = mean[3]
        mean = motion @ mean
        noise = np.array([PLACE * h] * 2 + [1e-2, PLACE * h] + [RATE * h] * 2 + [1e-5, RATE * h])
        spread = motion @ spread @ motion.T + np.diag(noise**2)
        h = mean[3]
        total = spread[:4, :4] + np.diag(np.array([PLACE * h] * 2 + [1e-1, PLACE * h]) ** 2)
        gain = spread[:, :4] @ np.linalg.inv(total)
        x, y, w, high = box[0]
        mean = mean + gain @ (np.array([x + w / 2, y + high / 2, w / high, high]) - mean[:4])
        spread = spread - gain @ total @ gain.T
        boxes.update(np.array([0]), box)
        np.testing.assert_allclose(boxes.mean[0].ravel(), mean, rtol=1e-9)
        np.testing.assert_allclose(boxes.spread[0, 2], np.diag(spread)[4:], rtol=1e-9)


def test_identities_live_through_missed_frames_and_weak_boxes() -> None:
    tracker = Tracker()
    for frame in range(60):
        things = [(100.0 + 4 * frame, 0.9), (500.0 - 3 * frame, 0.2 if 20 <= frame < 40 else 0.8)]
        if 25 <= frame < 35:
            things.pop(0)
        found = tracks(tracker.update(seen(frame, *things)))
        assert found == ([1, 2] if len(things) == 2 else [2]), frame
    assert tracker.count == 2


@pytest.mark.parametrize(("reach", "number"), [(0.0, 2), (0.3, 1)])
def test_who_turned_while_nobody_saw_is_found_beside_their_place(reach: float, number: int) -> None:
    tracker = Tracker(settings=TrackerSettings(reach=reach))
    for frame in range(10):
        tracker.update(seen(frame, (100.0 + 4 * frame, 0.9)))
    for frame in range(10, 16):
        tracker.update(Detections((), 0.1 * frame))
    for frame in range(16, 20):  # they stood still, and the filter let them walk on
        found = tracks(tracker.update(seen(frame, (136.0, 0.9))))
    assert found == [number]


def test_two_who_cross_keep_their_identities() -> None:
    tracker = Tracker()
    for frame in range(80):
        one, other = 100.0 + 5 * frame, 500.0 - 5 * frame
        hidden = abs(one - other) < 25  # the nearer hides the farther
        things = [(one, 0.9)] if hidden else [(one, 0.9), (other, 0.8)]
        found = tracks(tracker.update(seen(frame, *things)))
        assert found == ([1] if hidden else [1, 2]), frame


def test_what_is_weak_or_seen_once_begins_nothing() -> None:
    tracker = Tracker()
    assert tracks(tracker.update(seen(0, (100.0, 0.9)))) == [1]
    assert tracks(tracker.update(seen(1, (100.0, 0.9), (300.0, 0.3), (500.0, 0.9)))) == [1, None]
    assert tracks(tracker.update(seen(2, (100.0, 0.9), (300.0, 0.3)))) == [1]
    assert tracks(tracker.update(seen(3, (100.0, 0.9), (500.0, 0.9)))) == [1, None]
    assert tracks(tracker.update(seen(4, (100.0, 0.9), (500.0, 0.9)))) == [1, 2]
    assert tracker.count == 2


def test_labels_are_not_mixed_and_who_was_away_too_long_is_new() -> None:
    tracker = Tracker()
    tracker.update(seen(0, (100.0, 0.9)))
    assert tracks(tracker.update(seen(1, (100.0, 0.9), label="dog"))) == [None]
    tracker.reset()
    tracker.update(seen(0, (100.0, 0.9)))
    for frame in range(1, 30):
        tracker.update(Detections((), 0.1 * frame))
    for frame in range(30, 33):
        found = tracks(tracker.update(seen(frame, (100.0, 0.9))))
    assert found == [2]


def test_a_turn_of_the_camera_is_reckoned_with() -> None:
    camera = load().camera
    assert camera is not None
    geometry, view = CameraGeometry(camera), Pinhole.from_config(camera)
    places = np.array([[2.5, 0.35, 0.9], [2.5, -0.35, 0.9]])
    results = []
    for knows in (True, False):
        tracker, same = Tracker(), 0
        for frame in range(24):
            yaw = 0.25 * math.sin(0.9 * frame)  # to and fro, faster than a filter could follow
            turned = 0.0 if frame == 0 else yaw - 0.25 * math.sin(0.9 * (frame - 1))
            middles, _ = view.project(places, (0.0, 0.0, yaw))
            items = tuple(Detection("person", 0.9, (x - 40, y - 150, 80.0, 300.0)) for x, y in middles)
            move = (lambda boxes, by=turned: geometry.turned(boxes, by)) if knows else None
            same += tracks(tracker.update(Detections(items, 0.1 * frame), move)) == [1, 2]
        results.append(same)
    assert results[0] == 24 and results[1] < 20


def thing(track: int | None, x: float, width: float = 50.0, height: float = 100.0) -> Detection:
    return Detection("person", 0.8, (x, 100.0, width, height), track=track)


def test_a_target_is_chosen_once_and_kept() -> None:
    items = [thing(1, 10.0, 80.0), thing(2, 300.0), thing(3, 500.0, 60.0, 200.0), thing(None, 310.0, 300.0)]
    for choice, track in (("largest", 3), ("centre", 2), ("nearest", 3), ("1", 1)):
        target = Target(choice, patience=2)
        assert target.choose(items).track == track  # type: ignore[union-attr]
        assert target.choose([thing(9, 305.0, 400.0, 400.0), thing(track, 0.0, 9.0, 9.0)]).track == track  # type: ignore[union-attr]
        assert target.choose([thing(9, 0.0)]) is None and target.choose([thing(9, 0.0)]) is None
        later = target.choose([thing(9, 0.0)])
        assert (later is None) if choice == "1" else (later is not None and later.track == 9)
    target = Target("nearest", distance=lambda item: {1: 2.0, 2: 1.5, 3: 3.0}[item.track or 0])
    assert target.choose(items).track == 2  # type: ignore[union-attr]


@pytest.mark.parametrize("choice", ["near", "0", "-1", "1.5", ""])
def test_no_such_target(choice: str) -> None:
    with pytest.raises(UsageError, match="cannot be chosen"):
        Target(choice)
