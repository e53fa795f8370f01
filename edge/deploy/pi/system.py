"""What deploy changes in the operating system: packages, a user, groups, units of its own, watchdog, firmware lines.

`plan` tells it in sentences; `setup` does what the plan says, and notes what it made, so that uninstalling can undo it.
"""

from __future__ import annotations

import grp
import importlib.util
import os
import pkgutil
import pwd
import re
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from edge.deploy.pi import programs
from edge.deploy.pi.place import OWN_UNITS, USER, AgentError, Place, link, read_json, sha256, write, write_json

GROUPS = ("gpio", "video", "spi", "i2c")
# What each package brings, so that one that is there by another way is not asked for again.
PACKAGES: dict[str, Callable[[], bool]] = {
    "python3-venv": lambda: importlib.util.find_spec("ensurepip") is not None and pip_wheel() is not None,
    "rsync": lambda: shutil.which("rsync") is not None,
    "python3-lgpio": lambda: importlib.util.find_spec("lgpio") is not None,
    "python3-picamera2": lambda: importlib.util.find_spec("picamera2") is not None,
}
# A plain Debian has no picamera2; without it only the ribbon camera is missing.
OPTIONAL = ("python3-picamera2", "python3-lgpio")
CONFIG = ("boot/firmware/config.txt", "boot/config.txt")
BEGIN, END = "# edgebot: begin (written by deploy.sh)", "# edgebot: end"


@dataclass
class Step:
    """One thing that is to be done: what people are told, and what does it."""

    words: str
    do: Callable[[], None]


def plan(place: Place, wanted: dict[str, Any]) -> list[Step]:
    """What the system lacks.

    Args:
        wanted: user (who deploys), watchdog (text), firmware (lines; none for a simulated body), agent (path of the
            agent that came).
    """
    made = read_json(place.setup)
    steps = [*_packages(place, made), *_people(place, made, wanted["user"])]
    agent = Path(wanted["agent"])
    if not place.agent.exists() or sha256(place.agent) != sha256(agent):
        steps.append(Step("install deploy's own program into /usr/local/lib/edgebot", lambda: _agent(place, agent)))
    units = {name: pkgutil.get_data(__package__, name) or b"" for name in OWN_UNITS}
    for name, text in units.items():
        if _differs(place.systemd / name, text):
            steps.append(Step(f"install {name}", partial(_unit, place, name, text)))
    watchdog = wanted["watchdog"].encode()
    if _differs(place.watchdog, watchdog):
        steps.append(Step("let systemd feed the hardware watchdog", lambda: _watchdog(place, watchdog)))
    if wanted["firmware"]:
        steps += _firmware(place, made, wanted["firmware"])
    return steps


def setup(place: Place, steps: list[Step], say: Callable[[str], None]) -> None:
    """Do it."""
    place.releases.mkdir(parents=True, exist_ok=True)
    for step in steps:
        say(step.words)
        step.do()


def reboot_needed(place: Place) -> bool:
    """Whether the firmware's lines were written since this boot."""
    return read_json(place.setup).get("firmware_written_in_boot") == _boot(place)


def _packages(place: Place, made: dict[str, Any]) -> list[Step]:
    missing = [package for package, there in PACKAGES.items() if not there()]
    waived = [package for package in missing if package in made.get("unavailable", ())]
    missing = [package for package in missing if package not in waived]
    if not missing:
        return []

    def install() -> None:
        apt = ("apt-get", "-q", "-y", "-o", "DPkg::Lock::Timeout=120", "-o", "Acquire::Retries=3")
        if programs.run("dpkg", "--audit", keep=True).strip():  # the power went in the middle of one
            programs.run("dpkg", "--configure", "-a", keep=True)
        try:
            programs.run(*apt, "update", keep=True)
            known = {package: "Candidate: (none)" not in said and "Candidate:" in said for package in missing
                     for said in (programs.run("apt-cache", "policy", package),)}  # fmt: skip
            absent = [package for package in missing if not known[package]]
            needed = [package for package in absent if package not in OPTIONAL]
            if needed:
                raise AgentError(f"this system's package sources have no {' and no '.join(needed)}")
            wanted = [package for package in missing if known[package]]
            if wanted:
                programs.run(*apt, "install", "--no-install-recommends", *wanted, keep=True)
        except AgentError as error:
            raise AgentError(
                f"{', '.join(missing)} cannot be installed ({error}); the first deploy needs the internet on the robot"
            ) from None
        _made(place, packages=[*made.get("packages", ()), *wanted], unavailable=absent)

    return [Step(f"apt install {' '.join(missing)}", install)]


