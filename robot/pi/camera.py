"""Which source gives the frames: the Pi's camera, a USB camera, a video or folder."""

from __future__ import annotations

from typing import TYPE_CHECKING

from robot.config import Camera
from robot.types import Clock

if TYPE_CHECKING:
    from robot.pi.frames import FrameSource


def open_camera(config: Camera, clock: Clock) -> FrameSource:
    """Open the camera that `robot.toml` describes. Raises `RobotError` where it is not there."""
    if config.kind == "picamera2":
        from robot.pi.picamera import open_picamera

        return open_picamera(config, clock)
    from robot.pi.frames import open_file, open_usb

    return open_usb(config, clock) if config.kind == "usb" else open_file(config, clock)
