"""The person policy: find a person, face them, come closer, stop 1.2 m in front of them.

A person is seen only through the detector. How far they are is read from what the frame shows of them: from
their feet where they stand inside the frame, from the head where that is, and near the end, when both are
cut, from the last sight of the feet carried on by dead reckoning, checked by the sonar.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import Enum

import numpy as np

from edge.perception.geometry import CameraGeometry
from edge.policies.memory import finite, wrap
from edge.policies.steering import Steering
from edge.types import Detection, Observation
from robot.config import Camera, RobotConfig
from robot.types import Twist

STILL = Twist(0.0, 0.0)
HEIGHT_M = 1.7  # of an average person
BODY_M = 0.17  # half the depth of a person


class Phase(Enum):
    """What the robot is about."""

    LOOK = "look"  # turn about until a person is seen
    CHECK = "check"  # face them and see them again
    ROAM = "roam"  # nobody seen from here: go elsewhere
    APPROACH = "approach"
    ARRIVE = "arrive"  # stand, face them, measure again
    DONE = "done"


@dataclass(slots=True)
class Sight:
    """Where a person was seen: bearing (rad) from the robot's middle, and distance (m) as far as the frame tells."""

    bearing: float
    distance: float | None  # None: no foot and no head in the frame
    at_most: float  # m, what the frame allows at most
    score: float


class Eye:
    """From a box to a distance."""

    CUT = 0.975  # share of the frame's height below which feet count as inside the frame

    def __init__(self, camera: Camera) -> None:
        self._camera = camera
        self._geometry = CameraGeometry(camera)
        # The nearest floor that the frame shows, m from the lens.
        bottom = (camera.width_px / 2 - 1.0, 0.0, 2.0, 0.985 * camera.height_px)
        self._nearest = self._geometry.floor_distance(bottom) or 0.0

    def sight(self, found: Detection) -> Sight:
        """What a detection of a person tells of where they are."""
        camera = self._camera
        _, y, _, height = found.box
        bearing = self._geometry.bearing(found.box) if found.bearing is None else found.bearing
        feet = head = None
        if y + height < self.CUT * camera.height_px:
            feet = self._geometry.floor_distance(found.box)
        if y > 0.02 * camera.height_px:
            # The head's elevation, taken along the box's middle column.
            top = self._elevation(y)
            if top > 0.02:
                head = (HEIGHT_M - camera.height_m) / math.tan(top)
        distance: float | None
        if feet is not None and head is not None:
            # A thing in front of the feet lifts the box's bottom, and the floor seems farther: then trust the head.
            distance = feet if feet < 1.25 * head else head
        else:
            distance = feet if feet is not None else head
        at_most = math.inf if feet is not None or head is not None else self._nearest + 0.1
        shift = camera.x_m * math.cos(bearing)
        return Sight(bearing, None if distance is None else distance + shift, at_most + shift, found.score)

    def _elevation(self, row: float) -> float:
        camera = self._camera
        focal = camera.width_px / 2 / math.tan(math.radians(camera.horizontal_fov_deg) / 2)
        return math.atan((camera.height_px / 2 - row) / focal) + math.radians(camera.tilt_deg)


