"""Frames from folders and videos, for real; and what is said of sources that give none."""

from __future__ import annotations

import threading
import time

import cv2
import numpy as np
import pytest

from robot.clock import VirtualClock, WallClock
from robot.config import Camera
from robot.errors import RobotError
from robot.pi.camera import open_camera
from robot.pi.frames import Grabber, fit, read_image
from robot.types import Frame

RED, GREEN = (255, 0, 0), (0, 255, 0)


def camera(kind, source, **more):
    return Camera(kind=kind, source=str(source), width_px=64, height_px=48, fps=10.0, **more)


def write(path, color, width=64, height=48):
    image = np.empty((height, width, 3), np.uint8)
    image[:] = color[::-1]  # OpenCV writes BGR
    assert cv2.imwrite(str(path), image)


@pytest.fixture
def folder(tmp_path):
    write(tmp_path / "a.png", RED)
    write(tmp_path / "b.png", GREEN, 128, 48)
    (tmp_path / "notes.txt").write_text("not a picture, and not taken for one")
    return tmp_path


def test_a_folder_in_virtual_time(folder):
    clock = VirtualClock(0.02)
    source = open_camera(camera("file", folder), clock)
    first = source.newest()
    assert first.stamp == 0.0 and first.image.shape == (48, 64, 3) and first.image.dtype == np.uint8
    assert tuple(first.image[20, 20]) == RED
    clock.sleep_until(0.06)
    assert source.newest() is first
    clock.sleep_until(0.1)
    second = source.newest()
    assert tuple(second.image[20, 20]) == GREEN and second.stamp == pytest.approx(0.1)
    assert second.image.shape == (48, 64, 3)
    clock.sleep_until(2.0)
    assert source.newest() is second  # the end: it ages, and is not shown again as new
    source.close()
    source.close()


def test_a_folder_on_the_wall_clock(folder):
    clock = WallClock()
    source = open_camera(camera("file", folder), clock)
    deadline = time.monotonic() + 5
    seen = set()
    while len(seen) < 2 and time.monotonic() < deadline:
        frame = source.newest()
        if frame is not None:
            seen.add((tuple(int(c) for c in frame.image[20, 20]), frame.stamp))
        time.sleep(0.005)
    source.close()
    assert {color for color, _ in seen} == {RED, GREEN}
    stamps = sorted(stamp for _, stamp in seen)
    assert 0.08 < stamps[1] - stamps[0] < 1.0
    assert "camera" not in {thread.name for thread in threading.enumerate()}


def test_a_video(tmp_path):
    path = tmp_path / "film.avi"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*"MJPG"), 10, (64, 48))
    assert writer.isOpened()
    for k in range(5):
        writer.write(np.full((48, 64, 3), (10, 10, 50 * k), np.uint8))  # BGR: ever more red
    writer.release()
    clock = VirtualClock(0.02)
    source = open_camera(camera("file", path), clock)
    reds = []
    for k in range(8):
        clock.sleep_until(k * 0.1)
        reds.append(int(source.newest().image[..., 0].mean()))
    assert reds == pytest.approx([0, 50, 100, 150, 200, 200, 200, 200], abs=15)
    source.close()


@pytest.mark.parametrize("columns, rows", [(64, 48), (128, 48), (64, 200), (640, 480), (30, 20), (1, 1)])
def test_fit_cuts_to_the_middle(columns, rows):
    image = np.zeros((rows, columns, 3), np.uint8)
    image[:, columns // 2 :] = 255
    out = fit(image, 64, 48)
    assert out.shape == (48, 64, 3)
    if columns > 1:
        assert out[:, :24].max() == 0 and out[:, 40:].min() == 255


@pytest.mark.parametrize("name, data", [("x.jpg", b""), ("x.jpg", b"hello"), ("x.png", b"\x89PNG\r\n\x1a\n....")])
def test_what_is_no_image_is_told(tmp_path, name, data):
    path = tmp_path / name
    path.write_bytes(data)
    with pytest.raises(RobotError, match=r"x\.\w+ is no image"):
        read_image(path)
    with pytest.raises(RobotError, match=r"x\.\w+ is no image"):
        open_camera(camera("file", path), VirtualClock())
    with pytest.raises(RobotError, match="is no image"):
        open_camera(camera("file", tmp_path), VirtualClock())


def test_a_truncated_jpeg_is_told(tmp_path):
    path = tmp_path / "x.jpg"
    rng = np.random.default_rng(0)
    cv2.imwrite(str(path), rng.integers(0, 255, (48, 64, 3), dtype=np.uint8))
    path.write_bytes(path.read_bytes()[:200])
    with pytest.raises(RobotError, match="is no image"):
        read_image(path)


def test_what_is_not_there_is_told(tmp_path):
    for source, sentence in (
        (tmp_path / "none.mp4", "there is no"),
        (tmp_path / "none.jpg", "cannot be read"),
        (tmp_path, "holds no image"),
    ):
        with pytest.raises(RobotError, match=sentence) as caught:
            open_camera(camera("file", source), VirtualClock())
        assert "\n" not in str(caught.value)


def test_what_is_no_video_is_told(tmp_path):
    path = tmp_path / "film.mp4"
    path.write_bytes(b"not a film" * 100)
    with pytest.raises(RobotError, match="is no video"):
        open_camera(camera("file", path), VirtualClock())


@pytest.mark.parametrize("source", ["63", "/dev/video63"])
def test_a_usb_camera_that_is_not_there(source, capfd):
    with pytest.raises(RobotError, match="there is no camera"):
        open_camera(camera("usb", source), WallClock())
    assert capfd.readouterr().err == ""  # one sentence, without OpenCV's own


def test_a_camera_that_fails_ages_and_comes_back():
    clock = VirtualClock(0.02)
    broken = False

    def grab():
        if broken:
            raise OSError("unplugged")
        return Frame(np.zeros((2, 2, 3), np.uint8), clock.now())

    released = []
    source = Grabber(grab, lambda: released.append(1), clock, 10.0, paced=True)
    clock.sleep_until(0.2)
    broken = True
    clock.sleep_until(1.0)
    assert source.newest().stamp == pytest.approx(0.2)
    broken = False
    clock.sleep_until(1.1)
    assert source.newest().stamp == pytest.approx(1.1)
    source.close()
    source.close()
    assert released == [1]


def test_newest_never_waits_for_a_camera_that_hangs():
    free = threading.Event()
    source = Grabber(lambda: free.wait(5) and None, lambda: None, WallClock(), 10.0, paced=False)
    begin = time.perf_counter()
    assert source.newest() is None
    assert time.perf_counter() - begin < 0.01
    free.set()
    source.close()


def test_a_real_video_and_real_photos(shared_data):
    for source, least in (("video/vtest_480x360.avi", 50), ("photos_darknet", 5)):
        clock = VirtualClock(0.02)
        frames = open_camera(camera("file", shared_data / source), clock)
        seen = set()
        for k in range(60):
            clock.sleep_until(0.1 * k)
            frame = frames.newest()
            assert frame.image.shape == (48, 64, 3) and frame.image.std() > 5
            seen.add(frame.stamp)
        assert len(seen) >= least
        frames.close()
