"""Rows of the proof on a board with a kernel of its own: real lgpio on its lines, and its disk killed in a deploy."""

from __future__ import annotations

import json
import random
import shlex
import shutil
import time
from functools import partial
from pathlib import Path

from robot.motord.config import MotordConfig
from tests.lab import roots
from tests.lab.board_guest import Board, Lines, copied, disk_of
from tests.lab.deploy_cuts import never_there, told_after
from tests.lab.deploy_page import Found, Plan
from tests.lab.deploy_rig import ACCEPT, SLOW, USUAL, Robots
from tests.lab.deploy_target import EDGEBOT, doctor
from tests.lab.nspawn import Guest, Reached

CONFIG = MotordConfig(  # the chip has lines 0 to 7, and its third is the power button
    name="board", left_forward_pin=0, left_backward_pin=1, left_enable_pin=4, right_forward_pin=5,
    right_backward_pin=6, right_enable_pin=7, emergency_stop_pin=2, pwm_hz=20, stop="coast", hold_s=1.0,
)  # fmt: skip
MOTORS = sum(1 << pin for pin in CONFIG.motor_pins.values())
SETTINGS = "/etc/edgebot-lab.json"
PROGRAM = "/usr/local/lib/drive.py"
BIN = "/opt/edgebot/current/venv/bin"
LINES = f"""\
[Service]
ExecStart=
ExecStart={BIN}/edgebot-motord --config {SETTINGS} --pins chip:0
ExecStopPost=
ExecStopPost=-{BIN}/edgebot-motord --pins-low --config {SETTINGS} --pins chip:0
Environment="EDGEBOT_FIRMWARE_UNCHECKED=an emulated board has no firmware"
"""
# An emulated processor is slow to start and to answer; all else is as on a robot.
PATIENT = """\
[Service]
WatchdogSec={watchdog}
TimeoutStartSec=300
TimeoutStopSec=120
"""
DRIVE = """
import sys, time
from contextlib import suppress
from robot.errors import RobotError
from robot.motord.client import MotordPort
from robot.motord.config import load
from robot.motord.protocol import SOCKET
from robot.types import Wheels
left, right, seconds = map(float, sys.argv[2:])
config = load(sys.argv[1], 0)
port = MotordPort(SOCKET, config.digest)
until = time.monotonic() + seconds
while time.monotonic() < until:
    with suppress(RobotError):
        port.apply(Wheels(left, right), time.monotonic() + config.hold_s)
    time.sleep(0.02)
"""
CUT = "the disk killed with the guest"
SEED = 11


class Boards(Robots):
    """The board and its disks: `base` is as the first deploy left it."""

    def __init__(self, keep: Path, anew: bool = False) -> None:
        super().__init__(keep, anew)
        self._board: Board | None = None
        self.base, self.disk = self.folder / "base.img", self.folder / "disk.img"
        if anew:
            self.base.unlink(missing_ok=True)

    def guest(self, name: str = "a") -> Reached:
        """The board, which is switched on where it is off."""
        return self.board()

    def board(self, disk: Path | None = None, logged: bool = True) -> Board:
        """The board that is on; started, from this disk or from the first one, where none is."""
        if self._board is None:
            if disk is None:
                disk = self.disk
                copied(self.base, disk)
            self._board = Board(self.folder, disk, logged)
            self.fact(boot_s=self._board.boot())
        return self._board

    def off(self, in_order: bool = False) -> None:
        """Its power is cut; in order: the system is shut down before."""
        if self._board is not None:
            if in_order:
                self._board.shut_down()
            self._board.kill()
            self._board = None

    def close(self, remove: bool = False) -> None:
        """Switch all off."""
        self.off()
        if remove:
            for path in self.folder.glob("*.img"):
                path.unlink()


def first(rig: Boards) -> Found:
    """Onto a bare system, on the board; the disk is then kept, switched off in order, for the other rows."""
    rig.off()
    bare(rig.base, rig.folder)
    board = rig.board(rig.base, logged=False)
    done = rig.deploy("--policy", "light", *SLOW)
    good, found = rig.runs(rig.running())
    asked = f"{BIN}/python --version; cd /tmp; {BIN}/python -c 'import lgpio; print(lgpio.__file__)'"
    said = board.ssh(asked, check=False).stdout.split()
    rig.off(in_order=True)
    told = "" if done.code == 0 else f"; told: {done.words}"
    return done.code == 0 and good, f"{found}; {' '.join(said)}; {done.seconds:.0f} s{told}"


