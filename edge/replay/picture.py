"""What a replay showed, as one picture: curves of then and now, and the frames on which detectors disagree most."""

from __future__ import annotations

import math
from collections.abc import Sequence

import cv2
import numpy as np

from edge.recordings.decode import Picture
from edge.replay.chart import BLUE, ORANGE, WIDTH, Curve, Image, heading, panel, text
from edge.replay.detector import DetectorDiff, Found, FrameDiff
from edge.replay.policy import PolicyDiff, motion
from robot.config import Drive

COLUMNS = 4


def of_policy(diff: PolicyDiff, drive: Drive) -> Image:
    """Commands over time; red marks where they are not the same bits."""
    times = [step.now for step in diff.steps]
    then = [motion(step.recorded, drive) for step in diff.steps]
    now = [motion(step.replayed, drive) for step in diff.steps]
    marks = [not step.equal for step in diff.steps]
    different = sum(marks)
    line = f"policy {diff.policy}: {len(times) - different} of {len(times)} commands are equal bit for bit"
    panels = [
        panel(
            title,
            times,
            [
                Curve("recorded", [getattr(twist, name) for twist in then], BLUE, 4),
                Curve("replayed", [getattr(twist, name) for twist in now], ORANGE, 2),
            ],
            marks,
        )
        for title, name in (("v, m/s", "v"), ("omega, rad/s", "omega"))
    ]
    return np.vstack([heading(line), *panels])


def of_detector(diff: DetectorDiff) -> Image:
    """Best scores and numbers of boxes over time, then the frames that differ most."""
    times = [frame.stamp for frame in diff.frames]
    marks = [not frame.equal for frame in diff.frames]
    line = f"detector {diff.detector}: {len(times) - sum(marks)} of {len(times)} frames are equal bit for bit"
    parts = [heading(line)]
    for title, value in (("best score", _best), ("boxes", _count)):
        curves = [
            Curve("recorded", [value(frame.recorded) for frame in diff.frames], BLUE, 4, dots=value is _best),
            Curve("replayed", [value(frame.replayed) for frame in diff.frames], ORANGE, 2, dots=value is _best),
        ]
        parts.append(panel(title, times, curves, marks))
    if diff.worst:
        parts.append(_sheet(diff.worst, min(times)))
    return np.vstack(parts)


def _best(found: Found) -> float:
    return max((item.score for item in found), default=math.nan)


def _count(found: Found) -> float:
    return float(len(found))


def _scores(found: Found) -> str:
    return " ".join(f"{item.score:.2f}" for item in found[:4]) or "-"


def _sheet(frames: Sequence[tuple[FrameDiff, Picture]], start: float) -> Image:
    """The frames side by side: recorded boxes blue, replayed ones orange."""
    tiles = []
    across = WIDTH // COLUMNS
    for frame, recorded in frames:
        image = recorded.decode().image
        scale = (across - 8) / image.shape[1]
        high = round(image.shape[0] * scale)
        tile = np.full((high + 34, across, 3), 255, np.uint8)
        small = np.ascontiguousarray(cv2.resize(image, (across - 8, high), interpolation=cv2.INTER_AREA))
        for found, colour, width in ((frame.recorded, BLUE, 3), (frame.replayed, ORANGE, 1)):
            for item in found:
                left, top, wide, tall = (round(float(np.clip(part * scale, -9999, 9999))) for part in item.box)
                cv2.rectangle(small, (left, top), (left + wide, top + tall), colour, width)
        tile[26 : 26 + high, 4:-4] = small
        line = f"{frame.stamp - start:.2f} s: {_scores(frame.recorded)} / {_scores(frame.replayed)}"
        text(tile, line, (6, 18), size=0.45)
        tiles.append(tile)
    blank = np.full_like(tiles[0], 255)
    tiles += [blank] * (-len(tiles) % COLUMNS)
    rows = [np.hstack(tiles[i : i + COLUMNS]) for i in range(0, len(tiles), COLUMNS)]
    return np.vstack(rows)
