"""What the verbs share in reading their arguments: one sentence instead of a usage dump, and numbers with limits."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from math import isfinite
from typing import NoReturn

from edge.errors import UsageError


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