def bare(disk: Path, folder: Path) -> None:
    """A disk with what Raspberry Pi OS Lite has, and lgpio, as an image for its first start."""
    tree = Guest("trixie", "root", folder)
    shutil.copytree(roots.lgpio(), tree.root / "usr/lib/python3/dist-packages", dirs_exist_ok=True)
    for unit, watchdog in (("edgebot-motord", 20), ("edgebot", 60)):
        drop_in = tree.root / f"etc/systemd/system/{unit}.service.d"
        drop_in.mkdir(exist_ok=True)
        (drop_in / "lab.conf").write_text(PATIENT.format(watchdog=watchdog))
    # As Raspberry Pi OS's udev does.
    (tree.root / "etc/tmpfiles.d/lab.conf").write_text("z /dev/gpiochip0 0660 root gpio\n")
    disk_of(tree.root, disk)
    tree.remove()


def boots(rig: Boards) -> Found:
    """The release, after a start."""
    rig.off()
    guest = rig.board()
    good, found = rig.runs(rig.running())
    asked = (
        "uname -r; . /etc/os-release; echo $PRETTY_NAME; cat /proc/mounts | grep '^/dev/vda';"
        f"{BIN}/python -c 'import lgpio; print(lgpio.gpio_get_chip_info(lgpio.gpiochip_open(0)))'"
    )
    said = guest.ssh(f"cd /tmp; {asked}").stdout.splitlines()
    return good and "pl061" in said[-1], f"{found}; {rig.facts['boot_s']:.0f} s to ssh; {'; '.join(said)}"


def on_lines(rig: Boards) -> None:
    """motord's pins are the chip's lines, and no runtime drives them."""
    guest = rig.guest()
    if guest.ssh(f"cat {SETTINGS}", check=False).stdout == CONFIG.text():
        return
    folder = "/etc/systemd/system/edgebot-motord.service.d"
    for path, text in ((SETTINGS, CONFIG.text()), (f"{folder}/lines.conf", LINES), (PROGRAM, DRIVE)):
        guest.ssh(f"printf %s {shlex.quote(text)} > {path}")
    units = "systemctl stop edgebot; systemctl daemon-reload; systemctl restart edgebot-motord"
    guest.ssh(f"{units}; systemctl is-active edgebot-motord", limit_s=600.0)


def driving(left: float, right: float, seconds: float) -> str:
    """A runtime's driving, as its user, through the runtime's own client."""
    return f"cd /tmp; sudo -u edgebot {BIN}/python {PROGRAM} {SETTINGS} {left} {right} {seconds}"


def levels(lines: Lines) -> dict[str, float]:
    """The share of high of each motor line, in the middle of the time for which any of them was high."""
    high = [stamp for stamp, found in lines.changes if found & MOTORS]
    begin, end = high[0], high[-1]
    fourth = (end - begin) / 4
    return {
        name.removesuffix("_pin"): round(lines.share(pin, begin + fourth, end - fourth), 2)
        for name, pin in CONFIG.motor_pins.items()
    }


def drives(rig: Boards) -> Found:
    """Direction and duty of both wheels at the lines; nothing high before and after.

    Where the emulator stands still for long, motord stops the wheels in between: so a duty is the share of the time for
    which its wheel had a direction.
    """
    on_lines(rig)
    board, good, found = rig.board(), True, []
    for left, right in ((0.6, 0.6), (-0.4, 0.8)):
        with board.lines() as lines:
            time.sleep(1.0)
            board.ssh(driving(left, right, 10))
            time.sleep(2.0)
        seen = levels(lines)
        for side, duty in (("left", left), ("right", right)):
            ahead, back = seen[f"{side}_forward"], seen[f"{side}_backward"]
            on, off = (ahead, back) if duty > 0 else (back, ahead)
            good &= on > 0.5 and off == 0.0 and abs(seen[f"{side}_enable"] / max(on, 0.01) - abs(duty)) <= 0.15
        good &= not lines.changes[0][1] & MOTORS and not lines.changes[-1][1] & MOTORS
        found.append(f"commanded {left}, {right}: high for " + ", ".join(f"{name} {one}" for name, one in seen.items()))
    return good, "; ".join(found) + " (share of the time); all low before and after"


