"""Target C: a board of qemu's with a kernel of its own, Trixie on a virtual disk, and a GPIO chip that is read outside.

The chip is the board's PL061, eight lines, of which line 3 is its power button. Levels are asked of the emulator: no
process of the guest, and not its kernel either, has a part in reading them.
"""

from __future__ import annotations

import json
import shutil
import socket
import subprocess
import threading
import time
from pathlib import Path
from types import TracebackType
from typing import Any

from tests.lab import guest, power_cut, roots
from tests.lab.nspawn import Reached

DISK_MB = 2560
BOOT_S = 600.0
MODULES = ("virtio_blk", "virtio_net", "crc32c_generic", "ext4")
DATA, DIRECTION = 0x0903_03FC, 0x0903_0400  # the PL061's registers in the "virt" board's memory

INIT = """\
#!/bin/busybox sh
b=/bin/busybox
$b mkdir -p /proc /sys /dev /new
$b mount -t proc proc /proc
$b mount -t sysfs sys /sys
$b mount -t devtmpfs dev /dev
for module in @modules@; do $b insmod /modules/$module.ko; done
$b ip addr add 10.0.2.15/24 dev eth0
$b ip link set eth0 up
$b ip route add default via 10.0.2.2
until $b mount -t ext4 /dev/vda /new; do $b sleep 1; done
$b umount /proc /sys
$b mount --move /dev /new/dev
exec $b switch_root /new /sbin/init
"""


class Board(Reached):
    """One board on a disk image.

    Args:
        folder: of its files.
        disk: the image; see `disk_of`.
        logged: every write to the disk goes into a log as well, from a blank copy of it on (see `worst`).
    """

    def __init__(self, folder: Path, disk: Path, logged: bool = False) -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self._port = free.getsockname()[1]
        super().__init__("board", folder, f"127.0.0.1:{self._port}")
        self.disk, self._logged = disk, logged
        self._log, self._blank = folder / "writes.log", folder / "blank.img"
        self._process: subprocess.Popen[bytes] | None = None
        if logged:
            copied(disk, self._blank)
            with self._log.open("wb") as file:
                file.truncate(4 * DISK_MB << 20)

    @property
    def _monitor(self) -> Path:
        return self.folder / "board.qmp"

    def boot(self) -> float:
        """Start; seconds until its sshd answers."""
        self.known_hosts.unlink(missing_ok=True)
        self._monitor.unlink(missing_ok=True)
        console = self.folder / "board.console"
        image, _ = roots.kernel()
        drive = ["-blockdev", f"driver=file,filename={self.disk},node-name=bottom"]
        if self._logged:
            drive += ["-blockdev", f"driver=file,filename={self._log},node-name=log"]
            drive += ["-blockdev", "driver=blklogwrites,file=bottom,log=log,node-name=logged"]
        self._process = subprocess.Popen(
            [
                "qemu-system-aarch64", "-M", "virt", "-cpu", "cortex-a72", "-smp", "2", "-m", "2048",
                "-accel", "tcg,thread=multi", "-display", "none", "-nodefaults", "-no-reboot",
                "-kernel", str(image), "-initrd", str(ramdisk(self.folder)),
                "-append", "console=ttyAMA0 panic=-1 quiet systemd.show_status=no "
                "systemd.mask=serial-getty@ttyAMA0.service",
                "-serial", f"file:{console}", "-qmp", f"unix:{self._monitor},server=on,wait=off",
                "-netdev", f"user,id=net,hostfwd=tcp:127.0.0.1:{self._port}-:22",
                "-device", "virtio-net-pci,netdev=net,romfile=",
                *drive, "-blockdev", f"driver=raw,file={'logged' if self._logged else 'bottom'},node-name=top",
                "-device", "virtio-blk-pci,drive=top,write-cache=on",
            ],
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        return self.answering(self._process, console, BOOT_S)

    def shut_down(self) -> None:
        """As one should, with its file system unmounted."""
        self.ssh("systemctl poweroff", check=False)
        if self._process is not None:
            self._process.wait(300.0)

    def kill(self) -> None:
        """As if the power went: `kill -9` of the emulator, which takes the guest's memory with it."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def worst(self, disk: Path) -> None:
        """Make the disk that it would be if all were lost that the disk had not confirmed by a flush."""
        copied(self._blank, disk)
        power_cut.replay(self._log, disk)

    def lines(self) -> Lines:
        """The GPIO chip, to be read."""
        return Lines(self._monitor)


class Lines:
    """Reads the chip's lines until it is left, about every millisecond.

    Attributes:
        changes: seconds since the machine started, and a bit for each line that is an output and high.
        gap_s: the longest time between two looks.
        until: when it looked last.
    """

    def __init__(self, monitor: Path) -> None:
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.connect(str(monitor))
        self._file = self._socket.makefile("r")
        self._file.readline()
        self._ask("qmp_capabilities")
        self.changes: list[tuple[float, int]] = []
        self.gap_s = self.until = 0.0
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._look, daemon=True)

    def __enter__(self) -> Lines:
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._over.set()
        self._thread.join(5.0)
        self._file.close()  # the monitor lets the next one in only when this one has gone
        self._socket.close()

    def _ask(self, command: str, **arguments: Any) -> Any:
        self._socket.sendall(json.dumps({"execute": command, "arguments": arguments}).encode() + b"\n")
        while True:
            answer = json.loads(self._file.readline())
            if "return" in answer:
                return answer["return"]
            if "error" in answer:
                raise RuntimeError(f"qemu: {answer['error']['desc']}")

    def _register(self, address: int) -> int:
        said = self._ask("human-monitor-command", **{"command-line": f"xp /1xw {address:#x}"})
        return int(said.split(":")[1], 16) & 0xFF

    def _look(self) -> None:
        self.until = time.monotonic()
        while not self._over.is_set():
            now = time.monotonic()
            high = self._register(DATA) & self._register(DIRECTION)
            self.gap_s, self.until = max(self.gap_s, now - self.until), now
            if not self.changes or self.changes[-1][1] != high:
                self.changes.append((now, high))
            time.sleep(0.0005)

    def share(self, line: int, begin: float, end: float) -> float:
        """The share of this time for which a line was high."""
        total, level, since = 0.0, 0, begin
        for stamp, high in [*self.changes, (end, 0)]:
            if begin <= stamp <= end:
                total += (stamp - since) * level
                since = stamp
            if stamp <= end:
                level = high >> line & 1
        return total / (end - begin)


def ramdisk(folder: Path) -> Path:
    """busybox and what Debian's kernel needs to find its disk."""
    made = folder / "ramdisk"
    if not (made / "initramfs.gz").exists():
        shutil.rmtree(made, ignore_errors=True)
        made.mkdir()
        busybox = roots.unpacked("busybox-static", "arm64", roots.ARM / "busybox") / "usr/bin/busybox"
        guest.initramfs(made, MODULES, INIT, shelf=roots.kernel()[1], busybox=busybox)
    return made / "initramfs.gz"


def copied(disk: Path, other: Path) -> None:
    """A copy that takes no more room than what is written in it."""
    guest.run("cp", "--sparse=always", disk, other)


def disk_of(tree: Path, disk: Path) -> None:
    """An ext4 image of a root."""
    disk.unlink(missing_ok=True)
    guest.run("mke2fs", "-q", "-t", "ext4", "-d", tree, disk, f"{DISK_MB}M")
