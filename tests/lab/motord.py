"""motord's death on kernel lines that outlive it: a guest with a simulated GPIO chip, systemd and the rendered unit.

    python tests/lab/motord.py --write      about 8 minutes; the table goes to docs/proof-motord.md
    python tests/lab/motord.py --keep rows.json --parts 2       two parts that are not there yet, and so on

The guest is x86 with Debian's kernel under qemu's emulation and this machine's files, read-only. Its GPIO chip is the
kernel's gpio-sim, built from Debian's source of the same kernel: a line that nobody holds falls to its pull, as a
released pin does on a Raspberry Pi with strict_gpiod; its level is read through sysfs, outside of every process that
is killed. See docs/proof-motord.md for what this shows and what only a real Pi can. Not in CI.
"""

from __future__ import annotations

import argparse
import json
import signal
import subprocess
import sys
import sysconfig
import tempfile
import time
import zipfile
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from tests.lab import guest, motord_table  # noqa: E402

MODULES = ("virtio_pci", "virtio_blk", "ext4", "crc32c_generic", "9p", "9pnet_virtio", "configfs")
LIMIT_S = 900.0

INIT = """\
#!/bin/busybox sh
b=/bin/busybox
$b mkdir -p /proc /sys /dev /host /new
$b mount -t proc proc /proc
$b mount -t sysfs sys /sys
$b mount -t devtmpfs dev /dev
for module in @modules@; do $b insmod /modules/$module.ko; done
$b mount -t 9p -o ro,trans=virtio,version=9p2000.L,cache=loose,msize=262144 host /host
$b mount -t tmpfs -o mode=755 root /new
cd /new
$b mkdir -p proc sys dev run tmp var/lib etc/systemd/system etc/edgebot root lab/source usr {folders}
$b chmod 1777 tmp
$b chmod 755 root
for name in bin sbin lib lib64; do $b ln -s usr/$name $name; done
for folder in usr {folders}; do $b mount --bind /host/$folder $folder; done
$b mount --bind /host/{source} lab/source
$b cp -r /etc/. etc
$b cp /host/etc/ld.so.cache etc
$b cp /lab/lines lab/lines
$b mount -t ext4 /dev/vda var/lib
for unit in {masked}; do $b ln -s /dev/null etc/systemd/system/$unit; done
$b umount /proc /sys
$b mount --move /dev dev
exec $b switch_root /new /usr/lib/systemd/systemd
"""

MASKED = (
    "systemd-udevd.service systemd-udev-trigger.service systemd-hwdb-update.service systemd-timesyncd.service "
    "systemd-random-seed.service systemd-machine-id-commit.service systemd-pstore.service systemd-binfmt.service "
    "systemd-update-utmp.service systemd-journal-flush.service systemd-modules-load.service kmod-static-nodes.service "
    "systemd-sysctl.service systemd-sysusers.service systemd-firstboot.service systemd-tmpfiles-setup-dev.service "
    "systemd-journal-catalog-update.service ldconfig.service systemd-update-done.service dev-hugepages.mount "
    "dev-mqueue.mount sys-kernel-debug.mount sys-kernel-tracing.mount sys-fs-fuse-connections.mount "
    "proc-sys-fs-binfmt_misc.automount systemd-udevd-control.socket systemd-udevd-kernel.socket "
    "systemd-remount-fs.service systemd-boot-system-token.service systemd-network-generator.service"
)

LAB_UNIT = """\
[Unit]
Description=the proof
After=basic.target
[Service]
Type=exec
WorkingDirectory=/lab/source
Environment=PYTHONPATH=/lab/source PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1
ExecStart={python} -m tests.lab.motord_guest
StandardOutput=journal+console
StandardError=journal+console
"""

TARGET = "[Unit]\nDescription=the lab\nRequires=basic.target lab.service\nAfter=basic.target\nAllowIsolate=yes\n"

