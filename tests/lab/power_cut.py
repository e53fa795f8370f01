"""A power cut: a guest records onto a virtual disk, its machine is killed, the disk is read and the recording repaired.

    python tests/lab/power_cut.py --cuts 10 --write        about 10 minutes; the table goes to docs/recording.md

The guest is x86 with Debian's kernel under qemu's emulation. It sees this machine's files, read-only, over 9p, and runs
the recorder from them onto an ext4 disk of its own; what it hands to the recorder it tells over a serial line, which
lies outside it. `kill -9` of qemu then takes its memory away, as a power cut takes a Pi's. Two disks are looked at:

* as it was: what the guest's kernel had sent to the disk is there, as on a disk without a cache of its own;
* the worst one: the disk had a cache and lost all that it had not confirmed by a flush (qemu's log of writes, played
  up to the last flush).

Needs Debian's qemu-system-x86, busybox-static, cpio, e2fsprogs and kmod, and downloads Debian's kernel; not in CI.
"""

from __future__ import annotations

import argparse
import random
import shutil
import struct
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from tests.edge.recordings.kills import Outcome, about, judge, table, trace, write_section  # noqa: E402
from tests.lab import guest  # noqa: E402

DISK_MB = 192
START_S = 240.0
MODULES = ("virtio_pci", "virtio_blk", "ext4", "crc32c_generic", "9p", "9pnet_virtio")

INIT = """\
#!/bin/busybox sh
/bin/busybox mkdir -p /proc /sys /dev /host
/bin/busybox mount -t proc proc /proc
/bin/busybox mount -t sysfs sys /sys
/bin/busybox mount -t devtmpfs dev /dev
for module in @modules@; do /bin/busybox insmod /modules/$module.ko; done
/bin/busybox mount -t 9p -o ro,trans=virtio,version=9p2000.L,cache=loose,msize=262144 host /host
/bin/busybox mount -t ext4 /dev/vda /host/mnt
/bin/busybox mount --bind /dev /host/dev
/bin/busybox mount --bind /proc /host/proc
/bin/busybox stty -F /dev/ttyS1 raw
echo recording
cd /host
export HOME=/mnt PYTHONDONTWRITEBYTECODE=1 OPENBLAS_NUM_THREADS=1 OMP_NUM_THREADS=1
exec /bin/busybox chroot /host /bin/sh -c 'cd {root} && exec {python} -m tests.edge.recordings.victim \
/mnt/run.mcap /dev/ttyS1 --hz {hz} --fps {fps} --width {width} --plain'
"""


def cut(folder: Path, ram: Path, seed: int, accelerator: str) -> tuple[Outcome, Outcome]:
    """One guest, one cut; what is left on the disk as it was, and on the worst one."""
    folder.mkdir()
    disk, blank, log, told, console = (
        folder / name for name in ("disk.img", "blank.img", "writes.log", "trace.txt", "console.txt")
    )
    guest.empty_disk(blank, DISK_MB)
    shutil.copy(blank, disk)
    log.touch()
    with log.open("wb") as file:
        file.truncate(4 * DISK_MB << 20)
    qemu = guest.qemu(
        ram, "", [console, told],
        "-blockdev", f"driver=file,filename={disk},node-name=bottom",
        "-blockdev", f"driver=file,filename={log},node-name=log",
        "-blockdev", "driver=blklogwrites,file=bottom,log=log,node-name=logged",
        "-blockdev", "driver=raw,file=logged,node-name=top",
        "-device", "virtio-blk-pci,drive=top,write-cache=on", accel=accelerator,
    )  # fmt: skip
    try:
        until = time.monotonic() + START_S
        while not (told.exists() and told.stat().st_size):
            if qemu.poll() is not None or time.monotonic() > until:
                said = console.read_text(errors="replace")[-2000:] if console.exists() else ""
                why = qemu.stderr.read().decode() if qemu.poll() is not None and qemu.stderr else ""
                raise RuntimeError(f"the guest did not begin to record: {said} {why}")
            time.sleep(0.05)
        time.sleep(random.Random(seed).uniform(3.0, 13.0))
    finally:
        qemu.kill()
        qemu.wait()
    handed = trace(told)
    worst = folder / "worst.img"
    shutil.copy(blank, worst)
    replay(log, worst)
    return judge(recording(disk, folder / "was.mcap"), handed), judge(recording(worst, folder / "worst.mcap"), handed)


FLUSH = 1


def replay(log: Path, disk: Path) -> None:
    """Write onto `disk` what a log of writes (the kernel's dm-log-writes format) holds up to its last flush."""
    with log.open("rb") as file, disk.open("r+b") as target:
        magic, _, _, sector = struct.unpack("<QQQI", file.read(28))
        if magic != 0x6A736677736872:
            raise RuntimeError(f"{log} is no log of writes")
        file.seek(sector)
        entries, last_flush = [], 0
        while len(head := file.read(sector)) == sector:
            where, count, flags, size = struct.unpack_from("<QQQQ", head)
            if not (where or count or flags or size):
                break
            place = file.tell()
            if count and not flags & 4:  # no discard
                entries.append((where * sector, place, count * sector))
                file.seek(place + count * sector)
            if flags & FLUSH:
                last_flush = len(entries)
        for where, place, size in entries[:last_flush]:
            file.seek(place)
            target.seek(where)
            target.write(file.read(size))


def recording(disk: Path, target: Path) -> Path:
    """Mend the file system as the next boot would, and take the recording out of it."""
    guest.run("e2fsck", "-fy", disk, good=(0, 1))
    guest.run("debugfs", "-R", f"dump /run.mcap {target}", disk)
    if not target.exists() or not target.stat().st_size:
        raise RuntimeError(f"there is no recording on {disk}")
    return target


def main(argv: list[str]) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cuts", type=int, default=10)
    parser.add_argument("--hz", type=float, default=50.0, help="iterations a second (default %(default)s)")
    parser.add_argument("--fps", type=float, default=5.0, help="frames a second (default %(default)s: it is slow)")
    parser.add_argument("--width", type=int, default=320)
    parser.add_argument("--accel", default="tcg", help="qemu's accelerator (default %(default)s: emulation)")
    parser.add_argument("--write", action="store_true", help="into docs/recording.md")
    args = parser.parse_args(argv)
    was, worst = [], []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        # The interpreter by its own path: the venv's link leads to it, and its libraries are found beside the link.
        init = INIT.format(root=ROOT, python=sys.executable, hz=args.hz, fps=args.fps, width=args.width)
        ram = guest.initramfs(folder, MODULES, init)
        for seed in range(args.cuts):
            found = cut(folder / str(seed), ram, seed, args.accel)
            for outcomes, outcome in zip((was, worst), found, strict=True):
                outcomes.append(outcome)
                print(f"cut {seed}: {outcome}", file=sys.stderr)
            shutil.rmtree(folder / str(seed))
    texts = [
        table(was, "power cuts, the disk as it was"),
        table(worst, "the same cuts, all lost that the disk had not confirmed"),
    ]
    print("\n\n".join(texts))
    if args.write:
        command = f"python tests/lab/power_cut.py --cuts {args.cuts} --write"
        write_section("power cut", "\n\n".join([about(command), *texts]))
    return 0 if all(found.lost_s <= found.bound_s + found.stall_s for found in was + worst) else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
