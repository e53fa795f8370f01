"""The person policy: find a person, face them, come closer, stop 1.2 m in front of them.

A person is seen only through the detector (`edge.policies.sighting` makes a place of a box). The robot turns
about until it sees one, makes sure, drives there round what the sonar meets, and at the end stands and
measures once more. Where nobody is seen it goes elsewhere and looks again.

From near a detector sees half a person: its score falls, and its boxes end anywhere. So whoever is known may be seen
weakly, a box that fills the frame tells no distance, and who was seen on all the way is not doubted at its end as long
as the sonar hears somebody there.
"""

from __future__ import annotations

import math
from dataclasses import replace
from enum import Enum

from edge.policies.memory import finite
from edge.policies.sighting import Candidates, Eye, Place, Sight, is_same
from edge.policies.steering import Steering
from edge.types import Detection, Observation
from robot.config import RobotConfig
from robot.types import Twist

STILL = Twist(0.0, 0.0)
BODY_M = 0.18  # half the breadth of a person


class Phase(Enum):
    """What the robot is about."""

    LOOK = "look"  # turn about until a person is seen
    CHECK = "check"  # face them and see them again
    ROAM = "roam"  # nobody seen from here: go elsewhere
    APPROACH = "approach"
    ARRIVE = "arrive"  # stand, face them, measure again
    DONE = "done"


