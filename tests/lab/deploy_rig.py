"""What the proof of deploy.sh works with: guests that outlive a call, deploy.sh against them, and what runs there."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from robot.files import write_atomically
from tests.lab import deploy_page, roots
from tests.lab.nspawn import Guest, Reached

ROOT = Path(__file__).resolve().parents[2]
# What the emulator and a container lack, and what keeps an emulated robot from taking the machine from everybody.
DROP_IN = """\
[Service]
PrivateNetwork=no
IPAddressDeny=
Nice=0
LimitRTPRIO=0
WatchdogSec={watchdog}
TimeoutStartSec=240
TimeoutStopSec=90
Environment=EDGEBOT_REALTIME=off
"""
EXPECTED = ("loop jitter",)  # of the doctor: an emulator is too slow to be punctual
USUAL = ("--robot", str(ROOT / "robot/example.toml"), "--sim", "--yes")
ACCEPT = tuple(word for check in EXPECTED for word in ("--accept", check))
SLOW = ("--", "--rate", "5")  # the loop that an emulator can keep up
AFTER_LOSS_S = 40.0  # longer than the robot believes in a silent link
LISTING = (
    "find / -xdev \\( -path /proc -o -path /sys -o -path /run -o -path /tmp -o -path /var/log -o -path /var/cache -o "
    "-path /var/lib/apt -o -path /var/lib/dpkg -o -path /usr -o -path /dev -o -path /var/lib/systemd -o -path "
    "/var/tmp -o -name '*.service.d' \\) -prune -o -print; ls -d /usr/local/bin/edgebot /usr/local/lib/edgebot; "
    "getent passwd edgebot; getent group edgebot gpio spi i2c"
)
STATE = (
    "for i in $(seq 240); do systemctl -q is-active edgebot-activate || [ -e /opt/edgebot/pending.json ] "
    "|| break; sleep 1; done; "
    "for i in $(seq 120); do systemctl -q is-active edgebot && systemctl -q is-active edgebot-motord && break; "
    "sleep 1; done; "
    "echo release=$(basename $(readlink /opt/edgebot/current || echo none)); "
    "echo pending=$(ls /opt/edgebot | grep -c pending);"
    " echo motord=$(systemctl is-active edgebot-motord); echo edgebot=$(systemctl is-active edgebot)"
)


@dataclass
class Done:
    """How a deploy ended."""

    code: int | None
    began: float
    lines: list[tuple[float, str]] = field(default_factory=list)  # when it came, and what it was
    seconds: float = 0.0

    @property
    def text(self) -> list[str]:
        """The lines."""
        return [line for _, line in self.lines]

    @property
    def words(self) -> str:
        """What the table says of its robot."""
        rows = [line.split(": ", 1)[1] for line in self.text if " ok: " in line or " FAILED: " in line]
        return rows[-1] if rows else " ".join(self.text[-1:])

    @property
    def step(self) -> str:
        """What it said last that it does."""
        return self.lines[-1][1].split(": ", 1)[-1][:60] if self.lines else "connecting"

    def at(self, words: str) -> float:
        """Seconds until a line with these words came; until its end where none did."""
        return next((when - self.began for when, line in self.lines if words in line), self.seconds)


class Running:
    """deploy.sh, not at its end yet. What it says goes into a log as well."""

    def __init__(self, command: list[str], environment: dict[str, str], log: Path) -> None:
        self.done, self._log = Done(None, time.monotonic()), log
        self._process = subprocess.Popen(
            command, text=True, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
            env=environment, errors="replace",
        )  # fmt: skip
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            if line.strip():
                self.done.lines.append((time.monotonic(), line.strip()))
                with self._log.open("a") as file:
                    file.write(f"{time.strftime('%H:%M:%S')} {line}")

    def wait(self, seconds: float) -> bool:
        """Wait at most so long; whether it has ended."""
        try:
            self._process.wait(seconds)
        except subprocess.TimeoutExpired:
            return False
        self._reader.join(10.0)
        self.done.code, self.done.seconds = self._process.returncode, time.monotonic() - self.done.began
        return True

    def end(self, limit_s: float = 1500.0) -> Done:
        """Wait to its end; a deploy that hangs is a failure of its own."""
        if not self.wait(limit_s):
            self._process.kill()
            self.wait(10.0)
        return self.done


class Robots(ABC):
    """The rows that are known, deploy.sh against guests, and what runs there.

    Args:
        keep: where rows are written as they come. A call goes on with those of an earlier one of the same sources.
        anew: begin again.
    """

    def __init__(self, keep: Path, anew: bool = False) -> None:
        self.keep, self.folder = keep, roots.LAB / "guests" / keep.stem
        self.folder.mkdir(parents=True, exist_ok=True)
        now = {"sources": deploy_page.sources(), "commit": deploy_page.commit()}
        known: dict[str, Any] = {} if anew or not keep.exists() else json.loads(keep.read_text())
        if known and known["sources"] != now["sources"]:
            print("the rows of an earlier call are of other sources: all begin anew", file=sys.stderr)
            known = {}
        self.known = known or {**now, "rows": {}, "facts": {}}

    @property
    def facts(self) -> dict[str, Any]:
        """What later rows need to know of earlier ones."""
        return dict(self.known["facts"])

    def fact(self, **words: Any) -> None:
        """Remember it."""
        self.known["facts"] |= words
        self._save()

    def row(self, name: str, what: str, good: bool, found: str, **more: Any) -> None:
        """One thing proven, or not."""
        self.known["rows"][name] = {"what": what, "good": good, "found": found, "at": time.time(), **more}
        self._save()
        print(f"{'ok  ' if good else 'FAIL'} {what}: {found}", file=sys.stderr, flush=True)

    def _save(self) -> None:
        write_atomically(self.keep, json.dumps(self.known, indent=1).encode())

    @abstractmethod
    def guest(self, name: str = "a") -> Reached:
        """A guest that is on."""

    @abstractmethod
    def close(self, remove: bool = False) -> None:
        """Switch the guests off; take them away."""

    def start(self, *words: str, on: tuple[str, ...] = ("a",), user: str = "pi", cache: Path | None = None) -> Running:
        """deploy.sh with these words, running."""
        guests = [self.guest(name) for name in on]
        environment = os.environ | {
            "EDGEBOT_PYTHON": sys.executable, "EDGEBOT_SSH_OPTIONS": " ".join(guests[0].options()),
        }  # fmt: skip
        if cache is not None:
            environment["EDGEBOT_CACHE"] = str(cache)
        hosts = [f"{user}@{guest.address}" for guest in guests]
        return Running([str(ROOT / "deploy.sh"), *hosts, *words], environment, self.folder / "deploy.log")

    def deploy(self, *words: str, **how: Any) -> Done:
        """A deploy of the example's robot, simulated, to its end; `words` from `--` on go to the runtime."""
        return self.start(*USUAL, *ACCEPT, *words, **how).end()

    def ask(self, *words: str, **how: Any) -> Done:
        """deploy.sh with these words and no others, to its end."""
        return self.start(*words, **how).end()

    def running(self) -> str:
        """The release that `current` leads to; none where there is none."""
        return self.guest().ssh("basename $(readlink /opt/edgebot/current || echo none)").stdout.strip()

    def deployed(self) -> str:
        """The release that runs; deployed first where there is none."""
        if self.running() == "none":
            done = self.deploy("--policy", "light", *SLOW)
            if done.code != 0:
                raise RuntimeError(f"nothing could be deployed to begin with: {done.words}")
        return self.running()

    def settled(self) -> dict[str, str]:
        """What runs there, once a trial has ended and the units are up."""
        said = self.guest().ssh(STATE, limit_s=600).stdout
        return dict(line.split("=", 1) for line in said.splitlines() if "=" in line)

    def runs(self, release: str) -> tuple[bool, str]:
        """Whether that release runs, and nothing is on trial."""
        found = self.settled()
        good = found == {"release": release, "pending": "0", "motord": "active", "edgebot": "active"}
        return good, ", ".join(f"{key} {value}" for key, value in found.items())


