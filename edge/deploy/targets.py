"""Which robots: `[user@]host[:port]` words, and files with one robot a line and its own settings."""

from __future__ import annotations

import re
import shlex
from dataclasses import dataclass
from pathlib import Path

from edge.errors import UsageError

OWN = ("robot", "policy")


@dataclass(frozen=True)
class Target:
    """One robot to deploy to; `robot` and `policy` where its line in a hosts file names its own."""

    text: str  # as people wrote it
    host: str
    user: str = ""
    port: int = 0
    robot: str = ""
    policy: str = ""

    @property
    def address(self) -> str:
        """As ssh takes it."""
        return f"{self.user}@{self.host}" if self.user else self.host

    @property
    def remote(self) -> str:
        """As rsync takes it, before the colon."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{self.user}@{host}" if self.user else host


def parse(text: str, **own: str) -> Target:
    """Read `[user@]host[:port]`; an IPv6 address goes in brackets.

    Raises:
        UsageError: it cannot be read, or ssh would take it for an option.
    """
    found = re.fullmatch(
        r"(?:(?P<user>[A-Za-z0-9_][A-Za-z0-9._-]*)@)?(?:\[(?P<six>[0-9A-Fa-f:.%]+[A-Za-z0-9]*)\]|(?P<host>[A-Za-z0-9_][A-Za-z0-9_.-]*))"
        r"(?::(?P<port>\d{1,5}))?", text,
    )  # fmt: skip
    port = int(found["port"] or 0) if found else 0
    if found is None or (found["port"] and not 1 <= port <= 65535):
        raise UsageError(f"{text!r} is no host; write it like robot.local, pi@10.0.0.7 or pi@robot.local:2222")
    return Target(text, found["host"] or found["six"], found["user"] or "", port, **own)


def read_hosts(path: Path) -> list[Target]:
    """A hosts file: a host a line, then `robot=FILE` and `policy=NAME|MODEL` where it has its own; `#` comments.

    Paths are relative to the file; quotes keep spaces together, as in a shell.

    Raises:
        UsageError: with the line's number.
    """
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeError) as error:
        raise UsageError(f"the hosts file {str(path)!r} cannot be read: {error}") from None
    targets = []
    for number, line in enumerate(lines, 1):
        try:
            words = shlex.split(line, comments=True)
            if not words:
                continue
            own = dict(word.split("=", 1) for word in words[1:] if "=" in word)
            wrong = [word for word in words[1:] if word.split("=", 1)[0] not in OWN or "=" not in word]
            if wrong:
                raise UsageError(f"{wrong[0]!r} has no meaning; a line is HOST [robot=FILE] [policy=NAME|MODEL]")
            for key in ("robot", "policy"):
                if own.get(key) and (key == "robot" or own[key].endswith(".tflite")):
                    own[key] = str(path.parent / Path(own[key]).expanduser())
            targets.append(parse(words[0], **own))
        except (UsageError, ValueError) as error:
            raise UsageError(f"{path}, line {number}: {error}") from None
    if not targets:
        raise UsageError(f"the hosts file {str(path)!r} names no host")
    return targets
