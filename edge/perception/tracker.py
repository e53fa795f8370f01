"""Identities for what is seen: boxes of one frame are joined to those of the frames before.

ByteTrack (Zhang et al., "ByteTrack: Multi-object tracking by associating every detection box", ECCV 2022): boxes of a
high score are given to known things first, by the overlap with where a Kalman filter expects them; then those of a low
score, which alone would begin nothing, to the things that are left: one half hidden is seen weakly, not gone. What is
not found is kept for a while and found again, where `reach` says so also somewhat beside its place, by boxes that were
made larger (Yang et al., "Hard to track objects with irregular motions and similar appearances? Make it easier by
buffering the matching space", WACV 2023); an identity is told from its second sight on.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edge.perception.assignment import Pairs, assign
from edge.perception.kalman import Boxes
from edge.perception.nms import iou
from edge.types import Detection, Detections

Floats = NDArray[np.floating]


@dataclass(frozen=True)
class TrackerSettings:
    """ByteTrack's numbers; those of its authors, but for the scores, which differ from detector to detector."""

    high: float = 0.4  # boxes that score more are given out first
    low: float = 0.1  # boxes that score less are not looked at
    new: float = 0.45  # least score of a box that begins an identity
    first_cost: float = 0.8  # 1 - IoU x score at most, in the first round
    second_cost: float = 0.5  # 1 - IoU at most, in the second
    young_cost: float = 0.7  # 1 - IoU x score at most, for things that were seen once only
    reach: float = 0.0  # by so much of its size a box grows on all sides where a lost thing is looked for at last
    reach_cost: float = 0.8  # 1 - IoU of the grown boxes at most
    keep_s: float = 2.0  # how long a thing that is not seen is looked for
    same: float = 0.85  # IoU over which a thing that was lost and one that appeared since are the same