class Rig(Robots):
    """Guests under systemd-nspawn, one or more.

    Args:
        keep: see `Robots`.
        anew: see `Robots`.
        suite: of Debian.
    """

    def __init__(self, keep: Path, anew: bool = False, suite: str = "bookworm") -> None:
        super().__init__(keep, anew)
        self._suite, self._guests = suite, dict[str, Guest]()

    def guest(self, name: str = "a", bare: bool = False) -> Guest:
        """A guest that is on; made where there is none, made again where a bare one is asked for."""
        if bare and name in self._guests:
            self._guests.pop(name).remove()
        if name not in self._guests:
            guest = Guest(self._suite, name, self.folder)
            if bare and not guest.fresh:
                guest.remove()
                guest = Guest(self._suite, name, self.folder)
            self._guests[name] = guest
            if guest.fresh:
                furnish(guest)
            self.fact(**{f"boot_s_{name}": guest.boot()})
            if guest.fresh:
                self._before(name).write_text(self.listing(name))
        return self._guests[name]

    def _before(self, name: str) -> Path:
        return self.folder / f"{name}.before"

    def listing(self, name: str = "a") -> str:
        """Every file of a guest but the system's own and what is temporary."""
        return self._guests[name].ssh(LISTING, check=False).stdout

    def left(self, name: str = "a") -> list[str]:
        """What is there and was not in the bare guest."""
        return sorted(set(self.listing(name).splitlines()) - set(self._before(name).read_text().splitlines()))

    def close(self, remove: bool = False) -> None:
        for guest in self._guests.values():
            guest.remove() if remove else guest.close()
        self._guests.clear()


def furnish(guest: Guest) -> None:
    """Drop-ins for the emulator, which a deploy leaves alone."""
    for unit, watchdog in (("edgebot-motord", 20), ("edgebot", 60)):
        folder = guest.root / f"etc/systemd/system/{unit}.service.d"
        folder.mkdir(parents=True)
        (folder / "lab.conf").write_text(DROP_IN.format(watchdog=watchdog))
