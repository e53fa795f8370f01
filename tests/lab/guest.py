"""A guest for what needs a kernel of its own: Debian's under qemu's emulation, over this machine's files, read-only.

Nothing is installed here: kernel, headers and sources are packages unpacked into a cache outside the repository. Needs
Debian's qemu-system-x86, busybox-static, cpio, kmod and e2fsprogs, and as root `apt-get download` for the first run;
gpio-sim needs gcc-12 and make besides.
"""

from __future__ import annotations

import gzip
import lzma
import os
import shutil
import subprocess
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path

CACHE = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "edgebot" / "power-cut"

# gpio-sim asks for interrupts that play: Debian's kernel has them not, and does not hand out the one function needed.
_IRQ_SIM = """\
#include <linux/irq.h>
#include <linux/irqdesc.h>
#define irq_to_desc(number) irq_data_to_desc(irq_get_irq_data(number))
#include "irq_sim.c"
"""
_KBUILD = "obj-m := gpio-sim-lab.o\ngpio-sim-lab-y := gpio-sim.o irq_sim_lab.o\n"
_SOURCES = ("drivers/gpio/gpio-sim.c", "drivers/gpio/gpiolib.h", "kernel/irq/irq_sim.c")


def run(*command: str | Path, cwd: Path | None = None, good: tuple[int, ...] = (0,)) -> str:
    """Run a program; what it printed. Raises `RuntimeError` with what it said where it failed."""
    try:
        done = subprocess.run([str(part) for part in command], cwd=cwd, capture_output=True, text=True)
    except FileNotFoundError:
        raise RuntimeError(f"{command[0]} is not installed; see the head of {Path(__file__).name}") from None
    if done.returncode not in good:
        raise RuntimeError(f"{command[0]} failed: {done.stderr.strip() or done.stdout.strip()}")
    return done.stdout


def unpack(package: str, folder: Path) -> None:
    """Download one of Debian's packages and unpack it into `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    run("apt-get", "download", package, cwd=CACHE)
    (archive,) = CACHE.glob(f"{package.partition('=')[0]}_*.deb")
    run("dpkg", "-x", archive, folder)
    archive.unlink()


def kernel() -> tuple[Path, Path]:
    """Debian's kernel and its modules' folder."""
    folder = CACHE / "kernel"
    if not list(folder.glob("boot/vmlinuz-*")):
        depends = run("apt-cache", "depends", "linux-image-amd64")
        unpack(next(line.split()[-1] for line in depends.splitlines() if "Depends:" in line), folder)
    image = next(iter(folder.glob("boot/vmlinuz-*")))
    version = image.name.removeprefix("vmlinuz-")
    if not (folder / "lib" / "modules" / version / "modules.dep").exists():
        run("depmod", "-b", folder, version)
    return image, folder / "lib" / "modules" / version


def gpio_sim() -> Path:
    """The kernel's own simulated GPIO chip as a module: Debian has its source and does not build it, so we do."""
    image, _ = kernel()
    version = image.name.removeprefix("vmlinuz-")
    module = CACHE / "gpio-sim" / version / "gpio-sim-lab.ko"
    if module.exists():
        return module
    said = run("apt-cache", "show", f"linux-headers-{version}").split("\n\n")[0].splitlines()
    release = next(line.removeprefix("Version: ") for line in said if line.startswith("Version: "))
    series = ".".join(version.split(".")[:2])
    common = f"linux-headers-{version.removesuffix('-amd64')}-common"
    place = module.parent
    shutil.rmtree(place, ignore_errors=True)
    for package in (f"linux-headers-{version}", common, f"linux-kbuild-{series}", f"linux-source-{series}"):
        unpack(f"{package}={release}", place)
    source = place / "usr" / "src"
    names = [f"linux-source-{series}/{name}" for name in _SOURCES]
    run("tar", "-xJf", f"linux-source-{series}.tar.xz", *names, cwd=source)
    (source / f"linux-source-{series}.tar.xz").unlink()
    headers = source / f"linux-headers-{version}"
    (headers / "Makefile").write_text(f"include {source / common / 'Makefile'}\n")
    build = place / "build"
    build.mkdir()
    for name in names:
        shutil.copy(source / name, build)
    (build / "irq_sim_lab.c").write_text(_IRQ_SIM)
    (build / "Kbuild").write_text(_KBUILD)
    run("make", "-C", headers, f"M={build}", "modules")
    shutil.copy(build / module.name, module)
    return module


