"""deploy.sh against an arm64 guest with systemd: real ssh, rsync, pip and units; cut off at every point.

    python tests/lab/deploy.py --write               about half an hour on two idle cores; writes docs/proof-deploy.md
    python tests/lab/deploy.py --quick               at most 15 minutes: fewer cuts, no page

Target B of the lab: systemd-nspawn on an emulated bookworm root (`tests/lab/roots.py` makes it, once). Each row is
written down when it is known, so that a proof which is cut short tells what it reached.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from edge.deploy import wheels  # noqa: E402
from tests.lab import deploy_page, nspawn  # noqa: E402
from tests.lab.nspawn import Guest  # noqa: E402

# What the emulator and a container lack, and what keeps an emulated robot from taking the machine from everybody.
DROP_IN = """\
[Service]
PrivateNetwork=no
IPAddressDeny=
Nice=5
LimitRTPRIO=0
WatchdogSec={watchdog}
Environment=EDGEBOT_REALTIME=off
"""
EXPECTED = ("loop jitter",)  # of the doctor: an emulator is too slow to be punctual
ARGUMENTS = ("--", "--rate", "5")
BIT_EQUAL = """
import hashlib, sys
import numpy as np
from edge.interpreter import open_model
from edge.perception.detector import SHIPPED
opened, _ = open_model(SHIPPED, "detector")
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


@dataclass
class Done:
    """How a deploy ended."""

    code: int
    seconds: float
    lines: list[str]

    @property
    def words(self) -> str:
        """The table's line of its robot."""
        return next((line for line in reversed(self.lines) if " ok: " in line or "FAILED: " in line), self.lines[-1])


@dataclass
class Proof:
    """The guest, and what is known so far."""

    guest: Guest
    folder: Path
    keep: Path
    rows: list[dict[str, object]] = field(default_factory=list)

    def row(self, what: str, good: bool, found: str, **more: object) -> None:
        """One thing proven, or not."""
        self.rows.append({"what": what, "good": good, "found": found, "at": time.time(), **more})
        self.keep.write_text(json.dumps(self.rows, indent=1))
        print(f"{'ok  ' if good else 'FAIL'} {what}: {found}", file=sys.stderr, flush=True)

    def start(self, *words: str, guests: tuple[Guest, ...] = (), user: str = "pi", cache: Path | None = None,
              standard: bool = True) -> subprocess.Popen[str]:  # fmt: skip
        """deploy.sh, running."""
        hosts = [f"{user}@{one.address}" for one in guests or (self.guest,)]
        environment = os.environ | {
            "EDGEBOT_PYTHON": sys.executable, "EDGEBOT_SSH_OPTIONS": " ".join(self.guest.options()),
        }  # fmt: skip
        if cache is not None:
            environment["EDGEBOT_CACHE"] = str(cache)
        usual = ["--robot", str(ROOT / "robot/example.toml"), "--sim", "--yes"] if standard else []
        for check in EXPECTED if standard and "--strict" not in words else ():
            usual += ["--accept", check]
        command = [ROOT / "deploy.sh", *hosts, *usual, *(word for word in words if word != "--strict")]
        return subprocess.Popen(
            command, text=True, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
            env=environment,
        )  # fmt: skip

    def deploy(self, *words: str, **how: object) -> Done:
        """deploy.sh, to its end."""
        began = time.monotonic()
        process = self.start(*words, **how)  # type: ignore[arg-type]
        out, _ = process.communicate(timeout=1500)
        return Done(process.returncode, time.monotonic() - began, out.strip().splitlines())

    def state(self) -> dict[str, str]:
        """What runs there, once it has settled: waits for a trial to end and for the units."""
        script = (
            "for i in $(seq 240); do systemctl -q is-active edgebot-activate || [ -e /opt/edgebot/pending.json ] "
            "|| break; sleep 1; done; "
            "for i in $(seq 120); do systemctl -q is-active edgebot edgebot-motord && break; sleep 1; done; "
            "echo release=$(basename $(readlink /opt/edgebot/current)); "
            "echo pending=$(ls /opt/edgebot | grep -c pending);"
            " echo motord=$(systemctl is-active edgebot-motord); echo edgebot=$(systemctl is-active edgebot)"
        )
        said = self.guest.ssh(script, limit_s=600).stdout
        return dict(line.split("=", 1) for line in said.splitlines() if "=" in line)

    def runs(self, release: str) -> tuple[bool, str]:
        """Whether that release runs, and nothing is on trial."""
        found = self.state()
        good = found == {"release": release, "pending": "0", "motord": "active", "edgebot": "active"}
        return good, ", ".join(f"{key} {value}" for key, value in found.items())


