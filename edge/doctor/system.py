"""What the machine is: board, operating system, Python, room on the disk, clock."""

from __future__ import annotations

from collections.abc import Iterator

from edge.doctor.rows import Examined, Row, failure, note, ok, warning

DEBIANS = {"12": "Bookworm", "13": "Trixie"}
PYTHONS = ((3, 11), (3, 13))
RECORDINGS = "/var/lib/edgebot"
LITTLE_BYTES = 1_000_000_000  # about an hour of recording with camera
THIS_PROJECT = 1_735_689_600.0  # 1 January 2025: a clock that shows less was never set

IMAGE = "write the 64-bit image of Raspberry Pi OS with Raspberry Pi Imager"


def computer(examined: Examined) -> Iterator[Row]:
    """Is this a robot's computer?"""
    machine = examined.machine
    if machine.is_pi:
        yield ok("computer", machine.model)
    elif not examined.real:
        yield note("computer", f"{machine.architecture()}, not a Raspberry Pi: for simulated robots")
    elif machine.pins != "lgpio":
        yield note("computer", f"not a Raspberry Pi; pins by GPIOZERO_PIN_FACTORY={machine.pins}")
    else:
        yield failure(
            "computer", f"{machine.architecture()}, not a Raspberry Pi: it has no pins to drive with",
            f"edgebot run --sim --robot {examined.toml} --policy light",
        )  # fmt: skip


def operating_system(examined: Examined) -> Iterator[Row]:
    """Raspberry Pi OS Bookworm or Trixie, 64-bit; elsewhere anything goes."""
    machine, name = examined.machine, "operating system"
    release = dict(
        line.split("=", 1) for line in (machine.text("/etc/os-release") or "").splitlines() if "=" in line
    )
    words = release.get("PRETTY_NAME", "unknown").strip('"')
    if not machine.is_pi:
        yield ok(name, f"{words}, {machine.architecture()}")
        return
    number = release.get("VERSION_ID", "").strip('"')
    if machine.bits() != 64 or machine.architecture() != "aarch64":
        yield failure(name, f"{words} in {machine.bits()} bits; the interpreters need 64", IMAGE)
    elif number not in DEBIANS:
        yield warning(name, f"{words}; tested are {' and '.join(DEBIANS.values())}", IMAGE)
    else:
        yield ok(name, f"{words}, 64-bit")


def python(examined: Examined) -> Iterator[Row]:
    """3.11 to 3.13."""
    found = examined.machine.python()
    words = ".".join(map(str, found))
    if PYTHONS[0] <= found <= PYTHONS[1]:
        yield ok("Python", words)
    else:
        yield failure("Python", f"{words}; edgebot runs on 3.11 to 3.13", "sudo apt install python3 python3-venv")


def disk(examined: Examined) -> Iterator[Row]:
    """Room for recordings. A full disk ends a recording, not a drive: so it is a warning."""
    machine = examined.machine
    where = RECORDINGS if machine.exists(RECORDINGS) else "."
    space = machine.space(where)
    if space is None:
        yield warning("disk", f"the file system of {where} cannot be asked", "sudo dmesg --level=err")
    elif not space.writable:
        yield warning("disk", "read-only: nothing is recorded", "sudo mount -o remount,rw /")
    elif space.free_bytes < LITTLE_BYTES:
        yield warning(
            "disk", f"{space.free_bytes / 1e9:.1f} GB free where recordings go ({where})",
            f"sudo find {RECORDINGS} -name '*.mcap' -mtime +7 -delete",
        )  # fmt: skip
    else:
        yield ok("disk", f"{space.free_bytes / 1e9:.0f} GB free")


def clock(examined: Examined) -> Iterator[Row]:
    """A Pi has no battery for its clock; the loop does not mind, the names of recordings do."""
    machine = examined.machine
    if machine.clock() < THIS_PROJECT:
        yield warning("clock", "shows a date before 2025: recordings get wrong names", "sudo timedatectl set-ntp true")
    elif machine.exists("/run/systemd/timesync/synchronized"):
        yield ok("clock", "set by the network")
    else:
        yield note("clock", "not set by the network since the start; the loop goes by its own clock")
