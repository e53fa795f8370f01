"""`edgebot convert`: a trained run, or a detector of Keras or Darknet, into one proven `.tflite`."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from convert import run as runs
from convert.errors import ConvertError
from edge.commands.arguments import Parser
from edge.errors import UsageError
from edge.manifest import NAME

if TYPE_CHECKING:
    from convert.detector import Checks
    from convert.parity import Converted, Judge
    from convert.tflite import Mode

Judges = Mapping[str, Callable[[Path], "Judge"]]

KERAS = (".keras", ".h5", ".hdf5")
MODES = ("none", "float16", "dynamic", "int8")
MODE_HELP = "none: float32; float16: half the size; dynamic: int8 weights; int8: whole"
CALIBRATE_HELP = "a folder of typical photos (64 are enough), for int8"

EXAMPLES = """\
examples:
  edgebot convert runs/light-ppo-0                          a policy, its success measured before and after
  edgebot convert runs/light-ppo-0 -o light.tflite --quantize none
  edgebot convert darknet --cfg y.cfg --weights y.weights --names coco.names
  edgebot convert darknet --cfg y.cfg --weights y.weights --names coco.names --quantize int8 --calibrate photos/
  edgebot convert detector.keras --head detector.json --calibrate photos/       a detector of your own
  edgebot convert detector.keras --calibrate photos/ --labelled val/ --max-drop 0.005
                                                            AP before and after, on photos with true boxes
  edgebot convert detector.keras --calibrate photos/ --keep-float worst
                                                            the layer that int8 costs most stays float