def furnish(guest: Guest) -> None:
    """Drop-ins for the emulator, which a deploy leaves alone."""
    for unit, watchdog in (("edgebot-motord", 20), ("edgebot", 60)):
        folder = guest.root / f"etc/systemd/system/{unit}.service.d"
        folder.mkdir(parents=True)
        (folder / "lab.conf").write_text(DROP_IN.format(watchdog=watchdog))


LISTING = (
    "find / -xdev \\( -path /proc -o -path /sys -o -path /run -o -path /tmp -o -path /var/log -o -path /var/cache -o "
    "-path /var/lib/apt -o -path /var/lib/dpkg -o -path /usr -o -path /dev -o -path /var/lib/systemd -o -path "
    "/var/tmp -o -name '*.service.d' \\) -prune -o -print; ls -d /usr/local/bin/edgebot /usr/local/lib/edgebot; "
    "getent passwd edgebot; getent group edgebot gpio spi i2c"
)


def first(proof: Proof) -> str:
    """First deploy, the same again, an update; returns the release that runs."""
    done = proof.deploy("--policy", "light", *ARGUMENTS)
    release = running(proof)
    good, found = proof.runs(release)
    proof.row("first deploy to a bare system", done.code == 0 and good, f"{found}; {done.seconds:.0f} s")
    done = proof.deploy("--policy", "light", *ARGUMENTS)
    proof.row(
        "second deploy",
        "nothing to change" in done.words and running(proof) == release,
        f"{done.seconds:.0f} s, nothing changed",
    )
    done = proof.deploy("--policy", "range", *ARGUMENTS)
    updated = running(proof)
    good, found = proof.runs(updated)
    proof.row(
        "update (another policy)", done.code == 0 and good and updated != release, f"{found}; {done.seconds:.0f} s"
    )
    return updated


def running(proof: Proof) -> str:
    """The release that `current` leads to."""
    return proof.guest.ssh("basename $(readlink /opt/edgebot/current || echo none)").stdout.strip()


