"""What a frame shows of each person on it: where they are, roughly or well, and what they wear."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from edge.perception.appearance import LEGS_M, TRUNK_M, Look, look
from edge.perception.geometry import CameraGeometry
from edge.policies.crowd import Crowd
from edge.policies.likelihood import LEGS_ONLY_M, aside, usual_breadth
from edge.policies.sighting import Eye, Sight
from edge.policies.someone import BEARING_SPREAD, CUT_SPREAD, LEAST_SPREAD_M, Echo, Seen, Someone
from edge.policies.walker import Pose
from edge.types import Detection
from robot.config import Camera

BODY_M = 0.18  # half the breadth of a person
BREADTH_M, BREADTH_SPREAD = 0.58, 0.4  # of a box: arms and steps widen it; errors repeat from frame to frame
UNSURE_M, UNHEARD_S = 0.25, 0.5  # it tells something only of those whose distance is less sure, or not heard of late
HEAD = 0.015  # a box that begins below this share of the frame's height begins with the head
NEAREST_M = 0.35  # whoever is nearer is nobody
SLIM_M, BROAD_M = 0.38, 0.95  # nobody's box is narrower unless something hides them, or broader, in the longest step
SLIM_LEGS_M = 0.24  # nor where only legs are in the frame
NARROW_M = 0.22  # of whom less is seen, a thing hides the rest
HIDDEN = 2.5  # so much worse is what is seen of one who is hidden in part
BESIDE = -0.2  # whose box overlaps by more than such a share of its breadth may hide a part of somebody
NEXT = 0.3  # and for whoever is so near beside them they may be mistaken
STEP_M = 0.1  # of a distance at which clothes are looked at
SIDE = 0.01  # a box that comes nearer to the frame's side, as a share of its breadth, is cut


class Watch:
    """Looks at persons through one camera."""

    def __init__(self, camera: Camera) -> None:
        self._eye, self._geometry = Eye(camera, Eye.CUT, HEAD), CameraGeometry(camera)
        self._columns, self._focal = camera.width_px, self._geometry.focal

    def distance(self, item: Detection) -> float:
        """Metres from the lens to somebody, by their breadth where too much of them is cut off."""
        sight = self._eye.sight(item)
        return min(self._by_breadth(item), sight.at_most) if sight.distance is None else sight.distance

    def seen(
        self, items: tuple[Detection, ...], image: NDArray[np.uint8] | None, crowd: Crowd, eye: Pose, ago: float
    ) -> list[Seen]:
        """The persons on a frame.

        Args:
            items: their boxes.
            image: the frame, RGB, None where it is gone.
            crowd: who is known, by whose distance those are judged whose picture does not tell theirs.
            eye: where the lens was, and how long `ago` that is.
        """
        found, boxes = [], [self._first(item, crowd, eye, ago) for item in items]
        for item, sight, two, away in boxes:
            order = [(other, far, _before(other, item)) for other, _, _, far in boxes if other is not item]
            before = [other for other, far, sure in order if sure or (sure is None and far < away)]
            hiders = tuple(other for other, _, sure in order if sure)
            cut = self._cut(item, before)
            sight = replace(sight, bearing=self._middle(item, sight, away, cut))
            clothes = functools.cache(functools.partial(self._clothes, image, item))
            worn = functools.partial(_to_the_step, clothes)
            narrow = item.box[2] < NARROW_M * self._focal / away
            alone = not any(_beside(other, item, NEXT) for other, _, _, _ in boxes if other is not item)
            hidden = two or narrow or bool(before)
            if before and sight.distance is not None:  # who stands before them hides their feet
                sight = replace(sight, spread=2.0 * sight.spread)
            breadth = 0.0 if two else item.box[2] / self._focal
            whole = cut == (False, False)
            found.append(Seen(item, sight, away, worn(away), hidden, alone, breadth, not whole, hiders, worn))
        return found

    def _clothes(self, image: NDArray[np.uint8] | None, item: Detection, away: float) -> Look | None:
        """What somebody wears who is so far away, m."""
        if image is None:
            return None
        away = max(away, NEAREST_M)
        return look(image, item.box, self._geometry.rows(away, (*TRUNK_M, *LEGS_M)))

    def echo(self, seen: Sequence[Seen], heard: float, turned: float, half: float) -> Echo:
        """Whose echo from `heard` m before the lens may be, in a cone of `half` rad, `turned` rad from that frame."""
        able, aside, beside, covered = [], [], [], np.zeros(64, bool)
        across = np.linspace(-half, half, 64)

        def sides(item: Detection) -> tuple[float, float]:
            left, top, width, height = item.box
            right, left = (self._geometry.bearing((column, top, 0.0, height)) for column in (left + width, left))
            return right - turned, left - turned

        def in_cone(item: Detection) -> bool:
            right, left = sides(item)
            return right < half + 0.1 and left > -half - 0.1

        for what in seen:
            right, left = sides(what.item)
            within = (across >= right) & (across <= left)
            behind = any(in_cone(other) for other in what.hiders)
            able.append(in_cone(what.item) and not behind and self._may_throw(what, heard))
            aside.append(max(right, -left, 0.0) / half)
            beside.append(not what.hidden and bool(within[24:40].any()))
            if what.sight.below:
                covered |= within
        return Echo(heard, tuple(able), tuple(aside), tuple(beside), float(1.0 - covered.mean()))

    def _may_throw(self, what: Seen, heard: float) -> bool:
        if what.breadth * heard > np.interp(heard, (0.35, 0.6, 0.8), (0.5, 0.75, 1.1)):
            return False  # nobody so near is so broad
        floor = None if what.sight.below else self._geometry.floor_distance(what.item.box)
        if floor is not None and heard < 0.75 * floor:  # who shows their feet, or what hides these, is farther
            return False
        if what.sight.distance is None:
            return heard < what.sight.at_most + 0.1
        return abs(heard - what.sight.distance) < 0.3 + 3.0 * what.sight.spread

    def _first(self, item: Detection, crowd: Crowd, eye: Pose, ago: float) -> tuple[Detection, Sight, bool, float]:
        """A box, what it tells by itself, whether it is two in one, and how far away they are at least roughly."""
        sight = self._eye.sight(item)
        known = next((one for one in crowd.everybody if one.track is not None and one.track == item.track), None)
        # However much of them is cut or hidden, they are at least as broad as they seem, or it is two in one box.
        broad = BROAD_M * self._focal / max(item.box[2], 1.0)
        two = known is not None and known.walker.seen_from(eye, ago)[0] > broad + 2.0 * known.walker.spread(eye)
        if not two:
            sight = replace(sight, at_most=min(sight.at_most, broad))
            if sight.distance is not None and sight.distance > 1.15 * broad:  # a thing hides the feet
                sight = replace(sight, distance=None, spread=math.inf)
        return item, sight, two, self._away(item, sight, known, eye, ago)

    def measure(self, one: Someone, sight: Sight, item: Detection, eye: Pose, ago: float) -> None:
        """Correct where somebody is by how they were seen."""
        walker, worse = one.walker, HIDDEN if one.hidden else 1.0
        cut = one.hidden or self._cut(item) != (False, False)
        breadth = item.box[2] / self._focal
        distance, bearing = walker.seen_from(eye, ago)
        bearing += aside(sight.bearing - bearing, breadth, distance)
        walker.see_bearing(eye, bearing, CUT_SPREAD if cut else BEARING_SPREAD, ago)
        if sight.distance is not None:
            walker.see_distance(eye, sight.distance, worse * max(sight.spread, LEAST_SPREAD_M), ago)
        elif not cut and (walker.spread(eye) > UNSURE_M or walker.now - walker.ranged_at > UNHEARD_S):
            distance = usual_breadth(distance) / max(breadth, 1e-3)
            walker.see_distance(eye, distance, BREADTH_SPREAD * distance, ago)
        slim = SLIM_LEGS_M if breadth * LEGS_ONLY_M > SLIM_LEGS_M else SLIM_M
        least = max(NEAREST_M, 0.0 if cut else slim / max(breadth, 1e-3))
        walker.bound_distance(eye, least, max(least, sight.at_most), 0.1, ago)

    def _cut(self, item: Detection, before: Sequence[Detection] = ()) -> tuple[bool, bool]:
        """Whether the frame's side, or somebody before them, cuts a box on the left and on the right."""
        left, _, width, _ = item.box
        right = left + width
        sides = left < SIDE * self._columns, right > (1 - SIDE) * self._columns
        for other in before:
            x, _, breadth, _ = other.box
            sides = sides[0] or x + breadth / 2 < left + width / 2, sides[1] or x + breadth / 2 > left + width / 2
        return sides

    def _by_breadth(self, item: Detection) -> float:
        return BREADTH_M * self._focal / max(item.box[2], 1.0)

    def _away(self, item: Detection, sight: Sight, known: Someone | None, eye: Pose, ago: float) -> float:
        """A person's distance from the lens, m, roughly at least."""
        if sight.distance is not None:
            return max(sight.distance, NEAREST_M)
        guess = self.distance(item) if known is None else known.walker.seen_from(eye, ago)[0]
        return max(min(guess, sight.at_most), NEAREST_M)

    def _middle(self, item: Detection, sight: Sight, away: float, cut: tuple[bool, bool]) -> float:
        """The bearing of a person's middle, rad, though one side of them is cut."""
        left_cut, right_cut = cut
        if left_cut == right_cut:
            return sight.bearing
        left, top, width, height = item.box
        middle, half = left + width / 2, 0.5 * usual_breadth(away) * self._focal / away
        middle = min(middle, left + width - half) if left_cut else max(middle, left + half)
        return self._geometry.bearing((middle, top, 0.0, height))


def _to_the_step(clothes: Callable[[float], Look | None], away: float) -> Look | None:
    """What somebody wears, by their distance to `STEP_M`: looks from nearly the same are the same."""
    return clothes(round(away / STEP_M) * STEP_M)


def _before(one: Detection, other: Detection) -> bool | None:
    """Whether one hides a part of the other; None where the boxes do not tell which of the two is nearer.

    Who is nearer reaches lower; where the frame cuts both, who is whole is broader.
    """
    if not _beside(one, other, BESIDE):
        return False
    (_, y, width, height), (_, top, breadth, tall) = one.box, other.box
    lower = (y + height) - (top + tall)
    if abs(lower) > 0.03 * tall:
        return lower > 0
    if width > 1.2 * breadth:
        return True
    return None if 1.2 * width > breadth else False


def _beside(one: Detection, other: Detection, share: float) -> bool:
    """Whether less than this share of one's breadth is between two boxes, from side to side."""
    x, _, width, _ = one.box
    left, _, breadth, _ = other.box
    return x + width >= left - share * width and x <= left + breadth + share * width
