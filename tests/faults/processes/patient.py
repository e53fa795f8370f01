"""Runs the real `edgebot` or `edgebot-motord`, with a door through which a test does it harm.

    python patient.py runtime|motord ARGUMENTS...

The product's code runs as it is, from its own command line, signals and sockets included. Beside it a thread takes
lines of Python from the socket PATIENT_DOOR and runs them here: that is how an exception gets into a stage, how the
GIL is held in C, how memory runs out. Stamps are of the monotonic clock, which all processes share.
"""

from __future__ import annotations

import ctypes
import json
import os
import resource
import socket
import sys
import threading
import time
from collections.abc import Callable
from typing import Any

SEEN: dict[str, Any] = {}
"""The product's own objects, by the name of their class."""


def witness(cls: type) -> None:
    """Remember the newest object of a class in SEEN."""
    made = cls.__init__

    def remember(self: Any, *args: Any, **kwargs: Any) -> None:
        made(self, *args, **kwargs)
        SEEN[cls.__name__] = self

    cls.__init__ = remember  # type: ignore[misc]


STAMPS: list[float] = []
"""When harm was done, by the thread that it was done to."""


def raise_in(owner: Any, name: str, seconds: float, error: type[BaseException] = RuntimeError) -> None:
    """Let every call of `owner.name` raise for so long; STAMPS gets the time of the first."""
    until, whole = time.monotonic() + seconds, getattr(owner, name)

    def broken(*args: Any, **kwargs: Any) -> Any:
        now = time.monotonic()
        if now >= until:
            setattr(owner, name, whole)
            return whole(*args, **kwargs)
        STAMPS.append(now)
        # One that dies of it can be asked no more: its last words tell when.
        raise error(f"harm was done to {name}" + (f", harm at {now}" if "Server" in SEEN else ""))

    setattr(owner, name, broken)


def swap(owner: Any, name: str, harmful: Callable[..., Any], seconds: float) -> None:
    """Put `harmful` in place of `owner.name` for so long."""
    whole = getattr(owner, name)
    setattr(owner, name, harmful)
    threading.Timer(seconds, setattr, (owner, name, whole)).start()


def hold_the_gil(seconds: float) -> float:
    """Sleep in C without letting go of the interpreter; returns when that began."""
    began = time.monotonic()
    ctypes.PyDLL(None).usleep(int(seconds * 1e6))
    return began


def run_out_of_memory(seconds: float) -> float:
    """Take all memory that this process may have, for so long; returns when there was none left."""
    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    hoard: list[bytearray] = []
    with open("/proc/self/statm") as file:
        pages = int(file.read().split()[0])
    resource.setrlimit(resource.RLIMIT_AS, (pages * resource.getpagesize() + (8 << 20), hard))
    size = 4 << 20
    try:
        while size >= 4096:
            try:
                hoard.append(bytearray(size))
            except MemoryError:
                size //= 2
        began = time.monotonic()
        time.sleep(seconds)
    finally:
        hoard.clear()
        resource.setrlimit(resource.RLIMIT_AS, (soft, hard))
    return began


def become(path: str, descriptor: int, flags: int) -> float:
    """Put another file under a descriptor that is in use; returns when."""
    other = os.open(path, flags)
    os.dup2(other, descriptor)
    os.close(other)
    return time.monotonic()


def _door(door: socket.socket) -> None:
    known: dict[str, Any] = globals()
    with door.makefile("rw", encoding="utf-8") as lines:
        for line in lines:
            try:
                known["value"] = None
                exec(compile(json.loads(line), "<harm>", "exec"), known)
                answer = {"value": known["value"]}
            except BaseException as error:
                answer = {"error": f"{type(error).__name__}: {error}"}
            lines.write(json.dumps(answer) + "\n")
            lines.flush()


class Spin:
    """A policy that turns on the spot for ever: wheels that are not at zero are easy to tell."""

    name = "spin"
    needs_camera = False

    def __init__(self, config: Any) -> None: ...

    def act(self, observation: Any) -> Any:
        from robot.types import Twist

        return Twist(0.0, 1.5)

    def reset(self) -> None: ...


def main() -> int:
    kind, arguments = sys.argv[1], sys.argv[2:]
    door = socket.socket(fileno=int(os.environ.pop("PATIENT_DOOR")))
    if kind == "runtime":
        import edge.loop
        import edge.policies
        from edge import cli

        edge.policies.REGISTRY["spin"] = Spin
        witness(edge.loop.Loop)
        run = cli.main
    else:
        import robot.motord.main
        import robot.motord.server

        witness(robot.motord.server.Server)
        run = robot.motord.main.main
    exec(os.environ.pop("PATIENT_FIRST", ""), globals())
    threading.Thread(target=_door, args=(door,), daemon=True).start()
    return run(arguments) or 0


if __name__ == "__main__":
    sys.exit(main())
