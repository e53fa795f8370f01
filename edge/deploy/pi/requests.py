"""What a laptop may ask a robot for, one function each; answers are plain data."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from edge.deploy.pi import programs, releases, system, uninstall
from edge.deploy.pi.place import UNITS, AgentError, Place, read_json, remove, write_json

Say = Callable[[str], None]
Answer = dict[str, Any]
ENDED = ("confirmed", "reverted")


def look(place: Place, request: Answer, say: Say) -> Answer:
    """What the system lacks, and what the running release is."""
    running = place.running()
    return {
        "plan": [step.words for step in system.plan(place, request)],
        "reboot": system.reboot_needed(place),
        "running": running,
        "index": place.index(running) if running else {},
        "confirmed": bool(running and "confirmed" in place.noted(running)),
    }


def setup(place: Place, request: Answer, say: Say) -> Answer:
    """Bring the system to what a robot needs."""
    system.setup(place, system.plan(place, request), say)
    return {"reboot": system.reboot_needed(place), "unavailable": read_json(place.setup).get("unavailable", [])}


def missing(place: Place, request: Answer, say: Say) -> Answer:
    """Which files of an index have to be sent; refuses where the disk has no room for them."""
    needed = releases.missing(place, request["index"])
    releases.refuse_full(place, request["index"], needed)
    return {"missing": needed}


def adopt(place: Place, request: Answer, say: Say) -> Answer:
    """Put the release together."""
    incoming = Path(request["incoming"])
    releases.adopt(place, request["release"], request["index"], incoming, request["user"], say)
    return {}


def activate(place: Place, request: Answer, say: Say) -> Answer:
    """Switch to a release and try it; ends healthy and unconfirmed, or reverted."""
    name = request["release"]
    if name not in place.all_releases():
        raise AgentError(f"there is no release {name!r} on the robot")
    for wrong in releases.wrong(place, name):
        raise AgentError(f"{wrong} of release {name} is damaged on the robot; deploy it again")
    write_json(place.order, {key: value for key, value in request.items() if key != "do"})
    remove(place.progress)
    programs.systemctl("start", "edgebot-activate.service")
    return _follow(place, say, ("healthy", *ENDED))


def confirm(place: Place, request: Answer, say: Say) -> Answer:
    """The laptop has seen that it is healthy: the release stays."""
    place.confirm.touch()
    return _follow(place, say, ENDED)


def _follow(place: Place, say: Say, until: tuple[str, ...]) -> Answer:
    said = ""
    while True:
        found = read_json(place.progress)
        state = found.get("state", "")
        if state and state != said:
            said = state
            say(state)
        if state in until:
            return found
        unit = programs.properties("edgebot-activate.service", "ActiveState")["ActiveState"]
        if unit in ("inactive", "failed"):
            found = read_json(place.progress)
            if found.get("state") not in until:
                raise AgentError(f"the trial was cut off on the robot while {state or 'starting'}; it was reverted")
            continue
        time.sleep(0.2)


def rollback(place: Place, request: Answer, say: Say) -> Answer:
    """Which release to go back to, and how it is to be tried."""
    name = releases.back(place)
    if name is None:
        raise AgentError("there is no earlier release that was healthy to go back to")
    return {"release": name, "index": place.index(name)}


def keep(place: Place, request: Answer, say: Say) -> Answer:
    """Remove all releases but the newest few; dry: only tell which."""
    return {"removed": releases.keep(place, int(request["count"]), dry=bool(request.get("dry")))}


def status(place: Place, request: Answer, say: Say) -> Answer:
    """What runs, and what could."""
    running = place.running()
    names = ("ActiveState", "StatusText", "NRestarts", "ActiveEnterTimestamp", "MemoryCurrent")
    return {
        "running": running,
        "pending": place.pending.exists(),
        "held": place.hold.exists(),
        "units": {unit: programs.properties(unit, *names) for unit in UNITS},
        "releases": [{"name": name, **place.noted(name), **_brief(place.index(name))} for name in place.all_releases()],
        "back": releases.back(place),
        "wrong": list(releases.wrong(place, running)) if running else [],
        "reboot": system.reboot_needed(place),
    }


def _brief(index: Answer) -> Answer:
    return {key: index.get(key) for key in ("edgebot", "commit", "policy", "sim")}


def away(place: Place, request: Answer, say: Say) -> Answer:
    """Uninstall."""
    return uninstall.uninstall(place, request["keep_recordings"], say)


def reboot(place: Place, request: Answer, say: Say) -> Answer:
    """Once the answer is on its way."""
    programs.run("systemd-run", "--quiet", "--on-active=1s", "systemctl", "reboot")
    return {}


def clock(place: Place, request: Answer, say: Say) -> Answer:
    """Set the clock as the laptop's."""
    programs.run("date", "-u", "-s", f"@{int(request['now'])}")
    return {}


REQUESTS: dict[str, Callable[[Place, Answer, Say], Answer]] = {
    "look": look, "setup": setup, "missing": missing, "adopt": adopt, "activate": activate, "confirm": confirm,
    "rollback": rollback, "keep": keep, "status": status, "uninstall": away, "reboot": reboot, "clock": clock,
}  # fmt: skip
