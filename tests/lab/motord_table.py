"""The proof's rows as a document: what was done, what was read at the lines, the bound, and whether it held."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, NamedTuple

Row = dict[str, Any]
WAYS = {"tcg": "emulated", "kvm": "virtual, by KVM"}


def low_within(bound_ms: float) -> Callable[[Row], bool]:
    """The wheels were turning, and every motor line was low after at most so many ms, and stayed low.

    The emulation's own standstill in that time is allowed for; it is in the table.
    """

    def good(row: Row) -> bool:
        allowed = bound_ms + (row["gap_ms"] if row["gap_ms"] > 5 else 0)
        return bool(row["turning"] and row["low_ms"] is not None and row["low_ms"] <= allowed)

    return good


def still_high(row: Row) -> bool:
    return bool(row["turning"] and row["low_ms"] is None)


def never_high(row: Row) -> bool:
    return bool(not row["turning"] and row["low_ms"] == 0.0 and row.get("latched", True))


def pulled_down(row: Row) -> bool:
    return low_within(200)(row) and row["pulls"] == ["pull-down"]


def holds(name: str) -> Callable[[Row], bool]:
    return lambda row: bool(row[name])


class Claim(NamedTuple):
    """A row's promise."""

    name: str  # of the row, as the guest tells it
    bound: str
    good: Callable[[Row], bool]
    taken_away: bool = False  # the row shows that without its protection the wheels go on


CLAIMS = (
    Claim("start", "no line high from the chip's making to READY", lambda row: row["low_ms"] == 0.0),
    Claim("runtime SIGKILL", "200 ms", low_within(200)),
    Claim("runtime SIGSTOP", "200 ms after the last command", low_within(200)),
    Claim("motord SIGKILL in a pulse", "at once; zero after the restart", low_within(200)),
    Claim("motord SIGKILL, the runtime stays", "drives on by itself", holds("resumed")),
    Claim("motord SIGSTOP in a pulse", "2 s", low_within(2000)),
    Claim("motord SIGSTOP, without WatchdogSec", "wheels go on", still_high, True),
    Claim("motord SIGSTOP, no pull-downs", "by ExecStopPost", low_within(60000)),
    Claim("motord SIGTERM", "at once; pull-downs back", pulled_down),
    Claim("motord SIGINT", "at once; pull-downs back", pulled_down),
    Claim("motord exception", "at once; pull-downs back", pulled_down),
    Claim("motord SIGKILL, no pull-downs", "by ExecStopPost; about 1 s on a Pi", low_within(60000)),
    Claim("motord SIGKILL, no pull-downs, without ExecStopPost", "wheels go on", still_high, True),
    Claim("emergency stop pressed", "200 ms (by GPIO; the wiring cuts at once)", low_within(200)),
    Claim("released, not acknowledged", "stays at zero", never_high),
    Claim("latched, motord SIGKILL and restarted", "stays at zero", never_high),
    Claim("guest rebooted", "latched", holds("latched")),
    Claim("guest rebooted: commanded", "stays at zero", never_high),
    Claim("guest rebooted: acknowledged", "drives again", holds("turns")),
    Claim("guest's power cut", "latched", holds("latched")),
    Claim("guest's power cut: commanded", "stays at zero", never_high),
    Claim("guest's power cut: acknowledged", "drives again", holds("turns")),
)

PARTS = {
    "runtime_rows": CLAIMS[1:3],
    "motord_killed": CLAIMS[3:4],
    "resumed": CLAIMS[4:5],
    "motord_hung": CLAIMS[5:8],
    "motord_ended": CLAIMS[8:11],
    "no_pull_downs": CLAIMS[11:13],
    "latched": CLAIMS[13:],
}
"""What the guest does one after the other (its functions' names), and the claims that each part is about."""


def missing(rows: list[Row]) -> list[str]:
    """Parts with a claim that no row is about yet."""
    there = {row.get("row") for row in rows if counted(row)}
    return [part for part, claims in PARTS.items() if not {claim.name for claim in claims} <= there]


def read_at(row: Row) -> str:
    """What was read in one case."""
    words = []
    if "low_ms" in row:
        if row["low_ms"] is None:
            words.append(f"still high after {row['watched_s']:.0f} s")
        elif row.get("turning"):
            words.append(f"low after {row['low_ms']:.0f} ms")
        else:
            words.append("never high")
    if row["row"].startswith("motord") and row.get("turning"):
        words.append("line high at the event" if row["in_pulse"] else "between two pulses at the event")
    if row.get("gap_ms", 5) > 5:
        words.append(f"gap {row['gap_ms']:.0f} ms")
    if "back_ms" in row:
        words.append(f"motord back after {row['back_ms'] / 1e3:.1f} s")
    if "ended_ms" in row:
        words.append(f"process gone after {row['ended_ms']:.0f} ms, lines' pulls then: {', '.join(row['pulls'])}")
    if "resumed_ms" in row:
        words.append(f"turning again after {row['resumed_ms'] / 1e3:.1f} s" if row["resumed"] else "not turning again")
    if "turns" in row:
        words.append("turning" if row["turns"] else "not turning")
    if "latched" in row:
        words.append("latched" if row["latched"] else "NOT latched")
    if row.get("cause"):
        words.append(row["cause"].lower())
    return ", ".join(words)


