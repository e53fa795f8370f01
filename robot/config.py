"""`robot.toml`: what a robot is made of, validated once into frozen objects.

Every number states its unit in its name. `load` turns any mistake into one `ConfigError` sentence.
"""

from __future__ import annotations

import math
import tomllib
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, model_validator

from robot import calibration
from robot.config_errors import sentence
from robot.errors import ConfigError

EXAMPLE = Path(__file__).with_name("example.toml")
"""The documented example robot; `--sim` drives it where no other is named."""

Metres = Annotated[float, Field(gt=0, le=100)]
Degrees = Annotated[float, Field(ge=-180, le=180)]
Fraction = Annotated[float, Field(ge=0, le=1)]
Pin = Annotated[int, Field(ge=0, le=27)]
Distortion = Annotated[float, Field(ge=-1000, le=1000)]


def _pulls_down_at_boot(pin: int) -> int:
    """from 9 to 27, since GPIO 0-8 pull up at boot"""
    if pin <= 8:
        raise ValueError(
            "a motor pin must be GPIO 9 to 27, since GPIO 0-8 pull up at boot and would start the motor"
        )
    return pin


MotorPin = Annotated[Pin, AfterValidator(_pulls_down_at_boot)]


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)


class Motor(_Part):
    """One wheel's half of an H-bridge (L298N, DRV8833, TB6612): two direction pins, an enable pin."""

    forward_pin: MotorPin  # high: forward
    backward_pin: MotorPin  # high: backward
    enable_pin: MotorPin | None = None  # pulses set the speed; none: on the direction pins


class Drive(_Part):
    """Two driven wheels: geometry, what the motors can do, and what they may do."""

    track_m: Metres = 0.15  # from wheel to wheel
    wheel_radius_m: Metres = 0.033  # of a driven wheel
    top_speed_mps: Metres = 0.5  # of a wheel's rim at duty 1, measured
    max_v_mps: Metres = 0.4  # what commands are limited to
    max_omega_radps: Annotated[float, Field(gt=0, le=20)] = 3.0  # turning is limited to it
    max_accel_mps2: Annotated[float, Field(gt=0, le=50)] = 2.0  # starts are ramped, stops are not
    braking_mps2: Annotated[float, Field(gt=0, le=50)] = 1.5  # the body's own, measured
    dead_band_duty: Annotated[float, Field(ge=0, lt=1)] = 0.08  # duties below it do not turn the wheel
    lag_s: Annotated[float, Field(ge=0, le=2)] = 0.06  # time constant of the wheel's speed
    gain_left: Annotated[float, Field(gt=0.2, lt=5)] = 1.0  # measured speed / commanded, calibration
    gain_right: Annotated[float, Field(gt=0.2, lt=5)] = 1.0  # the same for the right wheel
    command_timeout_s: Annotated[float, Field(gt=0, le=1)] = 0.2  # wheels to zero without a fresh command
    pwm_hz: Annotated[int, Field(ge=20, le=20000)] = 200  # frequency of the pulses to the H-bridge
    stop: Literal["brake", "coast"] = "coast"  # both inputs high, or both low
    left: Motor  # the left wheel's motor
    right: Motor  # the right wheel's motor


class Range(_Part):
    """An ultrasonic range sensor, HC-SR04 (datasheet: 2 cm to 4 m, 15 degree cone, 60 ms a cycle)."""

    kind: Literal["hcsr04"] = "hcsr04"  # the sensor's type
    trigger_pin: Pin  # output that starts a measurement
    echo_pin: Pin  # input; the sensor gives 5 V: use a divider
    x_m: Annotated[float, Field(ge=-1, le=1)] = 0.08  # where it sits, from the middle of the axle
    min_m: Metres = 0.02  # nearest distance that it measures
    max_m: Metres = 4.0  # farthest; no echo from there on
    offset_m: Annotated[float, Field(ge=-0.3, le=0.3)] = 0.0  # added to what it measures, calibration
    half_cone_deg: Annotated[float, Field(gt=0, le=60)] = 15.0  # it hears this far to each side
    rate_hz: Annotated[float, Field(gt=0, le=40)] = 15.0  # measurements a second
    stale_s: Annotated[float, Field(gt=0, le=2)] = 0.3  # an older reading stops the robot

    @model_validator(mode="after")
    def _ordered(self) -> Range:
        if self.max_m <= self.min_m:
            raise ValueError(f"range.max_m ({self.max_m}) must be greater than range.min_m ({self.min_m})")
        return self


