"""One robot over ssh: a shared connection, files, and the session with the agent.

Host keys are ssh's own business: nothing here loosens its checks. Where nobody sits at a terminal ssh does not ask.
"""

from __future__ import annotations

import json
import os
import queue
import shlex
import subprocess
import sys
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from edge.deploy.targets import Target
from edge.errors import EdgeError, UsageError

PULSE_S = 3.0


class HostError(EdgeError):
    """This robot cannot be deployed to; the others can. One sentence."""


class LockedError(HostError):
    """Somebody else is deploying to it."""


class LostError(HostError):
    """The link was lost."""


PROBE = """
. /etc/os-release
say() { printf '%s=%s\\n' "$1" "$2"; }
say os "$ID"; say version "$VERSION_ID"; say words "$PRETTY_NAME"; say kernel "$(uname -m)"
say userland "$(dpkg --print-architecture 2>/dev/null)"; say now "$(date +%s)"; say home "$HOME"; say user "$(id -un)"
say python "$(python3 -c 'import sys; print("%d.%d" % sys.version_info[:2])' 2>/dev/null)"
say model "$(tr -d '\\000' < /proc/device-tree/model 2>/dev/null)"
say systemd "$([ -d /run/systemd/system ] && echo yes)"; say boot "$(cat /proc/sys/kernel/random/boot_id)"
if [ "$(id -u)" = 0 ]; then say sudo root; elif sudo -n true 2>/dev/null; then say sudo yes; else say sudo no; fi
"""


class Link:
    """ssh to one robot; a context manager."""

    def __init__(self, target: Target, folder: Path, ask: bool) -> None:
        self.target, self._folder = target, folder
        options = [
            "ConnectTimeout=15", "ServerAliveInterval=5", "ServerAliveCountMax=4", "ControlMaster=auto",
            f'ControlPath="{folder}/%C"', "ControlPersist=60", "LogLevel=ERROR",
        ]  # fmt: skip
        options += [] if ask else ["BatchMode=yes"]
        self.ssh = ["ssh", *(word for option in options for word in ("-o", option))]
        self.ssh += ["-p", str(target.port)] if target.port else []
        self.ssh += own_options()

    def __enter__(self) -> Link:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def close(self) -> None:
        """End the shared connection."""
        with suppress(subprocess.SubprocessError):
            command = [*self.ssh, "-O", "exit", self.target.address]
            subprocess.run(command, capture_output=True, timeout=10)

    def run(self, script: str, data: bytes = b"", limit_s: float = 120.0) -> str:
        """Run a shell script there; its stdout.

        Raises:
            HostError: ssh cannot reach it, or the script failed.
        """
        try:
            done = subprocess.run(
                [*self.ssh, "--", self.target.address, script], input=data, capture_output=True, timeout=limit_s
            )
        except subprocess.TimeoutExpired:
            raise LostError(f"{self.target.host} does not answer for {limit_s:g} s") from None
        said = done.stderr.decode(errors="replace").strip()
        if done.returncode == 255:
            raise LostError(unreachable(self.target, said))
        if done.returncode != 0:
            raise HostError(f"a command failed there: {said.splitlines()[-1] if said else done.returncode}")
        return done.stdout.decode(errors="replace")

    def probe(self) -> dict[str, str]:
        """What it is; nothing there changes."""
        said = self.run(PROBE)
        return dict(line.split("=", 1) for line in said.splitlines() if "=" in line)

    def send(self, source: Path, names: list[str], folder: str) -> None:
        """Copy files of `source` into a folder there; what came before a lost link is kept for the next time."""
        self._rsync(
            "-rtL", "--chmod=D755,F644", "--partial", "--files-from=-",
            "--rsync-path", f"mkdir -p {shlex.quote(folder)} && rsync", f"{source}/", f"{self.target.remote}:{folder}/",
            names=names, spoilt="nothing was changed",
        )  # fmt: skip

    def fetch(self, folder: str, here: Path) -> None:
        """Copy a folder from there."""
        here.mkdir(parents=True, exist_ok=True)
        self._rsync("-rt", f"{self.target.remote}:{folder}/", f"{here}/", spoilt=f"they stay in {folder} there")

    def _rsync(self, *words: str, names: Sequence[str] = (), spoilt: str) -> None:
        command = ["rsync", "--timeout=30", "--secluded-args", "-e", shlex.join(self.ssh), *words]
        done = subprocess.run(command, input="\n".join(names), capture_output=True, text=True)
        said = done.stderr.strip()
        if done.returncode == 0:
            return
        if "No space left" in said:
            raise HostError(f"the disk is full; {spoilt}")
        if done.returncode in (10, 12, 30, 35, 255, -15, 20):
            raise LostError(f"the link was lost while files were copied; {spoilt}")
        raise HostError(f"rsync failed: {said.splitlines()[-1] if said else done.returncode}")

    def session(self, agent: str, who: str, root: bool, password: str, tell: Callable[[str], None]) -> Session:
        """Begin a session with the agent there."""
        sudo = "" if root else "sudo -S -p '' " if password else "sudo -n "
        command = f"{sudo}python3 -I {shlex.quote(agent)} serve {shlex.quote(who)}"
        return Session([*self.ssh, "--", self.target.address, command], self.target, password, tell)


