"""What senses say that cannot be true, told by how the robot moved meanwhile.

A sensor can be wrong in a way that no single sample shows. Each check here takes a while, says how long, and
is silent where it cannot know:

* a sonar, or a light sensor, that repeats itself to the last digit while the robot moves;
* light sensors of which the wrong one brightens first while the robot turns about: left and right are exchanged,
  or the motors turn it the other way;
* wheels whose measured speed is not what was commanded, where encoders are fitted.
"""

from __future__ import annotations

from collections import deque
from math import exp, isfinite, tau

from edge.reasons import Reason
from robot.config import RobotConfig
from robot.types import Reading, Senses, Twist


class Repeats:
    """Whether a sensor has given the same number, to the last digit, `samples` times on end over `way_m` of driving.

    A sonar's echo and a capacitor's charge are timed to a microsecond, and jitter by more; a converter of ten bits
    stands still for a while, so light is given a long way. (Both ends of a scale repeat too: full darkness.)
    """

    def __init__(self, samples: int, way_m: float) -> None:
        self.samples, self.way_m = samples, way_m
        self._last: Reading | None = None
        self._count = 0
        self._from = 0.0

    def see(self, reading: Reading, way: float) -> bool:
        """Take in the newest sample; `way` (m) is what the wheels have been commanded to drive so far."""
        last = self._last
        if last is None or reading.stamp != last.stamp:
            if last is None or reading.value is None or reading.value != last.value:
                self._count, self._from = 1, way
            else:
                self._count += 1
            self._last = reading
        return self._count >= self.samples and way - self._from >= self.way_m


class LightSides:
    """Whether left and right light brighten in the order in which the robot turns them into the light.

    Turning left, the left sensor meets a lamp first and the right one after it: over a whole turn the point
    (left, right) runs round an area, whose sign is that of the turn. Exchanged sensors, and motors that turn the robot
    the other way, give it the other sign. Judged after each whole turn on the spot; where light comes from
    everywhere the area is small and nothing is said. A wiring does not mend itself: once known, it stays so.
    """

    LEAST = 0.1  # of the product of both maxima; a thousand rooms gave -0.04 to 0.78, half of them above 0.37
    ROAM_M = 0.15  # driven meanwhile: no turn on the spot any more
    MOST = 2000  # samples; so slow a turn is none

    def __init__(self) -> None:
        self.wrong = False
        self._stamp = -1.0
        self._turn = self._way = self._most = self._least = 0.0
        self._points: list[tuple[float, float]] = []

    def see(self, left: Reading, right: Reading, turned: float, driven: float) -> bool:
        """Take in a sample of both; `turned` (rad, left positive) and `driven` (m) since the last call."""
        self._turn += turned
        self._way += abs(driven)
        self._most, self._least = max(self._most, self._turn), min(self._least, self._turn)
        if left.stamp != self._stamp and left.value is not None and right.value is not None:
            self._stamp = left.stamp
            point = (left.value, right.value)
            if isfinite(left.value) and isfinite(right.value):
                self._points.append(point)
        back = self._most - self._turn if self._turn > 0 else self._turn - self._least
        if back > 0.2 or self._way > self.ROAM_M or len(self._points) > self.MOST:
            self._begin()
        elif abs(self._turn) >= tau and len(self._points) >= 12:
            self.wrong |= self.area() * self._turn < 0.0 and abs(self.area()) > self.LEAST
            self._begin()
        return self.wrong

    def area(self) -> float:
        """The signed area that (left, right) has run round, as a share of the product of their maxima."""
        points = self._points
        size = max(left for left, _ in points) * max(right for _, right in points)
        twice = sum(a[0] * b[1] - b[0] * a[1] for a, b in zip(points, [*points[1:], points[0]], strict=True))
        return 0.5 * twice / size if size > 1e-3 else 0.0

    def _begin(self) -> None:
        self._turn = self._way = self._most = self._least = 0.0
        self._points = []