class PersonPolicy:
    """Look about, check, approach, arrive; roam where nobody is seen."""

    name = "person"
    needs_camera = True

    DISTANCE_M = 1.2
    LOOK_RADPS = 0.9
    SCORE = 0.5
    SPEED_MPS = 0.3

    def __init__(self, config: RobotConfig) -> None:
        if config.camera is None:
            raise ValueError("the person policy needs a robot with a camera")
        self._config = config
        self._camera = config.camera
        self._eye = Eye(config.camera)
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
        self._place: tuple[float, float] | None = None  # of the person, in the frame of the whereabouts
        self._seen_at = -math.inf
        self._hits = 0
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
        self._hits = 0
        if phase is Phase.LOOK:
            self._free.clear()
            self._place = None

    # -- seeing

    def _see(self, observation: Observation) -> None:
        """Take in a new result of the detector, if there is one."""
        seen = observation.detections
        if seen is None or seen.stamp <= self._seen_stamp:
            return
        self._seen_stamp = seen.stamp
        x, y, yaw = self._steering.here.at(seen.stamp)
        persons = [self._eye.sight(d) for d in seen.items if d.label == "person" and d.score >= self.SCORE]
        if self._place is not None:
            expected = wrap(math.atan2(self._place[1] - y, self._place[0] - x) - yaw)
            persons = [sight for sight in persons if abs(wrap(sight.bearing - expected)) < 0.4]
        if not persons:
            return
        best = max(persons, key=lambda sight: sight.score)
        known = math.hypot(self._place[0] - x, self._place[1] - y) if self._place is not None else None
        distance = best.distance if best.distance is not None else min(known or best.at_most, best.at_most)
        angle = yaw + best.bearing
        place = (x + distance * math.cos(angle), y + distance * math.sin(angle))
        if self._place is None:
            self._place = place
        else:
            share = 0.35
            self._place = tuple(a + share * (b - a) for a, b in zip(self._place, place, strict=True))  # type: ignore
        self._seen_at = seen.stamp
        self._hits += 1

    def _listen(self) -> None:
        """Let the sonar correct the distance of a person who is straight ahead."""
        steering, here = self._steering, self._steering.here
        if self._place is None or not steering.heard or steering.range is None:
            return
        bearing, distance = here.bearing_to(*self._place), here.distance_to(*self._place)
        heard = steering.range + self._config.range.x_m + BODY_M
        if abs(bearing) < 0.12 and abs(heard - distance) < 0.35 and heard < 1.8:
            scale = 1.0 + 0.15 * (heard / max(distance, 0.1) - 1.0)
            self._place = (
                here.x + (self._place[0] - here.x) * scale,
                here.y + (self._place[1] - here.y) * scale,
            )

    # -- acting

    def _look(self, now: float) -> Twist:
        if self._place is not None:
            self._enter(Phase.CHECK, now)
            return STILL
        if self._steering.here.turned - self._turned_from > math.tau + 0.3:
            self._looks.append((self._steering.here.x, self._steering.here.y))
            self._choose_goal()
            self._enter(Phase.ROAM, now)
        return Twist(0.0, self.LOOK_RADPS)

    def _check(self, now: float) -> Twist:
        if self._hits >= 2:
            self._enter(Phase.APPROACH, now)
        elif now - self._since > 1.5:
            self._place = None
            turned = self._turned_from
            self.phase = Phase.LOOK  # not from the beginning: what has been seen once stays seen
            self._turned_from = turned
            return STILL
        return self._face(1.0)

    def _face(self, limit: float) -> Twist:
        if self._place is None:
            return STILL
        bearing = self._steering.here.bearing_to(*self._place)
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
        if self._place is not None:
            self._enter(Phase.CHECK, now)
            return STILL
        if self._goal is None or here.distance_to(*self._goal) < 0.2 or now - self._since > 8.0:
            self._enter(Phase.LOOK, now)
            return STILL
        return self._steering.towards(here.bearing_to(*self._goal), now, self.SPEED_MPS)

    def _lost(self, now: float) -> bool:
        """Whether the person should have been seen, and was not."""
        if self._place is None:
            return True
        bearing = self._steering.here.bearing_to(*self._place)
        if abs(bearing) > 0.7 * self._half_view:
            self._seen_at = max(self._seen_at, now - 2.5)  # out of view: no wonder, for a while
        return now - self._seen_at > 3.0

    def _approach(self, now: float) -> Twist:
        if self._lost(now) or self._place is None:
            self._enter(Phase.LOOK, now)
            return STILL
        self._listen()
        here = self._steering.here
        distance, bearing = here.distance_to(*self._place), here.bearing_to(*self._place)
        if distance <= self.DISTANCE_M + 0.03:
            self._enter(Phase.ARRIVE, now)
            return STILL
        speed = min(self.SPEED_MPS, 0.08 + 0.6 * (distance - self.DISTANCE_M))
        need = float(np.clip(distance - 0.75, 0.3, 0.6))
        return self._steering.towards(bearing, now, speed, need)

    def _arrive(self, now: float) -> Twist:
        if self._lost(now) or self._place is None:
            self._enter(Phase.LOOK, now)
            return STILL
        self._listen()
        here = self._steering.here
        error = here.distance_to(*self._place) - self.DISTANCE_M
        if error > 0.15:
            self._enter(Phase.APPROACH, now)
            return STILL
        bearing = here.bearing_to(*self._place)
        if abs(bearing) > 0.1:
            return self._face(1.0)
        if error < -0.12:
            return Twist(-0.1, 0.0)
        if self._hits >= 4 and now - self._since > 0.6:
            self._enter(Phase.DONE, now)
        return STILL
