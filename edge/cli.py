"""`edgebot`: a static table of verbs, each imported only when it is called, so that help is instant."""

from __future__ import annotations

import difflib
import importlib
import importlib.util
import os
import sys
from typing import NamedTuple

from edge.clash import PACKAGES, clash


class Verb(NamedTuple):
    """One verb: where its `main(argv) -> int` lives, the extra that it needs, one line of help."""

    name: str
    target: str
    extra: str
    help: str


VERBS = (
    Verb("demo", "train.commands.demo:main", "workstation", "the whole line in one seeded room, into runs/demo/"),
    Verb("run", "edge.commands.run:main", "", "run a policy on the robot, or on a simulated one"),
    Verb("drive", "edge.commands.drive:main", "", "drive by keyboard or gamepad, hold to drive"),
    Verb("train", "train.commands.train:main", "workstation", "train a policy or a detector"),
    Verb("sweep", "train.commands.sweep:main", "workstation", "many runs with other settings each, on Ray"),
    Verb("eval", "train.commands.eval:main", "workstation", "greedy evaluation of a run or a model"),
    Verb("convert", "train.commands.convert:main", "workstation", "a proven .tflite from a run or Darknet files"),
    Verb("models", "edge.commands.models:main", "", "the models at hand: list, show, verify, pull published ones"),
    Verb("motors", "edge.commands.motors:main", "", "the motors' own process: status, stop, acknowledge"),
    Verb("detect", "edge.commands.detect:main", "", "find persons and things in photos, videos and cameras"),
    Verb("replay", "edge.commands.replay:main", "", "a recorded run again, by the same or another policy or detector"),
    Verb("recording", "edge.commands.recording:main", "", "look into recordings, mend them, export them"),
    Verb("doctor", "edge.commands.doctor:main", "", "should this machine drive a robot, and what mends it"),
    Verb("calibrate", "edge.commands.calibrate:main", "", "measure a camera's lens by a chessboard"),
    Verb("sim", "edge.commands.sim:main", "", "serve a simulated robot to a runtime on another machine"),
    Verb("hil", "edge.commands.hil:main", "", "test the robot's hardware part by part, and calibrate it"),
    Verb("wiring", "edge.commands.wiring:main", "", "what goes to which pin, as a table and a picture"),
    Verb("bench", "edge.commands.bench:main", "", "what a detector costs on this machine"),
    Verb("units", "edge.commands.units:main", "", "systemd units: start at boot, restart, watch"),
)

# Which extra brings a library that the base install leaves out.
BRINGS = {
    **dict.fromkeys(("tensorflow", "keras", "gymnasium", "tensorboard", "matplotlib", "jinja2"), "workstation"),
    **dict.fromkeys(("ale_py", "imageio_ffmpeg", "pyarrow"), "workstation"),
    "ray": "sweep",
    "lgpio": "pi",
    "tflite_runtime": "tflite-runtime",
}

# By these an extra is known to be there, before a verb that needs it begins.
FIRST = {"workstation": ("tensorflow", "gymnasium")}


def _help() -> str:
    lines = [f"  {verb.name:<10}{verb.help}" for verb in VERBS]
    return "\n".join(
        [
            "edgebot: train on a workstation, convert to TFLite, run on a Raspberry Pi robot or a simulated one.",
            "",
            "usage: edgebot VERB [...]        edgebot VERB --help teaches a verb, with an example",
            "",
            *lines,
            "",
            "first steps:",
            "  edgebot demo                                  the whole line, on your laptop",
            "  edgebot run --sim --policy light --seed 7     a simulated robot seeks the lamp",
        ]
    )


def main(argv: list[str] | None = None) -> int:
    """Run one verb; returns the exit code. Errors of the product are one sentence on stderr and code 2."""
    try:
        code = _run(sys.argv[1:] if argv is None else argv)
        sys.stdout.flush()
        return code
    except BrokenPipeError:  # the reader, say `head`, has had enough; nothing more can be said to it
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return 130


def _run(args: list[str]) -> int:
    if not args or args[0] in ("-h", "--help", "help"):
        print(_help())
        return 0
    if args[0] == "--version":
        from importlib.metadata import version

        print(f"edgebot {version('edgebot')}")
        return 0
    verb = next((verb for verb in VERBS if verb.name == args[0]), None)
    if verb is None:
        near = difflib.get_close_matches(args[0], [verb.name for verb in VERBS], n=1)
        hint = f"did you mean {near[0]!r}?" if near else "`edgebot --help` lists the verbs"
        return _fail(f"unknown verb {args[0]!r}; {hint}")
    rival = clash()
    if rival:
        return _fail(rival)
    missing = next((library for library in FIRST.get(verb.extra, ()) if _absent(library)), None)
    if missing:  # said before the verb begins its work
        return _fail(_missing(verb, missing))
    errors = _product_errors()
    module, function = verb.target.split(":")
    try:
        return int(getattr(importlib.import_module(module), function)(args[1:]))
    except errors as error:
        return _fail(str(error))
    except ModuleNotFoundError as error:
        if error.name is None:
            raise
        return _fail(_missing(verb, error.name))


def _absent(library: str) -> bool:
    try:
        return importlib.util.find_spec(library) is None
    except ValueError:  # in sys.modules as None
        return True


def _missing(verb: Verb, module: str) -> str:
    library = module.split(".")[0]
    if library in PACKAGES:
        return f"`edgebot {verb.name}` does not find its own part {module!r}; install edgebot again"
    extra = BRINGS.get(library, verb.extra)
    bring = f'pip install "edgebot[{extra}]"' if extra else "pip install edgebot"
    return f"`edgebot {verb.name}` needs {library}, which is not installed; `{bring}` brings it"


def _product_errors() -> tuple[type[Exception], ...]:
    from edge.errors import EdgeError
    from robot.errors import RobotError

    return (RobotError, EdgeError)


def _fail(sentence: str) -> int:
    print(f"edgebot: {sentence}", file=sys.stderr)
    return 2


if __name__ == "__main__":
    sys.exit(main())
