"""The guest's side of `motord.py`: does things to edgebot-motord, its driver and its switch, and reads the lines.

Runs as root in the guest, as one of systemd's services. Levels come from `lines.c`, which reads them outside of
every process that is killed here; each row goes to the second serial line as JSON.
"""

from __future__ import annotations

import json
import os
import resource
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from robot.errors import RobotError
from robot.motor_report import Flag, Report
from robot.motord.client import MotordPort, ask
from robot.motord.protocol import SOCKET, Kind
from robot.types import Wheels
from tests.lab.gpio_lines import CONFIG, MOTORS, SWITCH, Lines, in_pulse, levels, line, pull, start_reading

UNIT = "edgebot-motord"
DROP_IN = Path(f"/run/systemd/system/{UNIT}.service.d/taken-away.conf")
USER = 1000
LATCH = Path("/var/lib/edgebot-motord/emergency-stop")
CHILDREN: list[int] = []


def tell(**row: Any) -> None:
    print(json.dumps(row), flush=True)
    with open("/dev/ttyS1", "w") as serial:
        serial.write(json.dumps(row) + "\n")


def systemctl(*words: str) -> str:
    return subprocess.run(["systemctl", *words], capture_output=True, text=True, timeout=300).stdout.strip()


def report(not_pid: int = 0, patience_s: float = 180.0) -> Report:
    """What motord says, once there is one (of another process than `not_pid`)."""
    until = time.monotonic() + patience_s
    while True:
        with suppress(RobotError):
            found = ask(SOCKET)
            if found.pid != not_pid:
                return found
        if time.monotonic() > until:
            raise RuntimeError(f"no motord: {systemctl('status', UNIT)}")
        time.sleep(0.05)


def drive() -> int:
    """A runtime's driving in a process of its own, at 50 Hz through its own client; returns when the wheels turn."""
    unlatched(report())
    child = commanding()
    until = time.monotonic() + 30
    while not in_pulse(0.2):
        if time.monotonic() > until or os.waitpid(child, os.WNOHANG)[0]:
            raise RuntimeError(f"the wheels do not turn: {report()}")
    time.sleep(0.5)
    return child


def commanding() -> int:
    """The same process, whether or not the wheels obey it."""
    child = os.fork()
    if child == 0:
        os.setgid(USER)
        os.setuid(USER)
        port = MotordPort(SOCKET, CONFIG.digest)
        while True:
            began = time.monotonic()
            with suppress(RobotError):
                port.apply(Wheels(0.6, 0.6), began + CONFIG.hold_s)
            time.sleep(max(0.0, began + 0.02 - time.monotonic()))
    CHILDREN.append(child)
    return child


def end(child: int) -> None:
    with suppress(ProcessLookupError, ChildProcessError):
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)


def watch(name: str, act: Callable[[], None], seconds: float, **more: Callable[[], Any]) -> float:
    """Do something, look for so long, tell the row (`more` is asked then); returns when it was done.

    More than five seconds are a limit: it ends when the lines are low.
    """
    stamp = time.monotonic()
    act()
    time.sleep(min(seconds, 2.0))
    while time.monotonic() < stamp + seconds and (seconds <= 5 or any(levels())):
        time.sleep(0.2)
    time.sleep(0.5)
    now = time.monotonic()
    told = {key: value() for key, value in more.items()}
    tell(row=name, watched_s=now - stamp, **Lines().since(stamp, now), **told)
    return stamp


def signalled(pid: int, number: int, driver: int = 0) -> Callable[[], None]:
    """Send it; and end this driver then, which would find the restarted motord and drive on."""

    def act() -> None:
        os.kill(pid, number)
        if driver:
            end(driver)

    return act


def take_away(text: str) -> None:
    """A protection is taken out of the unit, by a drop-in; an empty one restores it."""
    DROP_IN.parent.mkdir(parents=True, exist_ok=True)
    DROP_IN.write_text(text)
    if not text:
        DROP_IN.unlink()
    systemctl("daemon-reload")


def afresh(how: str) -> Report:
    """A new motord at work, and the lines' pulls set."""
    systemctl("reset-failed", UNIT)
    systemctl("restart", UNIT)
    pull(how)
    return unlatched(report())


