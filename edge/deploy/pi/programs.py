"""Other programs, run so that a lost link can end them, and people can read what they said."""

from __future__ import annotations

import os
import pwd
import signal
import subprocess
from collections.abc import Sequence
from contextlib import suppress

from edge.deploy.pi.place import AgentError

_children: set[subprocess.Popen[str]] = set()
QUIET = {"DEBIAN_FRONTEND": "noninteractive", "LC_ALL": "C.UTF-8", "PIP_DISABLE_PIP_VERSION_CHECK": "1"}


def run(
    *command: str, user: str | None = None, limit_s: float = 1800.0, good: Sequence[int] = (0,), keep: bool = False
) -> str:
    """Run a program; what it printed to stdout.

    Args:
        user: whose process it is; None: ours.
        limit_s: it is killed after so long.
        good: exit codes that are no failure.
        keep: a lost link does not end it (a package manager, in the middle of its work).

    Raises:
        AgentError: it is missing, failed, or took too long; with its last words.
    """
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")} | QUIET
    whose: dict[str, object] = {}
    if user is not None and os.geteuid() == 0:
        person = pwd.getpwnam(user)
        whose = {"user": person.pw_uid, "group": person.pw_gid, "extra_groups": os.getgrouplist(user, person.pw_gid)}
        environment |= {"HOME": person.pw_dir, "USER": user, "LOGNAME": user}
    try:
        child = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
            errors="replace", env=environment, cwd="/", start_new_session=True, **whose,  # type: ignore[call-overload]
        )  # fmt: skip
    except FileNotFoundError:
        raise AgentError(f"{command[0]} is not installed on the robot") from None
    if not keep:
        _children.add(child)
    try:
        out, err = child.communicate(timeout=limit_s)
    except subprocess.TimeoutExpired:
        _kill(child)
        raise AgentError(f"`{' '.join(command[:3])}` took longer than {limit_s:g} s on the robot") from None
    finally:
        _children.discard(child)
    if child.returncode not in good:
        words = last_words(err) or last_words(out) or f"exit code {child.returncode}"
        raise AgentError(f"`{' '.join(command[:3])}` failed on the robot: {words}")
    return out


def last_words(text: str) -> str:
    """The last line that says something."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    errors = [line for line in lines if line.lower().startswith(("error", "e:"))]
    return (errors or lines or [""])[-1][:300]


def kill_all() -> None:
    """End what still runs."""
    for child in list(_children):
        _kill(child)


def _kill(child: subprocess.Popen[str]) -> None:
    with suppress(ProcessLookupError):
        os.killpg(child.pid, signal.SIGKILL)


def systemctl(*words: str, good: Sequence[int] = (0,)) -> str:
    """The service manager."""
    return run("systemctl", *words, limit_s=300.0, good=good)


def properties(unit: str, *names: str) -> dict[str, str]:
    """What systemd knows of a unit."""
    said = systemctl("show", unit, *(f"--property={name}" for name in names))
    return dict(line.split("=", 1) for line in said.splitlines() if "=" in line)
