"""What the Pi's firmware must be told for motors to be safe: checked before a motor pin is touched.

Two things. `dtparam=strict_gpiod`: Raspberry Pi's kernels keep an output's level after its owner has died unless
they are told not to (raspberrypi/linux pull requests 6117 and 6150; the parameter reaches the kernel as
`persist_gpio_outputs=n`). And `gpio=<pins>=op,dl`: the motor pins are low from the firmware on, long before any
software of ours. Standard library only: the motors' own process uses it.

Not modelled of config.txt: filters by display, serial number, GPIO or boot partition. A setting below one of
those counts as missing, and one that would undo a setting counts as there.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from robot.config import RobotConfig

PLACES = ("boot/firmware/config.txt", "boot/config.txt")
"""Where Raspberry Pi OS has it: Bookworm and later, and before."""

_DRIVERS = ("pinctrl_bcm2835", "pinctrl_rp1")  # up to the Pi 4, and the Pi 5
_OFF = ("0", "n", "no", "off", "false")
_MODELS = (  # beginnings of the model's name, longest first; the filters that hold there
    ("Raspberry Pi Compute Module 5", {"pi5", "cm5"}),
    ("Raspberry Pi Compute Module 4S", {"pi4", "cm4s"}),
    ("Raspberry Pi Compute Module 4", {"pi4", "cm4"}),
    ("Raspberry Pi Compute Module 3 Plus", {"pi3", "pi3+"}),
    ("Raspberry Pi Compute Module 3", {"pi3"}),
    ("Raspberry Pi Zero 2", {"pi0", "pi0w", "pi02"}),
    ("Raspberry Pi Zero W", {"pi0", "pi0w"}),
    ("Raspberry Pi Zero", {"pi0"}),
    ("Raspberry Pi 500", {"pi5", "pi500"}),
    ("Raspberry Pi 5", {"pi5"}),
    ("Raspberry Pi 400", {"pi4", "pi400"}),
    ("Raspberry Pi 4", {"pi4"}),
    ("Raspberry Pi 3 Model A Plus", {"pi3", "pi3+"}),
    ("Raspberry Pi 3 Model B Plus", {"pi3", "pi3+"}),
    ("Raspberry Pi 3", {"pi3"}),
    ("Raspberry Pi 2", {"pi2"}),
    ("Raspberry Pi", {"pi1"}),
)
_MODEL_FILTERS = set().union(*(filters for _, filters in _MODELS))


class Finding(NamedTuple):
    """One thing looked at: whether it is as it must be, what was found, and the command that mends it."""

    ok: bool
    what: str
    mend: str = ""


def lines(robot: RobotConfig) -> list[str]:
    """What has to stand in config.txt for this robot."""
    motors = (robot.drive.left, robot.drive.right)
    pins = [pin for motor in motors for pin in (motor.forward_pin, motor.backward_pin, motor.enable_pin)]
    return wanted([pin for pin in pins if pin is not None])


def wanted(motor_pins: Iterable[int]) -> list[str]:
    """What has to stand in config.txt for these motor pins."""
    return ["dtparam=strict_gpiod", f"gpio={','.join(str(pin) for pin in sorted(motor_pins))}=op,dl"]


def check(motor_pins: Iterable[int], root: Path = Path("/")) -> list[Finding]:
    """Look at the settings of this machine, or of a file tree under `root`. Never raises.

    Returns:
        Findings for strict_gpiod and for the pins' state at boot, in this order.
    """
    pins = sorted(motor_pins)
    strict, boot = wanted(pins)
    path = next((root / place for place in PLACES if (root / place).is_file()), None)
    settings = Settings() if path is None else read(path, _filters(root))
    shown = f"/{PLACES[0] if path is None else path.relative_to(root)}"
    return [_strict(settings, root, strict, shown), _boot(settings, pins, boot, shown)]


def complaint(motor_pins: Iterable[int], root: Path = Path("/")) -> str:
    """Everything that is not as it must be, in one sentence; nothing where all is well."""
    model = _text(root / "proc/device-tree/model")
    if not model.startswith("Raspberry Pi") and not any((root / place).is_file() for place in PLACES):
        return "this machine is no Raspberry Pi, whose firmware holds motor pins low; use --sim, or run it on the robot"
    wrong = [finding for finding in check(motor_pins, root) if not finding.ok]
    return "; ".join(f"{finding.what}: run `{finding.mend}`" for finding in wrong)


def _strict(settings: Settings, root: Path, line: str, shown: str) -> Finding:
    running = released_pins_float(root)
    if running:
        return Finding(True, "released motor pins become inputs (strict_gpiod)")
    if settings.strict:
        why = "is set but not in force" if running is False else "is set, but this kernel does not say that it knows it"
        return Finding(False, f"strict_gpiod {why}", "sudo apt full-upgrade && sudo reboot")
    return Finding(False, "a dead program's motor pins would keep their level (no strict_gpiod)", _add(line, shown))


def _boot(settings: Settings, pins: list[int], line: str, shown: str) -> Finding:
    open_ = [pin for pin in pins if not settings.low.get(pin, False)]
    if not open_:
        return Finding(True, f"GPIO {_list(pins)} are low from the firmware on")
    return Finding(False, f"nothing holds GPIO {_list(open_)} low while the Pi boots", _add(line, shown))


def _add(line: str, shown: str) -> str:
    # The file may end under a filter that does not hold here.
    return rf"printf '\n[all]\n{line}\n' | sudo tee -a {shown} && sudo reboot"


def _list(pins: list[int]) -> str:
    return ", ".join(map(str, pins))


def released_pins_float(root: Path = Path("/")) -> bool | None:
    """Whether the running kernel makes released outputs inputs; None where it does not say."""
    for driver in _DRIVERS:
        folder = root / "sys/module" / driver / "parameters"
        for name, strict in (("persist_gpio_outputs", "N"), ("strict_gpiod", "Y")):  # the second: spring 2024 only
            found = _text(folder / name).strip().upper()
            if found:
                return found.replace("0", "N").replace("1", "Y") == strict
    for word in _text(root / "proc/cmdline").split():
        driver, _, rest = word.replace("-", "_").partition(".")
        name, _, value = rest.partition("=")
        if driver in _DRIVERS and name in ("persist_gpio_outputs", "strict_gpiod"):
            return (value.lower() in _OFF) == (name == "persist_gpio_outputs")
    return None


@dataclass
class Settings:
    """What config.txt says of our two things."""

    strict: bool = False
    low: dict[int, bool] = field(default_factory=dict)  # by pin: the last word is "output, low"


def read(path: Path, filters: frozenset[str] = frozenset()) -> Settings:
    """Read a config.txt and what it includes, for a model where `filters` hold, such as {"pi4"}."""
    settings = Settings()
    for line, applies in _applying(path, filters):
        key, _, value = line.partition("=")
        if key == "dtparam":
            for parameter in value.split(","):
                name, _, setting = parameter.partition("=")
                if name == "strict_gpiod":
                    on = setting.lower() not in _OFF
                    settings.strict = settings.strict and on if applies is None else on
        elif key == "gpio":
            names, _, options = value.partition("=")
            low = _is_low(options.split(","))
            for pin in _pins(names):
                settings.low[pin] = settings.low.get(pin, False) and low if applies is None else low
    return settings


def _is_low(options: list[str]) -> bool:
    options = [option.strip() for option in options]
    return "op" in options and "dl" in options and "dh" not in options


def _pins(names: str) -> Iterator[int]:
    for part in names.split(","):
        match = re.fullmatch(r"\s*(\d{1,3})(?:-(\d{1,3}))?\s*", part)
        if match:
            yield from range(int(match[1]), int(match[2] or match[1]) + 1)


def _applying(path: Path, filters: frozenset[str], depth: int = 0) -> Iterator[tuple[str, bool | None]]:
    """Each setting that applies (True), or that may (None), in order; those that do not are left out."""
    model, certain = True, True
    for raw in _text(path).splitlines():
        line = raw.strip()
        section = re.fullmatch(r"\[(.*)\]", line)
        if section:
            name = section[1].strip().lower()
            if name == "all":
                model = certain = True
            elif name == "none":
                model = False
            elif name in _MODEL_FILTERS:
                model = name in filters
            else:
                certain = False  # a kind of filter that is not modelled
        elif model and line and not line.startswith("#"):
            included = re.fullmatch(r"include\s+(\S+)", line)
            if included is None:
                yield line, True if certain else None
            elif depth < 8:
                for inner, applies in _applying(path.parent / included[1], filters, depth + 1):
                    yield inner, applies if certain else None


def _filters(root: Path) -> frozenset[str]:
    model = _text(root / "proc/device-tree/model").strip("\0\n ")
    return frozenset(next((filters for beginning, filters in _MODELS if model.startswith(beginning)), ()))


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
