"""arm64 Debian roots that stand in for a Raspberry Pi, built once into a cache outside the repository.

    python tests/lab/roots.py bookworm trixie      about 10 minutes each; EDGEBOT_LAB names another cache

Needs root, Debian's mmdebstrap, arch-test, systemd-container, nftables, iproute2, and the network for the first run.
The emulator is qemu-user 10 of Debian trixie, unpacked beside: ai-edge-litert does not start under Debian 12's 7.2.
"""

from __future__ import annotations

import os
import subprocess
import sys
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


def apt(*words: str, architecture: str = "amd64") -> None:
    """apt for Debian trixie's packages, with a state of its own, for downloads into the current folder."""
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
    subprocess.run(["apt-get", "-q", *words], cwd=LAB, env=environment, check=True, stdout=subprocess.DEVNULL)


def unpacked(package: str, architecture: str, folder: Path) -> Path:
    """One of Debian trixie's packages, unpacked."""
    if not folder.is_dir():
        apt("update", architecture=architecture)
        apt("download", package, architecture=architecture)
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


if __name__ == "__main__":
    for suite in sys.argv[1:]:
        print(built(suite))
