"""Trixie on a board with a kernel of its own: real lgpio on its lines, and its disk killed in the middle of a deploy.

    python tests/lab/board.py --write               about an hour on two cores; writes docs/proof-board.md
    python tests/lab/board.py --minutes 10          begins no further row after so long; the next call goes on
    python tests/lab/board.py --only lines,kill     these rows again; --list tells their names

Target C of the lab: qemu's "virt" board with Debian's kernel for arm64 (`tests/lab/roots.py` tells what it needs;
qemu-system-arm, e2fsprogs, cpio and kmod besides). Rows are kept as those of `tests/lab/deploy.py` are.
"""

from __future__ import annotations

import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from tests.lab import board_rows, deploy  # noqa: E402
from tests.lab.deploy_page import Page  # noqa: E402

HEAD = """\
# Deploy on a board with a kernel of its own

{state} `python tests/lab/board.py --write` wrote this on {date} for commit `{commit}`; its rows took {minutes:.0f}
minutes on {cores} shared cores. Seconds below are the emulator's, and no Pi's.

The board is qemu's "virt" for arm64, wholly emulated, with Debian Trixie on a virtual disk, its kernel, systemd and
Python 3.13. The units run as on a robot; only their time limits are longer. lgpio is PyPI's source, built for this
Python, where Raspberry Pi OS has a package. In the rows of the lines motord drives the board's GPIO chip (`--pins
chip:0`), elsewhere the robot is simulated. Levels are the chip's registers, read in the emulator, about every
millisecond.

| what | | found |
|---|---|---|
"""
TAIL = """
A disk that is killed with its guest is looked at twice: as it was, and as it would be if it had lost all that it had
not confirmed by a flush (qemu's log of its writes, played up to the last flush). A release that was confirmed on the
robot just before the cut may run instead of the one before.

## What this does not show

* **No Raspberry Pi.** This chip and its kernel keep a dead owner's level; a Pi with `strict_gpiod` and pull-downs does
  not need ExecStopPost for that, and has `pinctrl`, which takes milliseconds where Python takes seconds here.
* Nothing pulls the chip's inputs, so that the emergency stop's line reads closed throughout;
  [its own proof](proof-motord.md) opens it.
"""
PAGE = Page(ROOT / "docs" / "proof-board.md", HEAD, TAIL, held=False)


def main(argv: list[str]) -> int:
    parser = deploy.options(__doc__, "proof-board", PAGE)
    parser.add_argument("--cuts", type=int, default=3, help="of the disk (default %(default)s)")
    args = parser.parse_args(argv)
    keep = args.keep or ROOT / "build" / "proof-board.json"
    return deploy.prove(args, parser, lambda: board_rows.Boards(keep, args.anew), board_rows.rows(args.cuts), PAGE)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
