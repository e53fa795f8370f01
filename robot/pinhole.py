"""The tilted pinhole camera: from a point of the world to a pixel, and back.

One model serves the renderer, which draws by it, and perception, which measures by it. The camera sits on
the robot's x axis, looks ahead and is tilted up or down; it has square pixels, its principal point in the
middle and no distortion (Hartley and Zisserman, "Multiple View Geometry", section 6.1).

Image coordinates are continuous: pixel (i, j) covers [i, i + 1) x [j, j + 1), its middle is at i + 0.5, so a
box of x, y, width, height has its edges at x and x + width. Frames follow REP-103, but for the camera's own
frame, which is the optical one: x right, y down, z ahead.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import ArrayLike, NDArray

from robot.config import Camera

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Pinhole:
    """A camera on a robot.

    Args:
        width, height: of the image, in pixels.
        horizontal_fov: angle between the image's left and right edge, rad.
        x: how far ahead of the middle of the axle, m.
        z: height of the lens above the floor, m.
        tilt: rad, up is positive.
    """

    width: int
    height: int
    horizontal_fov: float
    x: float
    z: float
    tilt: float

    @classmethod
    def from_config(cls, camera: Camera, width: int | None = None, height: int | None = None) -> Pinhole:
        """The camera of a `robot.toml`; `width` and `height` give the same view in other pixels."""
        return cls(
            width=camera.width_px if width is None else width,
            height=camera.height_px if height is None else height,
            horizontal_fov=math.radians(camera.horizontal_fov_deg),
            x=camera.x_m,
            z=camera.height_m,
            tilt=math.radians(camera.tilt_deg),
        )

    @cached_property
    def focal(self) -> float:
        """Focal length in pixels."""
        return self.width / 2 / math.tan(self.horizontal_fov / 2)

    @cached_property
    def matrix(self) -> Array:
        """The intrinsic matrix K, (3, 3)."""
        return np.array([[self.focal, 0, self.width / 2], [0, self.focal, self.height / 2], [0, 0, 1]])

    @cached_property
    def rotation(self) -> Array:
        """(3, 3): turns a direction in the robot's frame into the camera's."""
        sin, cos = math.sin(self.tilt), math.cos(self.tilt)
        return np.array([[0, -1, 0], [sin, 0, -cos], [cos, 0, sin]])

    @cached_property
    def horizon(self) -> float:
        """The image row, in pixels, at which the floor ends in the distance; may lie outside the image."""
        return self.height / 2 + self.focal * math.tan(self.tilt)

    def extrinsic(self, pose: ArrayLike = (0.0, 0.0, 0.0)) -> tuple[Array, Array]:
        """Rotation (3, 3) and lens position (3,) such that camera = rotation @ (point - position).

        Args:
            pose: x, y, yaw of the robot; points are then in the world's frame, else in the robot's.
        """
        x, y, yaw = np.asarray(pose, dtype=np.float64)
        sin, cos = math.sin(yaw), math.cos(yaw)
        robot_from_world = np.array([[cos, sin, 0], [-sin, cos, 0], [0, 0, 1]])
        return self.rotation @ robot_from_world, np.array([x + cos * self.x, y + sin * self.x, self.z])

    def project(self, points: ArrayLike, pose: ArrayLike = (0.0, 0.0, 0.0)) -> tuple[Array, Array]:
        """Pixels (..., 2) of points (..., 3), and their depth (...) along the optical axis in metres.

        Points at or behind the lens have a depth <= 0 and pixels of NaN.
        """
        rotation, position = self.extrinsic(pose)
        camera = (np.asarray(points, dtype=np.float64) - position) @ rotation.T
        depth = camera[..., 2]
        safe = np.where(depth > 1e-9, depth, np.nan)
        middle = np.array([self.width / 2, self.height / 2])
        return self.focal * camera[..., :2] / safe[..., None] + middle, depth

    def ray(self, pixels: ArrayLike) -> Array:
        """Unit direction (..., 3) in the robot's frame along which the pixels (..., 2) look."""
        pixels = np.asarray(pixels, dtype=np.float64)
        camera = np.concatenate(
            [(pixels - [self.width / 2, self.height / 2]) / self.focal, np.ones((*pixels.shape[:-1], 1))], axis=-1
        )
        camera /= np.linalg.norm(camera, axis=-1, keepdims=True)
        return camera @ self.rotation

    def bearing(self, pixels: ArrayLike) -> Array:
        """Angle (...) in rad, left positive, at which the lens sees the pixels (..., 2), about the vertical."""
        direction = self.ray(pixels)
        return np.arctan2(direction[..., 1], direction[..., 0])

    def elevation(self, pixels: ArrayLike) -> Array:
        """Angle (...) in rad above the level plane at which the lens sees the pixels (..., 2)."""
        return np.arcsin(self.ray(pixels)[..., 2])

    def floor_point(self, pixels: ArrayLike) -> Array:
        """Where (..., 2) in the robot's frame, m, the rays of pixels (..., 2) meet the floor; NaN above the horizon."""
        direction = self.ray(pixels)
        down = np.where(direction[..., 2] < -1e-9, -direction[..., 2], np.nan)
        return direction[..., :2] * (self.z / down)[..., None] + [self.x, 0.0]

    def floor_distance(self, pixels: ArrayLike) -> Array:
        """Level distance (...) from the lens, m, to the floor that the pixels (..., 2) show; NaN above the horizon."""
        return np.linalg.norm(self.floor_point(pixels) - [self.x, 0.0], axis=-1)