def pip_wheel() -> Path | None:
    """The pip that ensurepip would install; Debian keeps it in a package of its own."""
    import ensurepip

    folders = (Path(ensurepip.__file__).with_name("_bundled"), Path("/usr/share/python-wheels"))
    return next((path for folder in folders for path in folder.glob("pip-*.whl")), None)


def _people(place: Place, made: dict[str, Any], deployer: str) -> list[Step]:
    steps = []
    groups = [name for name in GROUPS if not _group(name)]
    if groups:
        def add_groups() -> None:
            for name in groups:
                programs.run("groupadd", "--system", name)
            _made(place, groups=[*made.get("groups", ()), *groups])

        steps.append(Step(f"make the groups {', '.join(groups)}", add_groups))
    if not _user(USER):
        def add_user() -> None:
            home = place.inside(place.state)
            programs.run(
                "useradd", "--system", "--user-group", "--home-dir", home, "--no-create-home",
                "--shell", "/usr/sbin/nologin", "--groups", ",".join(GROUPS), USER,
            )  # fmt: skip
            _made(place, user=USER)

        steps.append(Step(f"make the user {USER}, whose processes drive (groups {', '.join(GROUPS)})", add_user))
    elif lacking := [name for name in GROUPS if _group(name) and USER not in grp.getgrnam(name).gr_mem]:
        steps.append(Step(f"put {USER} into {', '.join(lacking)}", lambda: _join(USER, *lacking)))
    if deployer != "root" and not (_user(USER) and deployer in grp.getgrnam(USER).gr_mem):
        steps.append(Step(f"put {deployer} into the group {USER}", lambda: _join(deployer, USER)))
    return steps


def _join(user: str, *groups: str) -> None:
    programs.run("usermod", "--append", "--groups", ",".join(groups), user)


def _user(name: str) -> bool:
    try:
        pwd.getpwnam(name)
    except KeyError:
        return False
    return True


def _group(name: str) -> bool:
    try:
        grp.getgrnam(name)
    except KeyError:
        return False
    return True


def _differs(path: Path, data: bytes) -> bool:
    try:
        return path.read_bytes() != data
    except OSError:
        return True


def _agent(place: Place, agent: Path) -> None:
    write(place.agent, agent.read_bytes())


def _unit(place: Place, name: str, text: bytes) -> None:
    write(place.systemd / name, text)
    if name == "edgebot-recover.service":
        link(place.systemd / "multi-user.target.wants" / name, place.inside(place.systemd / name))
    programs.systemctl("daemon-reload")


def _watchdog(place: Place, text: bytes) -> None:
    write(place.watchdog, text)
    programs.systemctl("daemon-reexec")


def _firmware(place: Place, made: dict[str, Any], lines: list[str]) -> list[Step]:
    path = next((place.root / name for name in CONFIG if (place.root / name).is_file()), None)
    if path is None:
        raise AgentError(
            "the robot has no /boot/firmware/config.txt, so it is no Raspberry Pi and nothing would hold its motor "
            "pins low at boot; `--sim` deploys a simulated body"
        )
    old = path.read_text(encoding="utf-8", errors="surrogateescape")
    new = with_lines(old, lines)
    if new == old:
        return []

    def do() -> None:
        if not path.with_name("config.txt.before-edgebot").exists():
            write(path.with_name("config.txt.before-edgebot"), old.encode(errors="surrogateescape"))
        write(path, new.encode(errors="surrogateescape"))
        _made(place, firmware_written_in_boot=_boot(place))

    return [Step(f"write into {place.inside(path)}: {', '.join(lines)} (in force after a reboot)", do)]


def with_lines(text: str, lines: list[str]) -> str:
    """config.txt with our block at its end; without it for no lines."""
    text = re.sub(rf"\n?{re.escape(BEGIN)}\n.*?{re.escape(END)}\n", "", text, flags=re.DOTALL)
    if not lines:
        return text
    return text.rstrip("\n") + "\n\n" + "\n".join((BEGIN, "[all]", *lines, END)) + "\n"


def _boot(place: Place) -> str:
    try:
        return (place.root / "proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return ""


def _made(place: Place, **words: Any) -> None:
    write_json(place.setup, read_json(place.setup) | words)
    os.sync()
