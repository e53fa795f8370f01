"""The switch: a release on trial, its health, and the way back, all of it on the robot and without the laptop.

`edgebot-activate.service` runs `activate`; whatever ends that process, its ExecStopPost runs `recover`, and so does
`edgebot-recover.service` at boot. `pending.json` is written before anything changes and removed only when the release
is healthy and the laptop has said so: whoever finds it reverts.
"""

from __future__ import annotations

import time
from contextlib import suppress
from typing import Any

from edge.deploy.pi import health, programs
from edge.deploy.pi.place import UNITS, AgentError, Place, link, read_json, remove, write_json

CONFIRM_S = 60.0  # after the health: how long the laptop may take to confirm
SILENT_S = 30.0  # a link that is silent for so long is lost


def activate(place: Place) -> int:
    """Carry out the order that lies there. Returns the exit code: 0 where its release runs now."""
    order = read_json(place.order)
    name = order["release"]
    previous = place.running()
    place.confirm.unlink(missing_ok=True)
    _tell(place, "switching")
    write_json(place.pending, {"release": name, "previous": previous, "since": time.time()})
    try:
        if order.get("hold", True):
            place.hold.parent.mkdir(parents=True, exist_ok=True)
            place.hold.touch()
        else:
            place.hold.unlink(missing_ok=True)
        switch(place, name)
        _tell(place, "starting")
        notes = health.healthy(place, order, lambda words: _tell(place, words))
        _tell(place, "healthy", notes=notes)
        _await_confirmation(place)
    except AgentError as error:
        place.note(name, failed=str(error))
        _tell(place, "reverting", why=str(error))
        recover(place)
        _tell(place, "reverted", why=str(error), running=place.running())
        return 1
    place.note(name, confirmed=time.time(), failed=None)
    place.pending.unlink()
    place.hold.unlink(missing_ok=True)
    _tell(place, "confirmed", running=name)
    return 0


def switch(place: Place, name: str, restart: bool = True) -> None:
    """Let `current` lead to a release, and start it: one rename changes code, models, description and units."""
    link(place.current, f"releases/{name}")
    for unit in UNITS:
        link(place.systemd / unit, place.inside(place.current / "units" / unit))
        link(place.systemd / "multi-user.target.wants" / unit, place.inside(place.systemd / unit))
    for file in ("robot.toml", "motord.json"):
        link(place.etc / file, place.inside(place.current / file))
    link(place.command, place.inside(place.current / "venv/bin/edgebot"))
    programs.systemctl("daemon-reload")
    programs.systemctl("reset-failed", *UNITS, good=range(256))
    if restart:
        # The runtime first: the wheels stop, its recording is closed. Neither start is waited for.
        programs.systemctl("stop", UNITS[1], good=range(256))
        programs.systemctl("restart", "--no-block", *UNITS)


def recover(place: Place, boot: bool = False) -> str:
    """Revert a release that was on trial when its activation ended. Returns a sentence; empty where there was none.

    Args:
        boot: the machine starts, and with it the units: they need no restart, and must not be waited for.
    """
    if not place.pending.exists():
        return ""
    pending = read_json(place.pending)
    previous, name = pending.get("previous"), pending.get("release", "")
    if place.release(name).is_dir() and name and not place.noted(name).get("failed"):
        why = "the robot went down" if boot else "its trial was cut off"
        place.note(name, failed=f"{why} before it was confirmed")
    if previous is not None and place.release(previous).is_dir():
        switch(place, previous, restart=not boot)
        said = f"{name} was on trial; {previous} runs again"
    else:
        withdraw(place, wait=not boot)
        said = f"{name} was on trial, and there was none before it: nothing runs"
    place.pending.unlink()
    place.hold.unlink(missing_ok=True)
    return said


def withdraw(place: Place, wait: bool = True) -> None:
    """Let nothing run: the wheels stop, the units and the links go; the releases stay."""
    block = () if wait else ("--no-block",)
    for unit in reversed(UNITS):  # the runtime, then motord, which leaves its pins low
        with suppress(AgentError):
            programs.systemctl("stop", *block, unit, good=range(256))
    for path in (place.current, place.command, place.etc / "robot.toml", place.etc / "motord.json"):
        remove(path)
    for unit in UNITS:
        remove(place.systemd / "multi-user.target.wants" / unit)
        remove(place.systemd / unit)
    programs.systemctl("daemon-reload")


def _await_confirmation(place: Place) -> None:
    until = time.monotonic() + CONFIRM_S
    while not place.confirm.exists():
        if time.monotonic() > until or _silent(place):
            raise AgentError("the laptop did not confirm: the link was lost")
        time.sleep(0.2)


def _silent(place: Place) -> bool:
    try:
        return time.time() - place.heartbeat.stat().st_mtime > SILENT_S
    except FileNotFoundError:
        return True


def _tell(place: Place, state: str, **words: Any) -> None:
    write_json(place.progress, {"state": state, "release": read_json(place.order).get("release"), **words})