class Tracker:
    """Follows things from frame to frame.

    Args:
        rate_hz: frames a second, about; the filter reckons with the time that really went by.
        settings: how boxes are judged.

    Attributes:
        count: how many identities were told so far; they are numbered from 1.
    """

    def __init__(self, rate_hz: float = 10.0, settings: TrackerSettings | None = None) -> None:
        self.rate_hz, self.settings = rate_hz, settings or TrackerSettings()
        self.reset()

    def reset(self) -> None:
        """Forget everything; identities are numbered from 1 again."""
        self.count = 0
        self._stamp: float | None = None
        self._boxes = Boxes()
        self._number = np.zeros(0, np.intp)  # 0 while it was seen once only
        self._born, self._seen = np.zeros(0), np.zeros(0)  # when for the first time, and the last
        self._lost = np.zeros(0, bool)
        self._labels: NDArray[np.object_] = np.zeros(0, object)

    def update(self, found: Detections, move: Callable[[Floats], Floats] | None = None) -> tuple[Detection, ...]:
        """The detections of a new frame with their identities, best first.

        Args:
            found: of one frame, later than the last; all scores from `settings.low` on.
            move: where boxes (N, 4) of the last frame lie in this one because the camera has turned meanwhile.

        Returns:
            Those of `found` that score more than `settings.high`, or less but belong to a known thing. `track` is the
            number of the thing, None where it is seen for the first time.
        """
        rules = self.settings
        items = [item for item in found.items if item.score >= rules.low]
        boxes = np.array([item.box for item in items], np.float64).reshape(-1, 4)
        scores = np.array([item.score for item in items])
        labels = np.array([item.label for item in items], object)
        begins = self._stamp is None
        self._predict(found.stamp, move)
        expected = self._boxes.to_boxes()
        cost = 1.0 - iou(expected[:, None], boxes[None]) if len(items) else np.ones((len(expected), 0))
        cost[self._labels[:, None] != labels[None]] = np.inf
        scored = 1.0 - (1.0 - cost) * scores
        high = scores > rules.high
        owner = np.full(len(items), -1, np.intp)
        young = self._number == 0

        def give(things: NDArray[np.bool_], seen: NDArray[np.bool_], costs: Floats, limit: float) -> None:
            rows, columns = np.flatnonzero(things), np.flatnonzero(seen & (owner < 0))
            for row, column in zip(*_pairs(costs, rows, columns, limit), strict=True):
                owner[column] = row

        def left() -> NDArray[np.bool_]:
            taken = np.zeros(len(young), bool)
            taken[owner[owner >= 0]] = True
            return ~taken

        give(~young, high, scored, rules.first_cost)
        give(~young & ~self._lost & left(), ~high, cost, rules.second_cost)
        if rules.reach:
            cost = 1.0 - iou(_grown(expected, rules.reach)[:, None], _grown(boxes, rules.reach)[None])
            cost[self._labels[:, None] != labels[None]] = np.inf
            give(~young & self._lost & left(), high, cost, rules.reach_cost)
        give(young & left(), high, scored, rules.young_cost)
        self._take_in(owner, boxes, found.stamp)
        fresh = np.flatnonzero((owner < 0) & (scores >= rules.new) & high)
        tracks = [int(self._number[row]) if row >= 0 else 0 for row in owner]
        if begins:  # on the first frame everything is told at once
            for number, index in enumerate(fresh.tolist(), self.count + 1):
                tracks[index] = number
        self._end(found.stamp)
        self._begin(boxes[fresh], labels[fresh], np.array([tracks[i] for i in fresh], np.intp), found.stamp)
        return tuple(
            item._replace(track=track or None)
            for item, track, good, row in zip(items, tracks, high, owner, strict=True)
            if good or row >= 0
        )

    def _predict(self, stamp: float, move: Callable[[Floats], Floats] | None) -> None:
        if self._stamp is not None and len(self._number):
            if move is not None:
                shift = move(self._boxes.to_boxes())[:, :2] - self._boxes.to_boxes()[:, :2]
                self._boxes.mean[:, 0, :2] += shift
            frames = max(0.0, stamp - self._stamp) * self.rate_hz
            self._boxes.predict(frames, self._lost)
        self._stamp = stamp

    def _take_in(self, owner: NDArray[np.intp], boxes: Floats, stamp: float) -> None:
        """Move the things that were found to where they were seen, and name those seen for the second time."""
        seen = np.flatnonzero(owner >= 0)
        rows = owner[seen]
        if len(rows):
            self._boxes.update(rows, boxes[seen])
        self._lost[:] = True
        self._lost[rows] = False
        self._seen[rows] = stamp
        for row in rows:
            if self._number[row] == 0:
                self.count += 1
                self._number[row] = self.count

    def _end(self, stamp: float) -> None:
        """Drop what was seen once and not again, what is lost for too long, and what is lost and stands twice."""
        stay = ~self._lost | ((self._number > 0) & (stamp - self._seen <= self.settings.keep_s))
        lost, seen = np.flatnonzero(stay & self._lost), np.flatnonzero(~self._lost)
        if len(lost) and len(seen):
            boxes = self._boxes.to_boxes()
            same = iou(boxes[lost][:, None], boxes[seen][None]) > self.settings.same
            same &= self._labels[lost][:, None] == self._labels[seen][None]
            same &= self._born[seen][None] > self._seen[lost][:, None]  # else one is only hidden behind the other
            stay[lost[same.any(axis=1)]] = False
        if not stay.all():
            self._boxes.keep(stay)
            self._number, self._born, self._seen = self._number[stay], self._born[stay], self._seen[stay]
            self._lost, self._labels = self._lost[stay], self._labels[stay]

    def _begin(self, boxes: Floats, labels: NDArray[np.object_], numbers: NDArray[np.intp], stamp: float) -> None:
        count = len(numbers)
        if not count:
            return
        self.count = max(self.count, int(numbers.max()))
        self._boxes.join(Boxes.begin(boxes))
        self._number = np.concatenate((self._number, numbers))
        self._born = np.concatenate((self._born, np.full(count, stamp)))
        self._seen = np.concatenate((self._seen, np.full(count, stamp)))
        self._lost = np.concatenate((self._lost, np.zeros(count, bool)))
        self._labels = np.concatenate((self._labels, labels))


def _grown(boxes: Floats, share: float) -> Floats:
    """Boxes (N, 4) larger by a share of their size on each side."""
    more = share * boxes[:, 2:]
    return np.concatenate((boxes[:, :2] - more, boxes[:, 2:] + 2.0 * more), axis=1)


def _pairs(cost: Floats, rows: NDArray[np.intp], columns: NDArray[np.intp], limit: float) -> Pairs:
    """`assign` among some rows and columns only, in the numbers of all."""
    if not len(rows) or not len(columns):
        return rows[:0], columns[:0]
    first, second = assign(cost[np.ix_(rows, columns)], limit)
    return rows[first], columns[second]
