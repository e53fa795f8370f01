"""The follow policy: stay 1.2 m behind one person who walks, whoever else walks about.

Persons are seen through the detector and told apart by a tracker (`edge.perception.tracker`), which knows how the robot
turned between two frames. The one who was chosen is followed on the floor too (`edge.policies.walker`), by bearing, by
what the frame tells of the distance and, when they are ahead, by the sonar; so they are found again where they must be
after somebody walked between; everybody else is known too (`edge.policies.crowd`), by place and clothes, and not taken
for them. The robot goes along the way that they took (`edge.policies.trail`).
"""

from __future__ import annotations

import math
from collections import deque
from enum import Enum

from edge.perception.geometry import CameraGeometry
from edge.perception.target import Target
from edge.perception.tracker import Tracker, TrackerSettings
from edge.policies.crowd import Crowd
from edge.policies.memory import EchoMemory, Fresh, finite, wrap
from edge.policies.someone import Echo, Seen
from edge.policies.steering import Steering
from edge.policies.trail import Trail
from edge.policies.walker import Walker
from edge.policies.watch import BODY_M, Watch
from edge.types import Detections, Observation
from robot.config import RobotConfig
from robot.types import Frame, Twist

STILL = Twist(0.0, 0.0)
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

    DISTANCE_M = 1.05  # a little nearer than asked for: others pass between from 1.15 m on, and nobody pushes it on
    WAIT_S = 1.0
    LOOK_RADPS = 1.1
    TURN_S, WALK_S = 6.0, 3.0  # once round; where nobody is seen it looks from elsewhere
    SPEED_MPS = 0.4
    LOST_S = 1.2  # unseen for so long, they are searched for
    HIDDEN_S = 5.0  # or for so long, while somebody stands before them
    FORGET_S = 12.0  # and after so long, another is chosen
    AHEAD_M = 0.75  # so far along the person's way the robot looks
    ASIDE_RAD = 0.18  # and so far from the person at most
    STAND_S, ROUND_S = 1.2, 3.0  # so long stopped, it goes round what stands in the way, for so long
    RIM_RAD = 0.42  # whoever is farther aside is nearly out of the frame
    STANDS_MPS = 0.15  # whoever is slower stands
    PASS_M, PASS_S = 0.8, 3.0  # who passes between, so near, is waited for, so long
    SWEEP_RAD, SWEEP_S = 0.8, 2.6  # then it looks so far to both sides of there, for so long, before it turns round
    LONG_S = 3.0  # after so long out of sight, where they were says nothing any more
    CLOSE_M = 0.6  # from others it backs off where they are nearer
    BACK_OWN_MPS = 0.12  # where it has just driven there is no furniture
    BACK_MPS = 0.045  # nobody looks behind: so slow that a touch does no harm

    def __init__(self, config: RobotConfig, target: str = "nearest") -> None:
        camera = config.camera
        if camera is None:
            raise ValueError("the follow policy needs a robot with a camera")
        self.name = "follow" if target == "nearest" else f"follow:{target}"  # by which `make` makes it again
        self._config = config
        self._watch, self._geometry = Watch(camera), CameraGeometry(camera)
        self._eye_x = camera.x_m
        self._steering = Steering(config)
        self._steering.echoes = EchoMemory(config, keep_s=6.0)  # people move away
        self._tracker = Tracker(camera.fps, TrackerSettings())
        self._target = Target(target, camera.width_px, self._watch.distance, patience=None)
        self._fresh = Fresh()
        self._trail, self._own = Trail(), Trail()  # the person's way, and the robot's
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
        self._crowd = Crowd()
        self._shown: list[Seen] = []  # on the newest frame
        self._nearest = math.inf, -math.inf  # how far away, and when, somebody else was last heard
        self._frames: deque[Frame] = deque(maxlen=FRAMES)
        self._echoes: deque[tuple[float, float]] = deque(maxlen=FRAMES)  # when, and how far away
        self._search_side = 1.0
        self._trail.clear()
        self._own.clear()
        self._waits_since: float | None = None  # since when somebody passes between
        self._stands_since = math.inf  # since when it wants to drive and does not
        self._round_until = -math.inf  # until when it goes round what stands in the way

    @property
    def _person(self) -> Walker | None:
        """Where whoever is followed must be."""
        return None if self._crowd.target is None else self._crowd.target.walker

    @property
    def note(self) -> str:
        """For the summary of a run."""
        return f"{self._tracker.count} identities, followed number {self._target.track}"

    def perceive(self, observation: Observation) -> tuple[float, float, float] | None:
        """Take in one observation, whoever drives.

        Returns:
            Distance (m) and bearing (rad, left positive) of the person followed, from the robot's middle, and how long
            (s) they have been out of sight; None where nobody is followed.
        """
        steering, now = self._steering, observation.now
        steering.observe(observation)
        frame = observation.senses.frame
        if frame is not None and (not self._frames or frame.stamp > self._frames[-1].stamp):
            self._frames.append(frame)
        if self._person is not None:
            self._person.predict(now)
        reading = observation.senses.range
        if self._fresh.new(reading) and (heard := finite(reading)) is not None:
            self._echoes.append((reading.stamp, heard))
        self._see(observation.detections, now)
        if self._person is not None and now - self._person.seen_at > self.FORGET_S:
            self._crowd.choose(None)
            self._target.reset()
            self._trail.clear()
        person, here = self._person, steering.here
        return None if person is None else (*person.seen_from((here.x, here.y, here.yaw)), now - person.seen_at)

    def act(self, observation: Observation) -> Twist:
        steering, now = self._steering, observation.now
        if self._since is None:
            self._since = now
        self._own.add(steering.here.x, steering.here.y)
        found = self.perceive(observation)
        if found is None or self._person is None:
            return self._look(now)
        _, bearing, unseen = found
        x, y = self._person.state[:2]
        steering.echoes.forget((float(x), float(y)), 0.45)  # what was heard there was the person, who moves on
        if unseen < 0.5:
            self._trail.add(float(x), float(y))
        lost = unseen > (self.HIDDEN_S if self._hidden(now) else self.LOST_S)
        before, self.phase = self.phase, Phase.SEARCH if lost else Phase.FOLLOW
        if self.phase is Phase.FOLLOW:
            return self._follow(now)
        if before is not Phase.SEARCH:
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
        frame = next((one for one in self._frames if abs(one.stamp - seen.stamp) < 1e-6), None)
        image = None if frame is None else frame.image
        self._shown = self._watch.seen(items, image, self._crowd, eye, now - seen.stamp)
        echo = self._echo(seen.stamp, pose[2])
        thrower = self._crowd.update(self._shown, eye, now, seen.stamp, self._watch.measure, echo)
        target = self._crowd.target
        if echo is not None and thrower is not None:
            x, y, *speed = thrower.walker.state.tolist()
            if thrower is target or math.hypot(*speed) > self.STANDS_MPS:
                self._steering.echoes.forget((x, y), 0.45)  # who was heard there moves on
            if thrower is not target:
                self._nearest = echo.distance + self._eye_x, seen.stamp
        if target is None:
            found = self._target.choose(items)
            self._crowd.choose(None if found is None else found.track)
        elif target.track is not None:
            self._target.adopt(target.track)

    def _echo(self, stamp: float, yaw: float) -> Echo | None:
        """What was heard as a frame was taken."""
        when, heard = min(self._echoes, key=lambda one: abs(one[0] - stamp), default=(-math.inf, 0.0))
        if abs(when - stamp) > 0.08:
            return None
        turned = self._steering.here.at(when)[2] - yaw
        half = math.radians(self._config.range.half_cone_deg)
        return self._watch.echo(self._shown, heard + self._config.range.x_m + BODY_M - self._eye_x, turned, half)

    # -- acting

    def _look(self, now: float) -> Twist:
        assert self._since is not None
        self.phase = Phase.WAIT if now - self._since < self.WAIT_S else Phase.LOOK
        if self.phase is Phase.WAIT:
            return STILL
        turning = (now - self._since) % (self.TURN_S + self.WALK_S) < self.TURN_S
        return Twist(0.0, self.LOOK_RADPS) if turning else self._steering.towards(0.0, now, 0.25)

    def _follow(self, now: float) -> Twist:
        person, here = self._person, self._steering.here
        assert person is not None
        pose = (here.x, here.y, here.yaw)
        distance, bearing = person.seen_from(pose, ago=-0.15)
        heard, stamp = self._nearest
        near = heard if now - stamp < 0.4 else math.inf  # how far away somebody else is
        speed = min(person.leaving(pose) + 1.2 * (distance - self.DISTANCE_M), 1.2 * (near - self.CLOSE_M))
        if speed <= 0.03 or distance < self.DISTANCE_M - 0.1:
            most = self.BACK_MPS if not self._came_from_behind() else self.BACK_OWN_MPS
            close = distance < self.DISTANCE_M - 0.12 or near < self.CLOSE_M
            return Twist(max(-most, min(0.0, speed)) if close else 0.0, max(-1.8, min(1.8, 2.5 * bearing)))
        return self._drive(distance, bearing, now, min(speed, self.SPEED_MPS))

    def _came_from_behind(self) -> bool:
        """Whether the robot has driven, of late, where it would back off to."""
        here, back = self._steering.here, self._config.radius_m + 0.1
        x, y = here.x - back * math.cos(here.yaw), here.y - back * math.sin(here.yaw)
        point = self._own.ahead(x, y, 0.0)
        return point is not None and math.hypot(point[0] - x, point[1] - y) < 0.08

    def _drive(self, distance: float, bearing: float, now: float, speed: float) -> Twist:
        """Along the way that the person took, but never so that they leave the frame."""
        here, seen = self._steering.here, self.phase is Phase.FOLLOW
        if now < self._round_until:
            return self._steering.towards(bearing, now, speed, min(0.6, max(0.3, distance - 0.75)))
        if self._waits(distance, now) or (seen and abs(bearing) > self.RIM_RAD):
            self._stands_since = now
            return Twist(0.0, max(-1.8, min(1.8, 3.0 * bearing)))
        aim, point = bearing, self._trail.ahead(here.x, here.y, self.AHEAD_M)
        if point is not None and here.distance_to(*point) > 0.3:
            aim = here.bearing_to(*point)
            if seen:
                aim = bearing + max(-self.ASIDE_RAD, min(self.ASIDE_RAD, wrap(aim - bearing)))
        speed *= max(0.0, 1.0 - abs(aim) / 0.8)
        if speed < 0.05 or here.v > 0.06:
            self._stands_since = now
        elif now - self._stands_since > (self.PASS_S if self._somebody_near(now) else self.STAND_S):
            # Something stands there that did not when they passed.
            self._round_until = now + self.ROUND_S
        return Twist(speed, max(-1.8, min(1.8, 2.5 * aim)))

    def _hidden(self, now: float) -> bool:
        """Whether somebody stands before the person: no wonder that they are not seen."""
        here, person = self._steering.here, self._person
        assert person is not None
        pose = (here.x, here.y, here.yaw)
        distance, bearing = person.seen_from(pose)
        for one in self._crowd.others:
            if now - one.walker.seen_at < 0.5:
                far, side = one.walker.seen_from(pose)
                if far < distance and abs(wrap(side - bearing)) < 2.0 * BODY_M / max(far, 0.4) + 0.1:
                    return True
        return False

    def _somebody_near(self, now: float) -> bool:
        """Whether somebody is so near that the frame cuts their feet: who stops the robot walks on soon."""
        return now - self._stamp < 0.5 and any(what.sight.below for what in self._shown)

    def _waits(self, distance: float, now: float) -> bool:
        """Whether somebody is walking through between robot and person: they will be gone in a moment."""
        here = self._steering.here
        pose = (here.x, here.y, here.yaw)
        away = [one.walker.seen_from(pose) for one in self._crowd.others if now - one.walker.seen_at < 0.5]
        room = self._config.radius_m + BODY_M + 0.15
        near, rim = min(distance - 0.2, self.PASS_M), self.RIM_RAD
        if not any(far < near and abs(side) < rim and far * abs(math.sin(side)) < room for far, side in away):
            self._waits_since = None
            return False
        if self._waits_since is None:
            self._waits_since = now
        return now - self._waits_since < self.PASS_S

    def _search(self, now: float, unseen: float) -> Twist:
        """Turn to where they must be; where that is ahead and nobody is there, look about the way they went."""
        person, here = self._person, self._steering.here
        assert person is not None
        distance, bearing = person.seen_from((here.x, here.y, here.yaw))
        if unseen < self.LONG_S or self._waits(distance, now):
            if distance > self.DISTANCE_M - 0.1:  # something may stand between: go there, round it
                return self._drive(distance, bearing, now, 0.25)
            if abs(bearing) > 0.3:
                return Twist(0.0, max(-1.5, min(1.5, 2.0 * bearing)))
        since = unseen - self.LONG_S
        if since < self.SWEEP_S:
            side = self._search_side if since < 0.35 * self.SWEEP_S else -self._search_side
            return self._steering.turn(wrap(bearing + side * self.SWEEP_RAD), 1.5)
        if since < self.SWEEP_S + self.TURN_S:
            return Twist(0.0, self._search_side * self.LOOK_RADPS)
        return self._steering.towards(bearing, now, 0.25)
