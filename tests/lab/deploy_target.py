"""Rows of the proof of deploy.sh: what was deployed, at work on the arm64 guest."""

from __future__ import annotations

import json
import re
import shlex
import subprocess
import sys
import time
from functools import partial
from pathlib import Path
from typing import Any

from tests.lab.deploy_page import Found, Plan
from tests.lab.deploy_rig import EXPECTED, ROOT, SLOW, Rig, Robots
from tests.lab.deploy_rows import unit
from tests.lab.nspawn import Guest

EDGEBOT = "sudo -u edgebot /usr/local/bin/edgebot"
DRIVE = "--policy person --seed 5 --duration 30 --json"  # a room in which the person is not reached earlier
BITS = """
import hashlib
import numpy as np
from edge.interpreter import open_model
from edge.perception.detector import SHIPPED
open_model(SHIPPED, "detector")
from ai_edge_litert.interpreter import Interpreter
net = Interpreter(model_path=str(SHIPPED), num_threads=1)
net.allocate_tensors()
digest, random = hashlib.sha256(), np.random.default_rng(7)
for _ in range(2):
    for one in net.get_input_details():
        info = np.iinfo(one["dtype"])
        picture = random.integers(info.min, info.max, one["shape"], dtype=one["dtype"], endpoint=True)
        net.set_tensor(one["index"], picture)
    net.invoke()
    for one in net.get_output_details():
        digest.update(net.get_tensor(one["index"]).tobytes())
print([str(one["dtype"].__name__) for one in net.get_input_details()], digest.hexdigest())
"""
# Asks motord until wheels turn, and sends the runtime a signal.
SIGNAL = """
import json, os, subprocess, sys, time
from robot.motord.client import ask
from robot.motord.protocol import SOCKET

def unit(*words):
    return subprocess.run(["systemctl", *words, "edgebot"], capture_output=True, text=True).stdout.strip()

def applied():
    report = ask(SOCKET)
    return (report.applied.left, report.applied.right), report.cause.name

before, last = (0.0, 0.0), time.monotonic() + 300
while not any(before) and time.monotonic() < last:
    pid, until = int(unit("show", "-p", "MainPID", "--value")), time.monotonic() + 2
    while not any(before) and time.monotonic() < until:
        time.sleep(0.02)  # the runtime needs the processor too
        before, _ = applied()
began = time.monotonic()
os.kill(pid, int(sys.argv[1]))
after, cause = applied()
while any(after) and time.monotonic() < began + 10:
    time.sleep(0.01)
    after, cause = applied()
zero = time.monotonic() - began
while time.monotonic() < began + 300:
    now = unit("show", "-p", "MainPID", "--value")
    if now not in ("0", str(pid)) and unit("is-active") == "active":
        break
    time.sleep(0.5)
again = time.monotonic() - began
print(json.dumps({"before": before, "after": after, "zero_s": zero, "cause": cause, "again_s": again,
                  "active": unit("is-active")}))
"""


def doctor(rig: Robots) -> Found:
    """All but the failures that are expected of an emulator."""
    rig.deployed()
    said = json.loads(rig.guest().ssh(f"cd /tmp; {EDGEBOT} doctor --sim --json || true").stdout)
    bad = {row["check"] for row in said["rows"] if row["level"] == "failure"}
    found = f"{len(said['rows'])} checks, fails at: {', '.join(sorted(bad)) or 'nothing'}"
    return bad <= set(EXPECTED), f"{found} (expected: {', '.join(EXPECTED)})"


def bits(rig: Rig) -> Found:
    """The same inputs on both processors."""
    rig.deployed()
    there = rig.guest().ssh(f"cd /tmp; /opt/edgebot/current/venv/bin/python -c {shlex.quote(BITS)}", 900).stdout.strip()
    here = subprocess.run([sys.executable, "-c", BITS], cwd=ROOT, capture_output=True, text=True, check=True)
    same = there == here.stdout.strip() != ""
    return same, f"{there[:14]} {there[-64:-52]}...: {'bit-equal' if same else f'differ from {here.stdout.strip()}'}"


def drives(rig: Rig) -> Found:
    """The simulated body, in its own time. This machine's OpenCV is another one and renders other pictures, so that no
    way is compared; `bits` compares what the detector makes of the same picture."""
    rig.deployed()
    one = json.loads(rig.guest().ssh(f"cd /tmp; {EDGEBOT} run --sim {DRIVE}", limit_s=1500).stdout)
    reasons = ", ".join(f"{name} {count}" for name, count in one["reasons"].items())
    good = one["ended"] in ("duration", "goal") and one["distance_m"] > 0.5
    return good, f"{one['ticks']} iterations, {one['distance_m']:.2f} m, ended by {one['ended']}; guard: {reasons}"


