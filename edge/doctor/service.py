"""What stands behind the runtime: motord, the units, the hardware watchdog, and the kernel's favours."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from edge.doctor.rows import Examined, Row, failure, note, ok, warning
from edge.units.render import UNITS, WATCHDOG, motord_json

SYSTEM = "/etc/systemd/system"


def motord(examined: Examined) -> Iterator[Row]:
    """Whether the motors' process answers, and what it says of the wheels."""
    from robot.errors import RobotError
    from robot.motor_report import SENTENCES, Flag
    from robot.motord.client import ask
    from robot.motord.protocol import PATH_VARIABLE, SOCKET

    path = Path(examined.machine.environment.get(PATH_VARIABLE) or SOCKET)
    if not path.exists():
        yield note("motord", f"not running (no {path}): the runtime starts one of its own")
        return
    try:
        report = ask(path)
    except RobotError as error:
        yield failure("motord", str(error), "sudo systemctl restart edgebot-motord")
        return
    flags = report.flags
    words = [SENTENCES[report.cause], "has a driver" if Flag.DRIVEN in flags else "no driver"]
    words.append("real-time priority" if Flag.REALTIME in flags else "ordinary priority")
    words.append("memory locked" if Flag.LOCKED in flags else "memory not locked")
    if report.stopped:
        yield failure("motord", f"the emergency stop holds ({words[0]})", "edgebot motors acknowledge")
    elif Flag.UNCHECKED in flags:
        yield warning("motord", "somebody waived its check of the firmware", "sudo systemctl restart edgebot-motord")
    else:
        yield ok("motord", ", ".join(words))


def units(examined: Examined) -> Iterator[Row]:
    """Units installed, in force, and written for this robot.toml."""
    machine = examined.machine
    write = (
        f"edgebot units --robot {examined.toml} -o units && sudo install -m 644 units/*.service {SYSTEM}/ "
        "&& sudo systemctl daemon-reload"
    )
    missing = [unit for unit in UNITS if not machine.exists(f"{SYSTEM}/{unit}")]
    if missing:
        yield warning("units", f"not installed: {', '.join(missing)}; nothing restarts or watches the processes", write)
        return
    held = machine.text("/etc/edgebot/motord.json")
    if held is None or held != motord_json(examined.config).strip():
        yield failure(
            "units", "motord's configuration is not that of robot.toml",
            f"edgebot motors config --robot {examined.toml} | sudo tee /etc/edgebot/motord.json"
            " && sudo systemctl restart edgebot-motord",
        )  # fmt: skip
        return
    states = {unit: machine.run("systemctl", "is-active", unit) or "unknown" for unit in UNITS}
    words = ", ".join(f"{unit.removesuffix('.service')} {state}" for unit, state in states.items())
    if "failed" in states.values():
        failed = next(unit for unit, state in states.items() if state == "failed")
        yield failure("units", words, f"sudo systemctl reset-failed {failed} && sudo systemctl restart {failed}")
    elif starting := next((unit for unit, state in states.items() if state == "activating"), None):
        what = f"{words}: it starts again and again, or is not ready yet"
        yield warning("units", what, f"journalctl -n 30 -u {starting}")
    elif machine.run("systemctl", "is-enabled", UNITS[0]) not in ("enabled", None):
        yield warning("units", f"{words}; not started at boot", f"sudo systemctl enable {' '.join(UNITS)}")
    else:
        yield ok("units", words)


def hardware_watchdog(examined: Examined) -> Iterator[Row]:
    """The Pi's own watchdog resets a frozen kernel, where systemd feeds it."""
    machine = examined.machine
    state = machine.text("/sys/class/watchdog/watchdog0/state")
    if state is None:
        yield warning("hardware watchdog", "there is none (/sys/class/watchdog)", "sudo modprobe bcm2835_wdt")
    elif state != "active":
        folder = "/etc/systemd/system.conf.d"
        yield warning(
            "hardware watchdog", "nobody feeds it: a frozen kernel stays frozen",
            f"sudo install -D -m 644 units/{WATCHDOG} {folder}/{WATCHDOG} && sudo systemctl daemon-reexec",
        )  # fmt: skip
    else:
        limit = machine.text("/sys/class/watchdog/watchdog0/timeout")
        yield ok("hardware watchdog", f"in force{f', {limit} s' if limit else ''}")


def realtime(examined: Examined) -> Iterator[Row]:
    """Priority, locked memory, processors that wake soon: reported, never required."""
    from robot.realtime import probe

    granted = probe()
    words = granted.sentence()
    hint = "" if granted.priority and granted.locked else "; the units ask for more than this shell has"
    yield ok("real time", words) if not hint else note("real time", words + hint)
