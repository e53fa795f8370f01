"""The units' text, from a robot's description and the paths of one machine; all of it by one function."""

from __future__ import annotations

import re
from dataclasses import dataclass
from importlib.resources import files
from pathlib import PurePosixPath

from edge.errors import UsageError
from robot.config import RobotConfig
from robot.motord.protocol import SOCKET

UNITS = ("edgebot-motord.service", "edgebot.service")
WATCHDOG = "edgebot-watchdog.conf"
MOTORD_JSON = "motord.json"
FIRMWARE = "config.txt"

# What systemd gives no meaning of its own: no white space, quotes, %, $ or line ends.
_PLAIN = re.compile(r"[A-Za-z0-9_@.,:=+/-]+")
_USER = re.compile(r"[a-z_][a-z0-9_-]{0,31}")


@dataclass(frozen=True)
class Place:
    """Where edgebot lives on the machine that the units are for."""

    robot: str  # robot.toml
    bin: str  # the folder of `edgebot` and `edgebot-motord`, of a virtual environment as a rule
    user: str  # whose processes they are; in the groups gpio, video and spi
    etc: str = "/etc/edgebot"  # the folder of motord.json
    policy: str = "light"  # a name, or the path of a .tflite
    record: bool = True  # into /var/lib/edgebot/recordings, the oldest go
    arguments: tuple[str, ...] = ()  # more for `edgebot run`
    hold: str = ""  # a file; while it is there the runtime keeps the wheels at zero
    sim: bool = False  # the simulated body, and motord on mock pins: a machine without a chassis


def render(config: RobotConfig, place: Place) -> dict[str, str]:
    """Every file that a robot's system needs, by name: units, the watchdog's setting, motord.json, firmware lines.

    Raises:
        UsageError: a path is not absolute, a word has characters that a unit would read otherwise, or the user
            is root.
    """
    words = {
        "robot": _absolute("--robot", place.robot),
        "bin": _absolute("--bin", place.bin),
        "etc": _absolute("--etc", place.etc),
        "user": _person(place.user),
        "policy": _word("--policy", place.policy),
        "record": " --record %S/edgebot/recordings --keep-mb 2000" if place.record else "",
        "body": " --sim --realtime" if place.sim else "",
        "port": f" --motord {SOCKET}" if place.sim else "",
        "mock": " --pins mock" if place.sim else "",
        "hold": f" --hold {_absolute('--hold', place.hold)}" if place.hold else "",
        "arguments": "".join(f" {_word('an argument of edgebot run', word)}" for word in place.arguments),
        "pins": ",".join(str(pin) for name, pin in config.pins().items() if name.startswith("drive.")),
        "name": re.sub(r"[^A-Za-z0-9 _.-]", "_", config.name),
    }
    if "/" in place.policy or place.policy.endswith(".tflite"):
        _absolute("--policy", place.policy)
    rendered = {name: _fill(_template(name), words) for name in (*UNITS, WATCHDOG)}
    return rendered | {MOTORD_JSON: motord_json(config), FIRMWARE: firmware_lines(config)}


def motord_json(config: RobotConfig) -> str:
    """What motord is told of the robot: flat JSON."""
    from robot.motord.config import of_robot

    return of_robot(config).text()


def firmware_lines(config: RobotConfig) -> str:
    """The lines for the firmware's config.txt."""
    from robot.pi.firmware import lines

    return "\n".join(["# For /boot/firmware/config.txt, after [all]; then reboot.", *lines(config), ""])


def _template(name: str) -> str:
    return files("edge.units").joinpath(name).read_text(encoding="utf-8")


def _fill(template: str, words: dict[str, str]) -> str:
    return re.sub(r"@([a-z]+)@", lambda found: words[found[1]], template)


def _word(what: str, text: str) -> str:
    if not _PLAIN.fullmatch(text):
        raise UsageError(
            f"{what} is {text!r}, which a unit cannot hold as it is; use letters, digits and . , : = + / @ _ - only"
        )
    return text


def _absolute(what: str, text: str) -> str:
    if not PurePosixPath(text).is_absolute():
        raise UsageError(f"{what} is {text!r}; a unit needs the whole path on the robot, from / on")
    return _word(what, text)


def _person(name: str) -> str:
    if name == "root":
        raise UsageError("--user is 'root'; name an ordinary user in the groups gpio, video and spi, such as pi")
    if not _USER.fullmatch(name):
        raise UsageError(f"--user is {name!r}, which is no user's name; name one such as pi")
    return name