def broken(proof: Proof, release: str) -> None:
    """Four releases that are no good."""
    cache = proof.folder / "cache"
    shutil.copytree(wheels.CACHE, cache / "deploy", dirs_exist_ok=True)
    victim = next((cache / "deploy").glob("bookworm-*/colorzero-*.whl"))
    victim.write_bytes(victim.read_bytes()[:3000])
    model = proof.folder / "bad.tflite"
    data = bytearray((ROOT / "edge/models/person.tflite").read_bytes())
    data[len(data) // 3] ^= 1
    model.write_bytes(data)
    crash = ("--camera", "--detector", "/nowhere.tflite")
    for what, words, used, code, sentence in (
        ("a bad wheel", ("--policy", "light", *ARGUMENTS), cache, 1, "failed on the robot"),
        ("a bad model", ("--policy", "light", "--model", str(model), *ARGUMENTS), None, 2, "sha256"),
        ("a runtime that crashes at start", ("--policy", "light", *ARGUMENTS, *crash), None, 1, "died 3 times"),
        ("a health that is never green", ("--strict", "--policy", "light", *ARGUMENTS), None, 1, "doctor` fails at"),
    ):
        done = proof.deploy(*words, cache=used)
        good, found = proof.runs(release)
        told = done.words.split("FAILED: ")[-1][:160]
        proof.row(
            f"{what}: the release before runs",
            done.code == code and good and sentence in told,
            f"{found}; told: {told}",
        )


def cut_at(
    proof: Proof, release: str, moments: list[float], what: str, act: Callable[[], None], mend: Callable[[], object]
) -> None:
    """Deploys that are cut off at these seconds."""
    for number, moment in enumerate(moments):
        began = time.monotonic()
        process = proof.start("--policy", "range", "--", "--rate", f"{5 + (number + 1) / 100 + len(what) / 1000}")
        with suppress(subprocess.TimeoutExpired):
            process.wait(moment)
        act()
        late = time.monotonic() - began
        try:
            out, _ = process.communicate(timeout=300)
        except subprocess.TimeoutExpired:
            process.kill()
            out, _ = process.communicate()
        mend()
        good, found = proof.runs(release)
        steps = [line.split(": ", 1)[-1] for line in out.splitlines() if ": " in line and "FAILED" not in line]
        at = steps[-1] if steps else "connecting"
        finished = process.returncode == 0
        if finished:  # it was confirmed before the cut
            release = running(proof)
            good, found = proof.runs(release)
        proof.row(
            f"{what} at {late:.1f} s, while: {at[:60]}",
            good,
            found + (" (was confirmed before)" if finished else ""),
            cut=what,
        )


def on_target(proof: Proof) -> None:
    """The doctor, shipped models, a runtime that dies or hangs."""
    edgebot = "sudo -u edgebot /usr/local/bin/edgebot"
    said = json.loads(proof.guest.ssh(f"cd /tmp; {edgebot} doctor --sim --json || true").stdout)
    bad = {row["check"] for row in said["rows"] if row["level"] == "failure"}
    proof.row(
        "edgebot doctor on the target",
        bad <= set(EXPECTED),
        f"fails at: {', '.join(sorted(bad)) or 'nothing'} (expected: {', '.join(EXPECTED)})",
    )
    (proof.guest.root / "home/pi/bits.py").write_text(BIT_EQUAL)
    script = "cd /tmp; /opt/edgebot/current/venv/bin/python /home/pi/bits.py"
    there = proof.guest.ssh(script, limit_s=900).stdout.strip()
    own = subprocess.run([sys.executable, "-c", BIT_EQUAL], cwd=ROOT, capture_output=True, text=True, check=True)
    same = there == own.stdout.strip()
    found = f"{there[:14]} {there[-64:-52]}...: {'bit-equal' if same else f'differ from {own.stdout.strip()}'}"
    proof.row("the shipped detector on two inputs, arm64 against x86", same, found)
    drive = f"cd /tmp; {edgebot} run --sim --policy person --seed 7 --duration 30 --json"
    ended = json.loads(proof.guest.ssh(drive, limit_s=1500).stdout)
    found = f"{ended['duration_s']:.0f} s of its own time, {ended['ticks']} iterations, ended by {ended['ended']}"
    proof.row("the simulated body driven by the shipped detector", ended["ended"] in ("duration", "goal"), found)
    for name, number in (("SIGKILL", 9), ("SIGSTOP", 19)):
        said = proof.guest.ssh(
            f"p=$(systemctl show -p MainPID --value edgebot); kill -{number} $p; sleep 3; cd /tmp;"
            " /usr/local/bin/edgebot motors status --json; echo;"
            " for i in $(seq 150); do q=$(systemctl show -p MainPID --value edgebot);"
            ' [ "$q" != "$p" ] && systemctl -q is-active edgebot && break; sleep 1; done; echo "again after $i s";'
            " systemctl is-active edgebot",
            limit_s=400,
        ).stdout
        report, *words = said.strip().splitlines()
        applied = json.loads(report)["applied"]
        good = applied == {"left": 0.0, "right": 0.0} and words[-1] == "active"
        cause = json.loads(report)["cause"]
        proof.row(f"{name} of the runtime: motord at zero, started again", good, f"applied {applied}, {cause}; {words}")


def figures(proof: Proof) -> None:
    """Megabytes, seconds, resident memory."""
    said = proof.guest.ssh(
        "du -sm --apparent-size /opt/edgebot/envs /opt/edgebot/releases; for u in edgebot-motord edgebot; do "
        "p=$(systemctl show $u -p MainPID --value); grep VmRSS /proc/$p/status; done"
    ).stdout
    numbers = [int(found) for found in re.findall(r"\d+", re.sub(r"/\S+", "", said))]
    megabytes = numbers[0] + numbers[1]
    proof.row(
        "on disk beyond the system's packages",
        megabytes <= 350,
        f"{megabytes} MB (environment {numbers[0]}, releases {numbers[1]}; bar 350)",
    )
    proof.row(
        "resident, with the emulator's own share",
        True,
        f"motord {numbers[2] / 1e3:.0f} MB, runtime {numbers[3] / 1e3:.0f} MB",
    )


def rest(proof: Proof) -> None:
    """Rollback, full disk, two robots at once."""
    before = running(proof)
    done = proof.deploy("--rollback", "--accept", EXPECTED[0], standard=False)
    good, found = proof.runs(running(proof))
    proof.row("rollback", done.code == 0 and good and running(proof) != before, f"{found}; {done.seconds:.0f} s")
    proof.guest.ssh("mkdir -p /home/pi/.cache/edgebot; mount -t tmpfs -o size=2m,uid=1000 none /home/pi/.cache/edgebot")
    release = running(proof)
    big = proof.folder / "big.tflite"
    shutil.copy(ROOT / "edge/models/person.tflite", big)
    done = proof.deploy("--policy", "random", "--model", str(big), *ARGUMENTS)
    proof.guest.ssh("umount /home/pi/.cache/edgebot")
    good, found = proof.runs(release)
    proof.row(
        "disk full while files come",
        done.code == 1 and good and "disk is full" in done.words,
        f"{found}; told: {done.words.split('FAILED: ')[-1][:120]}",
    )
    done = proof.deploy("--status", standard=False, user="nobodi")
    proof.row(
        "a user without sudo",
        done.code == 1 and "may not use sudo" in done.words,
        done.words.split("FAILED: ")[-1][:120],
    )


def two(proof: Proof, other: Guest) -> None:
    """Two robots at once; the second's disk is full."""
    other.ssh("mkdir -p /opt/edgebot; mount -t tmpfs -o size=60m none /opt/edgebot")
    done = proof.deploy("--policy", "light", *ARGUMENTS, guests=(proof.guest, other))
    lines = [line for line in done.lines if " ok: " in line or "FAILED: " in line]
    good = len(lines) == 2 and " ok: " in lines[0] and "MB free" in lines[1]
    proof.row(
        "two at once, the disk of one too small", done.code == 1 and good, "; ".join(line[:110] for line in lines)
    )


def main(argv: list[str]) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cuts", type=int, default=10, help="of each kind (default %(default)s)")
    parser.add_argument("--quick", action="store_true", help="two cuts of each kind, one guest")
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--keep", type=Path, default=ROOT / "build" / "proof-deploy.json", metavar="FILE")
    parser.add_argument("--write", action="store_true", help="write docs/proof-deploy.md")
    parser.add_argument("--page-of", type=Path, metavar="FILE", help="only the page, of rows that --keep wrote")
    args = parser.parse_args(argv)
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(1))  # the guests end with this program
    args.keep.parent.mkdir(exist_ok=True)
    if args.page_of:
        return page(json.loads(args.page_of.read_text()), args.write)
    folder = nspawn.scratch()
    guests: list[Guest] = []
    proof: Proof | None = None
    try:
        guest = Guest("bookworm", "a", folder, nspawn.new_key(folder))
        guests.append(guest)
        proof = Proof(guest, folder, args.keep)
        furnish(guest)
        proven = {"sources": deploy_page.sources(), "commit": deploy_page.commit()}  # as they are when it begins
        proof.row("the guest boots", True, f"{guest.boot():.0f} s to ssh", **proven)
        before = set(guest.ssh(LISTING, check=False).stdout.splitlines())
        release = first(proof)
        figures(proof)
        broken(proof, release)
        cuts, draw = 2 if args.quick else args.cuts, random.Random(args.seed)
        began_one = time.monotonic()
        proof.deploy("--policy", "light", *ARGUMENTS)
        whole = time.monotonic() - began_one
        release = running(proof)
        moments = [whole * (index + draw.random()) / cuts for index in range(cuts)]

        def plug_in() -> None:
            time.sleep(40.0)  # longer than the robot believes in a silent link
            guest.cable(True)

        cut_at(proof, release, moments, "the link cut", lambda: guest.cable(False), plug_in)
        cut_at(proof, running(proof), moments, "the power cut", guest.kill, guest.boot)
        on_target(proof)
        rest(proof)
        if not args.quick:
            other = Guest("bookworm", "b", folder, nspawn.new_key(folder))
            guests.append(other)
            furnish(other)
            other.boot()
            two(proof, other)
        done = proof.deploy("--uninstall", "--yes", standard=False)
        after = set(guest.ssh(LISTING, check=False).stdout.splitlines())
        left = sorted(
            name
            for name in after - before
            if not re.search(r"/(etc/(group|passwd|shadow|gshadow)-|home/pi/\.cache)", name)
        )
        proof.row(
            "uninstall leaves nothing",
            done.code == 0 and not left,
            ", ".join(left[:6]) or "the same files as before the first deploy",
        )
    except (RuntimeError, subprocess.SubprocessError, NotImplementedError) as error:
        print(f"the proof ended early: {error}", file=sys.stderr)
    finally:
        for one in guests:
            one.close()
        shutil.rmtree(folder, ignore_errors=True)
    return 2 if proof is None else page(proof.rows, args.write)


def page(rows: list[dict[str, object]], write: bool) -> int:
    """Print, and write if asked, what was proven and what was not reached. Returns the exit code."""
    text = deploy_page.document(rows)
    print(text)
    if write:
        deploy_page.PAGE.write_text(text)
    return 0 if all(row["good"] for row in rows) else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