class Session:
    """Requests to the agent, and its answers; a context manager that keeps the line alive meanwhile."""

    def __init__(self, command: list[str], target: Target, password: str, tell: Callable[[str], None]) -> None:
        self._target, self._tell = target, tell
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, bufsize=1,
            errors="replace",
        )  # fmt: skip
        self._lines: queue.Queue[str | None] = queue.Queue()
        self._writing, self._ended = threading.Lock(), threading.Event()
        threading.Thread(target=self._read, daemon=True).start()
        if password:
            self._write(password)
        threading.Thread(target=self._pulse, daemon=True).start()
        try:
            self._answer()
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> Session:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def close(self) -> None:
        """Say no more: the agent ends. Idempotent."""
        self._ended.set()
        with suppress(OSError, ValueError):
            assert self._process.stdin is not None
            self._process.stdin.close()
        try:
            self._process.wait(15)
        except subprocess.TimeoutExpired:
            self._process.kill()

    def ask(self, do: str, **words: Any) -> dict[str, Any]:
        """One request; its answer.

        Raises:
            HostError: the agent's sentence, or that the link was lost.
        """
        self._write(json.dumps({"do": do, **words}))
        return self._answer()

    def _answer(self) -> dict[str, Any]:
        while True:
            line = self._lines.get()
            if line is None:
                assert self._process.stderr is not None
                said = self._process.stderr.read().strip()
                if self._process.wait() == 255 or not said:
                    raise LostError(unreachable(self._target, said))
                raise HostError(f"the session ended: {said.splitlines()[-1]}")
            try:
                content = json.loads(line)
            except ValueError:
                continue  # a greeting of the shell's
            if "say" in content:
                self._tell(content["say"])
            elif "error" in content:
                kind = LockedError if content.get("kind") == "locked" else HostError
                raise kind(content["error"])
            elif "done" in content:
                return dict(content["done"])

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            self._lines.put(line)
        self._lines.put(None)

    def _pulse(self) -> None:
        while not self._ended.wait(PULSE_S):
            self._write("")

    def _write(self, line: str) -> None:
        assert self._process.stdin is not None
        with self._writing, suppress(OSError, ValueError):  # a line that is lost shows at the next answer
            self._process.stdin.write(line + "\n")
            self._process.stdin.flush()


def own_options() -> list[str]:
    """Words for ssh from EDGEBOT_SSH_OPTIONS. Raises `UsageError` where they cannot be read."""
    text = os.environ.get("EDGEBOT_SSH_OPTIONS", "")
    try:
        return shlex.split(text)
    except ValueError as error:
        raise UsageError(f"EDGEBOT_SSH_OPTIONS is {text!r}, which no shell could read ({error}); mend it") from None


def unreachable(target: Target, said: str) -> str:
    """What ssh's complaint means, in one sentence."""
    last = said.splitlines()[-1].strip() if said else "the connection was closed"
    port = f" -p {target.port}" if target.port else ""
    mend = f"`ssh{port} {target.address}`"
    if "Host key verification failed" in said or "HOST IDENTIFICATION HAS CHANGED" in said:
        changed = "IDENTIFICATION HAS CHANGED" in said
        what = "its host key is not the known one" if changed else "its host key is not known yet"
        return f"{what}; look at it with {mend}, then deploy again"
    if "Permission denied" in said:
        return f"ssh is not let in ({last}); make {mend} work first, with a key (`ssh-copy-id`)"
    if "Could not resolve" in said:
        return f"there is no host {target.host!r} in this network; is it switched on, and its name right?"
    if any(word in said for word in ("timed out", "No route", "refused", "unreachable")):
        return f"it cannot be reached ({last}); is it switched on, in this network, and ssh enabled?"
    return f"the link was lost ({last})"


def terminal() -> bool:
    """Whether somebody can be asked."""
    return sys.stdin.isatty() and sys.stderr.isatty()
