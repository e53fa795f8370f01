"""`edgebot calibrate camera` on boards drawn through a lens that is known, and what the lens is used for then."""

from __future__ import annotations

import json
import math
from functools import cache
from pathlib import Path

import cv2
import numpy as np
import pytest

from edge.cli import main
from edge.perception.geometry import CameraGeometry
from robot.config import Camera, Intrinsics, load

WIDTH, HEIGHT = 640, 480
LENS = Intrinsics(
    width_px=WIDTH, height_px=HEIGHT, fx_px=520.0, fy_px=512.0, cx_px=331.0, cy_px=228.0,
    k1=-0.28, k2=0.09, p1=0.0012, p2=-0.0008,
)  # fmt: skip
MATRIX = np.array([[LENS.fx_px, 0, LENS.cx_px], [0, LENS.fy_px, LENS.cy_px], [0, 0, 1]])
DISTORTION = np.array([LENS.k1, LENS.k2, LENS.p1, LENS.p2])
BOARD, SQUARE = (9, 6), 0.03


@cache
def rays() -> np.ndarray:
    """Where each pixel of the distorting lens looks: (H, W, 3) at depth 1."""
    y, x = np.mgrid[:HEIGHT, :WIDTH] + 0.5
    flat = cv2.undistortPoints(
        np.stack((x, y), axis=-1).reshape(-1, 1, 2), MATRIX, DISTORTION, None, None, None,
    ).reshape(HEIGHT, WIDTH, 2)  # fmt: skip
    return np.concatenate((flat, np.ones((HEIGHT, WIDTH, 1))), axis=-1)


def picture(turn: tuple[float, float, float], at: tuple[float, float, float]) -> np.ndarray:
    """A board, turned (rad about x, y, z) with its middle at `at` (m, camera's frame), as the lens shows it; BGR."""
    rotation, _ = cv2.Rodrigues(np.array(turn))
    normal = rotation[:, 2]
    depth = (normal @ np.array(at)) / np.maximum(rays() @ normal, 1e-6)
    place = (rays() * depth[..., None] - at) @ rotation / SQUARE + [BOARD[0] / 2, BOARD[1] / 2, 0.0]
    u, v = place[..., 0], place[..., 1]
    on_board = (u > -0.5) & (u < BOARD[0] + 0.5) & (v > -0.5) & (v < BOARD[1] + 0.5)
    dark = on_board & ((np.floor(u + 0.5) + np.floor(v + 0.5)) % 2 == 0)
    paper = (u > -1.3) & (u < BOARD[0] + 1.3) & (v > -1.3) & (v < BOARD[1] + 1.3)
    grey = np.where(dark, 25, np.where(paper, 235, 120)).astype(np.uint8)
    grey = cv2.GaussianBlur(grey, (0, 0), 0.8)
    noise = np.random.default_rng(int(1e4 * abs(at[0] + at[2]))).normal(0, 2, grey.shape)
    return cv2.cvtColor(np.clip(grey + noise, 0, 255).astype(np.uint8), cv2.COLOR_GRAY2BGR)


VIEWS = [
    ((0.5, 0.0, 0.0), (-0.02, 0.0, 0.5)), ((-0.5, 0.1, 0.1), (0.05, 0.03, 0.5)), ((0.0, 0.55, 0.0), (0.1, 0.05, 0.55)),
    ((0.1, -0.55, 0.1), (-0.1, -0.05, 0.55)), ((0.35, 0.35, 0.3), (0.1, -0.06, 0.6)), ((0, 0, 0.2), (-0.05, 0.06, 0.4)),
    ((-0.35, 0.4, -0.2), (-0.12, 0.08, 0.6)), ((0.4, -0.4, 0.0), (0.13, 0.09, 0.6)), ((0.2, 0.2, 1.2), (0.0, 0.0, 0.6)),
]  # fmt: skip


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("boards")
    for number, view in enumerate(VIEWS):
        cv2.imwrite(str(folder / f"{number}.png"), picture(*view))
    cv2.imwrite(str(folder / "none.png"), np.full((HEIGHT, WIDTH, 3), 90, np.uint8))
    return folder


