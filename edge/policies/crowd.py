"""Everybody in sight, on the floor: who of those seen is whom of those known, by place, clothes and identity.

Each person known has a filter over place and speed (`edge.policies.walker`) and a memory of their clothes
(`edge.perception.appearance`). What a frame shows is given to all of them at once, so that the sum of the costs is
least: whoever walks between the robot and somebody else is known as themselves, and not taken for whom they hide. A
cost is the negative logarithm of a likelihood, as in Reid, "An algorithm for tracking multiple targets", IEEE
Transactions on Automatic Control, 1979, with the clothes' as a factor more.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from edge.perception.appearance import Look, unlike
from edge.perception.assignment import assign
from edge.policies.memory import wrap
from edge.policies.sighting import Sight
from edge.policies.walker import Pose, Walker
from edge.types import Detection

BEARING_SPREAD = 0.04  # rad
CUT_SPREAD = 0.1  # the same, where the frame or somebody else cuts a side off
LEAST_SPREAD_M = 0.08  # of a distance: errors repeat from frame to frame

ALIKE, UNLIKE = 0.55, 0.38  # looks at one person differ by 0.2 to 0.4, at another by 0.6 to 0.9
COLOUR, COLOURS = 25.0, (-5.0, 6.0)  # the clothes' log-likelihood ratio falls by so much; its limits
MIDDLE = 0.52  # where it is 0
WILD = 4.0  # no distance seen speaks more against somebody: a thing may hide their feet
DEAF = 9.0  # nor one heard
ECHO_SPREAD_M = 0.1  # of one that is heard: an arm or a foot is nearer than the middle
OTHER_ECHO, STRAY = 0.25, 0.01  # density per m of echoes of things, where no box covers the cone; and where one does
NEW_ECHO = 0.4  # of those of people not known yet
BEYOND_M = 0.3  # who stands so much nearer than the echo, in the cone, would have been heard
NEW = 0.06  # density of people not known yet, and of mistakes: per rad and m
NAMED = 1.0  # log-likelihood ratio of having the identity that the tracker gave them before
HIDDEN = 0.4  # so much of it counts for whom somebody may hide
RECENT, LASTING, SLOW = 0.25, 0.04, 0.02  # shares of a new look; the last, of one that is unlike them
KNOWN = 5  # looks, until clothes are known
LOST_S = 0.5  # unseen for so long, they may have come out elsewhere
LONG_S, SURELY_NOT = 3.0, 0.7  # until then only looks that differ more are not theirs
SURE = 0.45  # looks that differ less are theirs wherever they are seen
BEFORE_M = 0.4  # one so much nearer than another is not the same
OFTEN = 5  # frames on which somebody stood beside the target
LEGS_ONLY_M, LEGS_BROAD_M = 0.5, 0.31  # nearer than this the frame shows no more than legs, so broad
WHOLE_M, BROAD_M = 0.8, 0.56  # and from here on shoulders and arms too
BREADTH_SPREAD = 0.3  # of a breadth, as a share: arms and steps widen it
TWO = 1.15  # a box broader than usual, by so much, may be of two
BEHIND_S, IN_SIGHT = 5.0, 0.5  # so long somebody may be hidden; bearings well inside the frame, rad
DOUBT_S = 4.0  # so long after they might have been mistaken, who is followed may prove to be somebody else
KEEP_S = 8.0  # how long others are remembered who are not seen


@dataclass
class Someone:
    """A person known: place and speed, clothes as they have been and as they were of late."""

    walker: Walker
    track: int | None
    clothes: Look | None = None
    recent: Look | None = None
    looks: int = 0
    strange: float = 0.3  # how unlike themselves they have looked of late
    seems: float | None = None  # how unlike the target they have looked of late, None before they were seen well
    beside: int = 0  # on how many frames they had a box well apart from the target's: then they are somebody else
    sight: Sight | None = None  # of the newest frame, None where they are not on it
    item: Detection | None = field(default=None, repr=False)
    hidden: bool = False  # on that frame; see `Seen`
    doubted_at: float = -math.inf  # when they might last have been taken for somebody else, s

    def learn(self, look: Look, alone: bool = True) -> None:
        """Take in a look at them that nobody hides; `alone` where nobody is beside them for whom they may be taken.

        From front to side, and from light to shade, people look different: while they are alone, that is learnt.
        """
        self.looks += 1
        if self.clothes is None:
            self.clothes = self.recent = look
            return
        apart = self.unlike(look)
        self.strange += RECENT * (apart - self.strange)
        if alone or self.looks <= KNOWN or apart < ALIKE:
            self.recent = look if self.recent is None else self.recent.mixed(look, RECENT)
        if self.looks <= KNOWN or apart < (ALIKE if alone else SURE):
            self.clothes = self.clothes.mixed(look, max(1.0 / self.looks, LASTING))
        elif alone:
            self.clothes = self.clothes.mixed(look, SLOW)

    def unlike(self, look: Look | None) -> float:
        """How unlike them a look is; what tells nothing is in the middle."""
        apart = None if look is None or self.clothes is None else unlike(look, self.clothes)
        return MIDDLE if apart is None else apart

    def differs(self, look: Look | None) -> float:
        """How unlike them, as they have been or as they were of late in another light, a look is."""
        late = None if look is None or self.recent is None else unlike(look, self.recent)
        return self.unlike(look) if late is None else min(late, self.unlike(look))


@dataclass(frozen=True)
class Seen:
    """One person on a frame."""

    item: Detection
    sight: Sight
    away: float  # m from the lens, roughly where `sight` tells nothing
    look: Look | None
    hidden: bool  # whether something stands before a part of them, so that the look is not to be trusted
    alone: bool = True  # whether no other box is beside theirs
    breadth: float = 0.0  # of their box, m at a distance of 1 m; 0 where it tells nothing
    cut: bool = False  # whether they are broader than their box
    look_at: Callable[[float], Look | None] | None = field(default=None, repr=False)  # their look, at a distance (m)

    @property
    def bearing_spread(self) -> float:
        """Standard deviation of their bearing, rad."""
        return CUT_SPREAD if self.cut or self.hidden else BEARING_SPREAD

    def worn(self, distance: float) -> Look | None:
        """What they wear, if they are so far away (m)."""
        return self.look if self.look_at is None else self.look_at(distance)


@dataclass(frozen=True)
class Echo:
    """What the sonar heard as a frame was taken.

    Attributes:
        distance: m from the lens to the middle of the person who threw it, if one did.
        able: by columns, which of those seen may have thrown it.
        beside: by columns, who cannot be nearer, since they stand in its cone.
        free: the share of the cone where a thing may stand that is no person.
    """

    distance: float
    able: tuple[bool, ...]
    beside: tuple[bool, ...]
    free: float


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
        costs = np.array([[_cost(one, what, eye, ago, stamp) for what in seen] for one in people])
        pairs, heard = _give(costs.reshape(len(people), len(seen)), people, eye, ago, echo)
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
                one.learn(look, what.alone)
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
        if self.target is not None and self.target.item is not None:
            for one in self.others:
                one.beside += one.item is not None and _apart(one, self.target, eye)
        self.others = [one for one in self.others if stamp - one.walker.seen_at < (KEEP_S if one.looks else 1.0)]
        self._recognise(stamp, eye)
        return None if heard is None else owner.get(heard)

    def _compare(self, one: Someone, look: Look) -> None:
        """Take in how unlike the one who is followed somebody else looks."""
        if self.target is not None and one is not self.target and self.target.clothes is not None:
            apart = self.target.unlike(look)
            one.seems = apart if one.seems is None else one.seems + RECENT * (apart - one.seems)

    def _recognise(self, stamp: float, eye: Pose) -> None:
        """Whether somebody else, by their clothes, is the one who is followed."""
        target = self.target
        if target is None or target.clothes is None or target.looks < KNOWN:
            return
        lost = stamp - target.walker.seen_at > LOST_S
        if lost or any(_mistakable(one, target, eye, stamp) for one in self.others):
            target.doubted_at = stamp
        if not lost and target.strange < (UNLIKE if stamp - target.doubted_at < DOUBT_S else ALIKE):
            return
        rivals = [
            one
            for one in self.others
            if one.sight is not None and one.looks >= 3 and one.seems is not None
            and (not lost or one.beside < OFTEN or _changed(one, target) or _near(one, target, eye))
        ]  # fmt: skip
        best = min(rivals, key=_seems, default=None)
        missing = stamp - target.walker.seen_at
        most = min(ALIKE, target.strange - 0.15) if not lost else ALIKE if missing > LONG_S else UNLIKE
        if best is None or _seems(best) > most:
            return
        if not lost:  # who was followed of late is somebody else
            self.others.append(replace(target, clothes=target.recent, looks=1, strange=0.3, seems=target.strange))
        target.walker, target.track, target.recent = best.walker, best.track, None
        target.sight, target.item, target.strange = best.sight, best.item, _seems(best)
        self.others = [one for one in self.others if one is not best]


def _seems(one: Someone) -> float:
    return MIDDLE if one.seems is None else one.seems


Measure = Callable[[Someone, Sight, Detection, Pose, float], None]


def _mistakable(one: Someone, target: Someone, eye: Pose, stamp: float) -> bool:
    """Whether somebody is so near the one who is followed that one may be taken for the other."""
    if stamp - one.walker.seen_at > LOST_S:
        return False
    (far, side), (away, bearing) = one.walker.seen_from(eye), target.walker.seen_from(eye)
    reach = 0.3 + one.walker.spread(eye) + target.walker.spread(eye)
    return abs(far - away) < reach and abs(wrap(side - bearing)) * min(far, away) < 0.5


def _changed(one: Someone, target: Someone) -> bool:
    """Whether somebody who used to wear other clothes than the one who is followed now wears theirs."""
    return target.unlike(one.clothes) > ALIKE and _seems(one) < SURE


def _near(one: Someone, other: Someone, eye: Pose) -> bool:
    """Whether two may be the same by where they are: one box, now and then two, was begun as somebody else."""
    (far, side), (away, bearing) = one.walker.seen_from(eye), other.walker.seen_from(eye)
    apart, unlike = abs(wrap(side - bearing)), _seems(one)
    reach = 0.8 if unlike < SURE - 0.1 else 0.15 + other.walker.bearing_spread(eye)
    return apart < reach and abs(far - away) < BEFORE_M


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
    one.walker.seen_at = stamp
    one.sight, one.item = what.sight, what.item
    if what.look is not None and not what.hidden:
        one.learn(what.look)
    return one


def _cost(one: Someone, what: Seen, eye: Pose, ago: float, stamp: float) -> float:
    """Negative log-likelihood that this is them; infinite where the clothes say that it is not."""
    sight, walker = what.sight, one.walker
    distance, bearing = walker.seen_from(eye, ago)
    spread = math.hypot(walker.bearing_spread(eye), what.bearing_spread)
    cost = _normal(aside(sight.bearing - bearing, what.breadth, distance), spread)
    if sight.distance is None:
        cost += _breadth(what, distance, walker.spread(eye))
    else:
        near = max(sight.spread, LEAST_SPREAD_M)
        cost += _normal(sight.distance - distance, math.hypot(walker.spread(eye), near), WILD)
    if one.track is not None and one.track == what.item.track:
        cost -= NAMED
    if one.looks:
        low, high = COLOURS
        apart = one.differs(what.worn(distance))
        # Where their place is not known any more, the clothes have to tell.
        lost = stamp - walker.seen_at
        if one.looks >= KNOWN and lost > LOST_S and apart > (SURE if lost > LONG_S else SURELY_NOT):
            return math.inf
        told = max(low, min(high, COLOUR * (MIDDLE - apart)))
        cost -= told * (HIDDEN if what.hidden else 1.0) * min(1.0, one.looks / KNOWN)
    return cost


def usual_breadth(distance: float) -> float:
    """How broad (m) the box round somebody is, so far away (m)."""
    share = min(1.0, max(0.0, (distance - LEGS_ONLY_M) / (WHOLE_M - LEGS_ONLY_M)))
    return LEGS_BROAD_M + share * (BROAD_M - LEGS_BROAD_M)


def aside(wrong: float, breadth: float, distance: float) -> float:
    """By how much a bearing is wrong at least, rad.

    A box that is broader (m, at a distance of 1 m) than people so far away (m) may hold two: then somebody's middle is
    anywhere in it.
    """
    wrong = wrap(wrong)
    slack = 0.5 * max(0.0, breadth - TWO * usual_breadth(distance) / max(distance, 0.3))
    return math.copysign(max(0.0, abs(wrong) - slack), wrong)


def _breadth(what: Seen, distance: float, spread: float) -> float:
    """Negative log-likelihood, per m, of how broad a box is, and how high, for somebody so far away (m).

    Close by only legs are in the frame, so that a box there is no broader than that of somebody twice as far away.
    """
    over = max(0.0, distance - what.sight.at_most)
    cost = min(WILD, 0.5 * (over / math.hypot(spread, 0.15)) ** 2)
    usual = usual_breadth(distance)
    wide = math.hypot(BREADTH_SPREAD, spread / max(distance, 0.3))
    off = math.log(max(what.breadth * distance, 0.05) / usual) if what.breadth else 0.0
    if what.cut or what.hidden:
        off = max(0.0, off)
    return cost + _normal(off, wide, WILD) + math.log(max(distance, 0.3))


def _give(
    costs: np.ndarray, people: Sequence[Someone], eye: Pose, ago: float, echo: Echo | None
) -> tuple[list[tuple[int, int]], int | None]:
    """Who of those known (rows) is whom of those seen (columns), and the column of who threw the echo.

    Each of those who may have thrown it, and somebody or something else, is tried.
    """
    limit = -math.log(NEW)
    ways: list[tuple[float, list[tuple[int, int]], int | None]] = []
    known = [(one.walker.seen_from(eye, ago)[0], one.walker.spread(eye)) for one in people]
    for thrower in (None, *(() if echo is None else np.flatnonzero(echo.able).tolist())):
        tried, total = costs.copy(), 0.0
        if echo is not None:
            for row, (distance, spread) in enumerate(known):
                near = max(0.0, echo.distance - BEYOND_M - distance) / math.hypot(spread, ECHO_SPREAD_M)
                tried[row, list(echo.beside)] += min(WILD, 0.5 * near**2)
            total = -math.log(OTHER_ECHO * echo.free + STRAY)
            if thrower is not None:
                total = -math.log(NEW_ECHO)
                for row, (distance, spread) in enumerate(known):
                    wrong = _normal(echo.distance - distance, math.hypot(spread, ECHO_SPREAD_M), DEAF)
                    tried[row, thrower] += wrong - total
        pairs = [(int(row), int(column)) for row, column in zip(*assign(tried, limit), strict=True)]
        ways.append((total + sum(tried[pair] - limit for pair in pairs), pairs, thrower))
    _, pairs, thrower = min(ways, key=lambda way: way[0])
    return pairs, thrower


def _normal(wrong: float, spread: float, most: float = math.inf) -> float:
    return min(most, 0.5 * (wrong / spread) ** 2) + math.log(math.sqrt(math.tau) * spread)


def _apart(one: Someone, other: Someone, eye: Pose) -> bool:
    """Whether two who are seen are two people for certain: beside each other, or one well before the other."""
    assert one.item is not None and other.item is not None
    if not _overlap(one.item, other.item):
        return True
    return abs(one.walker.seen_from(eye)[0] - other.walker.seen_from(eye)[0]) > BEFORE_M


def _again(what: Seen, seen: Sequence[Seen], owner: dict[int, Someone]) -> bool:
    """Whether this is a second box round somebody who has one already."""
    return any(_overlap(what.item, seen[column].item) for column in owner)


def _overlap(one: Detection, other: Detection) -> bool:
    """Whether more than half of the narrower of two boxes is common to both, from side to side."""
    (x, _, width, _), (left, _, breadth, _) = one.box, other.box
    return min(x + width, left + breadth) - max(x, left) > 0.5 * min(width, breadth)