def unlatched(found: Report) -> Report:
    """Where a start has latched by itself: noted, and acknowledged."""
    if Flag.LATCHED in found.flags:
        tell(note="a start saw its own pull-up before the closed switch was put back, and latched; acknowledged")
        return acknowledged()
    return found


def acknowledged() -> Report:
    """The latch released; the emulation may still be about to put back the switch."""
    until = time.monotonic() + 10
    while True:
        try:
            return ask(SOCKET, Kind.ACKNOWLEDGE)
        except RobotError:
            if time.monotonic() > until:
                raise
            time.sleep(0.1)


def stored() -> bool:
    """What the latch's file says: with it no start that latches by itself is taken for one that remembers."""
    return LATCH.read_text().strip() == "latched"


def runtime_rows() -> None:
    """The runtime dies or hangs; motord lives."""
    for name, number in (("runtime SIGKILL", signal.SIGKILL), ("runtime SIGSTOP", signal.SIGSTOP)):
        for _ in range(3):
            child = drive()
            watch(name, signalled(child, number), 1.0, cause=lambda: report().cause.name)
            end(child)
            time.sleep(0.1)


def motord_killed(times: int = 2) -> None:
    """SIGKILL in the middle of a pulse, lines pulled down: and each restart begins at zero."""
    for _ in range(times):
        pull("down")
        child, old = drive(), report()
        in_pulse()
        began = time.monotonic()
        os.kill(old.pid, signal.SIGKILL)
        end(child)
        new = report(old.pid)
        time.sleep(1.0)
        lines, now = Lines(), time.monotonic()
        tell(row="motord SIGKILL in a pulse", watched_s=now - began, back_ms=(new.started - began) * 1e3,
             cause=report().cause.name, **lines.since(began, now))  # fmt: skip


def resumed() -> None:
    """A runtime that stays drives on by itself."""
    pull("down")
    child, old = drive(), report()
    in_pulse()
    began = time.monotonic()
    os.kill(old.pid, signal.SIGKILL)
    unlatched(report(old.pid))
    turning = in_pulse(10)
    tell(row="motord SIGKILL, the runtime stays", resumed=turning, resumed_ms=(time.monotonic() - began) * 1e3)
    end(child)
    time.sleep(0.5)


def motord_hung() -> None:
    """SIGSTOP in the middle of a pulse: systemd's watchdog; then the same without it."""
    for name, text, how in (
        ("motord SIGSTOP in a pulse", "", "down"),
        ("motord SIGSTOP in a pulse", "", "down"),
        ("motord SIGSTOP, no pull-downs", "", "up"),
        ("motord SIGSTOP, without WatchdogSec", "[Service]\nWatchdogSec=0\n", "down"),
    ):
        if text:
            take_away(text)
        afresh(how)
        child, old = drive(), report()
        in_pulse()
        watch(name, signalled(old.pid, signal.SIGSTOP, child), 60.0 if how == "up" else 4.0)
        end(child)
        with suppress(ProcessLookupError):
            if text:
                os.kill(old.pid, signal.SIGKILL)
        if text:
            take_away("")
        report(old.pid)


def motord_ended() -> None:
    """It ends by itself, on lines that nothing else pulls down: low, pull-downs, no `close()`."""
    for name in ("motord SIGTERM", "motord SIGINT", "motord exception"):
        found = afresh("up")
        child = drive()
        in_pulse()
        began = time.monotonic()
        clients: list[socket.socket] = []
        if name == "motord exception":
            most = max(int(entry.name) for entry in Path(f"/proc/{found.pid}/fd").iterdir()) + 1
            resource.prlimit(found.pid, resource.RLIMIT_NOFILE, (most, most))
            while alive(found.pid) and len(clients) < 12:  # no file is left for one: accept() fails, and it starts anew
                clients.append(socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET))
                clients[-1].settimeout(0.2)
                began = time.monotonic()
                with suppress(OSError):
                    clients[-1].connect(str(SOCKET))
                time.sleep(0.5)
        else:
            os.kill(found.pid, getattr(signal, name.split()[1]))
        while alive(found.pid) and time.monotonic() < began + 10:
            time.sleep(0.002)
        ended = time.monotonic()
        pulls = sorted({line(pin, "pull").read_text().strip() for pin in MOTORS})
        end(child)
        report(found.pid)
        time.sleep(0.5)
        now = time.monotonic()
        lines = Lines()
        tell(row=name, ended_ms=(ended - began) * 1e3, pulls=pulls, watched_s=now - began, **lines.since(began, now))
        for client in clients:
            client.close()


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False