def killed(rig: Boards) -> Found:
    """SIGKILL of motord while wheels turn; its driver goes with it, so that nothing drives the new one."""
    on_lines(rig)
    board = rig.board()
    with board.lines() as lines:
        said = board.ssh(
            f"({driving(0.6, 0.6, 120)}) & p=$(systemctl show -p MainPID --value edgebot-motord); sleep 15; "
            "kill -9 $p; pkill -9 -u edgebot -f drive[.]py; for i in $(seq 240); do "
            "q=$(systemctl show -p MainPID --value edgebot-motord); "
            '[ "$q" != "$p" ] && [ "$q" != 0 ] && systemctl -q is-active edgebot-motord && break; sleep 1; done; '
            f"sleep 5; {EDGEBOT} motors status --json",
            limit_s=600.0,
        ).stdout  # fmt: skip
    report = json.loads(said.strip().splitlines()[-1])
    pairs = list(zip(lines.changes, lines.changes[1:], strict=False))
    high = [(after - before, before, after) for (before, found), (after, _) in pairs if found & MOTORS]
    if not high or lines.changes[-1][1] & MOTORS:
        return False, f"no line was high, or one stayed so: {[bin(found) for _, found in lines.changes[-4:]]}"
    kept, death, _ = max(high)  # the pulses of lgpio's thread end with its process
    low = high[-1][2]
    edges = sum((a ^ b) >> (CONFIG.left_enable_pin or 0) & 1 for (stamp, a), (_, b) in pairs if stamp < death)
    good = edges > 50 and kept > 10 / CONFIG.pwm_hz and report["applied"] == {"left": 0.0, "right": 0.0}
    return good, (
        f"{edges} edges of the left wheel's pulses, then none: this kernel lets a dead owner's lines keep their level; "
        f"all low {low - death:.1f} s after, by ExecStopPost; none high in the {lines.until - low:.0f} s since; "
        f"motord again at zero ({report['cause']}); longest time between two looks {1e3 * lines.gap_s:.0f} ms"
    )


def update(rig: Boards) -> Found:
    """A deploy to its end, which tells how long one takes."""
    rig.off()
    rig.board()
    before = rig.running()
    done = rig.deploy("--policy", "range", *SLOW)
    good, found = rig.runs(rig.running())
    rig.fact(update_s=done.seconds)
    return done.code == 0 and good and rig.running() != before, f"{found}; {done.seconds:.0f} s; {done.words}"


def cut(share: float, name: str, rig: Boards) -> Found:
    """A deploy, and `kill -9` of the emulator; both disks that can be left boot into a release that runs."""
    rig.board()
    before = rig.settled()["release"]
    deploying = rig.start(*USUAL, *ACCEPT, "--policy", "range", *never_there(name))
    ended = deploying.wait(share * rig.facts["update_s"])
    board, at, step = rig.board(), time.monotonic() - deploying.done.began, deploying.done.step
    rig.off()
    done = deploying.end(300.0)
    worst = rig.folder / "worst.img"
    board.worst(worst)
    good, found = True, ["after its end" if ended else f"at {at:.0f} s, while: {step}"]
    for disk, what in ((worst, "all lost that was not flushed"), (rig.disk, "the disk as it was")):
        rig.board(disk, logged=disk == rig.disk)
        runs, state = told_after(rig, before, done)
        good &= runs
        found.append(f"{what}: {state}")
        if disk == worst:
            rig.off()
    return good, "; ".join(found)


def rows(count: int) -> list[Plan]:
    """Every row; so many cuts."""
    draw = random.Random(SEED)
    cuts = []
    for number in range(count):
        share = (number + draw.random()) / count
        name = f"disk{number + 1}"
        what = f"{CUT} at {100 * share:.0f} % of an update"
        cuts.append(Plan(name, what, partial(cut, share, name), CUT))
    return [
        Plan("first", "first deploy to a bare system", first),
        Plan("boots", "the board boots what was deployed", boots),
        Plan("doctor", "edgebot doctor there", doctor),
        Plan("lines", "real lgpio drives the chip's lines from edgebot-motord, read in the emulator", drives),
        Plan("kill", "SIGKILL of motord while wheels turn", killed),
        Plan("update", "update", update),
        *cuts,
    ]