def counted(row: Row) -> bool:
    """A case whose wheels stood already at the event (the emulation had stalled) shows nothing, and is left out."""
    return bool(row.get("turning", True) or not needs_turning(row["row"]))


def needs_turning(name: str) -> bool:
    return not name.startswith(("start", "released", "latched", "guest"))


def document(rows: list[Row], commit: str, took_s: float, native_ms: float, accel: str = "tcg") -> tuple[str, bool]:
    """The page, and whether every claim held.

    Args:
        rows: as the guest told them.
        commit: that was proved.
        took_s: by the whole run.
        native_ms: `edgebot-motord --help` on this machine; in the guest it is in the rows.
        accel: qemu's accelerator.
    """
    start = next((row for row in rows if row.get("row") == "start"), {})
    help_ms = next((row["help_ms"] for row in rows if "help_ms" in row), None)
    lines, good = [], True
    for claim in CLAIMS:
        cases = [row for row in rows if row.get("row") == claim.name]
        shown = [row for row in cases if counted(row)]
        held = bool(shown) and all(claim.good(row) for row in shown)
        good &= held
        read = "; ".join(read_at(row) for row in shown) or "not reached"
        if len(shown) < len(cases):
            read += f"; {len(cases) - len(shown)} left out, whose wheels stood already"
        name = f"*{claim.name}*" if claim.taken_away else claim.name
        lines.append(f"| {name} | {claim.bound} | {read} | {'yes' if held else '**no**'} |")
    open_parts = missing(rows)
    failed = [f"{row['failed']}: {row['why']}" for row in rows if row.get("failed") in open_parts]
    notes = [row["note"] for row in rows if row.get("note", "start") != "start"]
    slow = f"{help_ms / native_ms:.0f}" if help_ms else "?"
    said = [
        f"{time.strftime('%Y-%m-%d %H:%M')}, commit {commit}, {took_s / 60:.0f} min; guest: Debian's kernel "
        f"{start.get('kernel', '?')}, {start.get('systemd', '?')}, Python {start.get('python', '?')}, "
        f"2 cores (qemu, {WAYS.get(accel, accel)}).",
        f"`edgebot-motord --help` takes {native_ms:.0f} ms on the machine itself and "
        f"{f'{help_ms:.0f} ms' if help_ms else '?'} in the guest ({slow} times): times that hold a start of Python are "
        "the emulation's.",
    ]
    said += [f"Not reached: {text}." for text in failed] + [f"Note: {text}." for text in notes]
    table = ["| done | bound | read at the lines | held |", "|---|---|---|---|", *lines]
    return "\n".join([PAGE.strip(), "", "## The table", "", *said, "", *table, ""]), good


PAGE = """
# The motors' process dies: read at the lines

What [safety](safety.md) promises of `edgebot-motord`'s own death cannot be tried on mock pins, which die with their
process. Here it runs in a guest, under systemd, by the unit that `edgebot units` writes, on a GPIO chip whose lines are
the kernel's; each line's level is read from outside, while motord is killed, stopped and started.

```sh
python tests/lab/motord.py --write        # about 8 minutes; writes this page
```

It needs Linux on x86-64 and Debian's qemu-system-x86, busybox-static, cpio, kmod, e2fsprogs, gcc-12 and make; what it
downloads and builds lies in `~/.cache/edgebot`. It changes nothing on the machine, and is no part of `make test`.

## How it is read

* The chip is the kernel's gpio-sim, built from Debian's source of the guest's own kernel (Debian does not build it). A
  line that nobody holds falls to its pull. **Pulls down** play a Pi with `strict_gpiod` and 10 kOhm pull-downs. **Pulls
  up** on the forward and enable lines play a board without: a floating line that reads high, or a kernel that keeps a
  dead owner's level. Rows "no pull-downs" and the three ends of motord by itself run on those.
* A program beside, at real-time priority, reads all six motor lines through sysfs about every 0.3 ms and notes each
  change. *Low after* counts from the moment before the signal was sent to the moment from which all six lines stay low
  until the row's end. *Gap* is the longest time within which the emulation did not let it look: a time may be wrong by
  so much, and a bound holds where it holds but for that.
* motord's SIGKILL and SIGSTOP come while the left enable line reads high: in the middle of a pulse of lgpio's PWM
  (200 Hz, 60 %).
* The driver is a process of another user than root, which sends commands at 50 Hz through the runtime's `MotordPort`.
* Rows in *italics* have their protection taken away, and must show wheels that go on.
* The switch is played by a program, which puts a line back that motord's own pull-up has raised. Where the emulation
  lets it come too late, a start latches by itself (noted); so the latch counts as kept only where its file said so
  before motord was started.
* The exception is `accept()` without a free file descriptor. The reboot is systemd's; the power cut is `kill -9` of the
  emulator, one second after the stop was pressed and released.

## What a real Pi still has to show

* That its kernel releases a dead owner's pins as gpio-sim does (`strict_gpiod`; `edgebot doctor` and motord read the
  kernel's parameter), and that the pull-downs on the board are fitted and strong enough.
* How long `ExecStopPost` takes: on a Pi `pinctrl` comes first, in milliseconds. The guest has none, so that here the
  second line alone, `edgebot-motord --pins-low`, is timed, with an emulated start of Python in it.
* Real-time priority under load, the motors' wiring, the emergency stop's switch in the supply, the hardware watchdog.
"""
