"""A motors' process of one's own, for a robot where no service runs one: started, and started again when it dies.

It ends with its driver: when the runtime goes, however it goes, the socket closes, the wheels stop, and the
process leaves. Its emergency stop's latch stays in the user's state folder.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import IO

import robot
from robot.clock import WallClock
from robot.errors import RobotError
from robot.motord.client import MotordPort
from robot.motord.config import MotordConfig

_PREFIX = "edgebot-motord-"
_START_S = 20.0  # a Pi Zero with a cold disk takes seconds
_END_S = 3.0


class Child:
    """Starts `edgebot-motord` for one robot and waits until it listens.

    Args:
        config: what it is told.
        arguments: more of its own, as `["--pins", "mock"]`.

    Raises:
        RobotError: it does not start; its own sentence then.
    """

    def __init__(self, config: MotordConfig, arguments: tuple[str, ...] = ()) -> None:
        self._clock = WallClock()
        self._folder = tempfile.TemporaryDirectory(prefix=_PREFIX, dir=_runtime())
        folder = Path(self._folder.name)
        self.socket = folder / "motord.sock"
        (folder / "motord.json").write_text(config.text(), encoding="utf-8")
        self._command = [
            sys.executable, "-m", "robot.motord", "--config", str(folder / "motord.json"),
            "--socket", str(self.socket), "--socket-mode", "600", "--state", str(_state()), "--end-with-driver",
            *arguments,
        ]  # fmt: skip
        self._errors: IO[bytes] | None = None
        self._process = self._start()
        try:
            self._wait()
        except BaseException:
            self.end()
            raise

    def _start(self) -> subprocess.Popen[bytes]:
        path = os.pathsep.join(filter(None, (str(Path(robot.__file__).parents[1]), os.environ.get("PYTHONPATH"))))
        if self._errors is not None:
            self._errors.close()
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115 (it lives as long as the process)
        # In a session of its own: Ctrl-C is for the runtime, which stops the wheels and leaves in its own order.
        environment = {key: value for key, value in os.environ.items() if key != "NOTIFY_SOCKET"}  # the runtime's
        return subprocess.Popen(
            self._command, cwd=self._folder.name, env=environment | {"PYTHONPATH": path}, start_new_session=True,
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=self._errors,
        )  # fmt: skip

    def _wait(self) -> None:
        until = self._clock.now() + _START_S
        while not self.socket.exists():
            if self._process.poll() is not None:
                raise RobotError(self._sentence())
            if self._clock.now() > until:
                raise RobotError(f"edgebot-motord has not started within {_START_S:.0f} s; run it by hand to see why")
            self._clock.sleep_until(self._clock.now() + 0.01)

    def _sentence(self) -> str:
        assert self._errors is not None
        self._errors.seek(0)
        said = self._errors.read().decode(errors="replace").strip().splitlines()
        last = next((line for line in reversed(said) if line.startswith("edgebot-motord: ")), "")
        return last.removeprefix("edgebot-motord: ") or (
            f"edgebot-motord ended with code {self._process.returncode}; run it by hand to see why"
        )

    @property
    def pid(self) -> int:
        return self._process.pid

    def revive(self) -> None:
        """Start it again where it has died; returns at once."""
        if self._process.poll() is not None:
            with suppress(OSError):  # no process to be had now: the next call tries again
                self._process = self._start()

    def end(self) -> None:
        """See it end: its driver's socket is closed by now. Idempotent."""
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(_END_S)
        for end in (self._process.terminate, self._process.kill):
            if self._process.poll() is None:
                end()
                with suppress(subprocess.TimeoutExpired):
                    self._process.wait(_END_S)
        if self._errors is not None:
            self._errors.close()
        self._folder.cleanup()


class ChildPort(MotordPort):
    """A `MotordPort` that brings its own process. Raises `RobotError` where that does not start."""

    def __init__(self, config: MotordConfig, arguments: tuple[str, ...] = ()) -> None:
        self.child = Child(config, arguments)
        try:
            super().__init__(self.child.socket, config.digest, self.child.revive)
        except BaseException:
            self.child.end()
            raise

    def close(self) -> None:
        """Stop, and see the process end. Idempotent."""
        super().close()
        self.child.end()


def running() -> list[Path]:
    """The sockets of this user's children that live now."""
    found = Path(_runtime() or tempfile.gettempdir()).glob(f"{_PREFIX}*/motord.sock")
    return sorted(path for path in found if path.parent.stat().st_uid == os.getuid())


def _runtime() -> str | None:
    return os.environ.get("XDG_RUNTIME_DIR") or None


def _state() -> Path:
    base = os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state"
    return Path(base) / "edgebot"