Every model is compared with its source: worst error of its outputs, size, and (where training has a judge for the
task) success or AP before and after. Past the limits nothing is written and the exit code is 2."""


def main(argv: list[str], judges: Judges | None = None) -> int:
    """Run the verb.

    Args:
        argv: what follows `edgebot convert`.
        judges: per task of a run, what makes its judge from the run's folder; `train` supplies them.
    """
    if argv and argv[0] == "darknet":
        return _darknet(_darknet_parser().parse_args(argv[1:]))
    return _run(_run_parser().parse_args(argv), judges or {})


def _run_parser() -> Parser:
    parser = Parser("convert", "A trained run, or a detector of Keras or Darknet, into one proven .tflite.", EXAMPLES)
    parser.add_argument(
        "run", metavar="RUN", type=Path, help="a run folder of `edgebot train`, or a .keras file; or darknet, see below"
    )
    parser.add_argument(
        "--head", metavar="JSON", type=Path, help="of a .keras file: labels, anchors, how pictures enter (FILE.json)"
    )
    _common(parser, "dynamic for a policy, int8 for a detector", "RUN/model.tflite; FILE.tflite")
    return parser


def _darknet_parser() -> Parser:
    parser = Parser("convert darknet", "A YOLO detector from Darknet's files into one .tflite.", EXAMPLES)
    for name, text in (("cfg", "the network"), ("weights", "its weights"), ("names", "one label a line")):
        parser.add_argument(f"--{name}", metavar="FILE", type=Path, required=True, help=text)
    parser.add_argument("--keep", metavar="LABELS", default="", help="only these labels (person,dog): a smaller head")
    _common(parser, "none", "named like the weights, here")
    return parser


def _common(parser: Parser, mode: str, output: str) -> None:
    parser.add_argument("-o", "--output", metavar="FILE", type=Path, help=f"the model file ({output})")
    parser.add_argument("--quantize", choices=MODES, help=f"{MODE_HELP} ({mode})")
    parser.add_argument("--calibrate", metavar="DIR", type=Path, help=CALIBRATE_HELP)
    parser.add_argument(
        "--labelled", metavar="SET", type=Path,
        help="photos with true boxes, to judge a detector on: YOLO's folder (images/, labels/), or COCO's JSON",
    )  # fmt: skip
    parser.add_argument(
        "--alias", metavar="LABEL=NAME", action="append", default=[], help="what the set calls a label (body=person)"
    )
    parser.add_argument(
        "--max-drop", metavar="AP", type=float, default=0.01, help="refuse where AP falls by more on the set (0.01)"
    )
    parser.add_argument(
        "--keep-float", metavar="LAYERS", default="",
        help="of an int8 detector: layers that stay float, with commas; or worst: the one that loses most",
    )  # fmt: skip


def _checks(args: argparse.Namespace, labels: Sequence[str], judge: Judge | None = None) -> Checks:
    """What the options ask for of a detector with these labels."""
    from convert.detector import Checks
    from convert.labelled import read

    labelled = None
    if args.labelled is not None:
        labelled = read(args.labelled, labels, _aliases(args.alias))
        for sentence in labelled.left_out[:5]:
            _say(f"left out: {sentence}")
        if labelled.left_out[5:]:
            _say(f"left out: {len(labelled.left_out) - 5} more")
    return Checks(judge, labelled, args.max_drop, frozenset(_listed(args.keep_float)))


def _aliases(given: Sequence[str]) -> dict[str, str]:
    wrong = next((one for one in given if "=" not in one.strip("=")), None)
    if wrong is not None:
        raise UsageError(f"--alias {wrong} is no LABEL=NAME; say for example --alias body=person")
    return dict(one.split("=", 1) for one in given)


def _listed(text: str) -> list[str]:
    return [part.strip() for part in text.split(",") if part.strip()]


def _sensible(args: argparse.Namespace) -> None:
    if not 0.0 <= args.max_drop <= 1.0:
        raise UsageError(f"--max-drop {args.max_drop:g} is no loss of AP; give a number from 0 to 1, 0.01 is a point")
    if args.alias and args.labelled is None:
        raise UsageError("--alias says what a labelled set calls a label; give the set with --labelled")


def _keras(args: argparse.Namespace) -> int:
    output = args.output or args.run.with_suffix(".tflite")
    mode: Mode = args.quantize or "int8"
    if mode == "int8" and args.calibrate is None:
        raise UsageError("--quantize int8 needs --calibrate with a folder of typical photos (64 are enough)")
    _sensible(args)
    _writable(output)
    photos = _photos(args.calibrate)
    _silence_tensorflow()
    from convert import detector, keras_file
    from convert.progress import steps

    with steps() as shown:
        shown.begin("reading the model")
        model, draft = keras_file.load(args.run, args.head)
        checks = _checks(args, draft["labels"])
        draft["provenance"] = draft["provenance"] | _made_by()
        made = detector.convert(model, draft, mode, photos, checks, shown, str(args.run))
    return _save(output, made)


def _run(args: argparse.Namespace, judges: Judges) -> int:
    if args.run.suffix.lower() in KERAS:
        if not args.run.is_file():
            raise ConvertError(f"{args.run} is not there; give a model that was saved with model.save")
        return _keras(args)
    if args.head is not None:
        raise UsageError(f"--head describes a .keras file, {args.run} is none; leave it out")
    _sensible(args)
    run = runs.read(args.run)
    if run.kind != "detector" and (args.labelled or args.keep_float):
        raise UsageError(f"--labelled and --keep-float are for detectors, {args.run} is a {run.kind}; leave them out")
    output = args.output or run.path / "model.tflite"
    _writable(output)
    mode: Mode = args.quantize or ("int8" if run.kind == "detector" else "dynamic")
    photos = _photos(args.calibrate)
    _silence_tensorflow()
    from convert import detector, policy
    from convert.progress import steps

    with steps() as shown:
        shown.begin("reading the run")
        model = runs.load_model(run)
        judge = judges[run.task](run.path) if run.task in judges else None
        if judge is None:
            _say(f"no judge for the task {run.task!r}: outputs are compared, success is not")
        draft = run.draft | {"provenance": run.draft["provenance"] | _made_by()}
        try:
            if run.kind == "detector":
                if photos is None and judge is not None and mode == "int8":
                    shown.begin("calibration scenes")
                    photos = list(judge.calibration())
                checks = _checks(args, draft["labels"], judge)
                made = detector.convert(model, draft, mode, photos, checks, shown, str(run.path))
            else:
                made = policy.convert(model, draft, mode, judge, shown, str(run.path))
        except (ValidationError, KeyError) as error:
            raise ConvertError(
                f"{run.path / runs.SETTINGS} says of the manifest what cannot be ({_short(error)}); train again"
            ) from None
    return _save(output, made)


def _darknet(args: argparse.Namespace) -> int:
    output = args.output or Path(args.weights.stem + ".tflite")
    mode: Mode = args.quantize or "none"
    if mode == "int8" and args.calibrate is None:
        raise UsageError("--quantize int8 needs --calibrate with a folder of typical photos (64 are enough)")
    for file in (args.cfg, args.weights, args.names):
        if not file.is_file():
            raise ConvertError(f"{file} is not there; give the detector's --cfg, --weights and --names files")
    _sensible(args)
    _writable(output)
    photos = _photos(args.calibrate)
    _silence_tensorflow()
    from convert import detector
    from convert.darknet.model import load
    from convert.progress import steps
    from convert.source import Source, save

    keep = tuple(_listed(args.keep))
    with steps() as shown:
        shown.begin("reading Darknet's files")
        source = load(args.cfg, args.weights, args.names, keep)
        draft: dict[str, Any] = {
            "kind": "detector",
            "name": args.weights.stem,
            "image": source.image,
            "decode": source.decode,
            "labels": source.labels,
            "provenance": source.provenance | _made_by(),
        }
        checks = _checks(args, source.labels)
        made = detector.convert(source.keras, draft, mode, photos, checks, shown, str(args.weights))
    code = _save(output, made)
    kept = output.with_suffix(".keras")
    save(kept, Source(source.keras, source.image, source.decode, source.labels))
    _say(f"wrote {kept}, to train on from: edgebot train detector --data data.yaml --from {output}")
    return code


def _photos(folder: Path | None) -> Any:
    if folder is None:
        return None
    from convert.images import read_folder

    pictures, broken = read_folder(folder)
    if broken:
        names = ", ".join(path.name for path in broken[:3])
        _say(f"{len(broken)} files in {folder} are no pictures and are left out: {names}{'...' if broken[3:] else ''}")
    return pictures


def _writable(output: Path) -> None:
    """Better known now than after minutes of work."""
    folder = output.parent
    while not folder.exists():
        folder = folder.parent
    if output.is_dir() or not folder.is_dir() or not os.access(folder, os.W_OK):
        raise UsageError(f"{output} cannot be written; give another file with -o")


def _save(output: Path, made: Converted) -> int:
    from convert.progress import report

    report(made.parity)
    made.save(output)
    _say(f"wrote {output} ({output.stat().st_size / 1024:.0f} KiB); its manifest: unzip -p {output} {NAME}")
    return 0


def _made_by() -> dict[str, Any]:
    found = {}
    for name in ("edgebot", "tensorflow", "tensorflow-cpu", "keras", "numpy"):
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return {"converted_with": found}


def _silence_tensorflow() -> None:
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")


def _short(error: Exception) -> str:
    if isinstance(error, ValidationError):
        first = error.errors()[0]
        return f"{'.'.join(str(part) for part in first['loc'])}: {first['msg']}"
    return f"{error} is missing"


def _say(sentence: str) -> None:
    print(sentence, file=sys.stderr)
