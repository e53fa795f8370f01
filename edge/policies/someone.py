"""People as `edge.policies.crowd` knows them, and as a frame shows them."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field

from edge.perception.appearance import Look, unlike
from edge.policies.sighting import Sight
from edge.policies.walker import Walker
from edge.types import Detection

BEARING_SPREAD = 0.04  # rad
CUT_SPREAD = 0.1  # the same, where the frame or somebody else cuts a side off
LEAST_SPREAD_M = 0.08  # of a distance: errors repeat from frame to frame

ALIKE = 0.58  # looks at one person differ by 0.2 to 0.45, hardly ever by so much; at another by 0.65 to 0.95
SURE = 0.5  # looks that differ less are theirs wherever they are seen
MIDDLE = 0.56  # looks that differ so much tell nothing
RECENT, LASTING = 0.4, 0.02  # shares of a new look
KNOWN = 5  # looks, until clothes are known
SETTLED = 30  # and until they are known well: a thing may stand before them at first


@dataclass
class Someone:
    """A person known: place and speed, clothes as they have been and as they were of late."""

    walker: Walker
    track: int | None
    clothes: Look | None = None
    recent: Look | None = None
    looks: int = 0
    since: float = -math.inf  # when they were first seen
    strange: float = 0.3  # how unlike themselves they have looked of late
    looked_at: float = -math.inf  # when their clothes were seen last
    seems: float | None = None  # how unlike the target they have looked of late, None before they were seen well
    beside: int = 0  # on how many frames they had a box well apart from the target's: then they are somebody else
    sight: Sight | None = None  # of the newest frame, None where they are not on it
    item: Detection | None = field(default=None, repr=False)
    hidden: bool = False  # on that frame; see `Seen`
    doubted: bool = False  # whether, since they last looked like themselves, they might be taken for somebody else

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
        if self.looks <= SETTLED or apart < (ALIKE if alone else SURE):
            self.clothes = self.clothes.mixed(look, max(1.0 / self.looks, LASTING))

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
    hiders: tuple[Detection, ...] = ()  # who, for certain, hides a part of them, and is nearer
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
        aside: by columns, how far aside of the cone's middle their nearest side is, as a share of half the cone.
        beside: by columns, who cannot be nearer, since they stand in its cone.
        free: the share of the cone where a thing may stand that is no person.
    """

    distance: float
    able: tuple[bool, ...]
    aside: tuple[float, ...]
    beside: tuple[bool, ...]
    free: float
