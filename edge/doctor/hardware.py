"""What the robot is wired to: the camera, the pins' chip, who uses the pins, SPI, and whether this user may."""

from __future__ import annotations

import re
from collections.abc import Iterator

from edge.doctor.lines import HEADERS, Chip
from edge.doctor.rows import Examined, Row, failure, note, ok, skipped, warning

ADAPT = "sudo apt full-upgrade && sudo reboot"


def camera(examined: Examined) -> Iterator[Row]:
    """The camera of robot.toml. A failure where the policy needs it, else a warning."""
    machine, camera = examined.machine, examined.config.camera
    if camera is None:
        yield note("camera", "none in robot.toml")
        return
    bad = failure if examined.camera else warning
    if camera.kind == "file":
        there = machine.exists(camera.source) if camera.source.startswith("/") else True
        yield ok("camera", f"file {camera.source}") if there else bad(
            "camera", f"{camera.source} is not there", f"ls {camera.source}"
        )
    elif camera.kind == "usb":
        device = f"/dev/video{camera.source}"
        if not machine.exists(device):
            yield bad("camera", f"{device} is not there: unplugged, or another number", "ls /dev/video*")
        elif not machine.may_use(device):
            yield bad("camera", f"no permission to use {device}", _join(examined, "video"))
        else:
            yield ok("camera", f"USB, {device}")
    elif not machine.is_pi:
        yield skipped("camera", "not a Raspberry Pi")
    elif not machine.has_module("picamera2"):
        mend = "python3 -m venv --system-site-packages .venv" if machine.exists(
            "/usr/lib/python3/dist-packages/picamera2"
        ) else "sudo apt install python3-picamera2"  # fmt: skip
        yield bad("camera", "this Python has no picamera2", mend)
    elif not any(name.startswith("media") for name in machine.names("/dev")):
        yield bad("camera", "the kernel sees none (no /dev/media*): check the ribbon", "sudo dmesg --level=err,warn")
    else:
        yield ok("camera", "picamera2")


def camera_found(examined: Examined) -> Iterator[Row]:
    """Whether libcamera sees a sensor: takes half a second, so not in the short form."""
    machine, camera = examined.machine, examined.config.camera
    if camera is None or camera.kind != "picamera2":
        return
    said = machine.run("rpicam-hello", "--list-cameras") or machine.run("libcamera-hello", "--list-cameras")
    if said is None:
        yield note("camera sensor", "neither rpicam-hello nor libcamera-hello is installed to ask")
        return
    found = re.findall(r"^\d+ : (\S+) \[(\d+x\d+)", said, re.MULTILINE)
    if found:
        yield ok("camera sensor", ", ".join(f"{sensor} {size}" for sensor, size in found))
    else:
        bad = failure if examined.camera else warning
        what = "libcamera sees none: switch off, check the ribbon at both ends"
        yield bad("camera sensor", what, "rpicam-hello --list-cameras")


def header(examined: Examined) -> Chip | None:
    """The chip of the 40-pin header, where this process may look at it."""
    return next((chip for chip in examined.machine.chips() if chip.label in HEADERS), None)


def gpio_chip(examined: Examined) -> Iterator[Row]:
    """The header's chip is there and may be opened."""
    machine = examined.machine
    devices = [f"/dev/{name}" for name in machine.names("/dev") if name.startswith("gpiochip")]
    chip = header(examined)
    if chip is not None:
        yield ok("GPIO chip", f"{chip.path}, {chip.label}, {chip.lines} lines")
    elif not devices:
        yield failure("GPIO chip", "no /dev/gpiochip*: this kernel has none", ADAPT)
    elif not any(map(machine.may_use, devices)):
        yield failure("GPIO chip", f"no permission to use {devices[0]}", _join(examined, "gpio"))
    else:
        labels = ", ".join(chip.label for chip in machine.chips())
        yield failure("GPIO chip", f"none of the header's among {labels or ', '.join(devices)}", ADAPT)


def pins_in_use(examined: Examined) -> Iterator[Row]:
    """Who holds the pins of robot.toml: a kernel driver must not, edgebot's own processes may."""
    chip = header(examined)
    if chip is None:
        yield skipped("pins in use", "the GPIO chip cannot be asked")
        return
    pins = examined.config.pins()
    taken: list[str] = []
    ours: list[str] = []
    for name, pin in pins.items():
        line = examined.machine.line(chip, pin)
        if line is None or not line.used:
            continue
        if name.startswith("light (SPI"):
            continue  # the kernel's SPI driver has them, and should
        known = line.consumer.startswith(("lg", "edgebot"))
        (ours if known else taken).append(f"GPIO {pin} ({name}) by {line.consumer}")
    if taken:
        yield failure(
            "pins in use", f"taken: {'; '.join(taken)}; remove the dtoverlay or dtparam that does it",
            "sudo nano /boot/firmware/config.txt",
        )  # fmt: skip
    elif ours:
        yield note("pins in use", f"{len(ours)} of {len(pins)} in use by lgpio: edgebot runs, or another program")
    else:
        yield ok("pins in use", f"none of {len(pins)}")