@pytest.fixture(scope="module")
def measured(photos: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("out") / "camera.toml"
    assert main(["calibrate", "camera", str(photos), "--square", str(SQUARE), "-o", str(out)]) == 0
    return out


def robot_with(measured: Path, tmp_path: Path) -> Camera:
    text = (Path(__file__).parents[2] / "robot" / "example.toml").read_text()
    (tmp_path / "camera.toml").write_bytes(measured.read_bytes())
    (tmp_path / "robot.toml").write_text(text.replace("# calibration =", "calibration ="))
    camera = load(tmp_path / "robot.toml").camera
    assert camera is not None
    return camera


def test_the_lens_is_found_again(measured: Path, tmp_path: Path) -> None:
    lens = robot_with(measured, tmp_path).intrinsics
    assert lens is not None and lens.error_px < 0.4
    assert (lens.fx_px, lens.fy_px) == pytest.approx((LENS.fx_px, LENS.fy_px), rel=0.005)
    assert (lens.cx_px, lens.cy_px) == pytest.approx((LENS.cx_px, LENS.cy_px), abs=2.0)
    # What counts is where a pixel looks, out to where the boards reached.
    x, y = np.meshgrid(np.linspace(90, 560, 9), np.linspace(70, 410, 7))
    pixels = np.stack((x, y), axis=-1).reshape(-1, 1, 2)
    matrix = np.array([[lens.fx_px, 0, lens.cx_px], [0, lens.fy_px, lens.cy_px], [0, 0, 1]])
    found = cv2.undistortPoints(pixels, matrix, np.array([lens.k1, lens.k2, lens.p1, lens.p2]))
    true = cv2.undistortPoints(pixels, MATRIX, DISTORTION)
    assert np.abs(found - true).max() < 0.006  # 0.3 degrees
    assert (
        np.abs(true * [LENS.fx_px, LENS.fy_px] + [LENS.cx_px, LENS.cy_px] - pixels).max() > 10
    )  # the lens does distort


def test_bearings_are_those_of_the_lens(measured: Path, tmp_path: Path) -> None:
    camera = robot_with(measured, tmp_path).model_copy(update={"tilt_deg": 0.0})
    geometry, straight = CameraGeometry(camera), CameraGeometry(camera.ideal())
    for degrees in (-25.0, 0.0, 25.0):
        tangent = math.tan(math.radians(degrees))
        pixel, _ = cv2.projectPoints(np.array([[-tangent, 0.0, 1.0]]), np.zeros(3), np.zeros(3), MATRIX, DISTORTION)
        x, y = pixel.ravel()
        for scale in (1.0, 0.5):  # the same view in fewer pixels
            box = (scale * (x - 20), scale * (y - 20), scale * 40, scale * 40)
            size = (round(scale * WIDTH), round(scale * HEIGHT))
            assert math.degrees(geometry.bearing(box, *size)) == pytest.approx(degrees, abs=0.3)
    assert abs(math.degrees(straight.bearing((x - 20, y - 20, 40, 40))) - 25.0) > 1.0


def test_json_and_a_video(photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    film = cv2.VideoWriter(str(tmp_path / "film.avi"), cv2.VideoWriter.fourcc(*"MJPG"), 10, (WIDTH, HEIGHT))
    for number in range(7):
        for _ in range(2):  # the second shows nothing new
            film.write(cv2.imread(str(photos / f"{number}.png")))
    film.release()
    argv = ["calibrate", "camera", str(tmp_path / "film.avi"), "-o", str(tmp_path / "c.toml"), "--json"]
    assert main(argv) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["views"] == 7 and found["fx_px"] == pytest.approx(LENS.fx_px, rel=0.02) and 0 < found["covered"] <= 1


@pytest.mark.parametrize(
    ("argv", "said"),
    [
        (["camera", "{blank}"], "was found on 0 pictures"),
        (["camera", "{photos}", "--board", "9"], "is no board"),
        (["camera", "{alike}"], "too much alike"),
        (["camera", "{mixed}"], "all must be of one camera"),
        (["camera", "nowhere"], "there is no 'nowhere'"),
        (["lens"], "nothing called 'lens'"),
        (["camera"], "required: SOURCE"),
    ],
)
def test_mistakes_are_one_sentence(
    argv: list[str], said: str, photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    if "{alike}" in argv:
        board = picture((0.0, 0.0, 0.0), (0.0, 0.0, 0.5))
        for number in range(6):
            cv2.imwrite(str(tmp_path / f"{number}.png"), np.roll(board, number, axis=1))
    if "{blank}" in argv:
        cv2.imwrite(str(tmp_path / "0.png"), np.full((HEIGHT, WIDTH, 3), 90, np.uint8))
    if "{mixed}" in argv:
        cv2.imwrite(str(tmp_path / "0.png"), np.zeros((100, 100, 3), np.uint8))
        cv2.imwrite(str(tmp_path / "1.png"), np.zeros((100, 120, 3), np.uint8))
    given = [part.format(photos=photos, alike=tmp_path, mixed=tmp_path, blank=tmp_path) for part in argv]
    out = tmp_path / "x.toml"
    assert main(["calibrate", *given, *(["-o", str(out)] if len(given) > 1 else [])]) == 2
    told = capsys.readouterr()
    assert said in told.err and told.err.strip().count("\n") == 0 and not out.exists()


def test_a_calibration_that_is_not_there_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = (Path(__file__).parents[2] / "robot" / "example.toml").read_text()
    (tmp_path / "robot.toml").write_text(text.replace("# calibration =", "calibration ="))
    assert main(["detect", "sim", "--robot", str(tmp_path / "robot.toml")]) == 2
    assert "make it with `edgebot calibrate camera`" in capsys.readouterr().err
