"""`--record` and what belongs to it, for the verbs that drive."""

from __future__ import annotations

import argparse
import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from edge.commands.arguments import Parser, number
from edge.errors import UsageError

if TYPE_CHECKING:
    from edge.recordings.rotation import Rotation


@dataclass(frozen=True)
class Wanted:
    """What is to be recorded, and where."""

    path: Path | None = None  # a file, or with `rotation` a folder
    overwrite: bool = False
    frames: str = "jpeg"
    rotation: Rotation | None = None


def add(parser: Parser) -> None:
    """Add the arguments."""
    parser.add_argument(
        "--record", metavar="FILE|DIR", help="write everything into an MCAP file, or into a new file in a folder"
    )
    parser.add_argument("--overwrite", action="store_true", help="replace an existing recording")
    parser.add_argument(
        "--record-frames", choices=("jpeg", "png"), default="jpeg",
        help="png keeps every pixel, for an exact replay of a detector, at ten times the size (default jpeg)",
    )  # fmt: skip
    parser.add_argument(
        "--rotate-mb", type=number(1, 1e6), metavar="N", help="with --record DIR: a new file when one reaches N MB"
    )
    parser.add_argument(
        "--rotate-s", type=number(1, 1e7, "seconds"), metavar="S", help="with --record DIR: a new file each S seconds"
    )
    parser.add_argument(
        "--keep-mb", type=number(2, 1e7), metavar="N",
        help="with --record DIR: never more than N MB in the folder; the oldest files go",
    )  # fmt: skip


def wanted(args: argparse.Namespace) -> Wanted:
    """What was asked for. Raises `UsageError` where it does not go together."""
    limits = {name: getattr(args, name) for name in ("rotate_mb", "rotate_s", "keep_mb")}
    given = next((name for name, limit in limits.items() if limit is not None), None)
    if args.record is None:
        if given is not None or args.overwrite:
            option = "--overwrite" if given is None else f"--{given.replace('_', '-')}"
            raise UsageError(f"{option} is about a recording; add --record {'DIR' if given else 'FILE'}")
        return Wanted()
    path = Path(args.record)
    if given is None and not path.is_dir() and not args.record.endswith(os.sep):
        return Wanted(path, args.overwrite, args.record_frames)
    if path.suffix == ".mcap" or path.is_file():
        raise UsageError(f"--rotate-mb, --rotate-s and --keep-mb fill a folder, but {path} is a file; give a DIR")
    if args.overwrite:
        raise UsageError(f"--overwrite replaces one file, but {path} is a folder and gets a new file; leave it out")
    from edge.recordings.rotation import Rotation

    mega = {name: None if limits[name] is None else round(limits[name] * 1e6) for name in ("rotate_mb", "keep_mb")}
    return Wanted(
        path, False, args.record_frames, Rotation(mega["rotate_mb"], limits["rotate_s"], mega["keep_mb"])
    )