DROP_IN = """\
# What differs from a robot: the chip is simulated, lgpio comes from a folder of its own, Python starts more slowly.
[Service]
TimeoutStopSec=90
TimeoutStartSec=90
ExecStart=
ExecStart={bin}/edgebot-motord --config /etc/edgebot/motord.json --pins chip:0
ExecStopPost=
ExecStopPost=-/usr/bin/pinctrl set {pins} op dl
ExecStopPost=-{bin}/edgebot-motord --pins-low --config /etc/edgebot/motord.json --pins chip:0
Environment="EDGEBOT_FIRMWARE_UNCHECKED=simulated lines have no firmware" PYTHONPATH=/lab/source:{site}
"""


def lgpio() -> Path:
    """lgpio for this Python, unpacked beside."""
    site = guest.CACHE / f"lgpio-{sysconfig.get_python_version()}"
    if not (site / "lgpio.py").exists():
        with tempfile.TemporaryDirectory() as name:
            pip = (sys.executable, "-m", "pip", "download", "-q", "--no-deps", "--only-binary=:all:")
            guest.run(*pip, "-d", name, "lgpio>=0.2.2")
            (wheel,) = Path(name).glob("lgpio-*.whl")
            zipfile.ZipFile(wheel).extractall(site)
    return site


def kept(path: Path | None, commit: str) -> tuple[list[dict[str, Any]], float]:
    """Rows of earlier calls for the same commit, and how long they took (s)."""
    if path is None or not path.exists():
        return [], 0.0
    found = json.loads(path.read_text())
    if found["commit"] != commit:
        sys.exit(f"{path} has rows of commit {found['commit']}, not of {commit}; give --commit, or another file")
    return found["rows"], found["took_s"]


def export(folder: Path, commit: str) -> None:
    """That commit's files into `folder`, so that nobody's edits come between."""
    folder.mkdir()
    packed = subprocess.run(["git", "archive", commit], cwd=ROOT, capture_output=True, check=True)
    subprocess.run(["tar", "-x", "-C", folder], input=packed.stdout, check=True)
    for compiled in (folder / "robot", folder / "tests" / "lab", lgpio()):  # as an installation is
        guest.run(sys.executable, "-m", "compileall", "-q", compiled)


def files() -> dict[str, str]:
    """Everything that the guest finds in /etc, the units as `edgebot units` renders them."""
    from edge.units.render import MOTORD_JSON, Place, render
    from robot.config import load

    place = Place(robot=f"{ROOT}/robot/example.toml", bin=str(Path(sys.executable).parent), user="robot")
    config = load(ROOT / "robot" / "example.toml")
    rendered = render(config, place)
    pins = ",".join(str(pin) for name, pin in config.pins().items() if name.startswith("drive."))
    drop_in = DROP_IN.format(bin=place.bin, pins=pins, site=lgpio())
    return {
        "etc/edgebot/motord.json": rendered[MOTORD_JSON],
        "etc/systemd/system/edgebot-motord.service": rendered["edgebot-motord.service"],
        "etc/systemd/system/edgebot-motord.service.d/lab.conf": drop_in,
        "etc/systemd/system/lab.service": LAB_UNIT.format(python=sys.executable),
        "etc/systemd/system/lab.target": TARGET,
        "etc/passwd": "root:x:0:0:root:/root:/bin/sh\nrobot:x:1000:1000::/tmp:/bin/sh\n",
        "etc/group": "root:x:0:\ngpio:x:997:robot\nrobot:x:1000:\ntty:x:5:\n",
        "etc/nsswitch.conf": "passwd: files\ngroup: files\n",
        "etc/machine-id": "0123456789abcdef0123456789abcdef\n",
        "etc/os-release": "ID=lab\n",
    }


def archive(folder: Path, source: Path) -> Path:
    """The guest's initramfs."""
    shared = {str(path).strip("/") for path in (Path(sys.base_prefix), Path(sys.prefix), lgpio())}
    outer = sorted(one for one in shared if not any(one != other and one.startswith(f"{other}/") for other in shared))
    outer = [one for one in outer if not one.startswith("usr")]
    lines = folder / "lines"
    guest.run("gcc", "-O2", "-static", "-o", lines, source / "tests" / "lab" / "lines.c")
    init = INIT.format(folders=" ".join(outer), source=str(source).strip("/"), masked=MASKED)
    return guest.initramfs(folder, MODULES, init, [guest.gpio_sim()], files(), {"lab/lines": lines})


