"""Whether the one who is followed is still themselves, and who is if they are not: by their clothes, and by place."""

from __future__ import annotations

from collections.abc import Sequence
from copy import copy
from dataclasses import replace

from edge.perception.appearance import Look
from edge.policies.likelihood import LONG_S, LOST_S
from edge.policies.memory import wrap
from edge.policies.someone import ALIKE, KNOWN, MIDDLE, RECENT, SETTLED, SURE, Someone
from edge.policies.walker import Pose

UNLIKE = 0.45  # whoever looks more unlike themselves may be somebody else; those who are less, the one who is hidden
NOBODY = 0.78  # whoever has looked so unlike the one who is followed is not
LESS = 0.12  # by so much less than the one followed whoever takes their place must look unlike them
UNSURE_S = 0.6  # whose clothes have not been seen for so long may be another
NEW_S = 0.3  # so long before somebody was lost they may have been begun as somebody else
OFTEN = 5  # frames on which somebody stood beside the target
BEFORE_M = 0.4  # one so much nearer than another is not the same


def compare(target: Someone, one: Someone, look: Look) -> None:
    """Take in how unlike the one who is followed somebody else looks."""
    if target.clothes is not None:
        apart = target.unlike(look)
        one.seems = apart if one.seems is None else one.seems + RECENT * (apart - one.seems)


def is_themselves(one: Someone) -> bool:
    """Whether somebody on the newest frame is who they are thought to be, as far as clothes tell."""
    return not one.hidden and one.strange < UNLIKE


def doubt(target: Someone, others: Sequence[Someone], eye: Pose, stamp: float) -> bool:
    """Take note whether the target may have been taken for somebody else; whether that has to be looked into."""
    lost = _is_lost(target, stamp)
    if lost or target.hidden or any(_mistakable(one, target, eye, stamp) for one in others):
        target.doubted = True
    elif target.strange < UNLIKE:
        target.doubted = False
    return lost or _is_unsure(target, stamp) or (target.doubted and target.strange >= UNLIKE)


def rival(target: Someone, others: Sequence[Someone], eye: Pose, stamp: float) -> Someone | None:
    """Who, of those on the newest frame, is the target in truth; None where nobody looks like them."""
    lost, missing = _is_lost(target, stamp), stamp - target.walker.seen_at
    unsure = lost or _is_unsure(target, stamp)

    def may_be(one: Someone) -> bool:
        if one.sight is None or one.looks < 3 or one.seems is None:
            return False
        if not unsure:
            return one.seems <= min(ALIKE, target.strange - LESS)
        near = _near(one, target, eye)
        if lost and near and one.since > target.walker.seen_at - NEW_S:
            return one.seems <= NOBODY  # first seen where the target was lost: who else should that be
        often = one.beside >= OFTEN and not near and not _changed(one, target)
        if often and not (missing > LONG_S and one.seems < UNLIKE):
            return False
        return one.seems <= (UNLIKE if not lost else ALIKE if missing > LONG_S else SURE)

    return min((one for one in others if may_be(one)), key=_seems, default=None)


def is_somebody_else(target: Someone, stamp: float) -> bool:
    """Whether who is followed is certainly not the target, whoever that is."""
    seen = not (_is_lost(target, stamp) or _is_unsure(target, stamp))
    return seen and target.strange > NOBODY and target.looks > SETTLED


def let_go(target: Someone, stamp: float) -> Someone | None:
    """Part the target from who has been followed of late; None where they were parted already.

    Returns:
        who that was, as somebody else.
    """
    if _is_lost(target, stamp):
        return None
    if _is_unsure(target, stamp):
        other = replace(target, clothes=None, recent=None, looks=0, strange=0.3, seems=None)
    else:
        other = replace(target, clothes=target.recent, looks=KNOWN, strange=0.3, seems=target.strange)
    target.walker = copy(target.walker)
    target.walker.seen_at = stamp - LOST_S
    target.track = target.recent = target.sight = target.item = None
    target.strange = 0.3
    return other


def take_place(target: Someone, one: Someone) -> None:
    """The target is where `one` was believed to be."""
    target.walker, target.track, target.recent = one.walker, one.track, None
    target.sight, target.item, target.strange = one.sight, one.item, _seems(one)
    target.hidden, target.looked_at = one.hidden, one.looked_at


def _seems(one: Someone) -> float:
    return MIDDLE if one.seems is None else one.seems


def _is_lost(target: Someone, stamp: float) -> bool:
    return stamp - target.walker.seen_at > LOST_S


def _is_unsure(target: Someone, stamp: float) -> bool:
    return stamp - target.looked_at > UNSURE_S


def _mistakable(one: Someone, target: Someone, eye: Pose, stamp: float) -> bool:
    """Whether somebody is so near the one who is followed that one may be taken for the other."""
    if stamp - one.walker.seen_at > LOST_S:
        return False
    (far, side), (away, bearing) = one.walker.seen_from(eye), target.walker.seen_from(eye)
    reach = 0.3 + one.walker.spread(eye) + target.walker.spread(eye)
    return abs(far - away) < reach and abs(wrap(side - bearing)) * min(far, away) < 0.35


def _changed(one: Someone, target: Someone) -> bool:
    """Whether somebody who used to wear other clothes than the one who is followed now wears theirs."""
    return target.unlike(one.clothes) > ALIKE and _seems(one) < SURE


def _near(one: Someone, other: Someone, eye: Pose) -> bool:
    """Whether two may be the same by where they are: one box, now and then two, was begun as somebody else."""
    (far, side), (away, bearing) = one.walker.seen_from(eye), other.walker.seen_from(eye)
    reach = 0.8 if _seems(one) < SURE - 0.1 else 0.15 + other.walker.bearing_spread(eye)
    return abs(wrap(side - bearing)) < reach and abs(far - away) < BEFORE_M
