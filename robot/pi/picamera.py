"""Frames from the Pi's camera through picamera2: the low-resolution stream, stamped with its exposure.

The main stream only makes the camera choose a mode with its whole field of view; nothing copies it.
"BGR888" in libcamera's words is R, G, B in memory. The image processor before the Pi 5 gives the
low-resolution stream in YUV420 only, and picamera2 refuses anything else there.
"""

from __future__ import annotations

import time
from typing import Any

import cv2
import numpy as np

from robot.config import Camera
from robot.errors import RobotError
from robot.pi.frames import Grabber, fit
from robot.types import Clock, Frame

INSTALL = "sudo apt install python3-picamera2, and make the environment with: python3 -m venv --system-site-packages"


def open_picamera(config: Camera, clock: Clock) -> Grabber:
    """The first camera on the ribbon cable. Raises `RobotError` where library or camera are missing."""
    try:
        from picamera2 import Picamera2
    except Exception as error:  # ImportError, or ValueError from a module built against another numpy
        raise RobotError(
            f"the Pi camera needs picamera2, which cannot be imported ({_text(error)}); {INSTALL}"
        ) from None
    if not Picamera2.global_camera_info():
        raise RobotError(
            "no Pi camera is connected; check the ribbon cable with: rpicam-hello --list-cameras, "
            'or set kind = "usb" in [camera] of robot.toml'
        )
    camera: Any = None
    try:
        camera = Picamera2()
        yuv = _configure(camera, config)
        camera.start()
    except Exception as error:
        if camera is not None:
            camera.close()
        raise RobotError(
            f"the Pi camera cannot be started ({_text(error)}); see whether another program uses it, and whether "
            f"it can deliver {config.width_px}x{config.height_px} at {config.fps:g} frames/s"
        ) from None

    def grab() -> Frame:
        request = camera.capture_request()
        try:
            image = request.make_array("lores")
            exposed = request.get_metadata().get("SensorTimestamp")
        finally:
            request.release()
        return Frame(_rgb(image, yuv, config), _stamp(exposed, clock))

    def release() -> None:
        camera.stop()
        camera.close()

    return Grabber(grab, release, clock, config.fps, paced=False)


def _configure(camera: Any, config: Camera) -> bool:
    """Configure both streams; True where the low-resolution one is YUV420."""
    size = (config.width_px, config.height_px)
    wide = (2 * config.width_px, 2 * config.height_px)
    microseconds = round(1e6 / config.fps)
    for form in ("BGR888", "YUV420"):
        try:
            camera.configure(
                camera.create_video_configuration(
                    main={"size": wide},
                    lores={"size": size, "format": form},
                    controls={"FrameDurationLimits": (microseconds, microseconds)},
                    queue=False,  # a capture waits for the next frame and never gets one kept from before
                )
            )
        except RuntimeError as error:
            if form == "BGR888" and "YUV" in str(error):
                continue
            raise
        return form == "YUV420"
    raise AssertionError  # the loop returns or raises


def _rgb(image: Any, yuv: bool, config: Camera) -> Any:
    if yuv:
        # Planes Y, U, V: OpenCV's I420. (Its "YUV420p" is YV12, with red and blue exchanged.) The rows may be
        # padded to the hardware's stride.
        image = cv2.cvtColor(image, cv2.COLOR_YUV2RGB_I420)
    image = image[: config.height_px, : config.width_px, :3]
    return np.ascontiguousarray(fit(image, config.width_px, config.height_px), dtype=np.uint8)


def _stamp(exposed_ns: int | None, clock: Clock) -> float:
    now = clock.now()
    if exposed_ns is None:
        return now
    # libcamera stamps in the boot-time clock; ours is monotonic: carry over the age.
    age = time.clock_gettime(time.CLOCK_BOOTTIME) - exposed_ns * 1e-9
    return now - age if 0 <= age < 10 else now


def _text(error: Exception) -> str:
    return " ".join(str(error).split()) or type(error).__name__
