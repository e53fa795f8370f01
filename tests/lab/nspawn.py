"""Target B: an arm64 root that boots its own systemd under systemd-nspawn, with a network and an sshd of its own."""

from __future__ import annotations

import os
import shlex
import shutil
import signal
import subprocess
import time
from contextlib import suppress
from pathlib import Path

from tests.lab import roots


def sh(*command: str | Path, good: tuple[int, ...] = (0,)) -> str:
    """Run a program of this machine."""
    done = subprocess.run([str(part) for part in command], capture_output=True, text=True)
    if done.returncode not in good:
        raise RuntimeError(f"{command[0]} failed: {done.stderr.strip() or done.stdout.strip()}")
    return done.stdout


class Reached:
    """A guest that is reached by ssh with a key and a file of known hosts of its own.

    Args:
        name: of its files and host.
        folder: of the lab's key.
        address: host, or host:port.
    """

    def __init__(self, name: str, folder: Path, address: str) -> None:
        self.name, self.folder, self.address = name, folder, address
        self.key = new_key(folder)

    @property
    def known_hosts(self) -> Path:
        """Its own: the address may have been another guest's before."""
        return self.folder / f"{self.name}.known_hosts"

    def options(self) -> list[str]:
        """For ssh."""
        known = f"UserKnownHostsFile={self.known_hosts}"
        return ["-i", str(self.key), "-o", known, "-o", "StrictHostKeyChecking=accept-new"]

    def ssh(self, script: str, limit_s: float = 300.0, check: bool = True) -> subprocess.CompletedProcess[str]:
        """A script there, as root by sudo."""
        host, _, port = self.address.partition(":")
        command = ["ssh", *self.options(), "-p", port or "22", "-o", "BatchMode=yes", "-o", "ConnectTimeout=20"]
        done = subprocess.run(
            [*command, "-o", "LogLevel=ERROR", f"pi@{host}", f"sudo -n sh -c {shlex.quote(script)}"],
            capture_output=True, text=True, timeout=limit_s,
        )  # fmt: skip
        if check and done.returncode != 0:
            raise RuntimeError(f"in the guest: {script[:80]!r}: {done.stderr.strip() or done.stdout.strip()}")
        return done

    def answering(self, process: subprocess.Popen[bytes], console: Path, patience_s: float) -> float:
        """Wait for its sshd; seconds that it took. Raises `RuntimeError` where it does not come."""
        began = time.monotonic()
        while True:
            with suppress(subprocess.SubprocessError):
                if self.ssh("true", limit_s=20.0, check=False).returncode == 0:
                    return time.monotonic() - began
            if process.poll() is not None or time.monotonic() - began > patience_s:
                raise RuntimeError(f"{self.name} did not boot: {console.read_text(errors='replace')[-2000:]}")
            time.sleep(0.5)


