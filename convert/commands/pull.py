"""`edgebot models pull NAME`: a published detector fetched, checked, converted, calibrated and proven."""

from __future__ import annotations

import argparse
import importlib.util
import os
import sys
import zipfile
from pathlib import Path

from convert.commands.convert import CALIBRATE_HELP, MODE_HELP, MODES
from convert.commands.convert import main as convert
from convert.errors import ConvertError
from edge.commands.arguments import Parser
from edge.commands.models import size
from edge.errors import UsageError
from edge.store import catalogue, place
from edge.store.catalogue import CALIBRATION, Published, Source, published
from edge.store.download import fetch

PHOTOS = ".jpg"

EXAMPLES = """\
examples:
  edgebot models pull yolov4-tiny                            int8, calibrated on 128 photos of COCO, fetched too
  edgebot models pull yolov3-tiny --calibrate photos/        on photos like those that the robot will see: better
  edgebot models pull yolo-fastest-1.1 --quantize none --keep person
  edgebot models pull yolov3 --files-only                    Darknet's files alone; this needs no TensorFlow

A broken download goes on where it ended. $EDGEBOT_MIRROR (or --mirror) is asked instead of the official hosts:
MIRROR/HOST/PATH. Each file is checked against the sha256 that is published for it, else the one that it had when
it first came."""


def main(argv: list[str]) -> int:
    """Run the verb."""
    parser = Parser("models pull", "Fetch a published detector, convert and calibrate it.", EXAMPLES)
    names = ", ".join(one.name for one in catalogue.PUBLISHED)
    parser.add_argument("name", metavar="NAME", help=names)
    parser.add_argument("--quantize", choices=MODES, default="int8", help=f"{MODE_HELP} (int8)")
    parser.add_argument("--calibrate", metavar="DIR", type=Path, help=f"{CALIBRATE_HELP} (128 photos of COCO)")
    parser.add_argument("--keep", metavar="LABELS", default="", help="only these labels (person,dog): a smaller head")
    parser.add_argument("--files-only", action="store_true", help="fetch and check, do not convert")
    parser.add_argument("--mirror", metavar="URL", default=os.environ.get("EDGEBOT_MIRROR", ""), help="see below")
    args = parser.parse_args(argv)
    entry = published(args.name)
    if args.mirror and not args.mirror.startswith(("http://", "https://")):
        raise UsageError(f"--mirror {args.mirror} is no address; give one that begins with https:// or http://")
    if not args.files_only and importlib.util.find_spec("tensorflow") is None:
        raise UsageError(
            'converting needs tensorflow, which is not installed; `pip install "edgebot[workstation]"` brings it, and '
            "--files-only fetches without converting"
        )
    if args.calibrate is not None and not args.calibrate.is_dir():
        raise UsageError(f"--calibrate {args.calibrate} is not a folder; give one with photos")
    _say(f"{entry.name}: {entry.about}; licence: {entry.terms}")
    for source in entry.sources:
        bring(source, place.source_path(entry, source.file), args.mirror)
    if entry.labels:
        place.source_path(entry, entry.file(".names")).write_text("\n".join(entry.labels) + "\n", encoding="utf-8")
    if args.files_only:
        _say(f"{place.folder(entry.name)} holds its files; edgebot models pull {entry.name} converts them")
        return 0
    return _convert(entry, args)


def bring(source: Source, path: Path, mirror: str = "") -> None:
    """Have a file of the store right: fetched where it is missing or wrong, recorded when it comes first."""
    expected = place.expected(source)
    if path.is_file():
        if expected and place.sha256(path) == expected:
            return
        _say(f"{path} is not what was expected; fetching it again")
    digest = _with_bar(source, path, expected, mirror)
    if not expected:
        _say(f"{source.file}: nobody publishes its sha256; recorded {digest[:16]}..., from now on it must be this")
        place.record(source, digest)


def _with_bar(source: Source, path: Path, expected: str, mirror: str) -> str:
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn, TransferSpeedColumn

    columns = (
        TextColumn("{task.description:<24}"),
        BarColumn(),
        DownloadColumn(binary_units=True),
        TransferSpeedColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=Console(stderr=True)) as shown:
        task = shown.add_task(source.file, total=source.size or None)
        try:
            return fetch(
                source,
                path,
                expected,
                lambda done, total: shown.update(task, completed=done, total=total or None),
                mirror,
            )
        except KeyboardInterrupt:
            _say(f"{source.file}: what came so far is kept; the same command goes on there")
            raise


def _convert(entry: Published, args: argparse.Namespace) -> int:
    given = args.calibrate
    if given is None and args.quantize == "int8":
        given = calibration_photos(args.mirror)
    argv = ["darknet", "--quantize", args.quantize, "-o", str(place.model(entry.name))]
    for option in ("cfg", "weights", "names"):
        argv += [f"--{option}", str(place.source_path(entry, entry.file(f".{option}")))]
    argv += ["--calibrate", str(given)] if given is not None else []
    argv += ["--keep", args.keep] if args.keep else []
    code = convert(argv)
    if code == 0:
        path = place.model(entry.name)
        _say(f"{entry.name} is at hand ({size(path.stat().st_size)}): edgebot detect photo.jpg --model {entry.name}")
    return code


def calibration_photos(mirror: str = "") -> Path:
    """The folder of 128 photos of COCO in the store, fetched the first time.

    Raises:
        ConvertError: the archive holds no photos.
    """
    archive, folder = place.root() / "photos" / CALIBRATION.file, place.root() / "photos" / "coco128"
    bring(CALIBRATION, archive, mirror)
    try:
        with zipfile.ZipFile(archive) as packed:
            inside = [one for one in packed.infolist() if one.filename.lower().endswith(PHOTOS)]
            folder.mkdir(parents=True, exist_ok=True)
            for one in inside:  # by its last name alone, so that nothing lands elsewhere
                target = folder / Path(one.filename).name
                if not target.is_file() or target.stat().st_size != one.file_size:
                    target.write_bytes(packed.read(one))
    except zipfile.BadZipFile:
        raise ConvertError(f"{archive} is no zip archive; remove it, or give a folder with --calibrate") from None
    if not inside:
        raise ConvertError(f"{archive} holds no photos; give a folder with --calibrate")
    return folder


def _say(sentence: str) -> None:
    print(sentence, file=sys.stderr)
