"""arm64 Debian roots that stand in for a Raspberry Pi, built once into a cache outside the repository.

    python tests/lab/roots.py bookworm trixie      about 10 minutes each; EDGEBOT_LAB names another cache

Needs root, Debian's mmdebstrap, arch-test, systemd-container, nftables, iproute2, and the network for the first run.
The emulator is qemu-user 10 of Debian trixie, unpacked beside: ai-edge-litert does not start under Debian 12's 7.2.
lgpio for Trixie's Python needs swig and gcc-aarch64-linux-gnu besides.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

LAB = Path(os.environ.get("EDGEBOT_LAB") or Path.home() / ".cache" / "edgebot-lab")
MIRROR = "http://deb.debian.org/debian"
# What Raspberry Pi OS Lite has too; python3-venv and lgpio are not among it.
PACKAGES = (
    "python3,openssh-server,sudo,systemd,systemd-sysv,dbus,iproute2,kmod,udev,ca-certificates,procps,rsync,"
    "libpam-systemd"
)
BINFMT = Path("/proc/sys/fs/binfmt_misc")
MAGIC = (
    r":qemu-aarch64:M::\x7fELF\x02\x01\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00\x02\x00\xb7\x00"
    r":\xff\xff\xff\xff\xff\xff\xff\x00\xff\xff\xff\xff\xff\xff\xff\xff\xfe\xff\xff\xff:{program}:POCF"
)


def apt(program: str, *words: str, architecture: str = "amd64") -> str:
    """One of apt's programs for Debian trixie's packages, with a state of its own; downloads go into the cache."""
    home = LAB / f"apt-{architecture}"
    for part in ("lists/partial", "archives/partial"):
        (home / part).mkdir(parents=True, exist_ok=True)
    (home / "status").touch()
    (home / "sources.list").write_text(
        f"deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] {MIRROR} trixie main\n"
    )
    (home / "apt.conf").write_text(
        f'Dir::Etc::SourceList "{home}/sources.list"; Dir::Etc::SourceParts "-"; Dir::State "{home}"; '
        f'Dir::State::status "{home}/status"; Dir::Cache "{home}"; APT::Architecture "{architecture}"; '
        'APT::Sandbox::User "root";'
    )
    environment = os.environ | {"APT_CONFIG": str(home / "apt.conf")}
    command = [program, "-q", *words]
    return subprocess.run(command, cwd=LAB, env=environment, check=True, stdout=subprocess.PIPE, text=True).stdout


def unpacked(package: str, architecture: str, folder: Path) -> Path:
    """One of Debian trixie's packages, unpacked."""
    if not folder.is_dir():
        apt("apt-get", "update", architecture=architecture)
        apt("apt-get", "download", package, architecture=architecture)
        folder.parent.mkdir(parents=True, exist_ok=True)
        (archive,) = LAB.glob(f"{package}_*.deb")
        subprocess.run(["dpkg", "-x", archive, folder], check=True)
        archive.unlink()
    return folder


def emulate() -> None:
    """Let this kernel run arm64 programs, setuid ones too, with no emulator inside their root."""
    if not (BINFMT / "register").exists():
        subprocess.run(["mount", "-t", "binfmt_misc", "binfmt_misc", BINFMT], check=True)
    if not (BINFMT / "qemu-aarch64").exists():
        program = unpacked("qemu-user", "amd64", LAB / "qemu") / "usr/bin/qemu-aarch64"
        (BINFMT / "register").write_text(MAGIC.format(program=program))


def built(suite: str) -> Path:
    """A root as a tar file."""
    archive = LAB / f"{suite}.tar"
    if not archive.exists():
        emulate()
        part = archive.with_suffix(".part.tar")
        lean = [f"--dpkgopt=path-exclude=/usr/share/{name}/*" for name in ("man", "doc", "locale")]
        subprocess.run(
            ["mmdebstrap", "--mode=root", "--architectures=arm64", "--variant=minbase", f"--include={PACKAGES}",
             '--aptopt=Acquire::Languages "none"', *lean, suite, part, MIRROR],
            check=True,
        )  # fmt: skip
        part.rename(archive)
    return archive


ARM = LAB / "arm64"  # what a board with a kernel of its own needs besides its root


def kernel() -> tuple[Path, Path]:
    """Debian trixie's kernel for arm64, and its modules' folder."""
    folder = ARM / "kernel"
    if not folder.is_dir():
        apt("apt-get", "update", architecture="arm64")
        said = apt("apt-cache", "depends", "linux-image-arm64", architecture="arm64")
        unpacked(next(line.split()[-1] for line in said.splitlines() if "Depends:" in line), "arm64", folder)
    (image,) = folder.glob("boot/vmlinuz-*")
    version = image.name.removeprefix("vmlinuz-")
    modules = folder / "usr" / "lib" / "modules" / version
    if not (modules / "modules.dep").exists():
        subprocess.run(["depmod", "-b", folder / "usr", version], check=True)
    return image, modules


def lgpio() -> Path:
    """A folder with lgpio for Trixie's Python.

    Raspberry Pi OS has it as a package, Debian has not, and no wheel is for this Python: so PyPI's source is built.
    """
    folder = ARM / "lgpio"
    if not folder.is_dir():
        headers = unpacked("libpython3.13-dev", "arm64", ARM / "python") / "usr/include"
        with tempfile.TemporaryDirectory(dir=ARM) as name:
            pip = [sys.executable, "-m", "pip", "download", "-q", "--no-deps", "--no-binary=:all:"]
            subprocess.run([*pip, "--no-build-isolation", "-d", name, "lgpio==0.2.2.0"], check=True)
            with tarfile.open(Path(name) / "lgpio-0.2.2.0.tar.gz") as archive:
                archive.extractall(name, filter="data")
            source, made = Path(name) / "lgpio-0.2.2.0", Path(name) / "made"
            made.mkdir()
            subprocess.run(["swig", "-python", "-outdir", made, "lgpio.i"], cwd=source, check=True)
            codes = [source / "lgpio_wrap.c", source / "src/rgpiod.c", *sorted((source / "src").glob("lg*.c"))]
            compiler = ["aarch64-linux-gnu-gcc", "-shared", "-fPIC", "-O2", "-pthread", "-w", f"-I{source / 'src'}"]
            compiler += [f"-I{headers / 'python3.13'}", f"-I{headers}"]
            subprocess.run([*compiler, "-o", made / "_lgpio.so", *codes], check=True)
            shutil.copytree(source / "lgpio.egg-info", made / "lgpio-0.2.2.0.egg-info")
            made.rename(folder)
    return folder


if __name__ == "__main__":
    for suite in sys.argv[1:]:
        print(built(suite))