class Light(_Part):
    """Two light sensors, left and right: LDRs charging a capacitor, or on an MCP3008 converter."""

    kind: Literal["ldr", "mcp3008"] = "ldr"  # LDR with capacitor, or an analogue converter
    left: Annotated[int, Field(ge=0, le=27)]  # GPIO of the LDR, or channel of the MCP3008
    right: Annotated[int, Field(ge=0, le=27)]  # the same for the right sensor
    x_m: Annotated[float, Field(ge=-1, le=1)] = 0.06  # ahead of the axle
    y_m: Annotated[float, Field(ge=0, le=1)] = 0.05  # left of the middle; the right one mirrors it
    angle_deg: Annotated[float, Field(ge=0, le=90)] = 35.0  # outward from straight ahead
    charge_time_limit_s: Annotated[float, Field(gt=0, le=1)] = 0.02  # darkness: the capacitor takes longer
    rate_hz: Annotated[float, Field(gt=0, le=200)] = 25.0  # measurements a second
    stale_s: Annotated[float, Field(gt=0, le=2)] = 0.3  # an older reading stops the robot
    dark: Fraction = 0.0  # raw value that becomes 0, calibration
    bright: Fraction = 1.0  # raw value that becomes 1, calibration

    @model_validator(mode="after")
    def _ordered(self) -> Light:
        if self.bright <= self.dark:
            raise ValueError(f"light.bright ({self.bright}) must be greater than light.dark ({self.dark})")
        if self.kind == "mcp3008" and max(self.left, self.right) > 7:
            raise ValueError("an MCP3008 has channels 0 to 7")
        return self


class Intrinsics(_Part):
    """A camera's lens as measured by `edgebot calibrate camera`, in OpenCV's model (pinhole, radial, tangential)."""

    width_px: Annotated[int, Field(ge=32, le=10000)]  # of the pictures that were measured
    height_px: Annotated[int, Field(ge=32, le=10000)]  # of the pictures that were measured
    fx_px: Annotated[float, Field(gt=1, le=1e5)]  # focal length across
    fy_px: Annotated[float, Field(gt=1, le=1e5)]  # focal length downwards
    cx_px: Annotated[float, Field(ge=0, le=1e4)]  # where the optical axis meets the picture, from its left edge
    cy_px: Annotated[float, Field(ge=0, le=1e4)]  # the same from its upper edge
    k1: Distortion = 0.0  # radial distortion, of the second power
    k2: Distortion = 0.0  # of the fourth
    k3: Distortion = 0.0  # of the sixth
    p1: Distortion = 0.0  # tangential distortion
    p2: Distortion = 0.0  # tangential distortion
    error_px: Annotated[float, Field(ge=0, le=100)] = 0.0  # of reprojection, root mean square


class Camera(_Part):
    """A camera: where it looks from, and what it delivers."""

    kind: Literal["picamera2", "usb", "file"] = "picamera2"  # Pi camera, USB camera, video or folder
    source: str = "0"  # usb: device number; file: a video or a folder of images
    width_px: Annotated[int, Field(ge=32, le=4096)] = 640  # of a frame
    height_px: Annotated[int, Field(ge=32, le=4096)] = 480  # of a frame
    fps: Annotated[float, Field(gt=0, le=120)] = 10.0  # how often it looks
    horizontal_fov_deg: Annotated[float, Field(gt=10, lt=170)] = 66.0  # field of view from left to right
    x_m: Annotated[float, Field(ge=-1, le=1)] = 0.05  # ahead of the axle
    height_m: Metres = 0.25  # of the lens above the floor
    tilt_deg: Annotated[float, Field(ge=-60, le=60)] = 15.0  # up is positive
    latency_s: Annotated[float, Field(ge=0, le=2)] = 0.1  # from exposure to detections, for simulation
    stale_s: Annotated[float, Field(gt=0, le=5)] = 0.6  # older detections count as none
    calibration: str | None = None  # file of `edgebot calibrate camera`, beside robot.toml: fills in the table below
    intrinsics: Intrinsics | None = None  # the measured lens, instead of the field of view

    def ideal(self) -> Camera:
        """The same without distortion, as the simulated one is: of a measured lens only the field of view is kept."""
        if self.intrinsics is None:
            return self
        fov = math.degrees(2 * math.atan(self.intrinsics.width_px / 2 / self.intrinsics.fx_px))
        return self.model_copy(update={"intrinsics": None, "calibration": None, "horizontal_fov_deg": fov})


class EmergencyStop(_Part):
    """A normally-closed switch to ground: an open circuit means stop, a broken wire too."""

    pin: Pin  # input that the switch holds low


class Bumpers(_Part):
    """Two bump switches to ground, left and right of the front."""

    left_pin: Pin  # input that the left switch pulls low
    right_pin: Pin  # input that the right switch pulls low
    reach_m: Annotated[float, Field(ge=0, le=0.3)] = 0.05  # how far the feelers stand out from the body


class GuardLimits(_Part):
    """What the guard keeps to; `edge.guard` tells how."""

    stop_gap_m: Annotated[float, Field(ge=0, le=2)] = 0.12  # free way left before the sonar after braking
    reaction_s: Annotated[float, Field(ge=0, le=1)] = 0.1  # command to wheels
    turn_only_radps: Annotated[float, Field(gt=0, le=20)] = 2.0  # turning speed where forward is refused
    sense_stale_s: Annotated[float, Field(gt=0, le=2)] = 0.3  # bumpers, switch, tilt, battery, wheel speeds
    supply_stale_s: Annotated[float, Field(gt=0, le=10)] = 1.0  # the computer's supply, which is sampled slowly
    link_stale_s: Annotated[float, Field(gt=0, le=2)] = 0.2  # silence of whoever drives over a link
    max_tilt_deg: Annotated[float, Field(gt=0, le=90)] = 30.0  # from upright, where a tilt sensor is fitted
    min_battery_v: Annotated[float, Field(ge=0, le=60)] = 6.0  # two lithium cells nearly empty, where measured


