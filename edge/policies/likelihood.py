"""How likely it is that somebody seen is somebody known, by place, breadth, echo, clothes and identity.

A cost is the negative logarithm of a likelihood, as in Reid, "An algorithm for tracking multiple targets", IEEE
Transactions on Automatic Control, 1979, with the clothes' as a factor more. The sonar tells of one distance and not of
whom: each of those who may have thrown the echo is tried, and so is somebody not known yet, and a thing.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from edge.perception.assignment import assign
from edge.policies.memory import wrap
from edge.policies.someone import ALIKE, KNOWN, LEAST_SPREAD_M, MIDDLE, SETTLED, Echo, Seen, Someone
from edge.policies.walker import Pose

COLOUR, COLOURS = 25.0, (-5.0, 6.0)  # the clothes' log-likelihood ratio falls by so much; its limits
WILD = 4.0  # no distance seen speaks more against somebody: a thing may hide their feet
DEAF = 9.0  # nor one heard
ASTRAY = 8.0  # nor a bearing: where the robot spins, what it reckons of its own turn is late
ECHO_SPREAD_M = 0.1  # of one that is heard: an arm or a foot is nearer than the middle
OTHER_ECHO, STRAY = 0.25, 0.01  # density per m of echoes of things, where no box covers the cone; and where one does
NEW_ECHO = 0.4  # of those of people not known yet
ASIDE = 2.0  # speaks against whoever is at the cone's rim: little of the sound falls on them
BEYOND_M = 0.3  # who stands so much nearer than the echo, in the cone, would have been heard
NEW = 0.06  # density of people not known yet, and of mistakes: per rad and m
NAMED = 1.0  # log-likelihood ratio of having the identity that the tracker gave them before
HIDDEN = 0.4  # so much of it counts for whom somebody may hide
LOST_S = 0.5  # unseen for so long, they may have come out elsewhere
LONG_S, SURELY_NOT = 3.0, 0.78  # until then only looks that differ more are not theirs
LEGS_ONLY_M, LEGS_BROAD_M = 0.5, 0.31  # nearer than this the frame shows no more than legs, so broad
WHOLE_M, BROAD_M = 0.8, 0.56  # and from here on shoulders and arms too
BREADTH_SPREAD = 0.3  # of a breadth, as a share: arms and steps widen it
TWO = 1.15  # a box broader than usual, by so much, may be of two


def cost_of(one: Someone, what: Seen, eye: Pose, ago: float, stamp: float) -> float:
    """Negative log-likelihood that this is them; infinite where the clothes say that it is not."""
    sight, walker = what.sight, one.walker
    distance, bearing = walker.seen_from(eye, ago)
    spread = math.hypot(walker.bearing_spread(eye), what.bearing_spread)
    cost = _normal(aside(sight.bearing - bearing, what.breadth, distance), spread, ASTRAY)
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
        if one.looks >= SETTLED and lost > LOST_S and apart > (ALIKE if lost > LONG_S else SURELY_NOT):
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


def give(
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
                    tried[row, thrower] += wrong - total + ASIDE * echo.aside[thrower] ** 2
        pairs = [(int(row), int(column)) for row, column in zip(*assign(tried, limit), strict=True)]
        ways.append((total + sum(tried[pair] - limit for pair in pairs), pairs, thrower))
    _, pairs, thrower = min(ways, key=lambda way: way[0])
    return pairs, thrower


def _normal(wrong: float, spread: float, most: float = math.inf) -> float:
    return min(most, 0.5 * (wrong / spread) ** 2) + math.log(math.sqrt(math.tau) * spread)
