"""Away with it all: units, releases, user, groups, settings. Packages of the operating system stay, and are named."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import Any

from edge.deploy.pi import activate, programs
from edge.deploy.pi.place import OWN_UNITS, AgentError, Place, read_json, remove, write
from edge.deploy.pi.system import CONFIG, with_lines


def uninstall(place: Place, keep_recordings: bool, say: Callable[[str], None]) -> dict[str, Any]:
    """Undo what deploys did.

    Returns:
        packages: those that deploy installed and that stay; recordings: where they still are, or nothing; reboot:
        whether firmware lines went, which are in force until then.
    """
    made = read_json(place.setup)
    say("stopping: the wheels first")
    activate.withdraw(place)
    for unit in OWN_UNITS:
        remove(place.systemd / "multi-user.target.wants" / unit)
        remove(place.systemd / unit)
    for drop_ins in place.systemd.glob("edgebot*.service.d"):
        remove(drop_ins)
    reboot = False
    for name in CONFIG:
        path = place.root / name
        if path.is_file():
            old = path.read_text(encoding="utf-8", errors="surrogateescape")
            new = with_lines(old, [])
            if new != old:
                write(path, new.encode(errors="surrogateescape"))
                reboot = True
            remove(path.with_name("config.txt.before-edgebot"))
    say("removing releases, settings and the user")
    folders = [place.opt, place.etc, place.watchdog, place.agent.parent, place.run, place.motord_state]
    recordings = keep_recordings and place.state.is_dir() and any(place.state.rglob("*.mcap"))
    if not recordings:
        folders.append(place.state)
    for path in folders:
        remove(path)
    with suppress(OSError):  # others may have settings of their own there
        place.watchdog.parent.rmdir()
    if "user" in made:
        with suppress(AgentError):
            programs.run("userdel", made["user"])
        with suppress(AgentError):  # those who were put into it are in it no more
            programs.run("groupdel", made["user"], good=(0, 6))
    for group in made.get("groups", ()):
        with suppress(AgentError):
            programs.run("groupdel", group)
    programs.systemctl("daemon-reload")
    programs.systemctl("reset-failed", good=range(256))
    programs.systemctl("daemon-reexec")
    remove(place.lock)
    return {
        "packages": made.get("packages", []),
        "recordings": place.inside(place.state) if recordings else "",
        "reboot": reboot,
    }
