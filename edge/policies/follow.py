"""The follow policy: stay 1.2 m behind one person who walks, whoever else walks about.

Persons are seen through the detector and told apart by a tracker (`edge.perception.tracker`), which knows how the robot
turned between two frames. The one who was chosen is followed on the floor too (`edge.policies.walker`), by bearing, by
what the frame tells of the distance and, when they are ahead, by the sonar; so they are found again where they must be
after somebody walked between, and nobody else is taken for them.
"""

from __future__ import annotations

import math
from collections import deque
from enum import Enum

from edge.perception.appearance import Histogram, histogram, unlike
from edge.perception.geometry import CameraGeometry
from edge.perception.target import Target
from edge.perception.tracker import Tracker, TrackerSettings
from edge.policies.memory import EchoMemory, Fresh, finite
from edge.policies.sighting import Eye
from edge.policies.steering import Steering
from edge.policies.walker import Pose, Walker
from edge.types import Detection, Detections, Observation
from robot.config import RobotConfig
from robot.types import Frame, Twist

STILL = Twist(0.0, 0.0)
BODY_M = 0.18  # half the breadth of a person
BREADTH_M, BREADTH_SPREAD = 0.5, 0.6  # of a box: arms and steps widen it; errors repeat from frame to frame
BEARING_SPREAD = 0.04  # rad
FRAMES = 12  # kept until the detector has told what is on them


class Phase(Enum):
    """What the robot is about."""

    WAIT = "wait"  # stand and look ahead, at the start
    LOOK = "look"  # turn about until somebody is seen
    FOLLOW = "follow"
    SEARCH = "search"  # turn to where the person must be


