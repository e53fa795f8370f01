"""What is asked of the kernel: granted or refused, told either way, and given back."""

from __future__ import annotations

import json
import os
import struct
import subprocess
import sys
from pathlib import Path
from typing import Any

PRELUDE = """
import json, os, resource, sys, threading, time
from robot import realtime

def drop():
    resource.setrlimit(resource.RLIMIT_RTPRIO, (0, 0))
    resource.setrlimit(resource.RLIMIT_MEMLOCK, (65536, 65536))
    if os.geteuid() == 0:
        os.setresuid(65534, 65534, 65534)

def schedule(thread=0):
    if not hasattr(os, "sched_getscheduler"):
        return [0, 0]
    return [os.sched_getscheduler(thread) & ~os.SCHED_RESET_ON_FORK, os.sched_getparam(thread).sched_priority]

def of_a_thread():
    found = []
    thread = threading.Thread(target=lambda: found.append(schedule()))
    thread.start()
    thread.join()
    return found[0]

waiting, ids = threading.Event(), []
other = threading.Thread(target=lambda: (ids.append(threading.get_native_id()), waiting.wait()), daemon=True)
other.start()
while not ids:
    time.sleep(0.01)

def told(granted):
    return {"priority": granted.priority, "locked": granted.locked, "slack": granted.slack_ns,
            "slice": granted.slice_us, "wake": granted.wake_us, "refused": list(granted.refused),
            "sentence": granted.sentence()}
"""


def asked(code: str, **environment: str) -> Any:
    """What a process of its own prints as JSON."""
    clean = {name: value for name, value in os.environ.items() if name != "EDGEBOT_REALTIME"}
    done = subprocess.run(
        [sys.executable, "-c", PRELUDE + code], capture_output=True, text=True, timeout=60, env=clean | environment
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


INSIDE = """
before = realtime._slack()
with realtime.realtime(20) as granted:
    inside = [schedule(), schedule(ids[0]), of_a_thread()]
print(json.dumps({"granted": told(granted), "inside": inside, "after": [schedule(), schedule(ids[0])],
                  "slack": [before, realtime._slack()]}))
"""
FIFO = 1


def test_what_is_granted_is_in_force_and_given_back() -> None:
    found = asked(INSIDE)
    priority = found["granted"]["priority"]
    assert priority in (0, 20)
    if priority:  # root, or a generous limit
        assert found["inside"] == [[FIFO, 20], [FIFO, 19], [0, 0]], "later threads are ordinary ones"
        assert "real-time priority 20" in found["granted"]["sentence"]
    else:
        assert found["inside"] == [[0, 0]] * 3
        assert any(line.startswith("real-time priority: ") for line in found["granted"]["refused"])
    assert found["after"] == [[0, 0], [0, 0]]
    assert found["slack"][0] == found["slack"][1]


def test_refusal_is_told_and_what_anyone_may_have_is_had() -> None:
    found = asked("drop()\n" + INSIDE)
    granted = found["granted"]
    assert (granted["priority"], granted["locked"]) == (0, False)
    assert found["inside"] == [[0, 0]] * 3
    assert {line.split(":")[0] for line in granted["refused"]} >= {"real-time priority", "locked memory"}
    if sys.platform.startswith("linux"):
        assert granted["slack"] == 1
        assert granted["slice"] in (0, 100), "0 where the kernel is older than 6.12"
    assert "ordinary priority" in granted["sentence"]


def test_locked_memory_does_not_make_later_allocations_fail() -> None:
    code = "resource.setrlimit(resource.RLIMIT_MEMLOCK, (65536, 65536))\n"
    code += "granted = realtime.ask()\nblock = bytearray(50_000_000)\nprint(json.dumps([granted.locked, len(block)]))"
    assert asked("drop()\n" + code) == [False, 50_000_000]
    assert asked("granted = realtime.ask()\nblock = bytearray(50_000_000)\nprint(json.dumps(len(block)))") == 50_000_000


def test_motords_later_threads_inherit() -> None:
    code = "granted = realtime.ask(30, threads=True)\nprint(json.dumps([granted.priority, of_a_thread()]))"
    priority, inherited = asked(code)
    assert inherited == ([FIFO, 30] if priority else [0, 0])


def test_the_environment_can_decline() -> None:
    off = asked(INSIDE, EDGEBOT_REALTIME="off")
    assert off["granted"]["refused"] == ["EDGEBOT_REALTIME is off"] and off["inside"] == [[0, 0]] * 3
    ordinary = asked(INSIDE, EDGEBOT_REALTIME="ordinary")
    assert (ordinary["granted"]["priority"], ordinary["granted"]["locked"]) == (0, False)
    assert ordinary["inside"] == [[0, 0]] * 3


def test_a_probe_leaves_nothing_behind() -> None:
    found = asked("granted = realtime.probe()\nprint(json.dumps([schedule(), schedule(ids[0]), told(granted)]))")
    assert found[:2] == [[0, 0], [0, 0]]


DEVICE = """
from robot import wakeful
from pathlib import Path

def held():
    found = []
    for fd in os.listdir("/proc/self/fd"):
        try:
            found.append(os.readlink(f"/proc/self/fd/{fd}") == str(wakeful.DEVICE))
        except OSError:  # the folder's own
            pass
    return sum(found)
"""


def test_processors_wake_soon_while_the_loop_runs_and_no_longer(tmp_path: Path) -> None:
    device, governor = tmp_path / "latency", tmp_path / "governor"
    for name, wanted in (("menu", 20), ("haltpoll", 0)):
        governor.write_text(f"{name}\n")
        device.write_bytes(b"")
        code = DEVICE + f"wakeful.DEVICE, wakeful.GOVERNOR = Path({str(device)!r}), Path({str(governor)!r})\n"
        code += "with realtime.realtime() as granted:\n    during = held()\n"
        code += "    child = os.system('ls -l /proc/self/fd | grep -q latency')\n"
        code += "print(json.dumps([told(granted), during, child, held()]))"
        granted, during, child, after = asked(code)
        assert (granted["wake"], during, after) == (wanted, 1, 0)
        assert child != 0, "a child that outlives the loop would go on asking"
        assert struct.unpack("=i", device.read_bytes()) == (wanted,)
        assert ("processors kept awake" if wanted == 0 else "wake within 20 us") in granted["sentence"]


def test_waking_soon_is_never_required(tmp_path: Path) -> None:
    code = DEVICE + f"wakeful.DEVICE = Path({str(tmp_path / 'none')!r})\n{INSIDE}"
    granted = asked(code)["granted"]
    assert granted["wake"] is None and "waking soon: No such file or directory" in granted["refused"]
    for choice in ("off", "ordinary"):
        assert asked(DEVICE + INSIDE, EDGEBOT_REALTIME=choice)["granted"]["wake"] is None


def test_the_kernel_hears_it() -> None:
    code = DEVICE + (
        "def limit():\n    with open(wakeful.DEVICE, 'rb', 0) as file:\n"
        "        return int.from_bytes(file.read(4), 'little', signed=True)\n"
        "with realtime.realtime() as granted:\n"
        "    print(json.dumps([granted.wake_us, None if granted.wake_us is None else limit()]))"
    )
    asked_for, in_force = asked(code)
    if asked_for is None:  # no root, or no such device: told, as above
        return
    assert 0 <= in_force <= asked_for
