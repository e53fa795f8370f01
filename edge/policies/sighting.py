"""From boxes to a place: how far away a person is by what the frame shows of them, and where that is on the floor.

Feet give the distance by the floor they stand on, the head by an average height, both only while they are
well inside the frame. Close by, both are cut: then a box tells a bearing only, and the place is carried on by
dead reckoning and the sonar. Measurements are weighed by their variances (a Kalman filter over one
distance), since a foot's error grows with the square of the distance and a head's in proportion.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from edge.perception.geometry import CameraGeometry
from edge.policies.memory import wrap
from edge.types import Detection
from robot.config import Camera

HEIGHT_M, HEIGHT_SPREAD = 1.72, 0.09  # of adults: mean, and standard deviation as a share
TOES_M = 0.08  # a box ends at the toes, which are so much nearer than the body's middle
BOX_SPREAD = 0.015  # of a box's edge, as a share of the box's height


@dataclass(frozen=True, slots=True)
class Sight:
    """A person as seen: bearing (rad), level distance from the lens and its standard deviation (m), score."""

    bearing: float
    distance: float | None  # None: too much of them is cut off
    spread: float
    at_most: float  # m, what their going on beyond the frame allows; infinite where they do not
    score: float
    below: bool  # whether they go on below the frame: then nothing stands in front of them


class Eye:
    """Measures persons by the geometry of one camera.

    Args:
        camera: the camera.
        feet: a box that ends above this share of the frame's height ends with the feet, or with what hides them.
        head: a box that begins below this share begins with the head.
    """

    FEET, HEAD = 0.93, 0.08
    CUT = 0.985  # a box that ends below this share goes on below the frame
    SIDE = 0.01  # a box that comes nearer to the frame's side is cut

    def __init__(self, camera: Camera, feet: float = FEET, head: float = HEAD) -> None:
        self._camera, self._feet, self._head = camera, feet, head
        self._geometry = CameraGeometry(camera)
        # A box is not exact: what seems cut may end just inside the frame, and is then this far away, m.
        edge = self._geometry.floor_distance((camera.width_px / 2, 0.0, 0.0, 0.965 * camera.height_px))
        self._nearest_floor = math.inf if edge is None else edge
        self._focal = self._geometry.focal

    def at_most(self, height_px: float) -> float:
        """How far away a person is at most who shows so much of their height, m."""
        return (1.0 + HEIGHT_SPREAD) * HEIGHT_M * self._focal / height_px

    def sight(self, found: Detection) -> Sight:
        """Where a detected person is."""
        camera = self._camera
        left, top, width, height = found.box
        bottom = top + height
        margin = self.SIDE * camera.width_px
        whole = left > margin and left + width < camera.width_px - margin
        bearing = self._geometry.bearing(found.box) if found.bearing is None else found.bearing
        pixels = max(3.0, BOX_SPREAD * height)
        feet = head = None
        below = bottom >= self.CUT * camera.height_px
        if whole and bottom < self._feet * camera.height_px:
            floor = self._geometry.floor_distance(found.box)
            if floor is not None and floor < 12.0:
                spread = (floor * floor / camera.height_m + camera.height_m) * pixels / self._focal
                feet = floor + TOES_M, max(0.05, spread)
        if whole and top > self._head * camera.height_px:
            _, row = self._geometry.ideal((left + width / 2, top))
            elevation = math.atan((camera.height_px / 2 - float(row)) / self._focal) + math.radians(camera.tilt_deg)
            if elevation > 0.03:
                distance = (HEIGHT_M - camera.height_m) / math.tan(elevation)
                slant = pixels / self._focal / (math.sin(elevation) * math.cos(elevation))
                head = distance, distance * math.hypot(HEIGHT_SPREAD, slant)
        if feet is not None and head is not None and feet[0] > 1.3 * head[0]:
            feet = None  # a thing in front of the feet lifts the box's bottom, and the floor behind it is farther
        measured = [one for one in (feet, head) if one is not None]
        if not measured:
            at_most = self._nearest_floor + TOES_M if below else math.inf
            return Sight(bearing, None, math.inf, at_most, found.score, below)
        weights = [1.0 / (spread * spread) for _, spread in measured]
        distance = sum(w * d for w, (d, _) in zip(weights, measured, strict=True)) / sum(weights)
        return Sight(bearing, distance, 1.0 / math.sqrt(sum(weights)), math.inf, found.score, below)


class Place:
    """Where a person is believed to be: x, y (m) in the frame of dead reckoning."""

    DRIFT_M = 0.02  # by which the belief grows less sure from one measurement to the next
    CLOSE_M, CLOSE_SPREAD_M = 1.3, 0.3  # where somebody is of whom neither feet nor head is in the frame
    SUREST_M = 0.05  # errors of one measurement repeat in the next: they do not average out

    def __init__(self, pose: tuple[float, float, float], sight: Sight) -> None:
        distance, bearing, spread = sight.distance, sight.bearing, sight.spread
        if distance is None:
            distance, spread = self.CLOSE_M, self.CLOSE_SPREAD_M
        self.x = pose[0] + distance * math.cos(pose[2] + bearing)
        self.y = pose[1] + distance * math.sin(pose[2] + bearing)
        self._variance = spread * spread

    def seen_from(self, pose: tuple[float, float, float]) -> tuple[float, float]:
        """Distance (m) and bearing (rad) from a pose."""
        dx, dy = self.x - pose[0], self.y - pose[1]
        return math.hypot(dx, dy), wrap(math.atan2(dy, dx) - pose[2])

    def see(self, pose: tuple[float, float, float], sight: Sight) -> None:
        """Take in a sight from the lens at `pose`."""
        known, _ = self.seen_from(pose)
        if sight.distance is None and known > sight.at_most:
            self.update(pose, sight.at_most, 0.1, sight.bearing)
        else:
            self.update(pose, sight.distance, sight.spread, sight.bearing)

    def update(
        self, pose: tuple[float, float, float], distance: float | None, spread: float, bearing: float | None
    ) -> None:
        """Take in a measurement made at `pose`; None for what it does not tell."""
        known, direction = self.seen_from(pose)
        self._variance += self.DRIFT_M**2
        if distance is not None:
            gain = self._variance / (self._variance + spread * spread)
            self._variance = max((1.0 - gain) * self._variance, self.SUREST_M**2)
            known = max(0.2, known + gain * (distance - known))
        if bearing is not None:
            direction += 0.6 * wrap(bearing - direction)
        self.x = pose[0] + known * math.cos(pose[2] + direction)
        self.y = pose[1] + known * math.sin(pose[2] + direction)


@dataclass(slots=True)
class Candidate:
    """Somebody, perhaps: where, how often seen, and the sum of the scores."""

    place: Place
    hits: int
    weight: float


class Candidates:
    """What was taken for a person while looking about: a detector errs now and then, a person is seen again."""

    def __init__(self) -> None:
        self._found: list[Candidate] = []

    def clear(self) -> None:
        """Forget them all."""
        self._found.clear()

    def add(self, pose: tuple[float, float, float], sight: Sight) -> None:
        """Take in a sight from the lens at `pose`."""
        for one in self._found:
            if is_same(sight, *one.place.seen_from(pose)):
                one.place.see(pose, sight)
                one.hits += 1
                one.weight += sight.score
                return
        self._found.append(Candidate(Place(pose, sight), 1, sight.score))

    def take(self, hits: int) -> Place | None:
        """Remove and return the likeliest that was seen at least so often."""
        often = [one for one in self._found if one.hits >= hits]
        if not often:
            return None
        best = max(often, key=lambda one: one.weight)
        self._found.remove(best)
        return best.place


def is_same(sight: Sight, distance: float, bearing: float) -> bool:
    """Whether a sight may be of the person who is believed to be at this distance and bearing."""
    nearby = abs(wrap(sight.bearing - bearing)) < 0.25 + 0.3 / max(distance, 0.3)
    return nearby and (sight.distance is None or abs(sight.distance - distance) < 0.5 + 3.0 * sight.spread)