def dies(number: int, rig: Rig) -> Found:
    """The runtime gets a signal while wheels turn: what motord does at once, and systemd after."""
    rig.deployed()
    if "--policy random" not in unit(rig):
        done = rig.deploy("--policy", "random", *SLOW)
        if done.code != 0:
            return False, done.words
    rig.settled()
    python = "/opt/edgebot/current/venv/bin/python"
    said = json.loads(rig.guest().ssh(f"cd /tmp; {python} -c {shlex.quote(SIGNAL)} {number}", limit_s=900).stdout)
    good = any(said["before"]) and not any(said["after"]) and said["zero_s"] < 1.0 and said["active"] == "active"
    return good, (
        f"applied {said['before']}, zero {1e3 * said['zero_s']:.0f} ms after the signal ({said['cause']}); "
        f"started again after {said['again_s']:.0f} s, {said['active']}"
    )


def memory(rig: Rig) -> Found:
    """Runtime with the detector, and motord, without the emulator's own share where it can be told apart."""
    rig.deployed()
    done = rig.deploy("--policy", "person", *SLOW)
    if done.code != 0:
        return False, done.words
    guest = rig.guest()
    until = time.monotonic() + 180.0
    sizes: dict[str, tuple[int, int, int]] = {}
    while not sizes or (sizes["edgebot"][2] < 2 and time.monotonic() < until):  # perception has a process of its own
        time.sleep(20.0)  # some pictures are looked at
        sizes = {unit: resident(guest, unit) for unit in ("edgebot-motord", "edgebot")}
    own, all_ = (sum(size[index] for size in sizes.values()) / 1e6 for index in (0, 1))
    parts = ", ".join(f"{unit} {size[0] / 1e6:.0f} MB in {size[2]} processes" for unit, size in sizes.items())
    good = own <= 200 and sizes["edgebot"][2] >= 2
    return good, f"{own:.0f} MB: {parts} (with the emulator's translations {all_:.0f} MB; bar: 200)"


def resident(guest: Guest, unit: str) -> tuple[int, int, int]:
    """Bytes that a unit's processes hold, shared pages divided: without and with the emulator's; and how many they are.

    An emulator's translated code lies in mappings that can be written and executed; no program of ours has any.
    """
    folder = f"$(systemctl show -p ControlGroup --value {unit})/cgroup.procs"  # of either kind of control groups
    said = guest.ssh(f"cat /sys/fs/cgroup{folder} /sys/fs/cgroup/systemd{folder} 2>/dev/null || true").stdout
    group = guest.outside(said.split())
    own = every = 0
    for pid in group:
        for entry in re.split(r"(?m)^(?=[0-9a-f]+-[0-9a-f]+ )", Path(f"/proc/{pid}/smaps").read_text())[1:]:
            size = 1024 * int(re.search(r"^Pss:\s+(\d+)", entry, re.MULTILINE)[1])  # type: ignore[index]
            every += size
            head = entry.splitlines()[0].split(maxsplit=5)
            if "wx" not in head[1] and "qemu" not in head[-1]:
                own += size
    return own, every, len(group)


def processor_in_the_loop(rig: Rig) -> Found:
    """`edgebot sim --serve` on this machine, the deployed runtime on the other processor, over the network."""
    rig.deployed()
    guest = rig.guest()
    token = rig.folder / "link.token"
    listen = f"{guest.gateway}:7246"
    serve = ["sim", "--serve", "--seed", "7", "--listen", listen, "--token", str(token)]
    command = [sys.executable, "-m", "edge.cli", *serve]
    server = subprocess.Popen(command, cwd=ROOT, stderr=subprocess.PIPE, text=True)
    try:
        assert server.stderr is not None and "serving" in server.stderr.readline()
        text = shlex.quote(token.read_text())
        guest.ssh(f"umask 077; printf %s {text} > /run/link.token; chown edgebot /run/link.token")
        run = f"cd /tmp; {EDGEBOT} run --body tcp://{listen} --token /run/link.token --policy light --rate 10"
        ended: dict[str, Any] = json.loads(guest.ssh(f"{run} --duration 30 --json", limit_s=600).stdout)
        server.terminate()
        said = server.stderr.read()
    finally:
        server.kill()
        server.wait()
    link = ended["link"]
    verdict = next((line.split(": ", 1)[1] for line in said.splitlines() if "the run lived" in line), "no verdict")
    good = ended["ended"] in ("duration", "goal") and link is not None and "goal" in verdict
    return good, f"{ended['ticks']} iterations, {ended['distance_m']:.2f} m; {link}; the laptop: {verdict}"


ROWS = (
    Plan("doctor", "edgebot doctor on the target", doctor),
    Plan("bits", "the shipped detector on two inputs, arm64 against x86", bits),
    Plan("drive", "the simulated body driven for 30 s by the shipped detector", drives, long=True),
    Plan("kill", "SIGKILL of the runtime: motord at zero, started again", partial(dies, 9)),
    Plan("stop", "SIGSTOP of the runtime: motord at zero, started again", partial(dies, 19), long=True),
    Plan("memory", "resident: runtime with the detector, and motord", memory, long=True),
    Plan("processor", "processor in the loop: body on x86, runtime on arm64", processor_in_the_loop, long=True),
)
