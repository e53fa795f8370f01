"""A room from above, as an RGB image: walls, obstacles, lamp, persons, the robot and the path it drove."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from robot.sim.room import PersonState, Room

FLOOR, WALL, BOX = (238, 236, 230), (70, 70, 80), (150, 140, 130)
LAMP, ROBOT, TRAIL, PERSON = (255, 190, 30), (40, 90, 200), (120, 160, 230), (200, 80, 80)
_SHIFT = 4  # OpenCV draws at sixteenths of a pixel


def draw_map(
    room: Room,
    pose: NDArray[np.floating],
    trail: Sequence[tuple[float, float]] = (),
    radius_m: float = 0.11,
    persons: Sequence[PersonState] = (),
    pixels_per_m: float = 80.0,
) -> NDArray[np.uint8]:
    """(height, width, 3) uint8 RGB, even sides (as video codecs ask), x to the right and y up.

    Args:
        pose: x, y (m), yaw (rad) of the robot. trail: places it has been, m.
    """
    margin = 0.1
    sides = [2 * round((side + 2 * margin) * pixels_per_m / 2) for side in room.size_m]
    width, height = sides
    image = np.full((height, width, 3), WALL, np.uint8)

    def at(points: NDArray[np.floating] | Sequence[Sequence[float]]) -> NDArray[np.int32]:
        p = np.asarray(points, np.float64).reshape(-1, 2)
        x, y = (p[:, 0] + margin) * pixels_per_m, height - (p[:, 1] + margin) * pixels_per_m
        return np.rint(np.stack((x, y), -1) * 2**_SHIFT).astype(np.int32)

    def disc(place: Sequence[float], radius: float, colour: tuple[int, int, int]) -> None:
        x, y = at([place])[0].tolist()
        cv2.circle(image, (x, y), round(radius * pixels_per_m * 2**_SHIFT), colour, -1, cv2.LINE_AA, _SHIFT)

    wide, long = room.size_m
    cv2.fillPoly(image, [at([(0, 0), (wide, 0), (wide, long), (0, long)])], FLOOR, cv2.LINE_AA, _SHIFT)
    for corners in room.obstacles:
        cv2.fillPoly(image, [at(corners)], BOX, cv2.LINE_AA, _SHIFT)
    lamp = room.lamp.tolist()
    disc(lamp, 0.16, (255, 226, 150))
    disc(lamp, 0.07, LAMP)
    if len(trail) > 1:
        cv2.polylines(image, [at(trail)], False, TRAIL, 2, cv2.LINE_AA, _SHIFT)
    for person in persons:
        disc((person.x, person.y), 0.18, PERSON)
    x, y, yaw = (float(part) for part in pose)
    disc((x, y), radius_m, ROBOT)
    nose = (x + radius_m * np.cos(yaw), y + radius_m * np.sin(yaw))
    (x0, y0), (x1, y1) = at([(x, y), nose]).tolist()
    cv2.line(image, (x0, y0), (x1, y1), (255, 255, 255), 2, cv2.LINE_AA, _SHIFT)
    return image
