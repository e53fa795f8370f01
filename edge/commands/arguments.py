"""What the verbs share in reading their arguments: one sentence instead of a usage dump, and numbers with limits."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from math import isfinite
from pathlib import Path
from typing import NoReturn

from edge.errors import UsageError
from edge.perception.model_file import LAYOUTS, ModelFile


class Parser(argparse.ArgumentParser):
    """An `ArgumentParser` whose mistakes are `UsageError`s: one sentence, exit code 2."""

    def __init__(self, verb: str, description: str, examples: str) -> None:
        super().__init__(
            prog=f"edgebot {verb}",
            description=description,
            epilog=examples,
            formatter_class=argparse.RawDescriptionHelpFormatter,
            allow_abbrev=False,
        )

    def error(self, message: str) -> NoReturn:
        raise UsageError(f"{message}; `{self.prog} --help` shows how")


def number(low: float, high: float, unit: str = "") -> Callable[[str], float]:
    """An argument's type: a number from `low` to `high`; NaN is none."""

    def parse(text: str) -> float:
        try:
            found = float(text)
        except ValueError:
            found = float("nan")
        if not (isfinite(found) and low <= found <= high):
            raise argparse.ArgumentTypeError(f"{text!r} is no number from {low:g} to {high:g}{unit and ' ' + unit}")
        return found

    return parse


def whole(low: int, high: int) -> Callable[[str], int]:
    """An argument's type: a whole number from `low` to `high`."""

    def parse(text: str) -> int:
        try:
            found = int(text)
        except ValueError:
            found = low - 1
        if not low <= found <= high:
            raise argparse.ArgumentTypeError(f"{text!r} is no whole number from {low} to {high}")
        return found

    return parse


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Inside, whatever keeps `-o PATH` from being written is the user's mistake: a `UsageError`."""
    try:
        yield
    except OSError as error:
        raise UsageError(f"{str(path)!r} cannot be written ({error.strerror or error}); give another -o") from None


def add_layout(parser: argparse.ArgumentParser) -> None:
    """What a user may have to say of a detector that is not ours."""
    parser.add_argument(
        "--layout", choices=LAYOUTS,
        help="of a detector's output, where neither the file nor its shapes tell: Ultralytics' v5 or v8 (also 9, 11, "
        "12), end2end (v10, 26), or ssd",
    )  # fmt: skip
    parser.add_argument(
        "--names", type=Path, metavar="FILE", help="labels, one a line, of a detector that does not tell them"
    )


def detector_of(model: str | Path | None, args: argparse.Namespace) -> ModelFile | None:
    """The detector that was named, by file or in the store; None for the shipped one ("person")."""
    from edge.store.place import find

    path = None if model is None or (str(model) == "person" and not Path(model).is_file()) else find(str(model))
    if path is None and (args.layout or args.names):
        raise UsageError("--layout and --names tell how to read another detector than the shipped one; name its file")
    return None if path is None else ModelFile(path, args.layout, args.names)