def firmware(examined: Examined) -> Iterator[Row]:
    """strict_gpiod and the motor pins' state at boot: motord refuses to start without them."""
    from robot.pi.firmware import check

    motors = [pin for name, pin in examined.config.pins().items() if name.startswith("drive.")]
    for finding in check(motors, examined.machine.root):
        yield ok("firmware", finding.what) if finding.ok else failure("firmware", finding.what, finding.mend)


def motor_pins(examined: Examined) -> Iterator[Row]:
    """The level of every motor pin now, read from the chip's registers without taking a line."""
    motors = {name: pin for name, pin in examined.config.pins().items() if name.startswith("drive.")}
    said = examined.machine.run("pinctrl", "get", ",".join(map(str, motors.values())))
    if not said:
        yield note("motor pins", "pinctrl (package raspi-utils) is not installed, or may not read them")
        return
    high = [int(pin) for pin in re.findall(r"^\s*(\d+):.*\|\s*hi\b", said, re.MULTILINE)]
    active = examined.machine.run("systemctl", "is-active", "edgebot.service") == "active"
    names = ", ".join(f"GPIO {pin} ({name})" for name, pin in motors.items() if pin in high)
    if not names:
        yield ok("motor pins", f"all {len(motors)} low")
    elif active:
        yield note("motor pins", f"high: {names}; edgebot drives")
    else:
        numbers = ",".join(str(pin) for pin in motors.values())
        yield failure("motor pins", f"high though nothing drives: {names}", f"sudo pinctrl set {numbers} op dl")


def buses(examined: Examined) -> Iterator[Row]:
    """SPI where the light sensors need it; I2C is only told."""
    machine = examined.machine
    wanted = examined.config.light.kind == "mcp3008"
    there = [bus for bus, device in (("SPI", "/dev/spidev0.0"), ("I2C", "/dev/i2c-1")) if machine.exists(device)]
    if wanted and "SPI" not in there:
        yield failure("I2C, SPI", "SPI is off, and the MCP3008 is on it", "sudo raspi-config nonint do_spi 0")
    elif wanted and not machine.may_use("/dev/spidev0.0"):
        yield failure("I2C, SPI", "no permission to use /dev/spidev0.0", _join(examined, "spi"))
    else:
        words = ", ".join(f"{bus} {'on' if bus in there else 'off'}" for bus in ("I2C", "SPI"))
        yield ok("I2C, SPI", f"{words}; {'SPI is needed' if wanted else 'neither is needed'}")


def permissions(examined: Examined) -> Iterator[Row]:
    """The user is in the groups that own the devices, or may use them anyway."""
    machine, config = examined.machine, examined.config
    devices = {"gpio": [f"/dev/{name}" for name in machine.names("/dev") if name.startswith("gpiochip")]}
    if config.camera is not None and config.camera.kind != "file":
        devices["video"] = [f"/dev/{name}" for name in machine.names("/dev") if name.startswith(("video", "media"))]
    if config.light.kind == "mcp3008":
        devices["spi"] = [f"/dev/{name}" for name in machine.names("/dev") if name.startswith("spidev")]
    groups = machine.groups()
    allowed = {group: bool(paths) and all(map(machine.may_use, paths)) for group, paths in devices.items()}
    missing = [group for group in devices if group not in groups and not allowed[group]]
    if missing:
        bad = failure if "gpio" in missing or "spi" in missing or examined.camera else warning
        yield bad("permissions", f"{machine.user()} is not in {' and '.join(missing)}", _join(examined, *missing))
    else:
        yield ok("permissions", f"{machine.user()} may use {', '.join(devices)}")


def emergency_stop(examined: Examined) -> Iterator[Row]:
    """A robot should have one."""
    stop = examined.config.emergency_stop
    if stop is None:
        yield warning(
            "emergency stop", "none in robot.toml: wire one (docs/safety.md), then tell its pin",
            rf"printf '\n[emergency_stop]\npin = 26\n' >> {examined.toml}",
        )  # fmt: skip
    else:
        yield ok("emergency stop", f"GPIO {stop.pin}; it must cut the motors' supply by itself")


def _join(examined: Examined, *groups: str) -> str:
    return f"sudo usermod -aG {','.join(groups)} {examined.machine.user()} && sudo reboot"
