"""Who of those seen is whom of those known: crossings, clothes, and the way that somebody walked."""

from __future__ import annotations

import math

import numpy as np
import pytest

from edge.perception.appearance import BINS, Look
from edge.policies.crowd import Crowd
from edge.policies.sighting import Sight
from edge.policies.someone import SETTLED, Seen, Someone
from edge.policies.trail import Trail
from edge.policies.walker import Walker
from edge.types import Detection

EYE = (0.0, 0.0, 0.0)


def clothes(number: int) -> Look:
    """One colour above, another below; different numbers have none in common."""
    parts = np.zeros((2, BINS), np.float32)
    parts[0, 2 * number], parts[1, 2 * number + 1] = 1.0, 1.0
    return Look(parts[0], parts[1])


def seen(x: float, y: float, look: Look | None, track: int, hidden: bool = False) -> Seen:
    """A person at (x, y) m, as a camera at the origin sees them."""
    distance, bearing = math.hypot(x, y), math.atan2(y, x)
    middle = 160 - 246 * math.tan(bearing)
    item = Detection("person", 0.9, (middle - 60 / distance, 20.0, 120 / distance, 200.0), bearing, track=track)
    return Seen(item, Sight(bearing, distance, 0.05, math.inf, 0.9, False), distance, look, hidden)


def measure(one, sight, item, eye, ago) -> None:
    one.walker.see_bearing(eye, sight.bearing, 0.04, ago)
    one.walker.see_distance(eye, sight.distance, 0.08, ago)


def crowd_of_two() -> tuple[Crowd, float]:
    """Number 0 is followed, number 1 stands beside them; both have been seen for a second."""
    crowd = Crowd()
    for step in range(10):
        now = 0.1 * step
        crowd.update([seen(1.5, 0.0, clothes(0), 1), seen(1.0, 1.0, clothes(1), 2)], EYE, now, now, measure)
        if step == 0:
            crowd.choose(1)
    assert crowd.target is not None and len(crowd.others) == 1
    return crowd, 0.9


def test_who_walks_between_is_not_taken_for_the_one_they_hide() -> None:
    crowd, now = crowd_of_two()
    for step in range(1, 21):  # from the left to the right, half a metre before the person, who is hidden in the middle
        now += 0.1
        y = 1.0 - 0.1 * step
        hidden = abs(y) < 0.25
        found = [] if hidden else [seen(1.5, 0.0, clothes(0), 1)]
        # The tracker mistakes them for each other while it sees but one.
        found.append(seen(1.0, y, clothes(1), 1 if hidden else 2))
        crowd.update(found, EYE, now, now, measure)
        target = crowd.target
        assert target is not None
        assert (target.item is None) == hidden or (not hidden and target.item is found[0].item)
    assert crowd.target.walker.state[:2] == pytest.approx((1.5, 0.0), abs=0.1)  # type: ignore[union-attr]
    assert len(crowd.others) == 1


def test_a_person_who_was_mistaken_is_known_again_by_their_clothes() -> None:
    crowd, now = crowd_of_two()
    for step in range(10):  # the other comes to stand beside the person
        now += 0.1
        beside = seen(1.05 + 0.05 * step, 0.9 - 0.08 * step, clothes(1), 2)
        crowd.update([seen(1.5, 0.0, clothes(0), 1), beside], EYE, now, now, measure)
    for step in range(12):  # has taken the place, and their identity; the person comes out on the other side
        now += 0.1
        found = [seen(1.5, 0.0, clothes(1), 1)]
        if step > 4:
            found.append(seen(1.6, -0.9, clothes(0), 7))
        crowd.update(found, EYE, now, now, measure)
    assert crowd.target is not None and crowd.target.track == 7
    assert crowd.target.walker.state[:2] == pytest.approx((1.6, -0.9), abs=0.2)