def initramfs(
    folder: Path,
    modules: Iterable[str],
    init: str,
    extra: Iterable[Path] = (),
    texts: Mapping[str, str] | None = None,
    programs: Mapping[str, Path] | None = None,
    shelf: Path | None = None,
    busybox: Path | None = None,
) -> Path:
    """busybox, modules and a script as /init.

    Args:
        folder: an empty one, for the tree and the archive.
        modules: names of the kernel's; what they depend on comes along. The word `@modules@` in `init` becomes the
            list in the order in which they load; they lie in /modules.
        init: the script.
        extra: modules of our own, loaded last.
        texts: more files: path in the guest to text.
        programs: more files: path in the guest to one of ours.
        shelf: of the kernel's modules; of `kernel`'s where it is not given.
        busybox: for the guest's processor; this machine's where it is not given.
    """
    shelf = shelf or kernel()[1]
    needs = {}
    for line in (shelf / "modules.dep").read_text().splitlines():
        path, _, depends = line.partition(":")
        needs[Path(path).name.split(".")[0]] = (path, depends.split())
    order: list[Path] = []
    for name in modules:
        own, depends = needs[name]
        for needed in (*reversed(depends), own):
            if shelf / needed not in order:
                order.append(shelf / needed)
    order += extra
    tree = folder / "tree"
    (tree / "bin").mkdir(parents=True)
    (tree / "modules").mkdir()
    shutil.copy(busybox or shutil.which("busybox") or "/bin/busybox", tree / "bin" / "busybox")
    for module in order:
        data = module.read_bytes()
        plain = tree / "modules" / f"{module.name.split('.')[0]}.ko"
        plain.write_bytes(lzma.decompress(data) if module.suffix == ".xz" else data)
    init = init.replace("@modules@", " ".join(path.name.split(".")[0] for path in order))
    for name, text in {"init": init, **(texts or {})}.items():
        (tree / name).parent.mkdir(parents=True, exist_ok=True)
        (tree / name).write_text(text)
    for name, program in (programs or {}).items():
        (tree / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(program, tree / name)
    (tree / "init").chmod(0o755)
    names = "\n".join(str(path.relative_to(tree)) for path in sorted(tree.rglob("*")))
    pack = ["cpio", "-o", "-H", "newc"]
    packed = subprocess.run(pack, input=names.encode(), cwd=tree, capture_output=True, check=True).stdout
    target = folder / "initramfs.gz"
    target.write_bytes(gzip.compress(packed, 1))
    return target


def empty_disk(path: Path, megabytes: int) -> Path:
    """An ext4 disk."""
    with path.open("wb") as file:
        file.truncate(megabytes << 20)
    run("mkfs.ext4", "-q", "-F", path)
    return path


def qemu(
    ram: Path, words: str, serials: Iterable[Path], *more: str, cores: int = 1, accel: str = "tcg"
) -> subprocess.Popen[bytes]:
    """Start a guest.

    Args:
        ram: its initramfs.
        words: more for the kernel's command line.
        serials: files that take its serial lines; the first is the console.
        more: arguments of qemu's.
        cores: of the guest.
        accel: qemu's accelerator.
    """
    image, _ = kernel()
    lines = [part for path in serials for part in ("-serial", f"file:{path}")]
    return subprocess.Popen(
        [
            "qemu-system-x86_64", "-accel", accel, "-cpu", "max", "-m", "1024", "-smp", str(cores),
            "-display", "none", "-nodefaults", "-no-reboot", "-kernel", str(image), "-initrd", str(ram),
            "-append", f"console=ttyS0 panic=-1 quiet {words}".strip(), *lines,
            "-virtfs", "local,path=/,mount_tag=host,security_model=none,readonly=on,multidevs=remap", *more,
        ],
        stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
    )  # fmt: skip


if __name__ == "__main__":
    print(*kernel(), gpio_sim(), file=sys.stdout, sep="\n")
