"""The camera at one pose: polygons and capsules of the world as outlines in the image."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from robot.pinhole import Pinhole
from robot.sim.solids import NEAR, Array, Colour, clip_near, fill, to_fixed

Image = NDArray[np.uint8]
Outline = NDArray[np.int32]


class View:
    """The camera at one pose: from the world to the image."""

    def __init__(self, pinhole: Pinhole, pose: ArrayLike) -> None:
        self.pinhole, self.pose = pinhole, pose
        self.rotation, self.position = pinhole.extrinsic(pose)
        self.yaw = float(np.asarray(pose)[2])
        self.middle = np.array([pinhole.width / 2, pinhole.height / 2])

    def camera(self, points: Array) -> Array:
        """Points (..., 3) in the camera's frame."""
        return (points - self.position) @ self.rotation.T

    def pixels(self, camera: Array) -> tuple[Array, NDArray[np.bool_], NDArray[np.bool_]]:
        """Pixels (Q, K, 2) of polygons (Q, K, 3), whether each lies wholly before the lens, and whether it may show."""
        depth = camera[..., 2]
        pixels = self.pinhole.focal * camera[..., :2] / np.maximum(depth, NEAR)[..., None] + self.middle
        whole: NDArray[np.bool_] = np.all(depth >= NEAR, axis=1)
        low, high = pixels.min(axis=1), pixels.max(axis=1)
        on = ((high > 0) & (low < 2 * self.middle)).all(axis=1)
        shown: NDArray[np.bool_] = np.where(whole, on, (depth >= NEAR).any(axis=1))
        return pixels, whole, shown

    def capsules(self, ends: Array, radii: Array) -> tuple[Array, Array, NDArray[np.bool_]]:
        """Capsules (C, 2, 3) with radii (C, 2) as circles in pixels: middles (C, 2, 2), radii (C, 2), which show."""
        camera = self.camera(ends)
        depth = camera[..., 2]
        safe = np.maximum(depth, NEAR)
        pixels = self.pinhole.focal * camera[..., :2] / safe[..., None] + self.middle
        size = self.pinhole.focal * radii / safe
        low, high = (pixels - size[..., None]).min(axis=1), (pixels + size[..., None]).max(axis=1)
        shown = (depth > 2 * NEAR).all(axis=1) & ((high > 0) & (low < 2 * self.middle)).all(axis=1)
        return pixels, size, shown


def clipped(pinhole: Pinhole, corners: Array) -> NDArray[np.int32] | None:
    before = corners if corners[:, 2].min() >= NEAR else clip_near(corners)
    if len(before) < 3:
        return None
    pixels = pinhole.focal * before[:, :2] / before[:, 2:] + [pinhole.width / 2, pinhole.height / 2]
    return to_fixed(pixels)


def polygon(image: Image, view: View, corners: Array, colour: Colour) -> None:
    outline = clipped(view.pinhole, view.camera(corners))
    if outline is not None:
        fill(image, outline, colour)
