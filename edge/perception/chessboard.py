"""A camera's lens from views of a chessboard: Zhang's method, as OpenCV has it.

Zhang, "A flexible new technique for camera calibration", IEEE Transactions on Pattern Analysis and Machine
Intelligence, 2000. A board whose squares are known is seen from several sides; the focal length, the middle and the
distortion are those with which its corners lie where they were seen.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from edge.errors import EdgeError
from robot.config import Intrinsics

Corners = NDArray[np.float32]

LEAST_VIEWS = 6
WORST_PX = 1.5  # of reprojection error: beyond it the board is bent, or the pictures are blurred
WORST_FOCAL = 0.03  # standard deviation of the focal length as a share of it: beyond it the views are too much alike
WILD = 50.0  # no lens distorts so much: the views do not tell
OUTLIER = 3.0  # a view that fits so many times worse than the median view is left out
_FLAGS = cv2.CALIB_CB_ADAPTIVE_THRESH | cv2.CALIB_CB_NORMALIZE_IMAGE | cv2.CALIB_CB_FAST_CHECK


class CalibrationError(EdgeError):
    """The views do not tell what the lens is like."""


@dataclass(frozen=True)
class Calibrated:
    """What was found.

    Attributes:
        errors: px, reprojection error (root mean square) of each view, None for those that were left out.
        spread: standard deviation of the focal length as a share of it.
        covered: share of a grid of 4 x 4 cells of the picture in which a corner was seen.
    """

    intrinsics: Intrinsics
    errors: tuple[float | None, ...]
    spread: float
    covered: float


def find_corners(image: NDArray[np.uint8], board: tuple[int, int]) -> Corners | None:
    """Inner corners (board[0] * board[1], 2) of a chessboard on an RGB image, px to a few hundredths; None without one.

    Pixel coordinates are continuous, as the geometry of `robot.pinhole` has them: the middle of the first pixel lies at
    0.5.
    """
    grey = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
    ok, corners = cv2.findChessboardCorners(grey, board, flags=_FLAGS)
    if not ok:
        return None
    found = np.asarray(corners, np.float32).reshape(-1, 1, 2)
    # Saddle points between four fields, in a window that reaches no other corner.
    steps = np.linalg.norm(np.diff(found.reshape(board[1], board[0], 2), axis=1), axis=2)
    half = int(np.clip(steps.min() / 3, 2, 11))
    criteria = (cv2.TERM_CRITERIA_EPS | cv2.TERM_CRITERIA_MAX_ITER, 40, 1e-3)
    cv2.cornerSubPix(grey, found, (half, half), (-1, -1), criteria)
    return found.reshape(-1, 2) + 0.5


def calibrate(
    views: Sequence[Corners], size: tuple[int, int], board: tuple[int, int], square_m: float = 0.025
) -> Calibrated:
    """The lens from corners on several pictures of one size.

    Args:
        views: of `find_corners`. size: width and height of the pictures, px. board: inner corners across and down.
        square_m: side of a square; it scales the distances only, and the lens does not depend on it.

    Raises:
        CalibrationError: too few views, views that are too much alike, or an error beyond `WORST_PX`.
    """
    if len(views) < LEAST_VIEWS:
        raise CalibrationError(
            f"the whole board of {board[0]} x {board[1]} inner corners was found on {len(views)} pictures; "
            f"{LEAST_VIEWS} are the least, and 15 to 25 are better: nearer, farther, at the edges, tilted each way"
        )
    chosen = list(range(len(views)))
    error, matrix, distortion, focal_spread, each = _fit([views[i] for i in chosen], size, board, square_m)
    good = [i for i, one in zip(chosen, each, strict=True) if one <= OUTLIER * float(np.median(each))]
    if LEAST_VIEWS <= len(good) < len(chosen):
        chosen = good
        error, matrix, distortion, focal_spread, each = _fit([views[i] for i in chosen], size, board, square_m)
    spread = focal_spread / matrix[0, 0]
    if not (np.isfinite(error) and error <= WORST_PX):
        raise CalibrationError(
            f"the corners miss by {error:.2f} px where {WORST_PX} is the most; use a flat board, sharp pictures and a "
            "fixed focus"
        )
    if not (spread <= WORST_FOCAL and np.abs(distortion).max() <= WILD):
        raise CalibrationError(
            f"the views are too much alike to tell the lens: its focal length is known to {spread:.1%}, where "
            f"{WORST_FOCAL:.0%} is asked for; tilt the board by 30 degrees and more, to all sides"
        )
    errors: list[float | None] = [None] * len(views)
    for index, one in zip(chosen, each, strict=True):
        errors[index] = float(one)
    k1, k2, p1, p2 = (float(value) for value in distortion[:4])
    intrinsics = Intrinsics(
        width_px=size[0], height_px=size[1], fx_px=float(matrix[0, 0]), fy_px=float(matrix[1, 1]),
        cx_px=float(matrix[0, 2]), cy_px=float(matrix[1, 2]), k1=k1, k2=k2, p1=p1, p2=p2, error_px=float(error),
    )  # fmt: skip
    return Calibrated(intrinsics, tuple(errors), float(spread), covered([views[i] for i in chosen], size))


def covered(views: Sequence[Corners], size: tuple[int, int], cells: int = 4) -> float:
    """The share of the picture's cells in which a corner was seen."""
    points = np.concatenate(list(views)) / size * cells
    seen = {(int(x), int(y)) for x, y in np.clip(points, 0, cells - 1e-6)}
    return len(seen) / cells**2


def _fit(
    views: Sequence[Corners], size: tuple[int, int], board: tuple[int, int], square_m: float
) -> tuple[float, NDArray[np.float64], NDArray[np.float64], float, NDArray[np.float64]]:
    """Root mean square error, camera matrix, distortion, standard deviation of the focal length, error of each view."""
    grid = np.zeros((board[0] * board[1], 3), np.float32)
    grid[:, :2] = np.mgrid[: board[0], : board[1]].T.reshape(-1, 2) * square_m
    # The sixth power is left out: a board rarely reaches far enough into the corners to tell it from the others.
    error, matrix, distortion, _, _, spreads, _, each = cv2.calibrateCameraExtended(
        [grid] * len(views), [view.reshape(-1, 1, 2) for view in views], size, None, None, flags=cv2.CALIB_FIX_K3
    )
    return float(error), matrix, distortion.ravel(), float(spreads.ravel()[0]), each.ravel()
