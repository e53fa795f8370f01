"""What a box in the image says about where the thing is: bearing, apparent height, distance on the floor."""

from __future__ import annotations

import math
from functools import lru_cache

import cv2
import numpy as np
from numpy.typing import ArrayLike, NDArray

from robot.config import Camera
from robot.pinhole import Pinhole

Box = tuple[float, float, float, float]


class CameraGeometry:
    """The camera of one robot; boxes are x, y, width, height in pixels of an image `columns` x `rows`.

    An image of another size than the configured one is taken as the same view in other pixels. The formulas
    are `robot.pinhole`'s, by which the simulated camera draws; pixels of a lens that was measured (`edgebot calibrate
    camera`) are first moved to where an ideal lens of the same focal length would show the same thing.
    """

    def __init__(self, camera: Camera) -> None:
        self.camera = camera
        self._lens = camera.intrinsics
        ideal = camera.ideal()
        self._pinhole = lru_cache(maxsize=8)(lambda columns, rows: Pinhole.from_config(ideal, columns, rows))
        self.focal = self._view(None, None).focal

    def ideal(self, pixels: ArrayLike, columns: int | None = None, rows: int | None = None) -> NDArray[np.float64]:
        """Where an ideal lens would show what this one shows at `pixels` (..., 2)."""
        seen = np.asarray(pixels, np.float64)
        lens = self._lens
        if lens is None:
            return seen
        view = self._view(columns, rows)
        across, down = view.width / lens.width_px, view.height / lens.height_px
        scale = np.array([[across], [down], [1.0]])
        matrix = scale * [[lens.fx_px, 0, lens.cx_px], [0, lens.fy_px, lens.cy_px], [0, 0, 1]]
        distortion = np.array([lens.k1, lens.k2, lens.p1, lens.p2, lens.k3])
        flat = cv2.undistortPoints(seen.reshape(-1, 1, 2), matrix, distortion)
        return np.asarray(flat, np.float64).reshape(seen.shape) * view.focal + [view.width / 2, view.height / 2]

    def bearing(self, box: Box, columns: int | None = None, rows: int | None = None) -> float:
        """Angle of the box's middle seen from the lens: rad, left positive, in the robot's frame."""
        x, y, width, height = box
        return float(self._view(columns, rows).bearing(self.ideal([x + width / 2, y + height / 2], columns, rows)))

    def apparent_height(self, box: Box, columns: int | None = None, rows: int | None = None) -> float:
        """Angle between the top and the bottom edge of the box at its middle, rad."""
        x, y, width, height = box
        edges = self.ideal([[x + width / 2, y], [x + width / 2, y + height]], columns, rows)
        top, bottom = self._view(columns, rows).ray(edges)
        return float(math.atan2(np.linalg.norm(np.cross(top, bottom)), float(top @ bottom)))

    def floor_distance(self, box: Box, columns: int | None = None, rows: int | None = None) -> float | None:
        """Metres along the floor from the lens to where the box stands.

        None where the image does not tell: the box's bottom edge lies at or above the horizon, or it is cut by
        the image's own bottom edge (within 1 % of its rows), so that the feet are not seen.
        """
        x, y, width, height = box
        view = self._view(columns, rows)
        if y + height >= 0.99 * view.height:
            return None
        distance = float(view.floor_distance(self.ideal([x + width / 2, y + height], columns, rows)))
        return distance if math.isfinite(distance) else None

    def rows(self, distance: float, heights: ArrayLike) -> NDArray[np.floating]:
        """The picture's rows (...) of heights (...) above the floor, m, `distance` m straight ahead of the lens."""
        view, high = self._view(None, None), np.asarray(heights, np.float64)
        points = np.stack((np.full_like(high, view.x + distance), np.zeros_like(high), high), axis=-1)
        return np.asarray(view.project(points)[0][..., 1])

    def turned(self, boxes: NDArray[np.floating], angle: float) -> NDArray[np.floating]:
        """Where boxes (N, 4) lie in the picture after the robot has turned by `angle` (rad, left positive) on the spot.

        Their middles are turned, their sizes stay: good for the small turns between two frames.
        """
        view = self._view(None, None)
        middle = self.ideal(boxes[:, :2] + boxes[:, 2:] / 2)
        x, y, z = view.ray(middle).T
        cos, sin = math.cos(angle), math.sin(angle)
        ray = np.stack((x * cos + y * sin, y * cos - x * sin, z), axis=1)
        pixels, depth = view.project(ray + [view.x, 0.0, view.z])
        shift = np.where((depth > 0.05)[:, None], pixels - middle, 0.0)
        return np.concatenate((boxes[:, :2] + shift, boxes[:, 2:]), axis=1)

    def _view(self, columns: int | None, rows: int | None) -> Pinhole:
        return self._pinhole(columns or self.camera.width_px, rows or self.camera.height_px)
