"""One session with the laptop over ssh: requests in, one JSON object a line; sayings and answers out.

The session holds the robot's deploy lock, and its silence is how the robot knows that the link is lost: the laptop
writes a line every few seconds. A session that hears nothing for `SILENT_S` ends, and so does what it was doing,
except for a package manager, which is let come to its end.
"""

from __future__ import annotations

import fcntl
import json
import os
import select
import sys
import threading
import time
from contextlib import suppress
from typing import Any

from edge.deploy.pi import programs
from edge.deploy.pi.place import AgentError, Place, read_json
from edge.deploy.pi.requests import REQUESTS

SILENT_S = 25.0


def serve(place: Place, who: str) -> int:
    """Take the lock, answer requests until the laptop goes. Returns the exit code."""
    held = _take(place, who)
    if held is None:
        return 4
    place.run.mkdir(parents=True, exist_ok=True)
    _answer({"done": {"ready": True}})
    worker: threading.Thread | None = None
    while True:
        line = _line()
        if line is None:
            if worker is not None and worker.is_alive():
                programs.kill_all()
                worker.join()  # what is kept comes to its end
            return 0
        with suppress(FileNotFoundError):  # uninstalling has taken its folder away
            place.heartbeat.touch()
        request = _request(line)
        if "do" in request:
            worker = threading.Thread(target=_carry_out, args=(place, request), daemon=True)
            worker.start()


def _take(place: Place, who: str) -> int | None:
    """The lock, or None after telling who has it."""
    place.lock.parent.mkdir(parents=True, exist_ok=True)
    handle = os.open(place.lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        holder = read_json(place.lock)
        since = time.time() - float(holder.get("since", time.time()))
        who = holder.get("who", "somebody")
        _answer({"error": f"{who} has been deploying to it for {since:.0f} s", "kind": "locked"})
        return None
    os.truncate(handle, 0)
    os.write(handle, json.dumps({"who": who, "since": time.time()}).encode())
    return handle


_pending = b""


def _line() -> str | None:
    """The next line of the laptop's; None where it has gone, or is silent for too long."""
    global _pending
    while b"\n" not in _pending:
        if not select.select([0], [], [], SILENT_S)[0]:
            return None
        data = os.read(0, 65536)
        if not data:
            return None
        _pending += data
    line, _pending = _pending.split(b"\n", 1)
    return line.decode()


def _request(line: str) -> dict[str, Any]:
    """What a line asks for: nothing, where it is a sign of life, or a password that sudo did not want."""
    try:
        found = json.loads(line)
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def _carry_out(place: Place, request: dict[str, Any]) -> None:
    def say(words: str) -> None:
        _answer({"say": words})

    try:
        _answer({"done": REQUESTS[request["do"]](place, request, say)})
    except AgentError as error:
        _answer({"error": str(error)})
    except Exception as error:  # said in a sentence there too; the session goes on
        _answer({"error": f"deploy's own program failed on the robot: {type(error).__name__}: {error}"})


_writing = threading.Lock()


def _answer(content: dict[str, Any]) -> None:
    with _writing:
        try:
            sys.stdout.write(json.dumps(content) + "\n")
            sys.stdout.flush()
        except (BrokenPipeError, OSError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
