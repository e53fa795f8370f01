"""A robot in two real processes for many faults, one after the other; what a fault has ended is started anew."""

from __future__ import annotations

import os
import signal
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from tests.faults.processes.wall import Wall
from tests.faults.processes.ward import Patient, Ward, ward

NO_DEADLINE = """
from robot.motor_report import Cause
core = SEEN["Server"]._core
core._hold_s, core.real_apply, core.real_stop = 1e9, core.apply, core.stop
core.apply = lambda wheels, until: core.real_apply(wheels, until + 1e9)
core.stop = lambda cause=Cause.STOPPED: None if cause is Cause.GONE else core.real_stop(cause)
"""
"""Takes away from a motord: the last command's deadline, and the stop when the driver's socket closes."""

STUBS = """
loop = SEEN["Loop"]
class Looks:
    latencies, restarts, trouble = {}, 0, ""
    def offer(self, frame): pass
    def newest(self, now): return None
class Writes:
    def tick(self, tick): pass
    def log(self, stamp, level, message): pass
loop.perception, loop.recorder = Looks(), Writes()
"""


class Manager:
    """What systemd does for motord's unit: WatchdogSec=1, and SIGKILL where no sign of life comes in time."""

    def __init__(self, path: Path, watches: bool) -> None:
        self.environment = {"NOTIFY_SOCKET": str(path), "WATCHDOG_USEC": "1000000"}
        self.killed_at: float | None = None
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(str(path))
        self._socket.settimeout(0.05)
        self._watches, self._pid, self._heard = watches, 0, 0.0
        self._closed = False
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()

    def watch(self, pid: int) -> None:
        """This is the process from now on."""
        self._heard, self._pid, self.killed_at = time.monotonic(), pid, None

    def close(self) -> None:
        self._closed = True
        self._thread.join()
        self._socket.close()

    def _watch(self) -> None:
        while not self._closed:
            with suppress(TimeoutError):
                if b"WATCHDOG=1" in self._socket.recv(4096):
                    self._heard = time.monotonic()
            if self._pid and self._watches and time.monotonic() - self._heard > 1.0:
                self.killed_at = time.monotonic()
                with suppress(ProcessLookupError):
                    os.kill(self._pid, signal.SIGKILL)
                self._pid = 0


class Couple:
    """A ward's two processes; either is started anew where a fault has ended it."""

    def __init__(self, ward: Ward, protected: bool, wall: Wall) -> None:
        self.ward, self.protected, self.wall = ward, protected, wall
        self.pressed = ward.folder / "pressed"  # the mock emergency stop's switch is open while this file is there
        self.manager = Manager(ward.short / "notify", watches=protected)
        self._motord: Patient | None = None
        self._runtime: Patient | None = None

    @property
    def motord(self) -> Patient:
        if self._motord is None or self._motord.process.poll() is not None:
            self._motord = self.ward.motord(
                "--mock-switch", str(self.pressed), environment=self.wall.environment | self.manager.environment
            )
            fresh = self._motord
            self.manager.watch(fresh.pid)
            self.ward.until(lambda: fresh.do("value = 'Server' in SEEN"), fresh)
            if not self.protected:
                self._motord.do(NO_DEADLINE)
        return self._motord

    @property
    def runtime(self) -> Patient:
        """Drives, when this returns."""
        motord = self.motord
        if self._runtime is None or self._runtime.process.poll() is not None:
            self._runtime = fresh = self.ward.runtime(environment=self.wall.environment)
            self.ward.until(lambda: fresh.do("value = 'Loop' in SEEN and SEEN['Loop']._ticks > 10"), fresh)
            fresh.do(STUBS)
        self.ward.until(self.ward.turning, self._runtime)
        assert motord.process.poll() is None
        return self._runtime

    @property
    def runtime_at_rest(self) -> Patient:
        """The same process, whatever it does at the moment."""
        assert self._runtime is not None and self._runtime.process.poll() is None
        return self._runtime

    def patience(self) -> float:
        """How long to wait for a robot that should go on: for ever, unless it is known that it does not."""
        return 60.0 if self.protected else 1.5


@contextmanager
def couple(folder: Path, protected: bool) -> Iterator[Couple]:
    wall = Wall(folder)
    with ward(folder) as cleared:
        made = Couple(cleared, protected, wall)
        yield made
        made.manager.close()
    wall.close()
