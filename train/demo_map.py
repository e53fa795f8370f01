"""The demo's map: a room from above, drawn with OpenCV, with the robot, its senses and its path."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from robot.config import RobotConfig
from robot.sim.room import PersonState, Room

Image = NDArray[np.uint8]
Colour = tuple[int, int, int]

# RGB, one palette for video and report.
INK: Colour = (15, 23, 42)
PANEL: Colour = (30, 41, 59)
FLOOR: Colour = (51, 65, 85)
EDGE: Colour = (100, 116, 139)
TEXT: Colour = (226, 232, 240)
QUIET: Colour = (148, 163, 184)
AMBER: Colour = (251, 191, 36)
SKY: Colour = (56, 189, 248)
GREEN: Colour = (52, 211, 153)
RED: Colour = (248, 113, 113)
LEG_COLOURS: dict[str, Colour] = {"light": AMBER, "range": SKY, "person": GREEN}

_OBJECTS: dict[str, Colour] = {
    "box": (168, 128, 88), "chair": (190, 150, 104), "coat_stand": (150, 122, 150), "plant": (90, 150, 96),
}  # fmt: skip
_SHIFT = 4  # OpenCV draws with fractions of 1/16 pixel


@dataclass(frozen=True, slots=True)
class Path:
    """One leg's path: (K, 2) m, and whose it was."""

    task: str
    points: NDArray[np.float64]