class Guest(Reached):
    """One guest. Its root tree outlives it, so that another call can start it again; `remove` takes that away too.

    Args:
        suite: bookworm or trixie.
        name: of its folder and host.
        folder: where its tree is, or is made when it is not there; with the lab's key.
    """

    def __init__(self, suite: str, name: str, folder: Path) -> None:
        roots.emulate()
        super().__init__(name, folder, "")
        self.suite, self.root = suite, folder / name
        self._process: subprocess.Popen[bytes] | None = None
        whole = folder / f"{name}.whole"
        self.fresh = not whole.exists()
        if self.fresh:
            shutil.rmtree(self.root, ignore_errors=True)
            self.root.mkdir(parents=True)
            sh("tar", "-xf", roots.built(suite), "-C", self.root, "--exclude=./dev/*")
            self._furnish()
            whole.touch()
        self._network()

    def _furnish(self) -> None:
        """What an SD card has after Raspberry Pi Imager wrote it: a user with sudo, a key, an sshd; and DNS."""
        for line, name in (
            ("pi:x:1000:1000::/home/pi:/bin/bash", "passwd"), ("pi:x:1000:", "group"),
            ("pi:*:19000:0:99999:7:::", "shadow"),
            ("nobodi:x:1001:1001::/home/nobodi:/bin/bash", "passwd"), ("nobodi:x:1001:", "group"),
            ("nobodi:*:19000:0:99999:7:::", "shadow"),
        ):  # fmt: skip
            with (self.root / "etc" / name).open("a") as file:
                file.write(line + "\n")
        for user, number in (("pi", 1000), ("nobodi", 1001)):
            ssh = self.root / "home" / user / ".ssh"
            ssh.mkdir(parents=True)
            (ssh / "authorized_keys").write_text(self.key.with_suffix(".pub").read_text())
            for path in (ssh.parent, ssh, ssh / "authorized_keys"):
                os.chown(path, number, number)
                path.chmod(0o700 if path.is_dir() else 0o600)
        sudo = self.root / "etc/sudoers.d/010_pi-nopasswd"
        sudo.write_text("pi ALL=(ALL) NOPASSWD: ALL\n")
        sudo.chmod(0o440)
        (self.root / "etc/resolv.conf").unlink(missing_ok=True)
        shutil.copy("/etc/resolv.conf", self.root / "etc/resolv.conf")
        (self.root / "etc/hostname").write_text(self.name + "\n")
        (self.root / "etc/hosts").write_text(f"127.0.0.1 localhost\n127.0.1.1 {self.name}\n")
        (self.root / "etc/machine-id").write_text("")
        sh("ssh-keygen", "-A", "-f", self.root)
        # These ask for what a container on an emulator has not; nothing of edgebot's is among them.
        for unit in ("systemd-resolved", "systemd-networkd", "systemd-timesyncd", "systemd-udevd", "console-getty"):
            (self.root / f"etc/systemd/system/{unit}.service").symlink_to("/dev/null")

    def _network(self) -> None:
        for number in range(60):  # the first that nobody has; the kernel decides who was first
            name = f"ebl{number}"
            with suppress(RuntimeError):
                sh("ip", "netns", "add", name)
                break
        else:
            raise RuntimeError("60 network namespaces of guests are there already; `ip netns` lists them")
        self._net, inside = name, f"{name}i"
        self.gateway, self.address = f"10.213.0.{number * 4 + 1}", f"10.213.0.{number * 4 + 2}"  # this machine, and it
        sh("ip", "link", "add", name, "type", "veth", "peer", "name", inside)
        sh("ip", "link", "set", inside, "netns", name)
        sh("ip", "addr", "add", f"{self.gateway}/30", "dev", name)
        sh("ip", "link", "set", name, "up")
        for words in (
            f"addr add {self.address}/30 dev {inside}", f"link set {inside} up", "link set lo up",
            f"route add default via {self.gateway}",
        ):  # fmt: skip
            sh("ip", "-n", name, *words.split())
        Path("/proc/sys/net/ipv4/ip_forward").write_text("1")
        sh("nft", f"add table ip {name}; add chain ip {name} post {{ type nat hook postrouting priority 100; }}; "
           f"add rule ip {name} post ip saddr {self.address} masquerade")  # fmt: skip

    def cable(self, plugged: bool) -> None:
        """The network's cable."""
        sh("ip", "link", "set", self._net, "up" if plugged else "down")

    def boot(self) -> float:
        """Start, or start again; seconds until its sshd answers."""
        log = self.folder / f"{self.name}.console"
        with log.open("ab") as file:
            self._process = subprocess.Popen(
                ["systemd-nspawn", "-q", "-b", "-D", self.root, f"--machine={self._net}", "--register=no",
                 "--keep-unit", f"--network-namespace-path=/run/netns/{self._net}", "--resolv-conf=off",
                 "--timezone=off", "--link-journal=no"],
                stdin=subprocess.DEVNULL, stdout=file, stderr=file, start_new_session=True,
            )  # fmt: skip
        return self.answering(self._process, log, 180.0)

    def outside(self, pids: list[str]) -> list[int]:
        """This machine's numbers of the guest's processes."""
        assert self._process is not None
        (init,) = sh("ps", "-o", "pid=", "--ppid", str(self._process.pid)).split()
        space, found = os.readlink(f"/proc/{init}/ns/pid"), []
        for status in Path("/proc").glob("[0-9]*/status"):
            with suppress(OSError):  # it may end meanwhile
                (line,) = (line for line in status.read_text().splitlines() if line.startswith("NSpid:"))
                if line.split()[-1] in pids and os.readlink(status.with_name("ns") / "pid") == space:
                    found.append(int(status.parent.name))
        return found

    def kill(self) -> None:
        """As if the power went: every process at once."""
        if self._process is None:
            return
        leader = self._process.pid
        children = sh("ps", "-o", "pid=", "--ppid", str(leader), good=(0, 1)).split()
        for pid in [*children, str(leader)]:  # the guest's init takes all of its own with it
            with suppress(ProcessLookupError):
                os.kill(int(pid), signal.SIGKILL)
        self._process.wait()
        self._process = None
        time.sleep(0.5)

    def close(self) -> None:
        """Switch it off and take its network away; its tree stays."""
        self.kill()
        for command in (
            ("nft", "delete", "table", "ip", self._net), ("ip", "link", "del", self._net),
            ("ip", "netns", "del", self._net),
        ):  # fmt: skip
            with suppress(RuntimeError):
                sh(*command)

    def remove(self) -> None:
        """Its tree too."""
        self.close()
        self.root.with_name(f"{self.name}.whole").unlink(missing_ok=True)
        self.known_hosts.unlink(missing_ok=True)
        shutil.rmtree(self.root, ignore_errors=True)


def new_key(folder: Path) -> Path:
    """A key pair for a lab."""
    path = folder / "key"
    if not path.exists():
        sh("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", path)
    return path