class WheelCheck:
    """Whether measured wheel speeds are those that were commanded, where both are measured.

    What a wheel should do is a first-order lag behind its commands. It may be off by `OFF_MPS` and `SHARE`, and by
    anything for `PATIENCE_S`: a body brakes more slowly than that lag. A wheel that should hardly turn, and does not,
    may be a dead one: it is not cleared by that, and what it was off before is forgotten at `FORGET` of its pace, so
    that short stops for another reason hide nothing. Beyond the patience the robot is stopped for `REST_S` and until
    the wheels stand, then tries again; the third time within `WITHIN_S` it stays.
    """

    OFF_MPS, SHARE = 0.06, 0.3
    PATIENCE_S = 0.4
    FORGET = 0.5
    REST_S = 2.0
    STRIKES, WITHIN_S = 3, 60.0

    def __init__(self, config: RobotConfig) -> None:
        self._drive = config.drive
        self._expected = [0.0, 0.0]
        self._off = [False, False]
        self._off_s = [0.0, 0.0]  # for how long each is off
        self._strikes: deque[float] = deque(maxlen=self.STRIKES)
        self._until = float("-inf")
        self.given_up = False

    def see(self, senses: Senses, commanded: Twist, dt: float, now: float) -> bool:
        """Take in the measured speeds; `commanded` is what the wheels had for the last `dt` seconds."""
        turn = 0.5 * self._drive.track_m * commanded.omega
        keep = exp(-dt / self._drive.lag_s) if self._drive.lag_s > 0 else 0.0
        moving = False
        for wheel, (target, reading) in enumerate(
            ((commanded.v - turn, senses.speed_left), (commanded.v + turn, senses.speed_right))
        ):
            self._expected[wheel] = target + (self._expected[wheel] - target) * keep
            if reading is None or reading.value is None or not isfinite(reading.value):
                continue
            moving |= abs(reading.value) > self.OFF_MPS
            self._count(wheel, reading.value, dt)
        if max(self._off_s) >= self.PATIENCE_S and now >= self._until:
            self._off_s = [0.0, 0.0]
            self._strikes.append(now)
            self.given_up |= len(self._strikes) == self.STRIKES and now - self._strikes[0] <= self.WITHIN_S
            self._until = now + self.REST_S
        if now < self._until and moving:
            self._until = max(self._until, now + 0.5 * self.REST_S)  # a motor that does not stop: not over yet
        return self.given_up or now < self._until

    def _count(self, wheel: int, speed: float, dt: float) -> None:
        """Take into account for how long this wheel is off."""
        expected, was = abs(self._expected[wheel]), self._off[wheel]
        self._off[wheel] = abs(speed - self._expected[wheel]) > self.OFF_MPS + self.SHARE * expected
        if self._off[wheel]:
            self._off_s[wheel] += dt if was else 0.0
        elif expected * (1.0 - self.SHARE) > self.OFF_MPS:  # a dead one would have been off
            self._off_s[wheel] = 0.0
        else:
            self._off_s[wheel] = max(0.0, self._off_s[wheel] - self.FORGET * dt)


class Plausible:
    """All checks for one robot, iteration after iteration.

    Args:
        config: the robot.
        needs_light: its policy lives by light; in the dark another may drive on.
    """

    def __init__(self, config: RobotConfig, needs_light: bool = False) -> None:
        self._config, self._needs_light = config, needs_light
        self.reset()

    def reset(self) -> None:
        """Forget the past: a new run begins."""
        self.echo = Repeats(samples=6, way_m=0.06)
        self.left, self.right = Repeats(samples=25, way_m=1.0), Repeats(samples=25, way_m=1.0)
        self.sides = LightSides()
        self.wheels = WheelCheck(self._config)
        self._way = 0.0

    def doubt(self, senses: Senses, commanded: Twist, dt: float, now: float) -> Reason | None:
        """The reason to distrust the senses, if there is one.

        Args:
            senses: the newest.
            commanded: what the wheels had since the last call, `dt` seconds.
            now: the clock's time.
        """
        self._way += (abs(commanded.v) + 0.5 * self._config.drive.track_m * abs(commanded.omega)) * dt
        wheels = self.wheels.see(senses, commanded, dt, now)
        echo = self.echo.see(senses.range, self._way)
        left, right = self.left.see(senses.light_left, self._way), self.right.see(senses.light_right, self._way)
        sides = self.sides.see(senses.light_left, senses.light_right, commanded.omega * dt, commanded.v * dt)
        if wheels:
            return Reason.WHEEL_FAULT
        if self._needs_light and (left or right):
            return Reason.STUCK_LIGHT
        if self._needs_light and sides:
            return Reason.LIGHT_SIDES
        return Reason.STUCK_RANGE if echo else None