class PersonPolicy:
    """Look about, check, approach, arrive; roam where nobody is seen."""

    name = "person"
    needs_camera = True

    DISTANCE_M = 1.2
    LOOK_RADPS = 0.9
    SCORE = 0.4  # of a person who is new
    score = KNOWN_SCORE = 0.2  # of one who is known
    FILLS = 0.82  # a box of so much of the frame's height is taken to go on beyond it
    NEAR_M = 1.6  # from nearer a detector does not see the whole of a person
    PROOFS, MOSTLY = 12, 0.7  # who was seen so often from further away, and in this share of the results, is proven
    SPEED_MPS = 0.3
    LOOKS, OFTEN = 8, 0.6  # at the end it looks so many times, and must see the person in this share
    VIEW = 0.7  # of half the field of view: further aside a person may be out of it
    REFUSE_M = 0.5
    STOP_M = 0.08  # it stops so far beyond the distance, to face them and measure again
    WITHIN_M = 0.18  # and is content with an error of this

    def __init__(self, config: RobotConfig) -> None:
        if config.camera is None:
            raise ValueError("the person policy needs a robot with a camera")
        self._config = config
        self._eye_x = config.camera.x_m
        self._eye = Eye(config.camera)
        self._frame_height = config.camera.height_px
        self._half_view = math.radians(config.camera.horizontal_fov_deg) / 2
        self._steering = Steering(config)
        self.reset()

    @property
    def done(self) -> bool:
        """Whether the policy has arrived and stands."""
        return self.phase is Phase.DONE

    def reset(self) -> None:
        self._steering.reset()
        self.phase = Phase.LOOK
        self._since = 0.0
        self._turned_from = 0.0
        self._driven_from = 0.0
        self._seen_stamp = -math.inf
        self._place: Place | None = None  # of the person, in the frame of the whereabouts
        self._seen_at = -math.inf
        self._hits = self._results = 0  # of the detector, since the phase began: with and without the person
        self._far_hits = self._far_results = 0  # of the detector on the way to the person, before they were near
        self._refused: list[tuple[float, float]] = []  # where something was that does not look like a person from near
        self._below = 0  # how many times on end the person was seen to go on below the frame
        self._candidates = Candidates()
        self._looks: list[tuple[float, float]] = []  # where it has looked about in vain
        self._free: list[tuple[float, float]] = []  # heading and range heard while looking about
        self._goal: tuple[float, float] | None = None

    def act(self, observation: Observation) -> Twist:
        steering, now = self._steering, observation.now
        steering.observe(observation)
        if steering.heard and self.phase is Phase.LOOK:
            yaw = steering.here.at(observation.senses.range.stamp)[2]
            self._free.append((yaw, finite(observation.senses.range) or 0.0))
        self._see(observation)
        match self.phase:
            case Phase.LOOK:
                return self._look(now)
            case Phase.CHECK:
                return self._check(now)
            case Phase.ROAM:
                return self._roam(now)
            case Phase.APPROACH:
                return self._approach(now)
            case Phase.ARRIVE:
                return self._arrive(now)
        return STILL

    def _enter(self, phase: Phase, now: float) -> None:
        self.phase, self._since = phase, now
        self._turned_from = self._steering.here.turned
        self._driven_from = self._steering.here.driven
        self._hits = self._results = 0
        if phase is Phase.LOOK:
            self._free.clear()
            self._candidates.clear()
            self._place = None

    # -- seeing

    def _see(self, observation: Observation) -> None:
        """Take in a new result of the detector, if there is one."""
        seen = observation.detections
        if seen is None or seen.stamp <= self._seen_stamp:
            return
        self._seen_stamp = seen.stamp
        x, y, yaw = self._steering.here.at(seen.stamp)
        eye = (x + self._eye_x * math.cos(yaw), y + self._eye_x * math.sin(yaw), yaw)
        known = self.phase in (Phase.APPROACH, Phase.ARRIVE)
        least = self.KNOWN_SCORE if known else self.SCORE
        found = [d for d in seen.items if d.label == "person" and d.score >= least]
        if self._place is None:
            for one in found:
                self._candidates.add(eye, self._eye.sight(one))
            return
        self._results += 1
        distance, bearing = self._place.seen_from(eye)
        sights = [sight for sight in map(self._sight, found) if is_same(sight, distance, bearing)]
        if self.phase is Phase.APPROACH and distance > self.NEAR_M and abs(bearing) < self.VIEW * self._half_view:
            self._far_results += 1
            self._far_hits += any(sight.score >= self.SCORE for sight in sights)
        if not sights:
            return
        best = max(sights, key=lambda sight: sight.score)
        self._place.see(eye, best)
        self._seen_at = seen.stamp
        self._below = self._below + 1 if best.below else 0
        self._hits += 1

    def _sight(self, found: Detection) -> Sight:
        """Of a person who is known: a box that fills the frame only says how far away they are at most."""
        sight, height = self._eye.sight(found), found.box[3]
        if height < self.FILLS * self._frame_height:
            return sight
        return replace(sight, distance=None, spread=math.inf, at_most=self._eye.at_most(height), below=True)

    def _listen(self, now: float) -> None:
        """Let the sonar correct the distance of a person who is straight ahead."""
        steering = self._steering
        if self._place is None or not steering.heard:
            return
        here = (steering.here.x, steering.here.y, steering.here.yaw)
        distance, bearing = self._place.seen_from(here)
        heard = self._heard()
        if heard is None or abs(bearing) > 0.15 or heard > 2.6 or now - self._seen_at > 0.5:
            return
        if heard > distance:  # a person within the cone is heard: they cannot be nearer than the nearest echo
            self._place.update(here, heard, 0.08, None)
        elif self._below >= 3 and heard - distance > -0.5:  # nothing hides the legs: what is heard is the person
            self._place.update(here, heard, 0.1, None)
        elif heard - distance > -0.15:
            self._place.update(here, heard, 0.2, None)

    def _heard(self) -> float | None:
        """How far away somebody is whom the sonar hears, from the robot's middle to theirs."""
        echo = self._steering.range
        return None if echo is None else echo + self._config.range.x_m + BODY_M

    def _is_proven(self) -> bool:
        """Whether they were seen on nearly all of the way here, and something is heard where they must be."""
        heard, (distance, bearing) = self._heard(), self._person()
        seen = self._far_hits >= max(self.PROOFS, self.MOSTLY * self._far_results)
        there = heard is not None and abs(heard - distance) < 0.35
        return seen and distance < self.NEAR_M and (there or abs(bearing) > 0.15)

    def _person(self) -> tuple[float, float]:
        """Distance and bearing of the person from the robot's middle."""
        here = self._steering.here
        assert self._place is not None
        return self._place.seen_from((here.x, here.y, here.yaw))

    # -- acting

    def _look(self, now: float) -> Twist:
        """Always the whole way round: the likeliest person is wanted, and the sonar has to learn what stands here."""
        if self._steering.here.turned - self._turned_from < math.tau + 0.3:
            return Twist(0.0, self.LOOK_RADPS)
        return self._next(now, hits=2)

    def _next(self, now: float, hits: int) -> Twist:
        """Check the likeliest candidate; without one, go elsewhere."""
        self._place = self._take(hits)
        if self._place is not None:
            self._enter(Phase.CHECK, now)
        else:
            self._looks.append((self._steering.here.x, self._steering.here.y))
            self._choose_goal()
            self._enter(Phase.ROAM, now)
        return STILL

    def _take(self, hits: int) -> Place | None:
        """The likeliest candidate that was not refused before."""
        while (place := self._candidates.take(hits)) is not None:
            if all(math.hypot(place.x - x, place.y - y) > self.REFUSE_M for x, y in self._refused):
                return place
        return None

    def _check(self, now: float) -> Twist:
        if self._hits >= 3:
            self._far_hits = self._far_results = 0
            self._enter(Phase.APPROACH, now)
        elif abs(self._person()[1]) > 0.3:
            self._since = now  # still turning there
        elif now - self._since > 1.2:
            return self._next(now, hits=2)
        return self._face(1.5)

    def _face(self, limit: float) -> Twist:
        if self._place is None:
            return STILL
        bearing = self._person()[1]
        if abs(bearing) < 0.04:
            return STILL
        return Twist(0.0, max(-limit, min(limit, 2.5 * bearing)))

    def _choose_goal(self) -> None:
        """Go where the way is long and where it has not looked yet."""
        here = self._steering.here
        best, self._goal = -math.inf, None
        for heading, free in self._free:
            reach = min(free - 0.5, 1.8)
            if reach < 0.3:
                continue
            x, y = here.x + reach * math.cos(heading), here.y + reach * math.sin(heading)
            worth = min(math.hypot(x - a, y - b) for a, b in self._looks)
            if worth > best:
                best, self._goal = worth, (x, y)

    def _roam(self, now: float) -> Twist:
        here = self._steering.here
        self._place = self._take(hits=4)
        if self._place is not None:
            self._enter(Phase.CHECK, now)
            return STILL
        if self._goal is None or here.distance_to(*self._goal) < 0.3 or now - self._since > 5.0:
            self._enter(Phase.LOOK, now)
            return STILL
        return self._steering.towards(here.bearing_to(*self._goal), now, self.SPEED_MPS)

    def _lost(self, now: float) -> bool:
        """Whether the person should have been seen, and was not."""
        if self._place is None:
            return True
        bearing = self._person()[1]
        if abs(bearing) > self.VIEW * self._half_view:
            self._seen_at = max(self._seen_at, now - 2.5)  # out of view: no wonder, for a while
        return now - self._seen_at > 3.0 and not self._is_proven()

    def _lose(self, now: float) -> Twist:
        """Not seen any more: go to where they were, something may stand between; or look about."""
        place = self._place
        if place is None or self._person()[0] < self.DISTANCE_M + 0.2:
            self._enter(Phase.LOOK, now)
        else:
            self._goal = place.x, place.y
            self._place = None
            self._enter(Phase.ROAM, now)
        return STILL

    def _approach(self, now: float) -> Twist:
        if self._lost(now) or self._place is None:
            return self._lose(now)
        self._listen(now)
        distance, bearing = self._person()
        if distance <= self.DISTANCE_M + self.STOP_M:
            self._enter(Phase.ARRIVE, now)
            return STILL
        speed = min(self.SPEED_MPS, 0.1 + 0.6 * (distance - self.DISTANCE_M))
        need = min(0.6, max(0.3, distance - 0.75))
        return self._steering.towards(bearing, now, speed, need)

    def _arrive(self, now: float) -> Twist:
        if self._lost(now) or self._place is None:
            return self._lose(now)
        self._listen(now)
        distance, bearing = self._person()
        error = distance - self.DISTANCE_M
        if abs(bearing) > 0.1:
            return self._face(1.0)
        if self._results < self.LOOKS:
            return STILL
        if self._hits < self.OFTEN * self._results and not self._is_proven():
            self._refused.append((self._place.x, self._place.y))
            self._place = None
            return self._next(now, hits=2)
        if error > self.WITHIN_M:
            self._enter(Phase.APPROACH, now)
        elif error < -self.WITHIN_M:
            return Twist(-0.045, 0.0)  # nobody looks behind: so slow that a touch does no harm
        else:
            self._enter(Phase.DONE, now)
        return STILL
