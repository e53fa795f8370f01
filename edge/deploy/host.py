"""One robot, from the first look to a release that is confirmed; each step told as it begins."""

from __future__ import annotations

import getpass
import hashlib
import shlex
import socket
import tempfile
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from edge.deploy import release as releases
from edge.deploy.link import HostError, Link, LockedError, LostError, Session
from edge.deploy.release import Release, Wanted
from edge.deploy.targets import Target
from edge.deploy.wheels import SYSTEMS, System

SKEW_S = 300.0
REBOOT_S = 300.0
Tell = Callable[[str], None]


@dataclass(frozen=True)
class Options:
    """How, for all robots of one call."""

    do: str = "deploy"  # or rollback, status, uninstall, prune
    parts: tuple[str, ...] = ()  # path beginnings: only these change; none: everything
    drive: bool = False
    dry: bool = False
    keep: int = 3
    accept: tuple[str, ...] = ()
    wait_s: float = 60.0
    keep_recordings: bool = False
    set_clock: bool = False
    password: str = ""
    ask: Callable[[str], bool] = field(default=lambda question: False)  # a question to whoever sits there


@dataclass
class Outcome:
    """What the table says of one robot."""

    ok: bool
    words: str
    detail: dict[str, Any] = field(default_factory=dict)


def deploy(target: Target, link: Link, wanted: Wanted | None, options: Options, tell: Tell) -> Outcome:
    """Everything for one robot.

    Raises:
        HostError, EdgeError: one sentence; what ran there before runs on.
    """
    facts = link.probe()
    system = suited(facts)
    if abs(skew := float(facts["now"]) - time.time()) > SKEW_S and not options.set_clock:
        raise HostError(
            f"its clock is {'ahead' if skew > 0 else 'behind'} by {_long(abs(skew))}; "
            "`--set-clock` sets it as this machine's"
        )
    if facts.get("sudo") == "no" and not options.password:
        raise HostError(f"{facts['user']} may not use sudo there without a password; `--ask-sudo` asks you for it once")
    agent = _agent(link, facts["home"])
    with _locked(link, agent, facts, options, tell) as session:
        if options.set_clock and abs(skew) > 2:
            if options.dry:
                tell(f"would set its clock, which is {'ahead' if skew > 0 else 'behind'} by {_long(abs(skew))}")
            else:
                session.ask("clock", now=time.time())
        if options.do == "status":
            return _status(session.ask("status"))
        if options.do == "uninstall":
            outcome = _uninstall(session, target, options, tell)
            if not options.dry:
                session.close()
                link.run(f"rm -rf {shlex.quote(facts['home'])}/.cache/edgebot")
            return outcome
        if options.do == "prune":
            gone = session.ask("keep", count=options.keep, dry=options.dry)["removed"]
            if options.dry:
                return Outcome(True, f"would remove {', '.join(gone) if gone else 'nothing'}")
            return Outcome(True, f"{len(gone)} releases removed" if gone else "nothing to remove")
        if options.do == "rollback":
            back = session.ask("rollback")
            if options.dry:
                return Outcome(True, f"would go back to {back['release']}")
            return _try(session, back["release"], back["index"], options, tell, "rolled back to")
        assert wanted is not None
        return _release(link, session, agent, facts, system, wanted, options, tell)


def suited(facts: dict[str, str]) -> System:
    """The system that this machine has, where it can be a robot. Raises `HostError`: why it cannot."""
    words = facts.get("words", "an unknown system")
    image = "write the 64-bit image of Raspberry Pi OS with Raspberry Pi Imager"
    kernel, userland = facts.get("kernel", ""), facts.get("userland", "")
    if kernel != "aarch64" or userland != "arm64":
        what = f"{kernel or 'an unknown processor'}{f' with {userland} programs' if userland else ''}"
        raise HostError(f"it is {what} ({words}), and edgebot needs 64-bit ARM; {image}")
    system = SYSTEMS.get(facts.get("version", ""))
    if system is None or facts.get("os") not in ("debian", "raspbian"):
        raise HostError(f"it runs {words}; edgebot needs Raspberry Pi OS Bookworm (12) or Trixie (13): {image}")
    if facts.get("systemd") != "yes":
        raise HostError("it was not started by systemd, and nothing would start or watch the robot's processes")
    if facts.get("python") != system.python:
        raise HostError(
            f"its python3 is {facts.get('python') or 'missing'}, not {system.name}'s {system.python}; "
            "`sudo apt install --reinstall python3` there"
        )
    return system