class RobotConfig(_Part):
    """A whole robot. Attributes are frozen; a typo is an error."""

    name: Annotated[str, Field(min_length=1, max_length=64)] = "robot"  # for messages and recordings
    radius_m: Metres = 0.11  # of the circle round the middle of the axle that holds the body
    drive: Drive  # wheels and motors
    range: Range  # the ultrasonic sensor
    light: Light  # the two light sensors
    camera: Camera | None = None  # where one is fitted
    emergency_stop: EmergencyStop | None = None  # where one is fitted; it should be
    bumpers: Bumpers | None = None  # where they are fitted
    guard: GuardLimits = GuardLimits()  # limits of the guard

    @model_validator(mode="after")
    def _pins_once(self) -> RobotConfig:
        owners: dict[int, str] = {}
        for name, pin in self.pins().items():
            if pin in owners:
                raise ValueError(f"GPIO {pin} is given to both {owners[pin]} and {name}; each pin serves one part")
            owners[pin] = name
        return self

    def pins(self) -> dict[str, int]:
        """Every GPIO (BCM number) in use, by the dotted name of its key."""
        pins: dict[str, int | None] = {
            "drive.left.forward_pin": self.drive.left.forward_pin,
            "drive.left.backward_pin": self.drive.left.backward_pin,
            "drive.left.enable_pin": self.drive.left.enable_pin,
            "drive.right.forward_pin": self.drive.right.forward_pin,
            "drive.right.backward_pin": self.drive.right.backward_pin,
            "drive.right.enable_pin": self.drive.right.enable_pin,
            "range.trigger_pin": self.range.trigger_pin,
            "range.echo_pin": self.range.echo_pin,
        }
        if self.light.kind == "ldr":
            pins |= {"light.left": self.light.left, "light.right": self.light.right}
        else:  # the Pi's SPI0
            pins |= {"light (SPI MISO)": 9, "light (SPI MOSI)": 10, "light (SPI SCLK)": 11, "light (SPI CE0)": 8}
        if self.emergency_stop:
            pins["emergency_stop.pin"] = self.emergency_stop.pin
        if self.bumpers:
            pins |= {"bumpers.left_pin": self.bumpers.left_pin, "bumpers.right_pin": self.bumpers.right_pin}
        return {name: pin for name, pin in pins.items() if pin is not None}


def load(path: str | Path | None = None) -> RobotConfig:
    """Read and validate a `robot.toml`, and the `calibration.toml` beside it; None means the example robot.

    Raises:
        ConfigError: the file, or the camera's calibration that it names, is missing, not TOML, or does not describe a
            robot.
    """
    path = EXAMPLE if path is None else Path(path)
    data, source = _read(path, f"give the path of a robot.toml, such as a copy of {EXAMPLE}"), str(path)
    camera = data.get("camera")
    if isinstance(camera, dict) and isinstance(camera.get("calibration"), str) and "intrinsics" not in camera:
        beside = path.parent / camera["calibration"]
        hint = "make it with `edgebot calibrate camera`, or leave camera.calibration out"
        lens = _read(beside, hint).get("camera", {})
        if not isinstance(lens, dict) or "intrinsics" not in lens:
            raise ConfigError(f"{beside} has no [camera.intrinsics]; make it with `edgebot calibrate camera`")
        camera["intrinsics"] = lens["intrinsics"]
    measured = calibration.beside(path)
    if measured is not None:
        found = _read(measured, "let this user read it, or move it away")
        data, source = calibration.overlay(data, found, str(measured)), f"{path} with {measured.name}"
    return parse(data, source)


def _read(path: Path, hint: str) -> dict[str, Any]:
    """A TOML file. Raises `ConfigError` with the hint where it cannot be read."""
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, ValueError) as error:  # ValueError: not UTF-8, or a null byte in the path
        why = "not UTF-8 text" if isinstance(error, UnicodeDecodeError) else getattr(error, "strerror", None) or error
        raise ConfigError(f"{str(path)!r} cannot be read ({why}); {hint}") from None
    try:
        return tomllib.loads(text)
    except (ValueError, RecursionError) as error:  # ValueError: TOML's own error, or a number of too many digits
        raise ConfigError(f"{path} is not valid TOML ({error}); mend that line") from None


def parse(data: dict[str, Any], source: str = "robot.toml") -> RobotConfig:
    """Validate the tables of a `robot.toml`. Raises `ConfigError` for the first mistake."""
    try:
        return RobotConfig.model_validate(data)
    except ValidationError as error:
        raise ConfigError(f"{source}: {sentence(error, RobotConfig, EXAMPLE)}") from None
