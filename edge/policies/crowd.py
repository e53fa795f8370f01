"""Everybody in sight, on the floor: who of those seen is whom of those known, by place, clothes and identity.

Each person known has a filter over place and speed (`edge.policies.walker`) and a memory of their clothes
(`edge.perception.appearance`). What a frame shows is given to all of them at once, so that the sum of the costs is
least (`edge.policies.likelihood`): whoever walks between the robot and somebody else is known as themselves, and not
taken for whom they hide. Where the one who is followed was mistaken all the same, their clothes tell in the end
(`edge.policies.recognition`).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np

from edge.perception.appearance import Look
from edge.policies import recognition
from edge.policies.likelihood import cost_of, give
from edge.policies.sighting import Sight
from edge.policies.someone import CUT_SPREAD, KNOWN, LEAST_SPREAD_M, Echo, Seen, Someone
from edge.policies.walker import Pose, Walker
from edge.types import Detection

BEHIND_S, IN_SIGHT = 5.0, 0.5  # so long somebody may be hidden; bearings well inside the frame, rad
KEEP_S = 8.0  # how long others are remembered who are not seen

Measure = Callable[[Someone, Sight, Detection, Pose, float], None]


class Crowd:
    """All persons known, the one who is followed among them.

    Attributes:
        target: who is followed, None before somebody was chosen.
        others: everybody else.
    """

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        self.target: Someone | None = None
        self.others: list[Someone] = []

    @property
    def everybody(self) -> list[Someone]:
        """The target first."""
        return ([] if self.target is None else [self.target]) + self.others

    def choose(self, track: int | None) -> None:
        """Follow whoever has this identity; nobody, where it is None."""
        if self.target is not None:
            self.others.append(self.target)
        self.target = next((one for one in self.others if track is not None and one.track == track), None)
        self.others = [one for one in self.others if one is not self.target]

    def update(
        self, seen: Sequence[Seen], eye: Pose, now: float, stamp: float, measure: Measure, echo: Echo | None = None
    ) -> Someone | None:
        """Take in a frame of `stamp` from the lens at `eye`.

        Args:
            measure: corrects the place of somebody: called with them, the sight, its box, the lens's pose and how long
                ago that was.
            echo: what was heard then.

        Returns:
            Who threw the echo, None where nobody of those known did.
        """
        ago, people = now - stamp, self.everybody
        for one in people:
            one.walker.predict(now)
            one.sight = one.item = None
        costs = np.array([[cost_of(one, what, eye, ago, stamp) for what in seen] for one in people])
        pairs, heard = give(costs.reshape(len(people), len(seen)), people, eye, ago, echo)
        if heard is not None and echo is not None:
            seen = list(seen)
            what = seen[heard]
            sight = replace(what.sight, distance=echo.distance, spread=LEAST_SPREAD_M)
            seen[heard] = replace(what, sight=sight, away=echo.distance)
        owner: dict[int, Someone] = {}
        tracks = {what.item.track for what in seen}
        for one in people:
            one.track = None if one.track in tracks else one.track  # it is told anew, of one only
        for row, column in pairs:
            one, what = people[row], seen[column]
            owner[column] = one
            one.sight, one.item, one.track = what.sight, what.item, what.item.track or one.track
            one.hidden = what.hidden
            one.walker.seen_at = max(one.walker.seen_at, stamp)
            measure(one, what.sight, what.item, eye, ago)
            look = None if what.hidden else what.worn(one.walker.seen_from(eye, ago)[0])
            if look is not None:
                one.looked_at = stamp
                one.learn(look, not one.doubted if one is self.target else what.alone)
                self._compare(one, look)
        for column, what in enumerate(seen):
            if column in owner or what.item.track is None:
                continue
            if column == heard or not _again(what, seen, owner):
                owner[column] = one = _begin(what, eye, now, stamp)
                self.others.append(one)
                if one.clothes is not None:
                    self._compare(one, one.clothes)
        if self.target is not None and self.target.item is None:
            _behind(self.target, [(owner.get(column), what) for column, what in enumerate(seen)], eye, ago, stamp)
        if self.target is not None and self.target.item is not None and recognition.is_themselves(self.target):
            for one in self.others:
                one.beside += one.item is not None and _apart(one, self.target, eye)
        self.others = [one for one in self.others if stamp - one.walker.seen_at < (KEEP_S if one.looks else 1.0)]
        self._recognise(stamp, eye)
        return None if heard is None else owner.get(heard)

    def _compare(self, one: Someone, look: Look) -> None:
        if self.target is not None and one is not self.target:
            recognition.compare(self.target, one, look)

    def _recognise(self, stamp: float, eye: Pose) -> None:
        """Whether somebody else, by their clothes, is the one who is followed."""
        target = self.target
        if target is None or target.clothes is None or target.looks < KNOWN:
            return
        if not recognition.doubt(target, self.others, eye, stamp):
            return
        found = recognition.rival(target, self.others, eye, stamp)
        if found is not None or recognition.is_somebody_else(target, stamp):
            other = recognition.let_go(target, stamp)
            if other is not None:
                self.others.append(other)
        if found is not None:
            recognition.take_place(target, found)
            self.others = [one for one in self.others if one is not found]


def _behind(target: Someone, seen: Sequence[tuple[Someone | None, Seen]], eye: Pose, ago: float, stamp: float) -> None:
    """Who is not seen, and was hidden by somebody a moment ago, still is: else they would be in sight."""
    distance, bearing = target.walker.seen_from(eye, ago)
    if stamp - target.walker.seen_at > BEHIND_S or abs(bearing) > IN_SIGHT:
        return
    near = []
    for one, what in seen:
        far = what.away if one is None else one.walker.seen_from(eye, ago)[0]
        half = 0.5 * what.breadth
        if far < distance and half:
            low, high = what.sight.bearing - half, what.sight.bearing + half
            near.append((max(low - bearing, bearing - high, 0.0), low, high))
    if near:
        apart, low, high = min(near)
        if 0.0 < apart < 0.5:
            target.walker.see_bearing(eye, min(max(bearing, low), high), CUT_SPREAD, ago)


def _begin(what: Seen, eye: Pose, now: float, stamp: float) -> Someone:
    distance, spread = what.sight.distance, what.sight.spread
    if distance is None:
        distance, spread = what.away, 0.35 * what.away
    one = Someone(Walker(eye, distance, max(spread, 0.1), what.sight.bearing, now), what.item.track)
    one.walker.seen_at = one.since = stamp
    one.sight, one.item = what.sight, what.item
    if what.look is not None and not what.hidden:
        one.learn(what.look)
    return one


def _apart(one: Someone, other: Someone, eye: Pose) -> bool:
    """Whether two who are seen are two people for certain: beside each other, or one well before the other."""
    assert one.item is not None and other.item is not None
    if not _overlap(one.item, other.item):
        return True
    return abs(one.walker.seen_from(eye)[0] - other.walker.seen_from(eye)[0]) > recognition.BEFORE_M


def _again(what: Seen, seen: Sequence[Seen], owner: dict[int, Someone]) -> bool:
    """Whether this is a second box round somebody who has one already."""
    return any(_overlap(what.item, seen[column].item) for column in owner)


def _overlap(one: Detection, other: Detection) -> bool:
    """Whether more than half of the narrower of two boxes is common to both, from side to side."""
    (x, _, width, _), (left, _, breadth, _) = one.box, other.box
    return min(x + width, left + breadth) - max(x, left) > 0.5 * min(width, breadth)
