"""Tells systemd how a service is (sd_notify), with the standard library alone.

Protocol: sd_notify(3). Datagrams to the socket that NOTIFY_SOCKET names; where there is none nothing is said.
Nothing here raises or blocks: a service must not fall over its own supervisor.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Mapping
from contextlib import suppress


class Notifier:
    """Reports to the service manager that started this process, if one did.

    Attributes:
        watchdog_s: how often `alive` has to be called, half of what WATCHDOG_USEC allows; None where nobody watches.

    The watchdog is fed by whoever calls `alive`: call it where the real work goes round, never from a thread of
    its own, which would keep a hung loop alive.
    """

    def __init__(self, environment: Mapping[str, str] = os.environ) -> None:
        self.watchdog_s = _watchdog(environment)
        self._status = ""
        self._socket: socket.socket | None = None
        path = environment.get("NOTIFY_SOCKET", "")
        if path[:1] not in ("/", "@"):
            return
        try:
            self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC)
            self._socket.setblocking(False)
            self._socket.connect("\0" + path[1:] if path[0] == "@" else path)
        except (OSError, ValueError):  # ValueError: a null byte in the path
            self.close()

    @property
    def watched(self) -> bool:
        """True where somebody listens."""
        return self._socket is not None

    def ready(self, status: str = "") -> None:
        """The service does its work from now on."""
        self._send("READY=1" + (f"\nSTATUS={_line(status)}" if status else ""))

    def status(self, text: str) -> None:
        """One line for `systemctl status`; sent when it changes."""
        if text != self._status:
            self._status = text
            self._send(f"STATUS={_line(text)}")

    def alive(self) -> None:
        """Feed the watchdog."""
        self._send("WATCHDOG=1")

    def stopping(self) -> None:
        """The service is on its way out."""
        self._send("STOPPING=1")

    def close(self) -> None:
        """Say no more. Idempotent."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def _send(self, text: str) -> None:
        if self._socket is not None:
            with suppress(OSError):  # its queue is full, or the manager has gone
                self._socket.send(text.encode(errors="replace"))


def _line(text: str) -> str:
    return " ".join(text.split())


def _watchdog(environment: Mapping[str, str]) -> float | None:
    try:
        microseconds = int(environment.get("WATCHDOG_USEC", "0"))
        pid = int(environment.get("WATCHDOG_PID") or os.getpid())
    except ValueError:
        return None
    return microseconds / 2e6 if microseconds > 0 and pid == os.getpid() else None