def boot(
    folder: Path, ram: Path, disk: Path, phase: int, parts: list[str], rows: list[dict[str, Any]], accel: str
) -> str:
    """One boot, whose rows are appended; returns how it ended: reboot, cut, off."""
    console, told = folder / f"console{phase}.txt", folder / f"told{phase}.txt"
    process = guest.qemu(
        ram, f"systemd.unit=lab.target systemd.show_status=no loglevel=3 lab.phase={phase} lab.parts={','.join(parts)}",
        [console, told],
        "-drive", f"file={disk},format=raw,if=virtio,cache=writeback", cores=2, accel=accel,
    )  # fmt: skip
    until, seen, first = time.monotonic() + LIMIT_S, 0, len(rows)
    try:
        while True:
            over = process.poll() is not None
            found = told.read_text().split("\n")[:-1] if told.exists() else []
            for text in found[seen:]:
                row = json.loads(text)
                print(row, file=sys.stderr)
                if "end" in row and row["end"] == "failed":
                    raise RuntimeError(f"in the guest: {row['why']}\n{console.read_text(errors='replace')[-6000:]}")
                if row.get("end") in ("cut", "off"):  # it has nothing more to tell
                    return str(row["end"])
                rows.append(row | {"boot": phase})
            seen = len(found)
            if over:
                return str(next((row["end"] for row in reversed(rows[first:]) if "end" in row), "died"))
            if time.monotonic() > until:
                raise RuntimeError(f"the guest did not end: {console.read_text(errors='replace')[-4000:]}")
            time.sleep(0.1)
    finally:
        process.kill()
        process.wait()


def help_ms() -> float:
    """How long this machine itself takes to start motord's program."""
    began = time.monotonic()
    subprocess.run([Path(sys.executable).parent / "edgebot-motord", "--help"], capture_output=True, check=True)
    return (time.monotonic() - began) * 1e3


def main(argv: list[str]) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--commit", default="HEAD", help="to prove (default %(default)s); edits on disk do not count")
    parser.add_argument("--accel", default="tcg", help="qemu's accelerator (default %(default)s: emulation)")
    parser.add_argument("--keep", type=Path, metavar="FILE", help="rows as JSON: those there are taken, new ones added")
    parser.add_argument("--parts", type=int, default=len(motord_table.PARTS), help="at most so many (default: all)")
    parser.add_argument("--write", action="store_true", help="write docs/proof-motord.md")
    args = parser.parse_args(argv)
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(1))  # the guest ends with this program
    commit = guest.run("git", "rev-parse", "--short", args.commit, cwd=ROOT).strip()
    rows, before_s = kept(args.keep, commit)
    parts = motord_table.missing(rows)[: args.parts]
    began = time.monotonic()
    try:
        with tempfile.TemporaryDirectory(prefix="edgebot-lab-") as name:
            folder = Path(name)
            folder.chmod(0o755)
            export(folder / "source", commit)
            ram, disk = archive(folder, folder / "source"), guest.empty_disk(folder / "disk.img", 64)
            ends = ("reboot", "cut", "off") if "latched" in parts else ("off",)
            for phase, wanted in enumerate(ends if parts else (), 1):
                how = boot(folder, ram, disk, phase, parts, rows, args.accel)
                if how != wanted:
                    said = (folder / f"console{phase}.txt").read_text(errors="replace")[-4000:]
                    raise RuntimeError(f"boot {phase} ended by {how!r} instead of {wanted!r}: {said}")
    except RuntimeError as error:
        print(f"{error}\n{len(rows)} rows were there until then", file=sys.stderr)
        return 2
    finally:
        took_s = before_s + time.monotonic() - began
        if args.keep:
            args.keep.write_text(json.dumps({"commit": commit, "took_s": took_s, "rows": rows}, indent=1))
    text, good = motord_table.document(rows, commit, took_s, help_ms(), args.accel)
    print(text)
    if args.write:
        (ROOT / "docs" / "proof-motord.md").write_text(text)
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