def test_nobody_takes_the_place_of_one_who_looks_strange_but_whom_nobody_came_near() -> None:
    crowd, now = crowd_of_two()
    for _ in range(20):  # in another light, while somebody far away wears what they wore
        now += 0.1
        found = [seen(1.5, 0.0, clothes(2), 1), seen(3.5, -0.9, clothes(0), 7)]
        crowd.update(found, EYE, now, now, measure)
    assert crowd.target is not None and crowd.target.item is found[0].item


def test_somebody_else_at_their_place_is_not_the_person_who_went() -> None:
    crowd, now = crowd_of_two()
    for step in range(30):
        now += 0.1
        found = [] if step < 20 else [seen(1.6, 0.1, clothes(2), 9)]
        crowd.update(found, EYE, now, now, measure)
    assert crowd.target is not None and crowd.target.item is None
    assert now - crowd.target.walker.seen_at == pytest.approx(3.0)
    for _ in range(6):  # and when they come back from somewhere else, it is they
        now += 0.1
        crowd.update([seen(2.5, -1.0, clothes(0), 11)], EYE, now, now, measure)
    assert crowd.target.track == 11 and crowd.target.item is not None


def test_the_person_in_plain_sight_is_followed_and_not_who_is_hidden_where_they_were() -> None:
    crowd, now = crowd_of_two()
    for step in range(10):  # the tracker's first identity stays with a piece of somebody behind a passer
        now += 0.1
        person = seen(1.4, -0.9 - 0.01 * step, clothes(0), 7)
        crowd.update([seen(1.5, 0.0, clothes(1), 1, hidden=True), person], EYE, now, now, measure)
    assert crowd.target is not None and crowd.target.track == 7 and crowd.target.item is person.item


def test_clothes_are_learnt_from_anything_at_first_and_later_from_what_is_like_them() -> None:
    def someone(looks: int) -> Someone:
        one = Someone(Walker(EYE, 1.5, 0.1, 0.0, 0.0), 1)
        for _ in range(looks):
            one.learn(clothes(0))
        return one

    new, known = someone(3), someone(SETTLED)
    for one in (new, known):
        for _ in range(SETTLED - 4):
            one.learn(clothes(1))
    assert new.unlike(clothes(1)) < 0.3 < new.unlike(clothes(0))
    assert known.unlike(clothes(0)) == pytest.approx(0.0, abs=0.01) and known.unlike(clothes(1)) > 0.9
    assert known.strange > 0.9  # that is not them, or they have changed


def test_without_pictures_place_and_identity_decide() -> None:
    crowd = Crowd()
    for step in range(30):
        now = 0.1 * step
        found = [seen(1.5, 0.03 * step, None, 1), seen(2.5, 0.9 - 0.06 * step, None, 2)]
        crowd.update(found, EYE, now, now, measure)
        if step == 0:
            crowd.choose(1)
    assert crowd.target is not None and crowd.target.track == 1 and crowd.target.item is found[0].item


def test_a_trail_leads_along_the_way_that_was_walked() -> None:
    trail = Trail()
    assert trail.ahead(0.0, 0.0, 1.0) is None
    for step in range(21):  # two metres ahead, then two to the left
        trail.add(0.1 * step, 0.0)
    for step in range(1, 21):
        trail.add(2.0, 0.1 * step)
    assert trail.ahead(0.5, 0.1, 0.7) == pytest.approx((1.2, 0.0))
    assert trail.ahead(1.8, 0.1, 0.7) == pytest.approx((2.0, 0.5), abs=0.11)  # round the corner, not across it
    assert trail.ahead(2.1, 1.9, 0.7) == pytest.approx((2.0, 2.0))
    trail.add(2.0, 2.04)  # as good as standing
    assert trail.ahead(2.0, 2.0, 0.7) == pytest.approx((2.0, 2.0))
    trail.add(8.0, 8.0)  # somewhere else
    assert trail.ahead(0.0, 0.0, 0.7) == (8.0, 8.0)