class RoomMap:
    """Draws one room into a picture of `width` x `height` pixels.

    What does not move is drawn once, at twice the size and shrunk.
    """

    MARGIN = 14

    def __init__(self, room: Room, config: RobotConfig, width: int, height: int) -> None:
        self.room, self.config = room, config
        self.width, self.height = width, height
        inner_w, inner_h = width - 2 * self.MARGIN, height - 2 * self.MARGIN
        self.scale = min(inner_w / room.size_m[0], inner_h / room.size_m[1])
        self._left = (width - self.scale * room.size_m[0]) / 2
        self._top = (height - self.scale * room.size_m[1]) / 2
        self._still = self._background()

    def pixel(self, points: NDArray[np.float64]) -> NDArray[np.float64]:
        """(..., 2) m to (..., 2) pixels; y points up in the room."""
        points = np.asarray(points, dtype=np.float64)
        x = self._left + points[..., 0] * self.scale
        y = self._top + (self.room.size_m[1] - points[..., 1]) * self.scale
        return np.stack([x, y], axis=-1)

    def draw(
        self,
        pose: Sequence[float],
        persons: Sequence[PersonState],
        paths: Sequence[Path],
        echo: float | None,
        seen: Sequence[float] = (),
        sensing: str = "light",
    ) -> Image:
        """The room now. `echo` is the sonar's reading (m), `seen` the bearings (rad) of detected persons."""
        image = self._still.copy()
        self._cones(image, pose, echo, seen, sensing)
        for path in paths:
            self._line(image, path.points, LEG_COLOURS[path.task], 2)
        for person in persons:
            self._person(image, person)
        self._robot(image, pose)
        return image

    def start(self, image: Image, pose: Sequence[float]) -> None:
        """Mark where the robot began."""
        centre = self._fixed(np.array(pose[:2]))
        cv2.circle(image, centre, int(0.07 * self.scale * 16), QUIET, 2, cv2.LINE_AA, _SHIFT)

    def _background(self) -> Image:
        room, factor = self.room, 2
        big = np.empty((self.height * factor, self.width * factor, 3), np.uint8)
        big[:] = PANEL
        corners = np.array([[0, 0], [room.size_m[0], 0], [*room.size_m], [0, room.size_m[1]]])
        floor = (self.pixel(corners) * factor).astype(np.int32)
        cv2.fillPoly(big, [floor], FLOOR)
        self._glow(big, floor, factor)
        for x in np.arange(1.0, room.size_m[0], 1.0):
            self._grid(big, np.array([[x, 0], [x, room.size_m[1]]]), factor)
        for y in np.arange(1.0, room.size_m[1], 1.0):
            self._grid(big, np.array([[0, y], [room.size_m[0], y]]), factor)
        cv2.polylines(big, [floor], True, QUIET, 3 * factor, cv2.LINE_AA)
        for corners_, kind in zip(room.obstacles, room.kinds, strict=True):
            shape = (self.pixel(corners_) * factor).astype(np.int32)
            colour = _OBJECTS.get(kind, _OBJECTS["box"])
            cv2.fillPoly(big, [shape], colour, cv2.LINE_AA)
            cv2.polylines(big, [shape], True, tuple(int(0.6 * c) for c in colour), factor, cv2.LINE_AA)
        lamp = tuple((self.pixel(room.lamp) * factor).astype(int).tolist())
        cv2.circle(big, lamp, 9 * factor, AMBER, -1, cv2.LINE_AA)
        cv2.circle(big, lamp, 5 * factor, (255, 247, 214), -1, cv2.LINE_AA)
        return np.asarray(cv2.resize(big, (self.width, self.height), interpolation=cv2.INTER_AREA), np.uint8)

    def _glow(self, big: Image, floor: NDArray[np.int32], factor: int) -> None:
        """The lamp's light on the floor, as it falls off with distance."""
        rows, columns = np.indices(big.shape[:2], dtype=np.float32)
        lamp = self.pixel(self.room.lamp) * factor
        away = ((columns - lamp[0]) ** 2 + (rows - lamp[1]) ** 2) / (self.scale * factor) ** 2
        inside = np.zeros(big.shape[:2], np.uint8)
        cv2.fillPoly(inside, [floor], 1)
        share = (0.5 * inside / (1.0 + 2.2 * away))[..., None]
        big[:] = (big * (1 - share) + np.array(AMBER, np.float32) * share).astype(np.uint8)

    def _grid(self, big: Image, ends: NDArray[np.float64], factor: int) -> None:
        a, b = (self.pixel(ends) * factor).astype(int).tolist()
        line = big.copy()
        cv2.line(line, a, b, EDGE, factor)
        cv2.addWeighted(line, 0.35, big, 0.65, 0, big)

    def _fixed(self, points: NDArray[np.float64]):  # type: ignore[no-untyped-def]
        """Pixels in sixteenths: a tuple for one point, an int32 array for more."""
        fixed = np.rint(self.pixel(points) * (1 << _SHIFT)).astype(np.int32)
        return tuple(fixed.tolist()) if fixed.ndim == 1 else fixed

    def _line(self, image: Image, points: NDArray[np.float64], colour: Colour, width: int) -> None:
        if len(points) > 1:
            cv2.polylines(image, [self._fixed(points)], False, colour, width, cv2.LINE_AA, _SHIFT)

    def _sector(self, at: NDArray[np.float64], yaw: float, half: float, reach: float):  # type: ignore[no-untyped-def]
        angles = yaw + np.linspace(-half, half, 13)
        rim = at + reach * np.stack([np.cos(angles), np.sin(angles)], axis=-1)
        return self._fixed(np.concatenate([at[None], rim]))

    def _cones(
        self, image: Image, pose: Sequence[float], echo: float | None, seen: Sequence[float], sensing: str
    ) -> None:
        x, y, yaw = pose
        ahead = np.array([math.cos(yaw), math.sin(yaw)])
        layer = image.copy()
        if self.config.camera is not None and sensing == "person":
            eye = np.array([x, y]) + self.config.camera.x_m * ahead
            half = math.radians(self.config.camera.horizontal_fov_deg) / 2
            cv2.fillPoly(layer, [self._sector(eye, yaw, half, 2.2)], GREEN, cv2.LINE_AA, _SHIFT)
        sonar = np.array([x, y]) + self.config.range.x_m * ahead
        reach = self.config.range.max_m if echo is None else min(echo, self.config.range.max_m)
        if echo is not None:
            half = math.radians(self.config.range.half_cone_deg)
            cv2.fillPoly(layer, [self._sector(sonar, yaw, half, reach)], SKY, cv2.LINE_AA, _SHIFT)
        cv2.addWeighted(layer, 0.22, image, 0.78, 0, image)
        for bearing in seen:
            end = np.array([x, y]) + 2.4 * np.array([math.cos(yaw + bearing), math.sin(yaw + bearing)])
            self._line(image, np.array([[x, y], end]), GREEN, 1)

    def _person(self, image: Image, person: PersonState) -> None:
        at = np.array([person.x, person.y])
        across = np.array([-math.sin(person.yaw), math.cos(person.yaw)])
        centre = self._fixed(at)
        axes = (int(0.23 * self.scale * 16), int(0.13 * self.scale * 16))
        angle = -math.degrees(math.atan2(across[1], across[0]))
        cv2.ellipse(image, centre, axes, angle, 0, 360, (16, 120, 90), -1, cv2.LINE_AA, _SHIFT)
        cv2.ellipse(image, centre, axes, angle, 0, 360, GREEN, 2, cv2.LINE_AA, _SHIFT)
        cv2.circle(image, centre, int(0.1 * self.scale * 16), (209, 250, 229), -1, cv2.LINE_AA, _SHIFT)

    def _robot(self, image: Image, pose: Sequence[float]) -> None:
        x, y, yaw = pose
        at, ahead = np.array([x, y]), np.array([math.cos(yaw), math.sin(yaw)])
        side = np.array([-ahead[1], ahead[0]])
        radius = self.config.radius_m
        cv2.circle(image, self._fixed(at), int(radius * self.scale * 16), (241, 245, 249), -1, cv2.LINE_AA, _SHIFT)
        cv2.circle(image, self._fixed(at), int(radius * self.scale * 16), INK, 1, cv2.LINE_AA, _SHIFT)
        for sign in (-1, 1):
            hub = at + sign * 0.75 * radius * side
            wheel = np.stack([hub - 0.45 * radius * ahead, hub + 0.45 * radius * ahead])
            self._line(image, wheel, INK, 3)
        nose = np.stack([at + 0.95 * radius * ahead, at + 0.5 * radius * side, at - 0.5 * radius * side])
        cv2.fillPoly(image, [self._fixed(nose)], RED, cv2.LINE_AA, _SHIFT)