def no_pull_downs() -> None:
    """SIGKILL where a released line reads high: ExecStopPost is what is left; then without it."""
    for name, text, seconds in (
        ("motord SIGKILL, no pull-downs", "", 60.0),
        ("motord SIGKILL, no pull-downs, without ExecStopPost", "[Service]\nExecStopPost=\nRestart=no\n", 5.0),
    ):
        if text:
            take_away(text)
        afresh("up")
        child, old = drive(), report()
        in_pulse()
        watch(name, signalled(old.pid, signal.SIGKILL, child), seconds)
        if text:
            take_away("")
            afresh("down")
    began = time.monotonic()
    subprocess.run([f"{Path(sys.executable).parent}/edgebot-motord", "--help"], capture_output=True)
    tell(note="start", help_ms=(time.monotonic() - began) * 1e3)


def latched() -> None:
    """The emergency stop while driving, its release without acknowledgement, and a motord killed then."""
    afresh("down")
    child, old = drive(), report()
    watch("emergency stop pressed", lambda: void(SWITCH.write_text("o")), 1.0)
    SWITCH.write_text("c")
    time.sleep(1.0)
    watch("released, not acknowledged", lambda: None, 1.0, cause=lambda: report().cause.name)
    os.kill(old.pid, signal.SIGKILL)
    remembered = stored()
    report(old.pid)
    time.sleep(0.5)
    name = "latched, motord SIGKILL and restarted"
    watch(name, lambda: None, 2.0, latched=lambda: remembered, cause=lambda: report().cause.name)
    end(child)


def after(name: str, seconds: float = 2.0) -> None:
    """A new boot: latched still, whatever is commanded; then acknowledged."""
    remembered = LATCH.exists() and stored()
    systemctl("start", UNIT)
    found = report()
    tell(row=name, latched=remembered and Flag.LATCHED in found.flags, cause=found.cause.name, switch=found.switch.name)
    if Flag.LATCHED not in found.flags:
        return
    child = commanding()
    watch(f"{name}: commanded", lambda: None, seconds, cause=lambda: report().cause.name)
    acknowledged()
    tell(row=f"{name}: acknowledged", turns=in_pulse(10))
    end(child)
    time.sleep(0.5)


def void(_: object) -> None:
    return


def words() -> dict[str, str]:
    """What the host said on the kernel's command line."""
    return dict(word.split("=", 1) for word in Path("/proc/cmdline").read_text().split() if "=" in word)


def main() -> None:
    start_reading()
    said = words()
    number = int(said["lab.phase"])
    if number == 1:
        systemctl("start", UNIT)
        found = report()
        now = time.monotonic()
        tell(row="start", low_ms=Lines().low_after_ms(0, now), cause=found.cause.name, kernel=os.uname().release,
             systemd=systemctl("--version").splitlines()[0], python=sys.version.split()[0])  # fmt: skip
        for name in said["lab.parts"].split(","):
            part = globals()[name]
            try:
                part()
            except Exception as error:  # the other parts are worth having
                tell(failed=name, why=f"{type(error).__name__}: {error}")
                for child in CHILDREN:
                    end(child)
                if DROP_IN.exists():
                    take_away("")
        tell(restarts=systemctl("show", UNIT, "-p", "NRestarts", "--value"))
        again = "latched" in said["lab.parts"].split(",")  # what that part pressed is looked at after the next boots
        tell(end="reboot" if again else "off")
        subprocess.run(["systemctl", "reboot" if again else "poweroff"])
    elif number == 2:
        after("guest rebooted")
        SWITCH.write_text("o")
        time.sleep(0.5)
        tell(row="pressed again", cause=report().cause.name)
        SWITCH.write_text("c")
        time.sleep(1.0)
        tell(end="cut")  # the host takes the power away
        time.sleep(600)
    else:
        after("guest's power cut")
        tell(end="off")
        subprocess.run(["systemctl", "poweroff"])


if __name__ == "__main__":
    try:
        main()
    except BaseException as error:
        tell(end="failed", why=f"{type(error).__name__}: {error}")
        subprocess.run(["journalctl", "-b", "--no-pager", "-n", "60"])
        subprocess.run(["systemctl", "poweroff", "-f"])
        raise
