"""A real `edgebot-motord` on mock pins, whose wheels are read from its trace; and this machine's own delays."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from robot.motor_report import Report
from robot.motord import protocol, trace
from robot.motord.client import MotordPort, ask
from robot.motord.config import MotordConfig
from robot.types import STOP, Wheels

ROOT = Path(__file__).resolve().parents[3]
PATIENCE_S = 30.0  # of a start on a busy machine
HOLD_S = 0.2
SLACK_S = 0.02  # of the process's own; the machine's delay is measured and comes on top
FORWARD = Wheels(0.5, 0.25)


class Motord:
    """One process, its socket, its pins."""

    def __init__(self, folder: Path, config: MotordConfig, arguments: tuple[str, ...], environment: dict[str, str]):
        self.folder, self.config = folder, config
        self.socket, self.trace_file, self.pressed = folder / "m.sock", folder / "pins.txt", folder / "pressed"
        (folder / "motord.json").write_text(config.text())
        self.command = [
            sys.executable, "-m", "robot.motord", "--config", str(folder / "motord.json"), "--socket",
            str(self.socket), "--pins", "mock", "--trace", str(self.trace_file), "--mock-switch", str(self.pressed),
            *arguments,
        ]  # fmt: skip
        self.environment = os.environ | {"PYTHONPATH": str(ROOT)} | environment
        self.ports: list[MotordPort] = []
        self.start()

    def start(self) -> None:
        before = self.socket.stat().st_ino if self.socket.exists() else None
        self.process = subprocess.Popen(
            self.command, cwd=self.folder, env=self.environment, stderr=subprocess.PIPE, text=True
        )
        until = time.monotonic() + PATIENCE_S
        while not self.socket.exists() or self.socket.stat().st_ino == before:
            assert self.process.poll() is None, self.process.communicate()[1]
            assert time.monotonic() < until, "motord does not start"
            time.sleep(0.005)

    def port(self) -> MotordPort:
        self.ports.append(MotordPort(self.socket, self.config.digest))
        return self.ports[-1]

    def status(self) -> Report:
        return ask(self.socket, patience_s=PATIENCE_S)

    def kill(self, number: int = signal.SIGKILL) -> int:
        """Send a signal and wait for the end; returns the exit code."""
        self.process.send_signal(number)
        code = self.process.wait(PATIENCE_S)
        assert self.process.stderr is not None
        self.process.stderr.close()
        return code

    def changes(self) -> list[trace.Change]:
        return trace.read(self.trace_file)

    def duties(self) -> list[trace.Moment]:
        return trace.duties(self.trace_file, self.config)

    @property
    def wheels(self) -> Wheels:
        return self.duties()[-1].wheels

    def last_pins(self) -> dict[int, trace.Change]:
        """Each motor pin as it was left."""
        left = {change.pin: change for change in self.changes()}
        return {pin: left[pin] for pin in self.config.motor_pins.values()}

    def end(self) -> None:
        for port in self.ports:
            port.close()
        with suppress(ProcessLookupError):
            self.process.send_signal(signal.SIGCONT)
        if self.process.poll() is None:
            self.kill()


class Delay:
    """How late this machine lets a sleeping thread go on: what no process on it can be blamed for."""

    def __enter__(self) -> Delay:
        self.worst_s = 0.0
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *exc: Any) -> None:
        self._done.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._done.is_set():
            due = time.monotonic() + 0.002
            time.sleep(0.002)
            self.worst_s = max(self.worst_s, time.monotonic() - due)


def wait(condition: Callable[[], Any], what: str, patience_s: float = PATIENCE_S) -> Any:
    """Until it is true; fails with `what`."""
    until = time.monotonic() + patience_s
    while not (found := condition()):
        assert time.monotonic() < until, what
        time.sleep(0.005)
    return found


def drive(port, seconds=0.2, wheels=FORWARD):
    """As a loop does, 50 times a second; returns the last command's valid_until."""
    end = time.monotonic() + seconds
    while True:
        until = time.monotonic() + HOLD_S
        assert port.apply(wheels, until) == wheels
        if time.monotonic() >= end:
            return until
        time.sleep(0.02)


def zero_after(motord, moment):
    """When the wheels first were at zero after `moment`, by the trace."""
    return next(m.stamp for m in motord.duties() if m.stamp >= moment and m.wheels == STOP)


def raw(motord):
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    sock.settimeout(PATIENCE_S)
    sock.connect(str(motord.socket))
    return sock


def say(sock, data):
    sock.send(data)
    return sock.recv(4096)


def newest(sock):
    """Sequence of the newest answer."""
    return protocol.head(sock.recv(4096))[1]
