"""The range policy: find the nearest thing that stands free, go there, stop 0.25 m in front of it.

It turns once about itself and listens (`edge.policies.scan` tells things from walls), turns to the nearest
thing, sweeps to and fro to find its nearest point, drives there, sweeps again close by, and closes in.
"""

from __future__ import annotations

import math
import statistics
from collections import deque
from enum import Enum

from edge.policies.memory import wrap
from edge.policies.scan import Scan
from edge.policies.steering import Steering
from edge.types import Observation
from robot.config import RobotConfig
from robot.types import Twist

STILL = Twist(0.0, 0.0)


class Phase(Enum):
    """What the robot is about."""

    SCAN = "scan"  # one whole turn
    FACE = "face"  # turn to where the thing was heard
    SWEEP = "sweep"  # to and fro across it
    AIM = "aim"  # turn to its nearest point
    DRIVE = "drive"  # there, until close by
    CLOSE = "close"  # the last centimetres
    DONE = "done"


class RangePolicy:
    """Scan, face, sweep, aim, drive, sweep, aim, close in, done; from any of them back when the thing is lost."""

    name = "range"
    needs_camera = False

    GAP_M = 0.25
    SCAN_RADPS = 1.3
    SWEEP_RADPS = 0.8
    SWEEP_RAD = 0.55  # to each side
    STAGES_M = (1.35, 0.85, 0.42)  # ranges at which it stops to aim anew

    def __init__(self, config: RobotConfig) -> None:
        self._config = config
        self._steering = Steering(config)
        self.reset()

    @property
    def done(self) -> bool:
        """Whether the policy has arrived and stands."""
        return self.phase is Phase.DONE

    def reset(self) -> None:
        self._steering.reset()
        self.phase = Phase.SCAN
        self._scan = self._new_scan()
        self._heading = 0.0  # of the thing, in the frame of the steering's whereabouts
        self._expected = math.inf  # range at which it should be heard
        self._corners: list[float] = []  # headings that a sweep has still to reach
        self._at = self._driven = 0.0  # m, by dead reckoning: so far, and since the last aim
        self._missed_since: float | None = None  # since when the thing has not been heard
        self._bend = 0.0  # rad per m that a straight command bends to the right
        self._extended = 0  # how often the sweep was made wider
        self._stage = 0  # of `STAGES_M`
        self._recent: deque[float] = deque(maxlen=5)
        self._since = 0.0  # when the phase began

    def act(self, observation: Observation) -> Twist:
        steering = self._steering
        steering.observe(observation)
        if steering.heard and steering.range is not None:
            self._recent.append(steering.range)
        if steering.heard and self.phase in (Phase.SCAN, Phase.SWEEP) and abs(steering.here.v) < 0.02:
            _, _, yaw = steering.here.at(observation.senses.range.stamp)
            self._scan.add(yaw, steering.range)
        match self.phase:
            case Phase.SCAN:
                return self._turn_about(observation.now)
            case Phase.FACE:
                return self._face(observation.now)
            case Phase.SWEEP:
                return self._sweep(observation.now)
            case Phase.AIM:
                return self._aim(observation.now)
            case Phase.DRIVE:
                return self._drive(observation.now)
            case Phase.CLOSE:
                return self._close(observation.now)
        return STILL

    def _new_scan(self) -> Scan:
        return Scan(self._config.range.x_m, math.radians(self._config.range.half_cone_deg))

    def _enter(self, phase: Phase, now: float) -> None:
        self.phase, self._since = phase, now
        self._recent.clear()
        self._missed_since = None
        if phase in (Phase.SCAN, Phase.SWEEP):
            self._scan = self._new_scan()
        if phase is Phase.SCAN:
            self._steering.here.turned = 0.0
        if phase is Phase.DRIVE:
            self._at = self._steering.here.driven
        if phase is Phase.SWEEP:
            self._corners = [self._heading - self.SWEEP_RAD, self._heading + self.SWEEP_RAD]
            self._extended = 0

    def _turn_about(self, now: float) -> Twist:
        if self._steering.here.turned < math.tau + 0.35:
            return Twist(0.0, self.SCAN_RADPS)
        things = self._scan.free_standing()
        if things:
            here = self._steering.here.yaw
            self._heading = here + wrap(things[0].heading - here)
            self._stage = 0
            self._expected = things[0].distance - self._config.range.x_m
            self._enter(Phase.FACE, now)
        elif self._steering.here.turned > 2.5 * math.tau:
            return self._wander(now)
        return Twist(0.0, self.SCAN_RADPS)

    def _wander(self, now: float) -> Twist:
        """Nothing stands free as heard from here: go a little way and listen again."""
        if self._steering.here.turned < 3 * math.tau:
            return self._steering.towards(0.0, now, 0.2)
        self._enter(Phase.SCAN, now)
        return STILL

    def _error(self) -> float:
        return wrap(self._heading - self._steering.here.yaw)

    def _face(self, now: float) -> Twist:
        error = self._error()
        if abs(error) < 0.05:
            self._enter(Phase.SWEEP, now)
        return _turn(error, 2.0)

    def _sweep(self, now: float) -> Twist:
        if self._corners:
            error = self._corners[0] - self._steering.here.yaw
            if abs(error) < 0.05:
                del self._corners[0]
            return Twist(0.0, math.copysign(self.SWEEP_RADPS, error))
        found = self._scan.refind(self._heading, self._expected + self._config.range.x_m)
        if found is None:
            self._enter(Phase.SCAN, now)
            return STILL
        thing, cut = found
        if cut and self._extended < 4:
            self._extended += 1
            end = min if cut < 0 else max
            self._corners = [end(self._scan.arrays()[0]) + cut * 0.4]
            return STILL
        self._learn_bend(thing.heading - self._heading, thing.distance)
        self._heading = thing.heading
        self._expected = thing.distance - self._config.range.x_m
        self._enter(Phase.AIM, now)
        return STILL

    def _learn_bend(self, error: float, distance: float) -> None:
        """The thing was to be straight ahead and is off by `error` (rad): one wheel is quicker than it should be.

        On a path of curvature b the heading is off by b s after s metres, and the place by b s^2 / 2. Half of it is
        believed, since the aim was not exact either.
        """
        driven, self._driven = self._driven, 0.0
        if driven > 0.2:
            bend = error / (driven * (1.0 + driven / (2.0 * distance)))
            self._bend = max(-0.4, min(0.4, self._bend + 0.5 * bend))

    def _aim(self, now: float) -> Twist:
        error = self._error()
        if abs(error) < 0.02 and abs(self._steering.here.omega) < 0.1:
            while self._stage < len(self.STAGES_M) and self._expected <= self.STAGES_M[self._stage] + 0.1:
                self._stage += 1
            self._enter(Phase.DRIVE if self._stage < len(self.STAGES_M) else Phase.CLOSE, now)
        return _turn(error, 1.5)

    def _drive(self, now: float) -> Twist:
        heard, until = self._steering.range, self.STAGES_M[self._stage]
        if heard is None or heard > self._expected + 0.2:
            return self._search(now)
        self._missed_since = None
        if self._steering.heard:
            self._expected = min(self._expected, heard)
        if heard <= until:
            self._enter(Phase.SWEEP, now)
            return STILL
        moved = self._steering.here.driven - self._at
        self._at += moved
        self._driven += moved
        self._heading += self._bend * moved
        return Twist(min(0.3, 0.05 + 0.9 * (heard - until)), max(-0.5, min(0.5, 2.0 * self._error())))

    def _search(self, now: float) -> Twist:
        """Not heard: it may lie between two lobes of the cone, so look a little to both sides; at last sweep."""
        if self._missed_since is None:
            self._missed_since = now
        since = now - self._missed_since
        if since > 1.6:
            self._enter(Phase.SWEEP, now)
            return STILL
        aside = 0.07 if since % 0.8 < 0.4 else -0.07
        return _turn(self._error() + aside, 0.5) if since > 0.2 else STILL

    def _close(self, now: float) -> Twist:
        if not self._recent:
            if now - self._since > 2.0:
                self._enter(Phase.SWEEP, now)
            return STILL
        heard = statistics.median(list(self._recent)[-3:])
        if heard > self._expected + 0.15:
            self._expected = heard
            self._enter(Phase.SWEEP, now)
            return STILL
        error = heard - self.GAP_M
        still = abs(self._steering.here.v) < 0.01
        if still and len(self._recent) >= 4 and abs(statistics.median(self._recent) - self.GAP_M) < 0.015:
            self._enter(Phase.DONE, now)
            return STILL
        if abs(error) < 0.012:
            return STILL
        return Twist(max(-0.06, min(0.12, 1.0 * error + math.copysign(0.01, error))), 0.0)


def _turn(error: float, limit: float) -> Twist:
    """Turn on the spot by `error`, slowing down before it."""
    return Twist(0.0, max(-limit, min(limit, 4.0 * error)))