class FollowPolicy:
    """Choose a person, stay behind them, look for them where they were lost.

    Args:
        config: a robot with a camera.
        target: who is chosen; see `edge.perception.target.Target`.
    """

    task = "follow"
    needs_camera = True
    score = 0.15  # the tracker wants weak detections too; only strong ones begin anything

    DISTANCE_M = 1.2
    WAIT_S = 1.0
    LOOK_RADPS = 0.8
    SPEED_MPS = 0.4
    LOST_S = 1.2  # unseen for so long, they are searched for
    FORGET_S = 12.0  # and after so long, another is chosen
    ALIKE, UNLIKE = 0.45, 0.53  # looks at one person differ by 0.38, in one of twenty by 0.53; at others by 0.71
    LONG_S = 3.0  # after so long out of sight, where they were says nothing any more
    BACK_MPS = 0.045  # nobody looks behind: so slow that a touch does no harm

    def __init__(self, config: RobotConfig, target: str = "nearest") -> None:
        camera = config.camera
        if camera is None:
            raise ValueError("the follow policy needs a robot with a camera")
        self.name = "follow" if target == "nearest" else f"follow:{target}"  # by which `make` makes it again
        self._config = config
        self._eye, self._geometry = Eye(camera), CameraGeometry(camera)
        self._eye_x, self._width = camera.x_m, camera.width_px
        self._focal = self._geometry.focal
        self._steering = Steering(config)
        self._steering.echoes = EchoMemory(config, keep_s=6.0)  # people move away
        self._tracker = Tracker(camera.fps, TrackerSettings())
        self._target = Target(target, camera.width_px, lambda item: self._eye.sight(item).distance, patience=None)
        self._fresh = Fresh()
        self.reset()

    def reset(self) -> None:
        self._steering.reset()
        self._tracker.reset()
        self._target.reset()
        self._fresh.reset()
        self.phase = Phase.WAIT
        self._since: float | None = None
        self._stamp = -math.inf
        self._yaw_then = 0.0
        self._person: Walker | None = None
        self._look_of: Histogram | None = None  # the person's colours
        self._frames: deque[Frame] = deque(maxlen=FRAMES)
        self._unlike: dict[int, float] = {}  # how far the colours of each identity are from the person's
        self._floor: float | None = None  # m to where the person's box ends on the floor, where the frame shows it
        self._crowd_at = -math.inf  # when more than one person was last in the frame
        self._search_side = 1.0

    @property
    def note(self) -> str:
        """For the summary of a run."""
        return f"{self._tracker.count} identities, followed number {self._target.track}"

    def act(self, observation: Observation) -> Twist:
        steering, now = self._steering, observation.now
        steering.observe(observation)
        if self._since is None:
            self._since = now
        frame = observation.senses.frame
        if frame is not None and (not self._frames or frame.stamp > self._frames[-1].stamp):
            self._frames.append(frame)
        if self._person is not None:
            self._person.predict(now)
        self._see(observation.detections, now)
        self._listen(observation)
        if self._person is None:
            return self._look(now)
        x, y = self._person.state[:2]
        steering.echoes.forget((float(x), float(y)), 0.45)  # what was heard there was the person, who moves on
        unseen = now - self._person.seen_at
        if unseen > self.FORGET_S:
            self._person = None
            self._target.reset()
            return self._look(now)
        before, self.phase = self.phase, Phase.SEARCH if unseen > self.LOST_S else Phase.FOLLOW
        if self.phase is Phase.FOLLOW:
            return self._follow(now)
        if before is not Phase.SEARCH:
            _, bearing = self._person.seen_from((steering.here.x, steering.here.y, steering.here.yaw))
            self._search_side = math.copysign(1.0, bearing)
        return self._search(now, unseen)

    # -- seeing

    def _see(self, seen: Detections | None, now: float) -> None:
        """Take in a new result of the detector, if there is one."""
        if seen is None or seen.stamp <= self._stamp:
            return
        pose = self._steering.here.at(seen.stamp)
        turned = pose[2] - self._yaw_then
        persons = Detections(tuple(item for item in seen.items if item.label == "person"), seen.stamp)
        items = self._tracker.update(persons, lambda boxes: self._geometry.turned(boxes, turned))
        self._stamp, self._yaw_then = seen.stamp, pose[2]
        eye = (pose[0] + self._eye_x * math.cos(pose[2]), pose[1] + self._eye_x * math.sin(pose[2]), pose[2])
        if len(items) > 1:
            self._crowd_at = seen.stamp
        looks = self._looks(items, seen.stamp)
        self._compare(looks)
        if self._person is None:
            found = self._target.choose(items)
            if found is not None:
                sight = self._eye.sight(found)
                distance, spread = (1.3, 0.3) if sight.distance is None else (sight.distance, sight.spread)
                self._person = Walker(eye, distance, max(spread, 0.1), sight.bearing, now)
                self._look_of, self._unlike = None, {}
        else:
            found = self._same(items, looks, eye, now)
        if found is not None and self._person is not None:
            self._take(found, eye, now)
            self._learn(found, items, looks.get(found.track or 0))

    @property
    def _crowded(self) -> bool:
        """Whether somebody else was in the frame a moment ago, who could be taken for the person."""
        return self._stamp - self._crowd_at < 1.0

    def _looks(self, items: tuple[Detection, ...], stamp: float) -> dict[int, Histogram]:
        """The colours of each identity, where the frame is still at hand."""
        frame = next((one for one in self._frames if abs(one.stamp - stamp) < 1e-6), None)
        if frame is None:
            return {}
        found = {item.track: histogram(frame.image, item.box) for item in items if item.track is not None}
        return {track: look for track, look in found.items() if look is not None}

    def _learn(self, found: Detection, items: tuple[Detection, ...], look: Histogram | None) -> None:
        """Remember the person's colours, unless somebody stands before or behind them."""
        if look is None or any(item is not found and _beside(item, found) for item in items):
            return
        if self._look_of is None:
            self._look_of = look
        elif not self._crowded:  # who is alone is the person, however near they come and whichever side they show
            self._look_of = self._look_of + 0.1 * (look - self._look_of)
        elif unlike(look, self._look_of) < self.ALIKE:
            self._look_of = self._look_of + 0.02 * (look - self._look_of)

    def _same(
        self, items: tuple[Detection, ...], looks: dict[int, Histogram], eye: Pose, now: float
    ) -> Detection | None:
        """Who of these is the person: by identity, place and colours. Long after they were lost, by colours alone."""
        person, ago = self._person, now - self._stamp
        assert person is not None
        distance, bearing = person.seen_from(eye, ago)
        spread, unseen = person.spread(eye), self._stamp - person.seen_at
        reach = 0.15 + 0.35 / max(distance, 0.4) + 0.25 * unseen

        def misfit(item: Detection) -> float:
            """How far from where, and how unlike how, the person must be; infinite for somebody else."""
            sight, track = self._eye.sight(item), item.track or 0
            named = track == self._target.track
            place = abs(math.remainder(sight.bearing - bearing, math.tau)) / reach
            if sight.distance is not None:
                sure = 0.6 + 2.5 * (sight.spread + spread) + 0.3 * unseen
                place = max(place, abs(sight.distance - distance) / sure)
            colours = self._unlike.get(track, self.ALIKE)
            if unseen > self.LONG_S:  # they may be anywhere
                return colours if colours < self.ALIKE else math.inf
            if track in looks and self._better(track):
                return colours - 1.0  # whoever is at their place is somebody else
            if place > (1.3 if named else 1.0) or (colours > self.UNLIKE and (self._crowded or not named)):
                return math.inf
            return place + 2.0 * colours - (0.3 if named else 0.0)

        known = [item for item in items if item.track is not None]
        best = min(known, key=misfit, default=None)
        if best is None or best.track is None or misfit(best) == math.inf:
            return None
        self._target.adopt(best.track)
        return best

    def _compare(self, looks: dict[int, Histogram]) -> None:
        """How unlike the person each identity has looked of late: one look says little, ten say more."""
        if self._look_of is None:
            return
        for track, look in looks.items():
            now = unlike(look, self._look_of)
            self._unlike[track] = self._unlike.get(track, now) + 0.2 * (now - self._unlike.get(track, now))

    def _better(self, track: int) -> bool:
        """Whether this identity looks clearly more like the person than the one that is taken for them."""
        taken = self._unlike.get(self._target.track or 0, 0.0)
        return taken > self.ALIKE and self._unlike.get(track, 1.0) < taken - 0.08

    def _take(self, found: Detection, eye: Pose, now: float) -> None:
        sight = self._eye.sight(found)
        person, ago = self._person, now - self._stamp
        assert person is not None
        person.seen_at = max(person.seen_at, self._stamp)
        person.see_bearing(eye, sight.bearing, BEARING_SPREAD, ago)
        self._floor = None if sight.below else self._geometry.floor_distance(found.box)
        left, _, width, _ = found.box
        if sight.distance is not None:
            person.see_distance(eye, sight.distance, max(sight.spread, 0.08), ago)
        elif left > 0.01 * self._width and left + width < 0.99 * self._width:
            distance = BREADTH_M * self._focal / max(width, 1.0)
            person.see_distance(eye, distance, BREADTH_SPREAD * distance, ago)
        if person.seen_from(eye, ago)[0] > sight.at_most:
            person.see_distance(eye, sight.at_most, 0.1, ago)

    def _listen(self, observation: Observation) -> None:
        """Let the sonar correct the distance of a person who is straight ahead."""
        reading, person = observation.senses.range, self._person
        if not self._fresh.new(reading) or person is None or (heard := finite(reading)) is None:
            return
        here = self._steering.here.at(reading.stamp)
        distance, bearing = person.seen_from(here)
        heard += self._config.range.x_m + BODY_M
        if self._floor is not None and heard < 0.75 * self._floor:
            return  # it stands before them: who shows their feet, or what hides these, is farther away
        half = math.radians(self._config.range.half_cone_deg)
        # The edge of the body is within the cone sooner than its middle.
        if abs(bearing) > half + 0.6 * BODY_M / max(distance, 0.4) or observation.now - person.seen_at > 0.6:
            return
        if abs(heard - distance) < min(0.45, 0.15 + 2.0 * person.spread(here)):
            person.see_distance(here, heard, 0.06)

    # -- acting

    def _look(self, now: float) -> Twist:
        assert self._since is not None
        self.phase = Phase.WAIT if now - self._since < self.WAIT_S else Phase.LOOK
        return STILL if self.phase is Phase.WAIT else Twist(0.0, self.LOOK_RADPS)

    def _follow(self, now: float) -> Twist:
        person, here = self._person, self._steering.here
        assert person is not None
        pose = (here.x, here.y, here.yaw)
        distance, bearing = person.seen_from(pose, ago=-0.15)
        speed = person.leaving(pose) + 1.2 * (distance - self.DISTANCE_M)
        if speed <= 0.03 or distance < self.DISTANCE_M - 0.1:
            back = max(-self.BACK_MPS, min(0.0, speed)) if distance < self.DISTANCE_M - 0.15 else 0.0
            return Twist(back, max(-1.8, min(1.8, 2.5 * bearing)))
        return self._drive(distance, bearing, now, min(speed, self.SPEED_MPS))

    def _drive(self, distance: float, bearing: float, now: float, speed: float) -> Twist:
        """Towards the person, round what stands between, but never so that they leave the frame."""
        if abs(bearing) > 0.45:
            return Twist(0.0, max(-1.8, min(1.8, 3.0 * bearing)))
        way = self._steering.towards(bearing, now, speed, min(0.6, max(0.3, distance - 0.75)))
        if abs(bearing) > 0.25 and way.omega * bearing < 0:
            return Twist(way.v, 0.0)
        return way

    def _search(self, now: float, unseen: float) -> Twist:
        """Turn to where they must be; where that is ahead and nobody is there, look about the way they went."""
        person, here = self._person, self._steering.here
        assert person is not None
        distance, bearing = person.seen_from((here.x, here.y, here.yaw))
        if unseen < self.LONG_S:
            if distance > self.DISTANCE_M - 0.1:  # something may stand between: go there, round it
                return self._drive(distance, bearing, now, 0.25)
            if abs(bearing) > 0.3:
                return Twist(0.0, max(-1.5, min(1.5, 2.0 * bearing)))
        return Twist(0.0, self._search_side * self.LOOK_RADPS)


def _beside(one: Detection, other: Detection) -> bool:
    """Whether two boxes share columns of the picture."""
    return one.box[0] < other.box[0] + other.box[2] and other.box[0] < one.box[0] + one.box[2]
