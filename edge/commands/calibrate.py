"""`edgebot calibrate`: measure what a `robot.toml` can only guess. Each thing to measure has a module of its own."""

from __future__ import annotations

import importlib

from edge.errors import UsageError

THINGS = {"camera": "edge.commands.calibrate_camera:main"}

HELP = """\
usage: edgebot calibrate WHAT [...]        edgebot calibrate WHAT --help teaches one

  camera    the lens: focal length, middle and distortion, from pictures of a chessboard

examples:
  edgebot calibrate camera usb:0                     show the board to the camera from all sides
  edgebot calibrate camera photos/ --board 9x6       from a folder of pictures"""


def main(argv: list[str]) -> int:
    """Run the verb."""
    if not argv or argv[0] in ("-h", "--help"):
        print(HELP)
        return 0
    if argv[0] not in THINGS:
        raise UsageError(f"there is nothing called {argv[0]!r} to calibrate; choose one of {', '.join(THINGS)}")
    module, _, function = THINGS[argv[0]].partition(":")
    return int(getattr(importlib.import_module(module), function)(argv[1:]))