def _release(
    link: Link, session: Session, agent: str, facts: dict[str, str], system: System, wanted: Wanted, options: Options,
    tell: Tell,
) -> Outcome:  # fmt: skip
    tell("building the release")
    new = releases.build(wanted, system)
    firmware = [] if wanted.sim else _lines(new.sources["units/config.txt"])
    watchdog = new.sources["units/edgebot-watchdog.conf"]
    assert isinstance(watchdog, bytes)
    asked = {"user": facts["user"], "watchdog": watchdog.decode(), "firmware": firmware, "agent": agent}
    found = session.ask("look", **asked)
    if options.parts:
        if not found["index"]:
            raise HostError("there is no release there yet of which a part could change; deploy without that option")
        new = releases.partly(new, found["index"], options.parts)
    same = found["index"].get("identity") == new.index["identity"] and found["confirmed"]
    for words in found["plan"]:
        tell(f"{'would' if options.dry else 'will'}: {words}")
    if options.dry:
        changed = [] if same else _changed(new, found["index"])
        tell("\n".join(f"would change {name}" for name in changed[:40]))
        nothing = same and not found["plan"]
        return Outcome(True, "nothing would change" if nothing else f"{len(changed)} files would change")
    if found["plan"]:
        first = not found["running"]
        if first and not options.ask(f"{link.target.text}: do this on {facts.get('model') or facts['words']}?"):
            raise HostError("not agreed to; nothing was changed (`--yes` agrees beforehand)")
        said = session.ask("setup", **asked)
        for package in said["unavailable"]:
            tell(f"note: this system's package sources have no {package}")
    if same:
        return _same(session, new)
    _transfer(link, session, new, facts, tell)
    if not wanted.sim and session.ask("look", **asked)["reboot"]:
        if not options.ask(f"{link.target.text}: the firmware's lines need a reboot; reboot it now?"):
            return Outcome(False, "prepared; reboot it (`sudo reboot`), then deploy again")
        tell("rebooting")
        session.ask("reboot")
        session.close()
        _await_boot(link, facts.get("boot", ""))
        with _locked(link, agent, facts, options, tell) as again:
            return _finish(again, new, options, tell)
    return _finish(session, new, options, tell)


def _finish(session: Session, new: Release, options: Options, tell: Tell) -> Outcome:
    outcome = _try(session, new.name, new.index, options, tell, "runs")
    session.ask("keep", count=options.keep)
    return outcome


def _transfer(link: Link, session: Session, new: Release, facts: dict[str, str], tell: Tell) -> None:
    needed = session.ask("missing", index=new.index)["missing"]
    lost = [name for name in needed if name not in new.sources]
    if lost:
        raise HostError(f"{lost[0]} of the running release is damaged there; deploy everything anew")
    size = sum(new.index["files"][name]["bytes"] for name in needed)
    tell(f"copying {len(needed)} files, {size / 1e6:.1f} MB")
    incoming = f"{facts['home']}/.cache/edgebot/incoming"
    with tempfile.TemporaryDirectory(prefix="edgebot-deploy-") as name:
        stage = Path(name)
        for path in needed:
            source, file = new.sources[path], stage / path
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(source) if isinstance(source, bytes) else file.symlink_to(source.resolve())
        if needed:
            link.send(stage, needed, incoming)
    tell("preparing the release beside the running one")
    session.ask("adopt", release=new.name, index=new.index, incoming=incoming, user=facts["user"])


def _try(session: Session, name: str, index: dict[str, Any], options: Options, tell: Tell, words: str) -> Outcome:
    sim = bool(index.get("sim"))
    doctor = ["--sim"] if sim else ["--robot", f"{releases.CURRENT}/robot.toml", "--policy", str(index.get("policy"))]
    order = {"release": name, "hold": not options.drive, "doctor": doctor, "accept": list(options.accept)}
    found = session.ask("activate", **order)
    if found["state"] == "healthy":
        notes = found.get("notes", [])
        found = session.ask("confirm")
        if found["state"] == "confirmed":
            for note in notes:
                tell(f"accepted: {note}")
            return Outcome(True, f"{words} {name}", {"release": name})
    running = found.get("running")
    raise HostError(f"{found.get('why', 'the trial failed')}; {f'{running} runs again' if running else 'nothing runs'}")


def _same(session: Session, new: Release) -> Outcome:
    """Nothing to change; whether it really runs."""
    found = session.ask("status")
    states = {unit: state.get("ActiveState") for unit, state in found["units"].items()}
    down = [unit for unit, state in states.items() if state not in ("active", "activating")]
    if down or found["wrong"]:
        what = f"{down[0]} is {states[down[0]]}" if down else f"{found['wrong'][0]} was altered"
        raise HostError(f"it has this release, but {what}; `./deploy.sh HOST --status` tells more")
    return Outcome(True, f"nothing to change: {found['running']} runs", {"release": found["running"]})


