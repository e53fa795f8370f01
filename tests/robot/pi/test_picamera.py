"""How picamera2 is used, against a stand-in with its interface: no machine without a Pi camera can open the real one.

The stand-in keeps to what picamera2 0.3 does: "BGR888" is RGB in memory, the older image processor refuses
all but YUV420 on the low-resolution stream, rows are padded to the hardware's stride.
"""

from __future__ import annotations

import sys
import time
import types

import cv2
import numpy as np
import pytest

from robot.clock import WallClock
from robot.config import Camera
from robot.errors import RobotError
from robot.pi.camera import open_camera

CONFIG = Camera(kind="picamera2", width_px=60, height_px=48, fps=20.0)
COLOR = (200, 60, 30)  # RGB


class Request:
    def __init__(self, camera):
        self.camera = camera

    def make_array(self, name):
        assert name == "lores"
        width, height = self.camera.config["lores"]["size"]
        rgb = np.empty((height, 64, 3), np.uint8)
        rgb[:] = COLOR
        if self.camera.config["lores"]["format"] == "BGR888":
            return rgb[:, :width]
        return cv2.cvtColor(rgb, cv2.COLOR_RGB2YUV_I420)  # 64 wide: a stride beyond the size

    def get_metadata(self):
        return {"SensorTimestamp": time.clock_gettime_ns(time.CLOCK_BOOTTIME) - 30_000_000}

    def release(self):
        self.camera.held -= 1


class Picamera2:
    old_processor = False
    cameras = [{"Model": "imx219"}]
    busy = False
    last: Picamera2

    def __init__(self):
        if self.busy:
            raise RuntimeError("Camera __init__ sequence did not complete.")
        type(self).last = self
        self.config = None
        self.held = 0
        self.states = []

    @classmethod
    def global_camera_info(cls):
        return cls.cameras

    def create_video_configuration(self, main, lores, controls, queue):
        assert lores["size"][0] <= main["size"][0] and queue is False
        return {"main": main, "lores": lores, "controls": controls}

    def configure(self, config):
        if self.old_processor and config["lores"]["format"] != "YUV420":
            raise RuntimeError("lores stream must be YUV")
        self.config = config

    def start(self):
        self.states.append("started")

    def capture_request(self):
        time.sleep(0.02)
        self.held += 1
        return Request(self)

    def stop(self):
        self.states.append("stopped")

    def close(self):
        self.states.append("closed")


@pytest.fixture
def library(monkeypatch):
    kind = type("Picamera2", (Picamera2,), {})
    monkeypatch.setitem(sys.modules, "picamera2", types.SimpleNamespace(Picamera2=kind))
    return kind


@pytest.mark.parametrize("old", [False, True])
def test_frames_are_rgb_of_the_configured_size_with_the_time_of_exposure(library, old):
    library.old_processor = old
    source = open_camera(CONFIG, WallClock())
    deadline = time.monotonic() + 5
    while source.newest() is None and time.monotonic() < deadline:
        time.sleep(0.005)
    frame = source.newest()
    source.close()
    source.close()
    assert frame.image.shape == (48, 60, 3) and frame.image.dtype == np.uint8 and frame.image.flags.c_contiguous
    assert np.abs(frame.image.astype(int) - COLOR).max() <= 3  # YUV rounds
    assert library.last.config["lores"]["format"] == ("YUV420" if old else "BGR888")
    assert library.last.config["controls"]["FrameDurationLimits"] == (50_000, 50_000)
    assert 0.025 < time.monotonic() - frame.stamp < 5  # older than the call that fetched it
    assert library.last.states == ["started", "stopped", "closed"] and library.last.held == 0


def test_no_camera_is_told(library):
    library.cameras = []
    with pytest.raises(RobotError, match="no Pi camera is connected"):
        open_camera(CONFIG, WallClock())


def test_a_busy_camera_is_told(library):
    library.busy = True
    with pytest.raises(RobotError, match="another program"):
        open_camera(CONFIG, WallClock())


def test_a_camera_that_does_not_start_is_closed(library):
    def start(self):
        raise RuntimeError("no such mode")

    library.start = start
    with pytest.raises(RobotError, match="no such mode"):
        open_camera(CONFIG, WallClock())
    assert library.last.states == ["closed"]


def test_a_missing_library_is_told(monkeypatch):
    monkeypatch.setitem(sys.modules, "picamera2", None)
    with pytest.raises(RobotError, match="apt install python3-picamera2"):
        open_camera(CONFIG, WallClock())
