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
from tests.lab.deploy_rig import EXPECTED, ROOT, SLOW, Rig
from tests.lab.deploy_rows import unit
from tests.lab.nspawn import Guest

EDGEBOT = "sudo -u edgebot /usr/local/bin/edgebot"
MOVES = ("--", "--rate", "10")  # at 5 a second each command would be out of date before the next
DRIVE = ("--policy", "person", "--seed", "7", "--duration", "30", "--json")
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


def doctor(rig: Rig) -> Found:
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
    """The simulated body, in its own time, here and there."""
    rig.deployed()
    there = json.loads(rig.guest().ssh(f"cd /tmp; {EDGEBOT} run --sim {' '.join(DRIVE)}", limit_s=1500).stdout)
    command = [sys.executable, "-m", "edge.cli", "run", "--sim", *DRIVE]
    here = json.loads(subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout)
    names = ("ended", "ticks", "duration_s", "reasons")
    same = all(there[name] == here[name] for name in names) and abs(there["distance_m"] - here["distance_m"]) < 1e-6
    words = (f"{one['ticks']} iterations, {one['distance_m']:.6f} m, ended by {one['ended']}" for one in (there, here))
    return there["ended"] in ("duration", "goal") and same, "; on x86: ".join(words)


def dies(number: int, rig: Rig) -> Found:
    """The runtime gets a signal while wheels turn: what motord does at once, and systemd after."""
    rig.deployed()
    if "--policy random" not in unit(rig):
        done = rig.deploy("--policy", "random", *MOVES)
        if done.code != 0:
            return False, done.words
    rig.settled()
    status = "/usr/local/bin/edgebot motors status --json"
    still = '"applied": {"left": 0.0, "right": 0.0}'
    said = rig.guest().ssh(
        f"cd /tmp; for i in $(seq 40); do before=$({status}); case $before in *'{still}'*) ;; *) break;; esac; done;"
        f' echo "$before"; p=$(systemctl show -p MainPID --value edgebot); kill -{number} $p; sleep 3; {status}; echo;'
        " for i in $(seq 200); do q=$(systemctl show -p MainPID --value edgebot);"
        ' [ "$q" != "$p" ] && [ "$q" != 0 ] && systemctl -q is-active edgebot && break; sleep 1; done;'
        ' echo "again after $i s"; systemctl is-active edgebot',
        limit_s=600,
    ).stdout
    first, second, again, active = (line for line in said.strip().splitlines() if line)
    before, after = json.loads(first), json.loads(second)
    at_zero = {"left": 0.0, "right": 0.0}
    good = before["applied"] != at_zero and after["applied"] == at_zero and active == "active"
    return good, f"applied {before['applied']}, then {after['applied']}: {after['cause']}; {again}, {active}"


def memory(rig: Rig) -> Found:
    """Runtime with the detector, and motord, without the emulator's own share where it can be told apart."""
    rig.deployed()
    done = rig.deploy("--policy", "person", *SLOW)
    if done.code != 0:
        return False, done.words
    time.sleep(20.0)  # some pictures are looked at
    guest = rig.guest()
    sizes = {unit: resident(guest, unit) for unit in ("edgebot-motord", "edgebot")}
    own, all_ = (sum(size[index] for size in sizes.values()) / 1e6 for index in (0, 1))
    parts = ", ".join(f"{unit} {size[0] / 1e6:.0f} MB in {size[2]} processes" for unit, size in sizes.items())
    return own <= 200, f"{own:.0f} MB: {parts} (with the emulator's translations {all_:.0f} MB; bar: 200)"


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
    Plan("drive", "the simulated body driven for 30 s by the shipped detector, arm64 against x86", drives, long=True),
    Plan("kill", "SIGKILL of the runtime: motord at zero, started again", partial(dies, 9)),
    Plan("stop", "SIGSTOP of the runtime: motord at zero, started again", partial(dies, 19), long=True),
    Plan("memory", "resident: runtime with the detector, and motord", memory, long=True),
    Plan("processor", "processor in the loop: body on x86, runtime on arm64", processor_in_the_loop, long=True),
)