def _status(found: dict[str, Any]) -> Outcome:
    if not found["running"]:
        return Outcome(True, "no release", found)
    states = {name.removesuffix(".service"): state.get("ActiveState") for name, state in found["units"].items()}
    words = f"{found['running']}: " + ", ".join(f"{name} {state}" for name, state in states.items())
    status = found["units"].get("edgebot.service", {}).get("StatusText")
    words += f" ({status})" if status else ""
    words += ", on trial" if found["pending"] else ""
    words += f"; altered: {found['wrong'][0]}" if found["wrong"] else ""
    words += f"; {len(found['releases'])} releases" + (f", back is {found['back']}" if found["back"] else "")
    return Outcome(not found["wrong"], words, found)


def _uninstall(session: Session, target: Target, options: Options, tell: Tell) -> Outcome:
    what = "its settings and releases" if options.keep_recordings else "its settings, releases and recordings"
    if options.dry:
        return Outcome(True, f"would remove edgebot, {what}")
    if not options.ask(f"{target.text}: remove edgebot, {what}?"):
        raise HostError("not agreed to; nothing was removed (`--yes` agrees beforehand)")
    found = session.ask("uninstall", keep_recordings=options.keep_recordings)
    words = "edgebot is removed"
    words += f"; recordings are in {found['recordings']}" if found["recordings"] else ""
    words += f"; packages that stay: {' '.join(found['packages'])}" if found["packages"] else ""
    words += "; the firmware's lines go at the next reboot" if found["reboot"] else ""
    return Outcome(True, words, found)


def _agent(link: Link, home: str) -> str:
    """Put deploy's program there, where it is not already; its path."""
    with tempfile.TemporaryDirectory() as name:
        data = releases.agent(Path(name)).read_bytes()
    folder = f"{home}/.cache/edgebot"
    path = f"{folder}/agent-{hashlib.sha256(data).hexdigest()[:16]}.pyz"
    if link.run(f"cat {shlex.quote(path)} 2>/dev/null | sha256sum").split()[0] != hashlib.sha256(data).hexdigest():
        where = f"{path}.{time.time_ns()}"
        words = [shlex.quote(text) for text in (folder, where, path)]
        link.run(
            f"mkdir -p {words[0]} && rm -f {words[0]}/agent-*.pyz && cat > {words[1]} && mv {words[1]} {words[2]}", data
        )
    return path


def _locked(link: Link, agent: str, facts: dict[str, str], options: Options, tell: Tell) -> Session:
    """A session, which holds the robot's lock; waits for who has it."""
    who, root = f"{getpass.getuser()}@{socket.gethostname()}", facts.get("sudo") == "root"
    password = options.password if facts.get("sudo") == "no" else ""
    until, told = time.monotonic() + options.wait_s, False
    while True:
        try:
            return link.session(agent, who, root, password, tell)
        except LockedError as error:
            if time.monotonic() > until:
                raise
            if not told:
                tell(f"waiting: {error}")
                told = True
            threading.Event().wait(2.0)


def _await_boot(link: Link, before: str) -> None:
    """Wait until it has started anew: a slow one still answers as the boot `before`."""
    until = time.monotonic() + REBOOT_S
    threading.Event().wait(10.0)
    link.close()  # its shared connection died with the robot
    while True:
        with suppress(LostError):
            boot = link.probe().get("boot", "")
            if not boot or boot != before:
                return
            link.close()
        if time.monotonic() > until:
            raise HostError(f"it did not come back within {REBOOT_S:g} s after the reboot")
        threading.Event().wait(3.0)


def _changed(new: Release, running: dict[str, Any]) -> list[str]:
    old = running.get("files", {})
    return [name for name, entry in new.index["files"].items() if old.get(name) != entry] + sorted(
        set(old) - set(new.index["files"])
    )


def _lines(text: bytes | Path) -> list[str]:
    assert isinstance(text, bytes)
    return [line for line in text.decode().splitlines() if line and not line.startswith("#")]


def _long(seconds: float) -> str:
    for unit, size in (("days", 86400.0), ("hours", 3600.0), ("minutes", 60.0)):
        if seconds >= 2 * size:
            return f"{seconds / size:.0f} {unit}"
    return f"{seconds:.0f} seconds"
